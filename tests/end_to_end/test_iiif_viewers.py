"""An export by the real command, served as plain files, in the viewers that archives use.

Mirador 4 and Universal Viewer 4.4 from npm (`.ci/iiif/fetch`), in Debian's Chromium.
"""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support import delivered_results
from tests.support.browser import elsewhere, served
from tests.support.command import HASTY, Command
from tests.support.synthetic_photos import Array, color_scene
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Response

pytestmark = pytest.mark.slow

VIEWERS = Path(__file__).parents[2] / ".ci/iiif/node_modules"
MIRADOR = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<title>Mirador</title><div id="m" style="position:absolute;inset:0"></div>
<script src="viewers/mirador/dist/mirador.min.js"></script><script>
Mirador.viewer({id: "m", windows: [{manifestId: new URL("%s", location.href).href}],
    window: {sideBarOpen: true, sideBarPanel: "layers", panels: {layers: true, info: true}}});
</script>"""
UNIVERSAL_VIEWER = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<title>Universal Viewer</title><link rel="stylesheet" href="viewers/universalviewer/dist/uv.css">
<body style="margin:0"><div class="uv" id="uv" style="width:100vw;height:100vh"></div>
<script src="viewers/universalviewer/dist/umd/UV.js"></script>
<script>UV.init("uv", {manifest: new URL("%s", location.href).href, embedded: true});</script>"""
SIZE = (1500, 2100)
MANIFEST = "/folders/album%20%231/manifest.json"
MIDDLE = {"x": 640, "y": 200, "width": 200, "height": 300}  # of the window, in the picture


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Export a photograph in both forms, serve it with the viewers, and give the base URL."""
    if not (VIEWERS / "universalviewer").is_dir():
        pytest.skip("the viewers are not there (.ci/iiif/fetch)")
    home, web = tmp_path_factory.mktemp("service"), tmp_path_factory.mktemp("web")
    (home / "config.yaml").write_text(HASTY)
    config = delivered_results.place_with_ledger(home)
    scan, result = pair()
    delivered_results.color(config, "album #1/a.tif", scan=scan, result=result)
    (web / "viewers").symlink_to(VIEWERS)
    with served(web) as base:
        for name, form in (("choice", "choice"), ("canvases", "canvases")):
            arguments = ("iiif", "--base-url", f"{base}/{name}", "--out", str(web / name))
            with Command(home, (*arguments, "--as", form)) as command:
                assert 0 == command.process.wait(120), command.said
            for viewer, text in (("mirador", MIRADOR), ("uv", UNIVERSAL_VIEWER)):
                (web / f"{viewer}-{name}.html").write_text(text % f"{name}{MANIFEST}")
        yield base


def pair() -> tuple[bytes, bytes]:
    """Return a scan and a result of strong colors, as files."""
    color = cv2.GaussianBlur(color_scene(*SIZE), (0, 0), 2)
    gray = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
    return tuple(_tiff(pixels) for pixels in (gray, color))  # type: ignore[return-value]


def _tiff(pixels: Array) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "TIFF")
    return file.getvalue()


@pytest.fixture
def failed() -> list[str]:
    """Collect the files of an export that a viewer asked for in vain."""
    return []


@pytest.fixture
def window(browser: "Browser", failed: list[str]) -> Iterator["Page"]:
    """Open a window of a browser that reaches only this machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    outside: list[str] = []

    def answered(response: "Response") -> None:
        outside.extend(elsewhere(response.url))
        ours = any(f"/{name}/" in response.url for name in ("choice", "canvases"))
        if response.status >= 400 and ours and "data:" not in response.url:
            failed.append(response.url)

    context.on("response", answered)
    yield context.new_page()
    context.close()
    assert [] == outside


def colorfulness(page: "Page") -> float:
    """Return the mean chroma of what is shown in the middle, in codes."""
    with Image.open(io.BytesIO(page.screenshot(clip=MIDDLE))) as shown:  # type: ignore[arg-type]
        rgb = np.asarray(shown.convert("RGB")).astype(int)
    if rgb.std() < 10:
        return -1.0  # nothing is drawn yet
    return float((rgb.max(axis=-1) - rgb.min(axis=-1)).mean())


def shows(page: "Page", *, color: bool) -> None:
    """Wait until the scan, or its coloring, is drawn."""
    wait_until(lambda: (colorfulness(page) > 30) if color else (0 <= colorfulness(page) < 5), 60)


def test_mirador_offers_the_choice(site: str, window: "Page", failed: list[str]) -> None:
    """It shows the scan first; its layers name both, and turn the coloring on and off."""
    window.goto(f"{site}/mirador-choice.html")
    shows(window, color=False)
    window.get_by_text("Colored by a machine (photochrom, model 7)").wait_for()

    window.get_by_role("button", name="Hide layer").click()
    window.get_by_role("button", name="Show layer").nth(1).click()
    shows(window, color=True)
    for _ in range(4):  # to the tiles of full size
        window.get_by_role("button", name="Zoom in").click()
    window.wait_for_load_state("networkidle")

    assert [] == failed


def test_universal_viewer_shows_the_scan(site: str, window: "Page", failed: list[str]) -> None:
    """It has no choice yet, so it shows what comes first, with the statement and a thumbnail."""
    window.goto(f"{site}/uv-choice.html")
    shows(window, color=False)
    window.get_by_text("The colors are a machine's guess. The scan is the record.").first.wait_for()
    window.wait_for_load_state("networkidle")

    assert [] == failed


def test_universal_viewer_shows_both_as_canvases(
    site: str, window: "Page", failed: list[str]
) -> None:
    """The coloring is the second of two images, whose labels say which is which."""
    window.goto(f"{site}/uv-canvases.html")
    shows(window, color=False)
    window.get_by_text("a.tif: Scan").first.wait_for()

    window.get_by_role("button", name="Next").first.click()
    shows(window, color=True)
    window.wait_for_load_state("networkidle")

    assert [] == failed


def test_a_collection_opens_in_mirador(site: str, window: "Page", failed: list[str]) -> None:
    """It lists the manifests by the names of their folders."""
    window.goto(f"{site}/mirador-choice.html")
    text = window.evaluate(f"fetch('{site}/choice/collection.json').then((one) => one.text())")
    assert ["album #1"] == json.loads(text)["items"][0]["label"]["none"]
    window.set_content(MIRADOR % f"{site}/choice/collection.json")

    window.get_by_role("button", name="Show collection").click()
    window.get_by_text("album #1").first.wait_for()

    assert [] == failed
