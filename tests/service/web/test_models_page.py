"""The models page's answers: versions, cards, pictures; who may promote."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.config.loader import Config
from service.web.users import Role
from tests.support.delivered_results import place_with_ledger
from tests.support.web_client import WebClient, web_app
from worker.models.store import ModelStore
from worker.models.version import CARD_FILE, GENERATOR_FILE, digest

SCORES = {
    "validation": {"psnr_gain": 1.5, "ab_rmse": 12.0, "colorfulness_ratio": 0.7},
    "reference": {"psnr_gain": 1.25, "ab_rmse": 13.0},
}


def publish(config: Config, number: int, **card: object) -> Path:
    """Put a version into the store, with a generator that nobody loads."""
    folder = config.models_folder / f"{number:04}"
    folder.mkdir(parents=True)
    (folder / GENERATOR_FILE).write_bytes(b"weights")
    (folder / "sheet.jpg").write_bytes(b"\xff\xd8 a picture")
    (folder / "secret.txt").write_text("not a picture")
    about = {
        "created": "2026-11-01T10:00:00+00:00",
        "parent": "builtin",
        "scores": SCORES,
        "sha256": digest(folder / GENERATOR_FILE),
        **card,
    }
    (folder / CARD_FILE).write_text(json.dumps(about))
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make three versions; the second was promoted after the first, the third is unreadable."""
    config = place_with_ledger(tmp_path)
    publish(config, 1, name="<i>first</i>")
    publish(config, 2, promotion={"promoted": False, "why": "more false color"})
    (publish(config, 3) / CARD_FILE).write_text("{")
    store = ModelStore(config.models_folder)
    for number in (1, 2):
        store.promote(number, f"reason {number}", datetime.now(UTC), lambda _: None)
    return config


def client(folder: Path, role: Role) -> WebClient:
    """Return the browser of a user with a role."""
    browser = WebClient(web_app(folder, users={"anna": role}))
    browser.log_in("anna")
    return browser


@pytest.mark.usefixtures("config")
def test_versions_are_listed_with_scores_and_history(tmp_path: Path) -> None:
    """The promoted one is marked, an unreadable one told; a name is no HTML."""
    text = client(tmp_path, Role.READER).get("/models").text

    assert "&lt;i&gt;first&lt;/i&gt;" in text
    assert "1.50 / 1.25" in text
    assert "reason 2" in text
    assert "the card of model version 3 cannot be read" in text
    assert "<svg" in text
    assert 'src="/models/2/files/sheet.jpg"' in text
    assert "data-promote" not in text
    assert 'id="roll-back"' not in text


@pytest.mark.usefixtures("config")
def test_a_card_is_shown(tmp_path: Path) -> None:
    """In both languages; cards of any age, the built-in one too; others do not exist."""
    english = client(tmp_path, Role.READER)
    text = english.get("/models/2").text

    assert "Version 2" in text
    assert "more false color" in text
    assert "版本 2" in english.get("/models/2", accept_language="zh").text
    assert 200 == english.get("/models/builtin").status_code
    assert [404, 404, 404] == [
        english.get(f"/models/{name}").status_code for name in ("9", "promoted", "0")
    ]
    assert 503 == english.get("/models/3").status_code


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize(
    "name", ["secret.txt", "card.json", GENERATOR_FILE, "..%2f2%2fsheet.jpg", "%2e%2e", "none.jpg"]
)
def test_only_its_pictures_are_sent(tmp_path: Path, name: str) -> None:
    """Neither weights nor other files, and no path leads elsewhere."""
    browser = client(tmp_path, Role.READER)

    assert 404 == browser.get(f"/models/2/files/{name}").status_code
    sheet = browser.get("/models/2/files/sheet.jpg")
    assert (200, "image/jpeg", b"\xff\xd8 a picture") == (
        sheet.status_code,
        sheet.headers["content-type"],
        sheet.content,
    )


def test_the_operator_rolls_back(config: Config, tmp_path: Path) -> None:
    """To the version before, with a reason and a name in the history; twice is too often."""
    browser = client(tmp_path, Role.OPERATOR)
    assert 'data-previous="1"' in browser.get("/models").text
    codes = [browser.post("/models/roll-back", json={"why": "too\nred"}) for _ in range(3)]
    last = ModelStore(config.models_folder).promotions()[2]

    assert [200, 200, 409] == [one.status_code for one in codes]
    assert "nothing to roll back to" in codes[2].json()["error"]
    assert ("1", True, "toored (anna, review page)") == (last.version, last.rollback, last.why)


@pytest.mark.usefixtures("config")
def test_others_change_nothing(tmp_path: Path) -> None:
    """A reviewer may neither promote nor roll back."""
    browser = client(tmp_path, Role.REVIEWER)

    assert 403 == browser.post("/models/roll-back", json={}).status_code
    assert 403 == browser.post("/models/promote", json={"version": "1"}).status_code


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize("version", ["promoted", "--help", "1; ls", "../1", "", None, 7.5])
def test_what_is_no_version_is_not_promoted(tmp_path: Path, version: object) -> None:
    """It does not reach the command."""
    browser = client(tmp_path, Role.OPERATOR)

    assert 404 == browser.post("/models/promote", json={"version": version}).status_code


def test_a_damaged_history_is_told(config: Config, tmp_path: Path) -> None:
    """In words, with what to do."""
    (config.models_folder / "promotions.json").write_text("{")
    answer = client(tmp_path, Role.READER).get("/models", html=False)

    assert 503 == answer.status_code
    assert "is damaged" in answer.json()["error"]
