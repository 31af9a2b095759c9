"""The models page in a real browser: promote and roll back real versions, with the real test."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import NewPage
from tests.support.command import Home
from tests.support.light_table import page_of
from tests.support.small_generators import tiny_generator
from worker.models.store import ModelStore

SCORES = {"validation": {"psnr_gain": 1.0, "ab_rmse": 12.0}, "reference": {"psnr_gain": 0.9}}
PATIENCE = 120_000  # milliseconds; TensorFlow is loaded for the test


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Publish a sound version, an unfit one, and a sound one."""
    folder = tmp_path_factory.mktemp("models")
    made = Home(folder / "home")
    sheet = folder / "sheet.jpg"
    rows, columns = np.mgrid[0:90, 0:240]
    cv2.imwrite(str(sheet), np.dstack([rows * 2, columns, rows + columns]).astype(np.uint8))
    store = ModelStore(made.folder / "state/models")
    for gain, seed in ((1.0, 2), (1.2, 3), (1.5, 4)):
        scores = {**SCORES, "validation": {"psnr_gain": gain, "ab_rmse": 13 - gain}}
        card = {"scores": scores, "created": "2026-11-01T10:00:00+00:00", "parent": "builtin"}
        store.publish(tiny_generator(seed), card, [sheet])
    damaged = made.folder / "state/models/0002/generator.keras"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    return made


@pytest.fixture(scope="module")
def base(home: Home) -> Iterator[str]:
    """Serve the page."""
    with page_of(home) as address:
        yield address


@pytest.mark.slow
def test_promote_and_roll_back(page: Page, base: str, home: Home, problems: list[str]) -> None:
    """A sound version is promoted after its test; an unfit one is refused with the reason."""
    store = ModelStore(home.folder / "state/models")
    page.goto(f"{base}/models")
    page.get_by_role("button", name="Promote: 3").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Promote version 3?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert [] == store.promotions()

    page.get_by_role("button", name="Promote: 3").click()
    dialog.get_by_label("Reason, for the history").fill("better skies")
    dialog.get_by_role("button", name="Test and promote").click()
    expect(page.locator(".history")).to_contain_text("Version 3 was promoted.", timeout=PATIENCE)
    expect(page.locator(".notice")).to_contain_text("Version 3 is promoted.")
    expect(page.locator(".history")).to_contain_text("better skies")
    expect(page.locator("tr.serving")).to_contain_text("3")

    page.get_by_role("button", name="Promote: 2").click()
    dialog.get_by_role("button", name="Test and promote").click()
    expect(page.locator("#confirm-state")).to_contain_text("does not match", timeout=PATIENCE)
    problems.clear()  # the browser's own line about the 409
    dialog.get_by_role("button", name="Cancel").click()

    page.get_by_role("button", name="Roll back to version builtin").click()
    dialog.get_by_role("button", name="Roll back", exact=True).click()
    expect(page.locator(".history")).to_contain_text("Rolled back to version builtin.")
    assert ["3", "builtin"] == [one.version for one in store.promotions()]


def test_the_server_loads_no_network(base: str, home: Home) -> None:
    """TensorFlow stays out of the process that serves pages, whatever was promoted."""
    maps = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            if (process / "cmdline").read_bytes().split(b"\0")[2:3] != [b"web"]:
                continue
            if str(home.folder).encode() in (process / "environ").read_bytes():
                maps.append((process / "maps").read_text())

    assert base
    assert 1 == len(maps)
    assert "tensorflow" not in maps[0]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_nobody_is_shut_out(
    new_page: NewPage,
    serious_violations: Callable[[Page], list[str]],
    base: str,
    theme: str,
    language: str,
) -> None:
    """axe-core finds nothing serious; nothing is cut off at any width."""
    for width in (390, 1280, 2560):
        page = new_page(
            viewport={"width": width, "height": 900}, color_scheme=theme, locale=language
        )
        for path in ("/models", "/models/1", "/models/builtin"):
            page.goto(f"{base}{path}")
            assert [] == serious_violations(page)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
