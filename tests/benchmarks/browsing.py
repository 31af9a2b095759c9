"""How soon does a browser show large photographs, and changes?

    python -m tests.benchmarks.browsing [--megapixels 20] [--photographs 6] [--on FOLDER] [--write]

The real daemon colors 16-bit gray TIFFs with the built-in generator, `photochrom web` serves them,
and one Chromium opens the page of each: first, then in a new context, which has seen the gallery
but no picture, from the server's cache. Told is the time from the call until the fitting picture is
there, and until all tiles of the window are drawn; then the time from a change in the panel until
the preview is drawn, the page's pause of 0.12 s included.
"""

import os
import shutil
import signal
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright

from tests.benchmarks import tables
from tests.benchmarks.viewing import files
from tests.support.command import Home
from tests.support.light_table import LightTable, page_of
from tests.support.photograph_view import settled

STARTS = 180_000  # milliseconds, as long as the generator may take to start
WINDOW = {"width": 1600, "height": 1000}
COLUMNS = {"in the browser": "", "median, s": ".2f", "worst, s": ".2f"}
CHANGE = """
async (value) => {
    const status = document.getElementById("preview-status"), began = performance.now();
    const slider = document.getElementById("vividness");
    status.textContent = "";
    const answered = new Promise((resolve) => new MutationObserver((_, observer) => {
        if (!/Preview, in/.test(status.textContent)) return;
        observer.disconnect();
        resolve();
    }).observe(status, { childList: true, characterData: true, subtree: true }));
    slider.value = value;
    slider.dispatchEvent(new Event("input"));
    slider.dispatchEvent(new Event("change"));
    await answered;
    await lightTable.comparison.stage.settled();
    return (performance.now() - began) / 1000;
}
"""


def main() -> None:
    """Color the photographs and look at them."""
    parser = tables.options(__doc__)
    parser.add_argument("--megapixels", type=int, default=20)
    parser.add_argument("--photographs", type=int, default=6)
    parser.add_argument("--on", type=Path, help="a folder on the disk to be used")
    wanted = parser.parse_args()
    packages = ("playwright", "tensorflow", "keras")
    with (
        tables.Report("browsing", packages=packages, write=wanted.write) as report,
        TemporaryDirectory(dir=wanted.on) as folder,
    ):
        names = [f"harbor {number}.tif" for number in range(wanted.photographs)]
        home = _colored(Path(folder), wanted.megapixels, names)
        with page_of(home) as base, sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", chromium_sandbox=os.geteuid() != 0
            )
            table = LightTable(home, base)
            urls = [table.url(name) for name in names]
            report.begin("browsing", COLUMNS)
            for when in ("first view", "view from the cache"):
                page = browser.new_page(viewport=WINDOW)
                page.goto(base)
                visits = [_visit(page, url) for url in urls]
                for what, seconds in zip(
                    ("fitting picture", "all tiles"), zip(*visits, strict=True), strict=True
                ):
                    report.add(f"{when}, {what}", statistics.median(seconds), max(seconds))
            first, later = [], []
            for url in urls:
                _visit(page, url)
                _come_near(page)
                first.append(page.evaluate(CHANGE, 60))
                later += [page.evaluate(CHANGE, value) for value in (0, 30, 90)]
            report.add("first change of vividness", statistics.median(first), max(first))
            report.add("another one", statistics.median(later), max(later))
            browser.close()


def _colored(folder: Path, megapixels: int, names: list[str]) -> Home:
    home = Home(folder, "watch: {settle: 0.2}\n")
    scan = files(folder, megapixels)[1][0]
    for name in names:
        shutil.copy(scan, home.inbox / name)
    with home.start("run") as daemon:
        daemon.wait_for("photo.moved", times=len(names))
        daemon.signal(signal.SIGTERM)
        assert 0 == daemon.exit_code(), daemon.said
    return home


def _visit(page: Page, url: str) -> tuple[float, float]:
    """Open a photograph's page; seconds until the fitting picture, and until all tiles."""
    began = time.monotonic()
    page.goto(url)
    page.wait_for_selector("#stages[aria-busy=false]")
    fitting = time.monotonic() - began
    settled(page)
    return fitting, time.monotonic() - began


def _come_near(page: Page) -> None:
    """Come near the panel, as a person does before a change, until the generator is ready."""
    page.locator("#vividness").focus()
    page.wait_for_selector("#generator-starts:empty", state="attached", timeout=STARTS)


if __name__ == "__main__":
    main()
