"""Downloads: byte for byte, under the file's own name, and nothing but what the ledger knows."""

from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest

from service.web.downloads import attachment
from tests.support.light_table import LARGE, ODD_NAME, LightTable

NO_FILES = [
    "/photographs/1/files/../../../../etc/passwd",
    "/photographs/1/files/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/photographs/1/files/..%2f..%2fconfig.yaml",
    "/photographs/1/files/scan%00",
    "/photographs/1/files/ledger",
    "/photographs/1/files/",
    "/photographs/../state/ledger.sqlite",
    "/photographs/-1/files/scan",
    "/photographs/1e3/files/scan",
    "/photographs/999999/files/scan",
    f"/photographs/{1 << 70}/files/scan",
    f"/photographs/{'9' * 5000}/files/scan",
]


@pytest.mark.parametrize("name", [LARGE, ODD_NAME])
def test_files_come_as_they_are(table: LightTable, name: str) -> None:
    """Scan, result and sidecar, byte for byte and with their sizes."""
    home = table.home
    expected = {
        "scan": table.scan(name).read_bytes(),
        "colored": (home.outbox / name).read_bytes(),
        "sidecar": (home.outbox / f"{name}.json").read_bytes(),
    }

    for kind, content in expected.items():
        answer = httpx.get(table.url(name, f"/files/{kind}"))
        assert content == answer.content
        assert str(len(content)) == answer.headers["content-length"]


def test_browsers_save_and_never_show_them(table: LightTable) -> None:
    """Nothing in a file runs in the page's name, whatever it looks like."""
    headers = httpx.get(table.url(ODD_NAME, "/files/colored")).headers

    assert "image/png" == headers["content-type"]
    assert "nosniff" == headers["x-content-type-options"]
    assert "sandbox" == headers["content-security-policy"]
    assert headers["content-disposition"].startswith("attachment;")
    assert ODD_NAME == unquote(headers["content-disposition"].rpartition("''")[2])


@pytest.mark.parametrize("path", NO_FILES)
def test_paths_are_no_way_in(table: LightTable, path: str) -> None:
    """Only numbers and three words are known; anything else is not found."""
    with httpx.Client(base_url=table.base) as client:
        request = client.build_request("GET", "/")
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = client.send(request)

    assert 404 == answer.status_code
    assert b"root:" not in answer.content


def test_a_symlink_in_the_outbox_is_not_followed(table: LightTable, tmp_path: Path) -> None:
    """Who may write to the outbox cannot have the page read other files."""
    secret = tmp_path / "secret"
    secret.write_text("of the machine")
    result = table.home.outbox / ODD_NAME
    kept = result.rename(tmp_path / "kept")
    result.symlink_to(secret)
    try:
        answer = httpx.get(table.url(ODD_NAME, "/files/colored"))
    finally:
        result.unlink()
        kept.rename(result)

    assert 404 == answer.status_code
    assert "not there now" in answer.json()["error"]


def test_an_original_that_was_changed_is_not_sent(table: LightTable) -> None:
    """What is sent as the scan is the scan that was colored."""
    scan = table.scan(ODD_NAME)
    content = scan.read_bytes()
    scan.write_bytes(content + b"!")
    try:
        answer = httpx.get(table.url(ODD_NAME, "/files/scan"))
    finally:
        scan.write_bytes(content)

    assert 404 == answer.status_code
    assert "was changed since it was colored" in answer.json()["error"]


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("a.tif", "attachment; filename=\"a.tif\"; filename*=UTF-8''a.tif"),
        (
            'a"\r\nX: y.tif',
            "attachment; filename=\"a___X_ y.tif\"; filename*=UTF-8''a%22%0D%0AX%3A%20y.tif",
        ),
        ("Köln.tif", "attachment; filename=\"K_ln.tif\"; filename*=UTF-8''K%C3%B6ln.tif"),
        ("a\udce9.tif", "attachment; filename=\"a_.tif\"; filename*=UTF-8''a%EF%BF%BD.tif"),
        ("照片.tif", "attachment; filename=\"__.tif\"; filename*=UTF-8''%E7%85%A7%E7%89%87.tif"),
    ],
)
def test_any_name_becomes_a_header(name: str, header: str) -> None:
    """Quotes, line breaks and bytes that are no text end no header and begin none."""
    assert header == attachment(name)
