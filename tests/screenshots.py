"""Takes the pictures of the review page in docs/pictures: of the real page, in a real browser.

    python -m tests.screenshots DATA [NAME ...]

DATA is the folder `skimage/data` of scikit-image 0.26 (`pip install --target X scikit-image`); the
photographs of it that are used here are in the public domain or CC0. Without names all pictures are
taken. Chinese looks best with the Debian package fonts-noto-cjk.
"""

import argparse
import io
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from service.config.loader import load_config
from service.ledger.jobs import Decision
from service.maintenance import review
from service.web.users import Role, UsersFile
from tests.support.command import Home
from tests.support.light_table import LightTable, page_of
from tests.support.photograph_view import settled
from tests.support.synthetic_photos import Array, save

PICTURES = Path(__file__).parents[1] / "docs/pictures"
QUALITY = 80  # of WebP
USER, PASSWORD = "Ada Lovelace", "a long password"
COAT, ORANGE = (0.27, 0.53), "#c8641e"  # where the astronaut's suit is, and its color
ALBUM = "album 1992"
SCANS: dict[str, tuple[str, float]] = {  # file of the archive: photograph, enlarged
    f"{ALBUM}/portrait 0042.tif": ("astronaut.png", 4.0),
    f"{ALBUM}/table 0043.tif": ("coffee.png", 4.0),
    f"{ALBUM}/launch 0045.tif": ("rocket.jpg", 3.0),
    f"{ALBUM}/cat 0046.jpg": ("chelsea.png", 3.0),
    "glass plates/photographer 0007.tif": ("camera.png", 4.0),
    "glass plates/clock 0011.jpg": ("clock_motion.png", 3.0),
    "glass plates/wall 0012.jpg": ("brick.png", 2.0),
    "glass plates/meadow 0013.jpg": ("grass.png", 2.0),
    "glass plates/path 0014.jpg": ("gravel.png", 2.0),
    "observatory/deep field 2012.tif": ("hubble_deep_field.jpg", 1.0),
}


class Shot(NamedTuple):
    """A picture: what it shows, in a window of which width, in which language and theme."""

    name: str
    shows: Callable[[Page, LightTable], None]
    width: int
    language: str
    theme: str


def main() -> None:
    """Make the archive, and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*")
    wanted = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="archive-") as folder:
        home = _archive(Path(folder), wanted.data)
        with home.start("run") as daemon, page_of(home) as base, _browser() as browser:
            daemon.wait_for("daemon.started")
            for shot in SHOTS:
                if not wanted.names or shot.name in wanted.names:
                    _take(shot, browser, LightTable(home, base))
            daemon.signal(signal.SIGTERM)


def _archive(folder: Path, data: Path) -> Home:
    """Color the archive with the built-in generator; some of it is decided, some rejected."""
    home = Home(folder, "watch: {settle: 0.2, incomplete_timeout: 0.0}\nweb: {users: users}\n")
    UsersFile(folder / "users").add(USER, Role.OPERATOR, PASSWORD)
    for name, (photograph, scale) in SCANS.items():
        home.drop(name, _gray(data / photograph, scale))
    home.drop("arrivals/color target.jpg", np.asarray(Image.open(data / "coffee.png")))
    cut = save(folder / "cut.tif", _gray(data / "camera.png", 1.0)).read_bytes()
    (home.inbox / "arrivals/cut short.tif").write_bytes(cut[: len(cut) // 2])
    with home.start("run") as daemon:
        daemon.wait_for("photo.moved", times=len(SCANS))
        daemon.wait_for("photo.rejected", times=2)
        daemon.signal(signal.SIGTERM)
        assert 0 == daemon.exit_code(), daemon.said
    table, config = LightTable(home, ""), load_config(folder / "config.yaml")

    def decide(name: str, decision: Decision, **words: str) -> None:
        review.decide(config, [table.job(name)], decision, who=USER, **words)

    decide(f"{ALBUM}/cat 0046.jpg", Decision.APPROVED)
    decide("glass plates/meadow 0013.jpg", Decision.APPROVED)
    decide("glass plates/wall 0012.jpg", Decision.REJECTED, reason="color wash")
    decide("glass plates/clock 0011.jpg", Decision.FLAGGED, note="Was it the town hall's clock?")
    return home


def _gray(path: Path, scale: float) -> Array:
    gray = np.asarray(Image.open(path).convert("L"))
    return cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)


@contextmanager
def _browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", chromium_sandbox=False
        )
        yield running
        running.close()


def _take(shot: Shot, browser: Browser, table: LightTable) -> None:
    """Take a picture, and write it as WebP."""
    phone = shot.width < 600
    height = {390: 844, 1280: 800, 2560: 1440}[shot.width]
    context = browser.new_context(
        viewport={"width": shot.width, "height": height},
        device_scale_factor=2 if phone else 1,
        is_mobile=phone,
        has_touch=phone,
        reduced_motion="reduce",
    )
    context.add_cookies(
        [
            {"name": f"photochrom-{name}", "value": value, "url": table.base}
            for name, value in (("language", shot.language), ("theme", shot.theme))
        ]
    )
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{table.base}/log-in")
    page.locator("[name=name]").fill(USER)
    page.locator("[name=password]").fill(PASSWORD)
    page.locator("button.primary").click()
    page.wait_for_selector("#photos")
    shot.shows(page, table)
    taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    taken.save(PICTURES / f"{shot.name}.webp", quality=QUALITY, method=6)
    context.close()


# What the pictures show


def _gallery(page: Page, table: LightTable) -> None:
    page.goto(f"{table.base}/?order=oldest")
    _loaded(page)


def _grid(page: Page, table: LightTable) -> None:
    page.goto(f"{table.base}/?view=grid&order=oldest")
    _loaded(page)


def _photograph(page: Page, table: LightTable) -> None:
    page.goto(table.url(f"{ALBUM}/portrait 0042.tif"))
    settled(page)


def _correcting(page: Page, table: LightTable) -> None:
    _photograph(page, table)
    place = page.evaluate(
        "([x, y]) => { const p = lightTable.comparison.stage.seenAt(x, y); return [p.x, p.y]; }",
        list(COAT),
    )
    page.locator("#pick").click()
    page.locator("#stage").click(position={"x": place[0], "y": place[1]})
    page.wait_for_selector(".swatch")
    page.locator("#point-color").fill(ORANGE)
    page.wait_for_selector("#choices:not([hidden])")
    page.locator("#point-source").fill("the suit is in the museum")
    with page.expect_response("**/preview"):  # a second one: the first takes longer
        page.locator("#point-radius").fill("0.35")
    page.locator("#divider").evaluate(
        "(one) => { one.value = 120; one.dispatchEvent(new Event('input')); }"
    )
    settled(page)


def _service(page: Page, table: LightTable) -> None:
    page.goto(f"{table.base}/service")
    page.wait_for_selector(".verdict-ok")
    page.wait_for_selector(".rejected-one")


def _loaded(page: Page) -> None:
    """Wait for the thumbnails in view."""
    page.wait_for_load_state("networkidle")


SHOTS = (
    Shot("gallery", _gallery, 1280, "en", "light"),
    Shot("gallery-phone", _gallery, 390, "zh-CN", "light"),
    Shot("grid-large", _grid, 2560, "zh-CN", "dark"),
    Shot("grid-phone", _grid, 390, "en", "dark"),
    Shot("photograph", _photograph, 1280, "en", "light"),
    Shot("photograph-zh", _photograph, 1280, "zh-CN", "dark"),
    Shot("correcting", _correcting, 1280, "en", "dark"),
    Shot("correcting-phone", _correcting, 390, "en", "light"),
    Shot("correcting-large", _correcting, 2560, "zh-CN", "light"),
    Shot("service", _service, 1280, "en", "light"),
    Shot("service-zh", _service, 1280, "zh-CN", "light"),
)

if __name__ == "__main__":
    main()
