"""What the daemon says of scans and of itself, in Chinese: all that a reader of the page meets."""

import ast
import errno
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.filesystem.availability import FolderMonitor
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.monitoring.health import Signs, judge
from service.pipeline.failures import _hint, ended_the_process
from service.web.translations import LONGEST, translated
from tests.support.delivered_results import place_with_ledger, queue
from tests.support.web_client import WebClient, web_app

ROOT = Path(__file__).parents[3]
CATALOG = ROOT / "service/web/catalogs/texts.zh-CN.json"
FIELD = re.compile(r"\{(\w+)\}")
SCANS_FAULT = {"ScanError", "IncompleteError", "InColorError", "DamagedError"}
SAID_OF_SCANS = (  # modules whose errors become reasons of rejection, or of what waits
    "worker/formats",
    "worker/inference/colorizer.py",
    "worker/untoning.py",
    "worker/display.py",
    "service/storage/originals.py",
    "service/storage/outbox.py",
    "service/storage/viewed.py",
)


def sample(node: ast.expr) -> str:
    """Return a text as it may be raised, with something in place of what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(sample(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return sample(node.left) + sample(node.right)
    return "7"


def raised() -> Iterator[tuple[str, str]]:
    """Yield the texts of all errors that blame a scan, each with its place in the code."""
    for name in SAID_OF_SCANS:
        place = ROOT / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and node.args):
                    continue
                kinds = {one.id for one in ast.walk(node.func) if isinstance(one, ast.Name)}
                words = sample(node.args[0])
                if kinds & SCANS_FAULT and words != "7":
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", words


def test_whatever_is_wrong_with_a_scan_is_said_in_chinese() -> None:
    """Each text in the code that blames a scan has its translation, so none is forgotten."""
    texts = dict(raised())

    assert len(texts) > 100
    assert {} == {
        place: words for place, words in texts.items() if translated(words, "zh-CN") is None
    }


def test_what_is_filled_in_stays() -> None:
    """In its place in the other language; texts within texts are translated as well."""
    words = (
        "the PNG is damaged or cut short and cannot be decoded: the file ends after 7 of 90 rows"
    )
    assert translated(words, "zh-CN") == (
        "PNG 已损坏或不完整，无法解码：文件共应有 90 行，在第 7 行之后终止"  # noqa: RUF001 - Chinese
    )
    assert translated("the flux capacitor is empty", "zh-CN") is None
    assert translated("outbox: " * LONGEST, "zh-CN") is None


def test_translations_are_whole() -> None:
    """None is empty or fills in what the English text has not."""
    texts = json.loads(CATALOG.read_text(encoding="utf-8"))
    for english, chinese in texts.items():
        assert chinese.strip(), english
        assert set(FIELD.findall(chinese)) <= set(FIELD.findall(english)), english
        assert FIELD.sub("", english).strip(), english


SIGNS = Signs(
    rescan_age=1e5,
    rescan_every=60,
    still=1e5,
    longest_wait=0.5,
    events=False,
    inbox=True,
    blocked_by="",
    unresolved="",
    idle=1e5,
    orphans=2,
    settings="12 scans wait until the mistakes in a/photochrom.yaml are corrected",
)


@pytest.mark.parametrize("signs", [SIGNS, SIGNS._replace(orphans=1, inbox=False)])
def test_the_services_health_is_said_in_chinese(signs: Signs) -> None:
    """Each reason that the daemon gives."""
    reasons = judge(signs).reasons

    assert len(reasons) >= 5
    assert [] == [one for one in reasons if translated(one, "zh-CN") is None]


def test_what_blocks_folders_is_said_in_chinese(tmp_path: Path) -> None:
    """A disk without room, a folder that is gone or a file, errors with their remedies."""
    folders = {key: tmp_path / key for key in ("state", "outbox", "rejected", "originals.folder")}
    for folder in folders.values():
        folder.mkdir()
    places = FolderMonitor(folders, free_space=1e9)
    texts = [places.refresh()]
    for number in (errno.EIO, errno.EACCES, errno.ENOSPC, errno.EROFS, errno.ESTALE, errno.EDQUOT):
        error = OSError(number, os.strerror(number), str(folders["outbox"] / "a.tif"))
        texts.append(places.in_words(error))
    shutil.rmtree(folders["rejected"])
    texts.append(places.problem("rejected"))
    folders["rejected"].write_text("")
    texts.append(places.problem("rejected"))

    assert 9 == len(set(texts))
    assert [] == [one for one in texts if translated(one, "zh-CN") is None]


def test_what_becomes_of_a_job_is_said_in_chinese(tmp_path: Path) -> None:
    """In color already, killed each time; on the page of English speakers without commands."""
    job = queue(place_with_ledger(tmp_path), "a.tif")
    in_color = "the photograph is in color already (chroma 9.0 beyond any single tone)" + _hint(job)

    assert "仍然上色" in str(translated(in_color, "zh-CN"))
    assert "photochrom retry" not in str(translated(in_color, "en"))
    assert translated(ended_the_process(job), "zh-CN")


def test_the_page_says_what_it_knows_and_marks_what_it_does_not(tmp_path: Path) -> None:
    """A reason in Chinese; one without a translation in English, for who listens, too."""
    config = place_with_ledger(tmp_path)
    known, unknown = queue(config, "a.tif"), queue(config, "b.tif")
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.fail(known.id, "the file is empty (0 bytes)", 1.0)
        ledger.fail(unknown.id, "the <i>flux</i> is empty", 2.0)

    page = WebClient(web_app(tmp_path), language="zh-CN").get("/service").text

    assert '<p class="reason">文件为空（0 字节）</p>' in page  # noqa: RUF001 - Chinese
    assert '<span lang="en">the &lt;i&gt;flux&lt;/i&gt; is empty</span>' in page
