"""Corrections in a real browser: what a person says shows at once, and then in the file itself."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from service.config.loader import load_config
from service.ledger.jobs import Decision
from service.maintenance import review
from tests.support.browser import NewPage
from tests.support.command import Home
from tests.support.light_table import LARGE, PAGES, SMALL, LightTable, shown
from tests.support.photograph_view import around, chroma, columns, look, press, seen, settled

STARTS = 180_000  # milliseconds, as long as the generator may take to start
AT = (0.7, 0.55)  # where the test knows a color
BLUE = "#1040d0"
PREVIEW, PRESENT = "Preview, colored by a machine", "Colored by a machine"


@pytest.fixture
def own(archive: Home, tmp_path: Path) -> Iterator[LightTable]:
    """Serve a copy of the archive to one test, which recolors in it."""
    with shown(archive, tmp_path / "home") as one:
        yield one


def slide(page: Page, name: str, *values: int) -> None:
    """Drag a slider over values, without letting the page rest in between."""
    page.evaluate(
        "([name, values]) => { const slider = document.getElementById(name); for (const one of"
        " values) { slider.value = one; slider.dispatchEvent(new Event('input')); }"
        " slider.dispatchEvent(new Event('change')); }",
        [name, list(values)],
    )


def previewed(page: Page) -> Page:
    """Wait until the preview is there and drawn."""
    expect(page.locator("#preview-status")).to_contain_text("Preview, in", timeout=STARTS)
    expect(page.locator("#label-right")).to_have_text(PREVIEW)
    return settled(page)


def add_color(page: Page, color: str) -> None:
    """Click on the place, and say its color."""
    place = page.evaluate(
        "([x, y]) => { const p = lightTable.comparison.stage.seenAt(x, y); return [p.x, p.y]; }",
        list(AT),
    )
    page.keyboard.press("p")
    page.locator("#stage").click(position={"x": place[0], "y": place[1]})
    expect(page.locator("#point-editor")).to_be_visible()
    page.locator("#point-color").fill(color)


def test_a_known_color_shows_at_its_place(page: Page, table: LightTable) -> None:
    """Swatches are offered there; the color that is said appears there, and little far away."""
    look(page, table, LARGE)
    before = seen(page)
    add_color(page, BLUE)
    expect(page.locator(".swatch").first).to_be_visible(timeout=STARTS)
    after = seen(previewed(page))
    here = around(page, after, *AT) - around(page, before, *AT)
    away = around(page, after, 0.97, 0.05) - around(page, before, 0.97, 0.05)

    assert here[2] - here[:2].mean() > 15  # bluer
    assert np.abs(here).max() > 2 * np.abs(away).max()
    assert 1 == page.locator(".marker").count()


def test_it_is_said_that_the_generator_starts(page: Page, own: LightTable) -> None:
    """To who comes near the panel and to who waits for swatches; no more once it runs."""
    look(page, own, SMALL[0])
    page.evaluate(
        """() => {
            window.told = [];
            const look = () => told.push(document.getElementById("correction").innerText);
            new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
        }"""
    )
    page.locator("#vividness").focus()
    expect(page.locator("#generator-starts progress")).to_be_visible()
    press(page, "p", "Enter")
    expect(page.locator(".swatch").first).to_be_visible(timeout=STARTS)
    told = page.evaluate("() => told")

    assert 2 == max(text.count("The generator is starting") for text in told)
    expect(page.locator("#generator-starts")).to_be_empty()


def test_on_a_phone_the_photograph_stays_in_sight(new_page: NewPage, table: LightTable) -> None:
    """While a color is chosen below it; what has the focus lies under neither it nor the bar."""
    page = new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    look(page, table, SMALL[0])
    page.locator("#pick").click()
    page.locator("#stage").tap()
    expect(page.locator(".swatch").first).to_be_visible(timeout=STARTS)
    stage, bar = (page.locator(one).bounding_box() for one in ("#stages", ".deciding"))
    assert stage
    assert bar
    for name in ("#point-color", "#point-source", "#point-done", "#vividness"):
        page.locator(name).focus()
        field = page.locator(name).bounding_box()
        stage = page.locator("#stages").bounding_box()
        assert field
        assert stage
        assert stage["y"] >= 0
        assert stage["y"] + stage["height"] <= field["y"], name
        assert field["y"] + field["height"] <= bar["y"], name


def test_a_swatch_is_chosen_by_a_press(page: Page, table: LightTable) -> None:
    """What the network thinks of becomes the color of the place, by keyboard alone."""
    look(page, table, SMALL[0])
    press(page, "p", "Enter")
    swatch = page.locator(".swatch").first
    expect(swatch).to_be_visible(timeout=STARTS)
    swatch.focus()
    page.keyboard.press("Enter")
    expect(swatch).to_have_attribute("aria-pressed", "true")
    point = page.evaluate("() => lightTable.wishes.sent.points[0]")

    assert [0.5, 0.5] == pytest.approx([point["x"], point["y"]], abs=0.01)
    assert swatch.get_attribute("data-color") == point["color"]
    previewed(page)


def test_the_last_wish_wins(page: Page, table: LightTable) -> None:
    """However fast a slider is dragged; one step back undoes the whole drag."""
    look(page, table, SMALL[1])
    slide(page, "vividness", 60, 100, 80, 20, 0)
    gray = seen(previewed(page))
    press(page, "Control+z")
    expect(page.locator("#vividness")).to_have_value("50")
    expect(page.locator("#label-right")).to_have_text(PRESENT)
    back = seen(settled(page))
    press(page, "Control+y")
    expect(page.locator("#vividness")).to_have_value("0")

    assert chroma(columns(gray, 0.51, 1)) < 4 < chroma(columns(back, 0.51, 1))


def test_a_point_is_removed_and_all_is_reset(page: Page, table: LightTable) -> None:
    """Each by a button, and each can be undone."""
    look(page, table, SMALL[2])
    add_color(page, BLUE)
    previewed(page)
    page.get_by_role("button", name="Remove color 1").click()
    expect(page.locator("#points li")).to_have_count(0)
    expect(page.locator("#label-right")).to_have_text(PRESENT)
    press(page, "Control+z")
    expect(page.locator("#points li")).to_have_count(1)
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("#points li")).to_have_count(0)

    expect(page.locator("#apply")).to_be_disabled()


def test_variants_are_chosen_by_their_pictures(page: Page, table: LightTable) -> None:
    """Small previews, each of another coloring; the one chosen is shown large."""
    look(page, table, SMALL[3])
    page.get_by_text("Variants").click()
    variants = page.locator(".variant img")
    expect(variants.first).to_be_visible(timeout=STARTS)
    pictures = [httpx.get(f"{table.base}{one.get_attribute('src')}") for one in variants.all()]
    page.locator(".variant").last.click()
    previewed(page)

    assert {"image/jpeg"} == {one.headers["content-type"] for one in pictures}
    assert len(pictures) == len({one.content for one in pictures}) > 1
    assert page.evaluate("() => lightTable.wishes.sent.variant") == len(pictures) - 1


def test_a_reference_is_chosen_by_its_picture(page: Page, table: LightTable) -> None:
    """By a part of its name; the view follows it, and one step back undoes it."""
    look(page, table, SMALL[0])
    page.get_by_text("Colored like another photograph").click()
    expect(page.locator("#references .variant").first).to_be_visible()
    page.locator("#reference-word").fill("harbor")
    expect(page.locator("#references .variant")).to_have_count(1)
    choice = page.locator("#references .variant")
    choice.click()
    previewed(page)
    reference = page.evaluate("() => lightTable.wishes.sent.reference")
    expect(choice).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#reference-name")).to_have_text(LARGE)
    page.locator("#reference-drop").click()
    expect(page.locator("#label-right")).to_have_text(PRESENT)
    page.locator("#stage canvas").first.focus()
    press(page, "Control+z")
    expect(page.locator("#reference-name")).to_have_text(LARGE)
    page.locator("#reference-word").fill("no such name")
    expect(page.locator("#reference-status")).to_contain_text("No other result")

    assert LARGE == reference["name"]
    assert 0 < len(reference["colors"]) <= 64
    assert 500 < sum(share for *_ab, share in reference["colors"]) <= 1010


def test_doubtful_places_are_shown_on_request(page: Page, table: LightTable) -> None:
    """C lays them over the photograph, and takes them away again."""
    look(page, table, SMALL[0])
    plain = seen(page)
    page.keyboard.press("c")
    expect(page.locator("#uncertain")).to_have_attribute("aria-pressed", "true")
    page.wait_for_function("() => lightTable.comparison.stage._items.has('confidence')")
    doubtful = seen(settled(page))
    press(page, "c")

    assert np.abs(doubtful - plain).mean() > 1
    assert np.array_equal(plain, seen(page))


def test_decisions_wait_for_changes(page: Page, table: LightTable) -> None:
    """A is refused in words while something is not applied, so nothing is lost by it."""
    look(page, table, SMALL[0])
    slide(page, "warmth", 20)
    expect(page.locator("#unapplied")).to_be_visible()
    address = page.url
    page.keyboard.press("a")

    expect(page.locator(".notice")).to_contain_text("not applied")
    assert address == page.url
    previewed(page)


@pytest.mark.slow
def test_applied_corrections_are_in_the_file(own: LightTable, page: Page) -> None:
    """The daemon colors it again; the page compares new and old, and the decision is open again."""
    result = own.home.outbox / PAGES
    before = result.read_bytes()
    config = load_config(own.home.folder / "config.yaml")
    assert review.decide(config, [own.job(PAGES)], Decision.APPROVED, who="ben")
    look(page, own, PAGES)
    expect(page.locator("#approve")).to_have_attribute("aria-pressed", "true")
    add_color(page, BLUE)
    page.locator("#point-source").fill("the coat is in the museum")
    previewed(page)
    with own.daemon():
        page.keyboard.press("Escape")
        page.keyboard.press("Control+Enter")
        expect(page.locator("#apply-busy")).to_be_visible()
        expect(page.locator("#label-left")).to_have_text(
            "Before, colored by a machine", timeout=120_000
        )
    compared = seen(settled(page))
    point = json.loads(result.with_name(f"{result.name}.json").read_text())["wishes"]["points"][0]

    assert before != result.read_bytes()
    assert (BLUE, "the coat is in the museum") == (point["color"], point["source"])
    assert point["who"]
    assert chroma(columns(compared, 0, 0.49)) > 8
    expect(page.locator("#label-right")).to_have_text(PRESENT)
    expect(page.locator("#apply")).to_be_disabled()
    expect(page.locator("#points li")).to_have_count(1)
    expect(page.locator(".standing")).to_have_text("Open")
    expect(page.locator("#approve")).not_to_have_attribute("aria-pressed", "true")
