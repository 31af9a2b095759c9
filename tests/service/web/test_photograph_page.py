"""The photograph's page in a real browser, served by the real command on what the daemon colored.

What is on the screen is judged by its pixels: a scan is gray, what a machine colored is not.
"""

import io
from collections.abc import Callable

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.support.browser import NewPage
from tests.support.light_table import LARGE, ODD_NAME, PAGES, SMALL, LightTable
from tests.support.photograph_view import chroma, columns, look, press, seen, settled, view_of

GRAY, COLORED = 2.0, 8.0  # mean chroma, in codes: at most of a scan, at least of a result
TILE = 512


def set_divider(page: Page, share: float) -> None:
    """Drag the divider with the mouse to a share of the view's width."""
    box = page.locator("#stages").bounding_box()
    assert box
    at = float(page.locator("#divider").input_value()) / 1000
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + at * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + share * box["width"], y, steps=4)
    page.mouse.up()


# Comparing


def test_left_of_the_divider_lies_the_scan(page: Page, table: LightTable) -> None:
    """And right of it the result, wherever the mouse drags it."""
    look(page, table, LARGE)
    half = seen(page)
    set_divider(page, 0.3)
    moved = seen(settled(page))

    assert chroma(columns(half, 0, 0.49)) < GRAY
    assert chroma(columns(half, 0.51, 1)) > COLORED
    assert chroma(columns(moved, 0, 0.29)) < GRAY
    assert chroma(columns(moved, 0.31, 0.49)) > COLORED
    assert 300 == pytest.approx(float(page.locator("#divider").input_value()), abs=3)


def test_the_divider_cuts_at_every_zoom(page: Page, table: LightTable) -> None:
    """At 100 %, moved aside, the cut stays where the divider is on the screen."""
    look(page, table, LARGE)
    press(page, "1", "Shift+ArrowRight", "]", "]", "]", "]", "]")
    pixels = seen(page)

    assert "600" == page.locator("#divider").input_value()
    assert chroma(columns(pixels, 0, 0.595)) < GRAY
    assert chroma(columns(pixels, 0.605, 1)) > COLORED


def test_space_flips_at_once(page: Page, table: LightTable) -> None:
    """To the scan, whole, and back, from the first frame on as it stays."""
    look(page, table, LARGE)
    page.keyboard.press("Space")
    at_once = seen(page)
    assert np.array_equal(at_once, seen(settled(page)))
    expect(page.locator("#label-left")).to_be_visible()
    expect(page.locator("#label-right")).to_be_hidden()
    page.keyboard.press("Space")
    back = seen(page)

    assert chroma(at_once) < GRAY
    assert chroma(columns(back, 0, 0.5)) > COLORED
    expect(page.locator("#label-left")).to_be_hidden()
    expect(page.locator("#label-right")).to_have_text("Colored by a machine")


def test_the_labels_say_what_is_where(page: Page, table: LightTable) -> None:
    """Each stands on its side as long as that side has any width."""
    look(page, table, LARGE)
    page.locator("#divider").focus()
    for key, left, right in (("", True, True), ("Home", False, True), ("End", True, False)):
        if key:
            page.keyboard.press(key)
        expect(page.locator("#label-left")).to_be_visible(visible=left)
        expect(page.locator("#label-right")).to_be_visible(visible=right)
    press(page, "s")

    expect(page.get_by_text("Scan", exact=True).first).to_be_visible()
    expect(page.locator("#label-right")).to_be_visible()


def test_side_by_side_moves_together(page: Page, table: LightTable) -> None:
    """Two views, gray and colored, of the same place at the same zoom."""
    look(page, table, LARGE)
    press(page, "s")
    page.evaluate("() => lightTable.comparison.second.settled()")
    press(page, "+", "Shift+ArrowRight", "Shift+ArrowDown")
    page.evaluate("() => lightTable.comparison.second.settled()")
    pixels = seen(page)
    first, second = (
        page.evaluate(
            f"() => {{ const v = lightTable.comparison.{one}.viewer.viewport;"
            " const c = v.getCenter(true); return [v.getZoom(true), c.x, c.y]; }"
        )
        for one in ("stage", "second")
    )

    assert first == pytest.approx(second, rel=1e-3)
    assert chroma(columns(pixels, 0, 0.49)) < GRAY
    assert chroma(columns(pixels, 0.51, 1)) > COLORED


# Zoom and place


def test_zoom_and_place_are_kept(page: Page, table: LightTable) -> None:
    """From photograph to photograph, with the divider and how the two are compared."""
    look(page, table, SMALL[0])
    set_divider(page, 0.7)
    press(page, "+", "+", "Shift+ArrowRight", "Shift+ArrowUp")
    before = view_of(page)
    look(page, table, SMALL[1])
    kept = view_of(page)
    press(page, "Space")
    look(page, table, SMALL[2])

    assert before["zoom"] == pytest.approx(2.25, rel=0.01)
    assert kept == pytest.approx(before, rel=1e-3)
    assert view_of(page) == pytest.approx(before, rel=1e-3)
    assert "true" == page.locator("#mode-flip").get_attribute("aria-pressed")
    assert chroma(seen(page)) < GRAY
    assert 700 == pytest.approx(float(page.locator("#divider").input_value()), abs=3)


@pytest.mark.parametrize("density", [1, 2])
def test_100_percent_shows_real_pixels(new_page: NewPage, table: LightTable, density: int) -> None:
    """Each pixel of the screen, also of a finer one, is one of the photograph's."""
    page = new_page(viewport={"width": 1280, "height": 800}, device_scale_factor=density)
    look(page, table, LARGE)
    press(page, "Space", "Space", "1")
    expect(page.locator("#scale")).to_have_text("100 %")
    pixels = seen(page)
    corner = page.evaluate(
        "() => { const p = lightTable.comparison.stage.seenAt(0, 0); return [p.x, p.y]; }"
    )
    left, top = (round(one * density) for one in corner)
    assert corner == pytest.approx([left / density, top / density], abs=1e-6)
    folder = page.evaluate("() => lightTable.facts.pages[0].colored.info").removesuffix("info.json")
    url = f"{table.base}{folder}{TILE},{TILE},{TILE},{TILE}/{TILE},{TILE}/0/default.jpg"
    tile = np.asarray(Image.open(io.BytesIO(httpx.get(url).content)).convert("RGB")).astype(int)
    y, x = max(0, -(top + TILE)), max(0, -(left + TILE))
    part = pixels[top + TILE + y :, left + TILE + x :][: TILE - y, : TILE - x]
    part = part[:-1, :-1]  # the view may end within a pixel
    off = np.abs(part - tile[y : y + len(part), x : x + part.shape[1]])

    assert part.size > 3 * 200 * 200
    assert off.mean() < 0.05  # decoders of JPEG may round differently


def test_a_wheel_zooms_and_a_drag_moves(page: Page, table: LightTable) -> None:
    """As in any map; the divider does not take the mouse from the photograph beside it."""
    look(page, table, LARGE)
    box = page.locator("#stages").bounding_box()
    assert box
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.mouse.wheel(0, -500)
    settled(page)
    zoomed = view_of(page)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 160, steps=4)
    page.mouse.up()
    settled(page)

    assert zoomed["zoom"] > 1.1
    assert view_of(page)["x"] > zoomed["x"]


# Keys and people


def test_pages_of_a_scan_are_turned(page: Page, table: LightTable) -> None:
    """By keys and by buttons; each shows its own picture."""
    look(page, table, PAGES)
    expect(page.locator("#page-number")).to_have_text("Page 1 of 2")
    first = seen(page)
    press(page, "PageDown")
    expect(page.locator("#page-number")).to_have_text("Page 2 of 2")
    second = seen(page)
    expect(page.get_by_role("button", name="Next page")).to_be_disabled()
    page.get_by_role("button", name="Page before").click()
    settled(page)

    assert np.abs(first - second).mean() > 5
    assert np.array_equal(first, seen(page))


def test_the_keyboard_reaches_all(page: Page, table: LightTable) -> None:
    """Each key that the help lists is one that works; Tab comes to view, divider and buttons."""
    look(page, table, LARGE)
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.activeElement.id || document.activeElement.role"))
    press(page, "?")
    help_page = page.locator("#help-dialog")
    listed = help_page.locator("kbd").all_inner_texts()
    page.keyboard.press("Escape")

    assert {
        "divider",
        "application",
        "mode-side",
        "approve",
        "next",
        "vividness",
        "pick",
    } <= reached
    assert {"Space", "D", "S", "1", "0", "A", "R", "F", "N", "U", "J", "Ctrl+Z"} <= set(listed)
    expect(help_page).to_be_hidden()


def test_single_keys_can_be_turned_off(page: Page, table: LightTable) -> None:
    """For who speaks to the machine, or hits keys by chance; it is kept."""
    look(page, table, LARGE)
    press(page, "?")
    page.get_by_label("Single keys").uncheck()
    page.get_by_role("button", name="Close").click()
    press(page, "s")
    assert "divider" == page.locator("#stages").get_attribute("data-mode")
    look(page, table, SMALL[0])
    press(page, "?")

    expect(page.locator("#help-dialog")).to_be_hidden()
    page.get_by_role("button", name="Keys").click()
    expect(page.get_by_label("Single keys")).not_to_be_checked()


def test_a_name_is_only_text(page: Page, table: LightTable) -> None:
    """Whatever HTML it has."""
    look(page, table, ODD_NAME)

    expect(page.get_by_role("heading", level=1)).to_have_text(ODD_NAME)
    assert 0 == page.locator("h1 b").count()


def test_a_file_is_saved_by_its_link(page: Page, table: LightTable) -> None:
    """Under its own name and byte for byte."""
    look(page, table, SMALL[0])
    with page.expect_download() as download:
        page.get_by_role("link", name="Colored photograph").click()

    assert "0.jpg" == download.value.suggested_filename
    assert (table.home.outbox / SMALL[0]).read_bytes() == download.value.path().read_bytes()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_nobody_is_shut_out(
    new_page: NewPage,
    table: LightTable,
    serious_violations: Callable[[Page], list[str]],
    scheme: str,
    language: str,
) -> None:
    """Axe finds nothing serious, in both languages, light and dark, with the dialogs as well."""
    page = new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme, locale=language)
    look(page, table, PAGES)
    found = serious_violations(page)
    for key in ("?", "r", "n"):
        page.keyboard.press(key)
        found += serious_violations(page)
        page.keyboard.press("Escape")

    assert [] == found


@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_it_fits_each_screen(new_page: NewPage, table: LightTable, width: int) -> None:
    """No width scrolls sideways, and the photograph has most of a large one."""
    page = new_page(viewport={"width": width, "height": 800})
    look(page, table, LARGE)
    stage = page.locator("#stages").bounding_box()
    assert stage

    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    assert stage["width"] >= min(width, 0.65 * width)
    assert stage["height"] >= 400
