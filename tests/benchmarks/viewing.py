"""What does looking at a large photograph cost?

    python -m tests.benchmarks.viewing [--megapixels 20] [--tries 3] [--on FOLDER] [--write]

For each kind of file: the processor time that its pyramid and its thumbnail take beside the time
that tifffile (for a JPEG: Pillow) takes alone to decode it, so that a busy machine is no matter.
Then how long the real application takes for a view from its cache: for scan and result info.json,
the fitting view and twelve tiles, in this process, the median of 20; and for the first view. Last,
how long a change of the wishes for its colors takes until the preview is there.
"""

import asyncio
import io
import itertools
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import httpx
import numpy as np
import tifffile
from PIL import Image

from service.ledger.jobs import Job
from service.web.app import create_app
from service.web.image_files import THUMBNAILS
from service.web.preview_process import PreviewProcess
from tests.benchmarks import tables
from tests.support import delivered_results
from worker.color import cielab, icc
from worker.formats.open_image import opened
from worker.settings import ColorPoint, ColorWishes, ReadSettings
from worker.viewing.pyramid import thumbnail, write_pyramid

FILES = {
    "file": "",
    "its decoder alone, s": ".2f",
    "pyramid, s": ".2f",
    "ratio": ".1f",
    "thumbnail, s": ".2f",
    "of 480 pixels, s": ".2f",
}
LOOKS = {"look": "", "s": ".3f"}
CHANGES = {"change, seen at 1,600 pixels": "", "median, s": ".2f"}
VIEWS = 20
LEAST = 0.01  # seconds that a decoder must take to be compared with
TILES = 12  # that a window shows at once
FACTOR = 4  # by which they are reduced
SIDES = ("scan", "colored")


def main() -> None:
    """Measure each kind of file, then the views, then changes."""
    parser = tables.options(__doc__)
    parser.add_argument("--megapixels", type=int, default=20)
    parser.add_argument("--tries", type=int, default=3, help="with each file, of which the least")
    parser.add_argument("--on", type=Path, help="a folder on the disk to be used")
    wanted = parser.parse_args()
    cv2.setNumThreads(1)
    blocks, packages = ("viewing-files", "viewing-looks", "viewing-changes"), ("tifffile", "pillow")
    with (
        tables.Report(*blocks, packages=packages, write=wanted.write) as report,
        TemporaryDirectory(dir=wanted.on) as name,
    ):
        report.begin("viewing-files", FILES)
        for path, decode in files(Path(name), wanted.megapixels):
            measure = partial(processor_time, tries=wanted.tries)
            alone = measure(partial(decode, path))
            tiles = measure(partial(make_pyramid, path))
            thumbnails = [
                measure(partial(make_thumbnail, path, side)) for side in THUMBNAILS.values()
            ]
            ratio = tiles / alone if alone >= LEAST else None
            report.add(path.stem, alone, tiles, ratio, *thumbnails)
        report.begin("viewing-looks", LOOKS)
        asyncio.run(views(report, Path(name), wanted.megapixels))
        report.begin("viewing-changes", CHANGES)
        changes(report, Path(name), wanted.megapixels)


def files(folder: Path, megapixels: int) -> list[tuple[Path, Callable[[Path], Any]]]:
    """Write files of a grainy page, each with what decodes it."""
    height = math.isqrt(megapixels * 10**6 * 3 // 4)
    width = megapixels * 10**6 // height
    noise = np.random.default_rng(0).integers(0, 65536, (height, width)).astype(np.uint16)
    gray = cv2.GaussianBlur(noise, (0, 0), 1.5)
    rgb = np.dstack([gray, gray[::-1], gray[:, ::-1]])
    adobe = icc.output_profile(cielab.ADOBE_RGB)
    tight = {"compression": "zlib", "predictor": True, "rowsperstrip": 64}
    made: list[tuple[Path, Callable[[Path], Any]]] = []
    for name, pixels, options in (
        ("TIFF, gray, 16 bits, plain", gray, {"rowsperstrip": 64}),
        ("TIFF, gray, 16 bits, deflate", gray, tight),
        ("TIFF, RGB, 16 bits, deflate", rgb, tight),
        ("TIFF, Adobe RGB, 16 bits, deflate", rgb, {**tight, "iccprofile": adobe}),
    ):
        path = folder / f"{name}.tif"
        kind = "rgb" if pixels.ndim == 3 else "minisblack"
        tifffile.imwrite(path, pixels, photometric=kind, metadata=None, **options)
        made.append((path, tifffile.imread))
    path = folder / "JPEG, RGB, 8 bits.jpg"
    Image.fromarray((rgb >> 8).astype(np.uint8)).save(path, quality=92)
    return [*made, (path, lambda path: np.asarray(Image.open(path)))]


def processor_time(work: Callable[[], Any], tries: int) -> float:
    """Return the least processor time of some tries, in seconds."""
    times = []
    for _ in range(tries):
        before = time.process_time()
        work()
        times.append(time.process_time() - before)
    return min(times)


def make_pyramid(path: Path) -> None:
    """Make a pyramid as the child does."""
    with TemporaryDirectory() as folder, opened(path, ReadSettings()) as (_format, (image,)):
        write_pyramid(image, Path(folder), "https://example.org/1")


def make_thumbnail(path: Path, side: int) -> None:
    """Make a thumbnail as the child does."""
    with opened(path, ReadSettings()) as (_format, (image,)):
        thumbnail(image, side)


async def views(report: tables.Report, folder: Path, megapixels: int) -> None:
    """Look at one photograph with the real application, first and again; see `LOOKS`."""
    with TemporaryDirectory(dir=folder) as name:
        config = delivered_results.place_with_ledger(Path(name))
        kinds = dict(files(config.state, megapixels))
        scan, result = list(kinds)[1:3]
        contents = {"scan": scan.read_bytes(), "result": result.read_bytes()}
        job = delivered_results.color(config, "a.tif", **contents)
        app = create_app(config)
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", timeout=600) as web,
        ):
            small = [await timed(look(web, job, side, small=True)) for side in SIDES]
            first = await timed(look(web, job, *SIDES))
            before = time.process_time()
            again = [await timed(look(web, job, *SIDES)) for _ in range(VIEWS)]
            spent = (time.process_time() - before) / VIEWS
    report.add("first thumbnail, with the start of the child", small[0])
    report.add("next thumbnail", small[1])
    report.add("first view of scan and result", first)
    report.add("view from the cache, median", statistics.median(again))
    report.add("its processor time, mean", spent)


def changes(report: tables.Report, folder: Path, megapixels: int) -> None:
    """Try wishes on a photograph with the built-in generator, as its page does; see `CHANGES`."""
    with TemporaryDirectory(dir=folder) as name:
        config = delivered_results.place(Path(name))
        path = next(iter(files(config.state, megapixels)))[0]
        with opened(path, ReadSettings()) as (_format, (image,)):
            write_pyramid(image, config.state, "https://example.org/1")
        view = config.state / "full/max/0/default.jpg"
        points = [ColorPoint(0.1 + 0.2 * at, 0.5, "#1040d0") for at in range(4)]
        asked: dict[str, list[Callable[[PreviewProcess], Any]]] = {
            "start of the generator": [partial(PreviewProcess.look, view=view, key="a")],
            "first preview": [lambda one: one.preview(view, "a", ColorWishes(vividness=60))],
            "a change of vividness": [
                partial(PreviewProcess.preview, view=view, key="a", wishes=ColorWishes(vividness=v))
                for v in (10, 30, 70, 90, 100)
            ],
            "another point": [
                partial(
                    PreviewProcess.preview,
                    view=view,
                    key="a",
                    wishes=ColorWishes(points=tuple(points[: at + 1])),
                )
                for at in range(4)
            ],
            "swatches of a place": [
                partial(PreviewProcess.swatches, view=view, key="a", x=x, y=0.3)
                for x in (0.2, 0.5, 0.8)
            ],
        }
        with PreviewProcess(config) as process:
            for words, calls in asked.items():
                times = []
                for call in calls:
                    before = time.monotonic()
                    call(process)
                    times.append(time.monotonic() - before)
                report.add(words, statistics.median(times))


async def timed(work: Any) -> float:
    """Return the seconds that something takes."""
    before = time.monotonic()
    await work
    return time.monotonic() - before


async def look(web: httpx.AsyncClient, job: Job, *sides: str, small: bool = False) -> None:
    """Ask for what the page of a photograph, or a gallery, asks for, as a browser does."""
    for side in sides:
        digest = job.digest if side == "scan" else str(job.output_digest)
        base = f"/images/{job.id}/{side}/0/{digest[:16]}"
        if small:
            await checked(web, f"{base}/thumbnail.jpg")
            continue
        info = (await checked(web, f"{base}/info.json")).json()
        step = info["tiles"][0]["width"] * FACTOR
        corners = itertools.product(range(0, info["width"], step), range(0, info["height"], step))
        tiles = []
        for x, y in itertools.islice(corners, TILES):
            w, h = min(step, info["width"] - x), min(step, info["height"] - y)
            size = f"{math.ceil(w / FACTOR)},{math.ceil(h / FACTOR)}"
            whole = (w, h) == (info["width"], info["height"])
            part = "full" if whole else f"{x},{y},{w},{h}"
            tiles.append(f"{base}/{part}/{size}/0/default.jpg")
        await asyncio.gather(*(checked(web, url) for url in (f"{base}/fit.jpg", *tiles)))


async def checked(web: httpx.AsyncClient, url: str) -> httpx.Response:
    """Ask for something that must be there."""
    answer = await web.get(url)
    assert 200 == answer.status_code, f"{url}: {answer.text[:200]}"
    if url.endswith(".jpg"):
        with Image.open(io.BytesIO(answer.content)) as image:
            assert "JPEG" == image.format
    return answer


if __name__ == "__main__":
    main()
