"""What is on the screen of a photograph's page, judged by its pixels, and what moves it there."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tests.support.light_table import LightTable
from tests.support.synthetic_photos import Array

if TYPE_CHECKING:
    from playwright.sync_api import Page

SURROUND = 0x77
OPACITY = """(value) => document.querySelectorAll(".label, .divider, .choices, .marker")
    .forEach((one) => { one.style.opacity = value; })"""


def look(page: "Page", table: LightTable, name: str, query: str = "") -> "Page":
    """Open a photograph's page, and wait until all of it is drawn."""
    page.goto(table.url(name, query))
    return settled(page)


def settled(page: "Page") -> "Page":
    """Wait until the pictures are there and drawn as sharp as they get."""
    page.wait_for_selector("#stages[aria-busy=false]")
    page.evaluate("() => lightTable.comparison.stage.settled()")
    return page


def press(page: "Page", *keys: str) -> "Page":
    """Press keys, and wait until what they did is drawn."""
    for key in keys:
        page.keyboard.press(key)
    return settled(page)


def seen(page: "Page") -> Array:
    """Return the pixels of the view (H, W, 3), without what lies over it."""
    page.evaluate(OPACITY, "0")
    taken = page.locator("#stages").screenshot(animations="allow")
    page.evaluate(OPACITY, "")
    return np.asarray(Image.open(io.BytesIO(taken)).convert("RGB")).astype(int)


def around(page: "Page", pixels: Array, x: float, y: float, half: int = 12) -> Array:
    """Return the mean color (3,) of a view around a place of the photograph, given as shares."""
    at = page.evaluate(
        "([x, y]) => { const p = lightTable.comparison.stage.seenAt(x, y); return [p.x, p.y]; }",
        [x, y],
    )
    left, top = (round(one) for one in at)
    return pixels[top - half : top + half, left - half : left + half].mean((0, 1))


def chroma(pixels: Array) -> float:
    """Return how far pixels are from gray, on average over the photograph, not its surround."""
    spread = pixels.max(axis=-1) - pixels.min(axis=-1)
    inside = ~(pixels == SURROUND).all(axis=-1)
    return float(spread[inside].mean())


def columns(pixels: Array, start: float, end: float) -> Array:
    """Return part of a view, by shares of its width."""
    width = pixels.shape[1]
    return pixels[:, round(start * width) : round(end * width)]


def view_of(page: "Page") -> dict[str, Any]:
    """Return what the view shows, as it is kept from photograph to photograph."""
    view: dict[str, Any] = page.evaluate("() => lightTable.comparison.stage.view")
    return view
