"""What do large scans cost beside tifffile alone?

    python -m tests.benchmarks.large_scans [--command 100 400] [--steps 100] [--layouts 5 0]
        [--on FOLDER] [--write]

Both begin with a gray TIFF as large and as grainy as a scan of a plate. Each run is a process of
its own, whose peak memory is the kernel's figure.

--command: tifffile alone reads the scan and writes an RGB file of the same size, depth and
compression; `photochrom run --once` colors it. Photochrom's time is from the claim of the photo to
the ledger's "finished": reading, coloring, encoding, reading back for the digest, two syncs.

--steps: the same for several layouts without compression, and where the time goes. The steps add
up, and none of them starts a generator:

    tifffile            reads the scan and writes the RGB file
    tifffile and check  also what the daemon does for its promises: the scan's digest when it is
                        queued and again before delivery, digests of both files' samples, a sync,
                        and the result read back for its digest
    reader and writer   those of worker/formats/tiff alone, on the same pixels as tifffile
    both and check      also what the daemon does for its promises
    colored             `scan.read` and `render.write` with one color: digests of samples, label
    delivered           also the rest of "and check"

Seconds by the clock and of the processor are the median of some rounds, in each of which every step
runs once. In a virtual machine, memory that the host must find first takes ten times as long to be
touched, so that tifffile, which takes three times as much of it, would be 0.3 s or 3 s, as it
happens. So before each run some memory is taken and given back.
"""

import hashlib
import json
import math
import os
import statistics
import subprocess
import sys
import time
from argparse import SUPPRESS
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
import tifffile

from service.filesystem.safe_open import digest
from tests.benchmarks import tables
from worker import render, scan
from worker.atomic import digest_from_disk
from worker.color import cielab
from worker.color.cielab import Pixels
from worker.formats.image import DecodedImage, OutputPage
from worker.formats.open_image import opened
from worker.metadata.provenance import Origin
from worker.settings import ReadSettings, WriteSettings
from worker.untoning import add_samples

WHOLE = {
    "scan": "",
    "tifffile, s": ".1f",
    "photochrom, s": ".1f",
    "ratio": ".2f",
    "tifffile, GB": ".2f",
    "photochrom, GB": ".2f",
}
BY_STEPS = {
    "scan": "",
    "step": "",
    "s": ".2f",
    "times tifffile": ".2f",
    "processor, s": ".2f",
    "times tifffile's": ".2f",
    "GB": ".2f",
}
STRIP_BYTES = 1 << 20
TILE = 256
ROUNDS = 5
DEFLATE = {"compression": "zlib", "predictor": True}
# Runs a command and tells how many KB it held at most. A small process of its own, since a process
# begins with the peak of the one that started it (getrusage(2), across exec).
HOLDS = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


TOUCH = "import sys, numpy; numpy.ones(int(float(sys.argv[1]) * 1e6), numpy.uint8)"
TOUCHED = 30  # bytes a pixel


class Cost(NamedTuple):
    """What one run took."""

    seconds: float
    processor: float
    gigabytes: float


class Layout(NamedTuple):
    """How a scan is stored."""

    name: str
    bits: int
    options: dict[str, Any]  # of `tifffile.imwrite`


LAYOUTS = (
    Layout("16 bits, strips of 1 MB", 16, {}),
    Layout("16 bits, strips of a row", 16, {"rowsperstrip": 1}),
    Layout("16 bits, tiles", 16, {"tile": (TILE, TILE)}),
    Layout("16 bits, big-endian", 16, {"byteorder": ">"}),
    Layout("8 bits, strips of 1 MB", 8, {}),
    Layout("16 bits, Deflate", 16, DEFLATE),
)
PLAIN, COMPRESSED = 0, 5  # those that --command takes unless told otherwise


def main() -> None:
    """Measure each size."""
    parser = tables.options(__doc__)
    parser.add_argument("--command", type=float, nargs="*", default=[100, 400])
    parser.add_argument("--steps", type=float, nargs="*", default=[100])
    parser.add_argument(
        "--layouts", type=int, nargs="*", help=f"numbers; {COMPRESSED} is Deflate, {PLAIN} plain"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--on", type=Path, help="a folder on the disk to be used")
    parser.add_argument("--step", nargs=3, help=SUPPRESS)  # what `step_alone` starts
    wanted = parser.parse_args()
    if wanted.step:
        be_step(wanted.step[0], Path(wanted.step[1]), Path(wanted.step[2]))
        return
    blocks = ["large-scans"] if wanted.command else []
    blocks += ["large-scans-steps"] if wanted.steps else []
    packages = ("tifffile", "tensorflow")
    with tables.Report(*blocks, packages=packages, write=wanted.write) as report:
        if wanted.command:
            report.begin("large-scans", WHOLE)
        for megapixels in wanted.command:
            for layout in map(LAYOUTS.__getitem__, wanted.layouts or (COMPRESSED, PLAIN)):
                with TemporaryDirectory(dir=wanted.on) as name:
                    alone, own = whole_command(Path(name), megapixels, layout)
                report.add(
                    f"{megapixels:g} megapixels, {layout.name}",
                    *(alone.seconds, own.seconds, own.seconds / alone.seconds),
                    *(alone.gigabytes, own.gigabytes),
                )
        if wanted.steps:
            report.begin("large-scans-steps", BY_STEPS)
        for megapixels in wanted.steps:
            for layout in map(LAYOUTS.__getitem__, wanted.layouts or range(len(LAYOUTS))):
                with TemporaryDirectory(dir=wanted.on) as name:
                    costs = all_steps(Path(name), megapixels, layout, wanted.rounds)
                tell_steps(report, f"{megapixels:g} megapixels, {layout.name}", costs)


def tell_steps(report: tables.Report, what: str, costs: dict[str, Cost]) -> None:
    """Add a row for each step; ratios are to the first."""
    first = costs["tifffile"]
    for name, cost in costs.items():
        report.add(
            *(what, name),
            *(cost.seconds, cost.seconds / first.seconds),
            *(cost.processor, cost.processor / first.processor),
            cost.gigabytes,
        )


def whole_command(home: Path, megapixels: float, layout: Layout) -> tuple[Cost, Cost]:
    """Measure tifffile and the whole command on one scan."""
    path = make_scan(home, megapixels, layout)
    alone = step_alone("tifffile", path, megapixels)
    touch_memory(megapixels)
    return alone, photochrom(home, path)


def all_steps(home: Path, megapixels: float, layout: Layout, rounds: int) -> dict[str, Cost]:
    """Measure all steps on one scan, in turn; return the medians of each."""
    path = make_scan(home, megapixels, layout)
    costs: dict[str, list[Cost]] = {name: [] for name in STEPS}
    for _ in range(rounds):
        for name in STEPS:
            costs[name].append(step_alone(name, path, megapixels))
    return {
        name: Cost(*(statistics.median(values) for values in zip(*of_step, strict=True)))
        for name, of_step in costs.items()
    }


def make_scan(home: Path, megapixels: float, layout: Layout) -> Path:
    """Write a gray TIFF: soft shapes with grain, in strips as scanners write them."""
    height = math.isqrt(int(megapixels * 10**6) * 4 // 5)
    width = int(megapixels * 10**6) // height
    rng = np.random.default_rng(0)
    coarse = rng.uniform(2000, 63000, (48, 60)).astype(np.float32)
    gray = np.empty((height, width), np.uint16)
    rows = max(1, STRIP_BYTES // (layout.bits // 8 * width))
    across = ((np.arange(width) + 0.5) * 60 / width - 0.5).astype(np.float32)
    for top in range(0, height, rows):
        count = min(rows, height - top)
        down = ((np.arange(top, top + count) + 0.5) * 48 / height - 0.5).astype(np.float32)
        x, y = np.meshgrid(across, down)
        light = cv2.remap(coarse, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        grain = rng.normal(0, 500, (count, width // 2)).astype(np.float32)
        light += cv2.resize(grain, (width, count))
        gray[top : top + count] = np.clip(light, 0, 65535)
    path = home / "scan.tif"
    pixels = gray if layout.bits == 16 else cielab.to_8_bit(gray)
    tifffile.imwrite(path, pixels, **{"rowsperstrip": rows, "metadata": None} | layout.options)
    return path


def photochrom(home: Path, path: Path) -> Cost:
    """Time the command on a scan that is dropped in its inbox."""
    (home / "inbox").mkdir()
    (home / "config.yaml").write_text("watch: {settle: 0.2}\n")
    path.rename(home / "inbox" / path.name)
    done = held([str(Path(sys.executable).with_name("photochrom")), "run", "--once"], home)
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    delivered = [event for event in events if event["event"] == "photo.delivered"]
    assert len(delivered) == 1, done.stderr
    return Cost(float(delivered[0]["seconds"]), math.nan, float(done.stdout.splitlines()[-1]) / 1e6)


def step_alone(name: str, path: Path, megapixels: float) -> Cost:
    """Time a step on a scan, in a process of its own."""
    touch_memory(megapixels)
    target = path.with_name("result.tif")
    command = [sys.executable, "-m", __spec__.name, "--step", name, str(path), str(target)]
    seconds, processor, kilobytes = map(float, held(command, Path.cwd()).stdout.split())
    target.unlink()
    return Cost(seconds, processor, kilobytes / 1e6)


def touch_memory(megapixels: float) -> None:
    """Have the host provide the memory that a run on such a scan takes."""
    megabytes = str(TOUCHED * megapixels)
    subprocess.run([sys.executable, "-c", TOUCH, megabytes], check=True)


def held(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, to its end; the last it prints is the most KB that it held."""
    os.sync()
    holding = [sys.executable, "-c", HOLDS, *command]
    return subprocess.run(holding, cwd=folder, check=True, capture_output=True, text=True)


def be_step(name: str, source: Path, target: Path) -> None:
    """Do a step and print what it took."""
    cielab.srgb_tone(8), cielab.srgb_tone(16)  # made once in a process, not for each scan
    began, before = time.perf_counter(), time.process_time()
    STEPS[name](source, target)
    print(time.perf_counter() - began, time.process_time() - before)


def by_tifffile(source: Path, target: Path) -> None:
    """Read a scan and write an RGB file by tifffile."""
    with tifffile.TiffFile(source) as tiff:
        options = {} if tiff.pages.first.compression == tifffile.COMPRESSION.NONE else DEFLATE
        gray = tiff.asarray()
    rgb = np.repeat(gray[..., None], 3, axis=-1)
    tifffile.imwrite(target, rgb, photometric="rgb", metadata=None, **options)


def by_tifffile_and_check(source: Path, target: Path) -> None:
    """Do so with the promises of the daemon."""
    digest(source)
    with tifffile.TiffFile(source) as tiff:
        options = {} if tiff.pages.first.compression == tifffile.COMPRESSION.NONE else DEFLATE
        gray = tiff.asarray()
    hashlib.sha256(gray).digest()
    rgb = np.repeat(gray[..., None], 3, axis=-1)
    hashlib.sha256(rgb).digest()
    with target.open("x+b") as file:
        tifffile.imwrite(file, rgb, photometric="rgb", metadata=None, **options)
        synced_and_read_back(file)
    digest(source)


def by_reader_and_writer(source: Path, target: Path) -> None:
    """Do what tifffile does by photochrom's own code, in bands, with no label and no digest."""
    with opened(source, ReadSettings()) as (image_format, (image,)):
        page = replicated(image)
        with target.open("x+b") as file:
            image_format.write(file, [page])


def by_reader_and_writer_and_check(source: Path, target: Path) -> None:
    """Do so with the promises of the daemon."""
    digest(source)
    with opened(source, ReadSettings()) as (image_format, (image,)):
        page = replicated(image, checked=True)
        with target.open("x+b") as file:
            image_format.write(file, [page])
            synced_and_read_back(file)
    digest(source)


def replicated(image: DecodedImage, *, checked: bool = False) -> OutputPage:
    """Decode a gray image, and make a page of it with three equal channels; digest both if told."""
    gray = np.empty((image.height, image.width), cielab.pixel_type(image.encoding.bits))
    read, written = hashlib.sha256(), hashlib.sha256()
    top = 0
    for band in image.bands():
        if checked:
            add_samples(read, band)
        gray[top : top + len(band)] = band[..., 0]
        top += len(band)

    def strips() -> Iterator[Pixels]:
        for rows in cielab.strips(*gray.shape):
            strip = np.asarray(cv2.cvtColor(gray[rows], cv2.COLOR_GRAY2RGB))
            if checked:
                add_samples(written, strip)
            yield strip

    return OutputPage(
        height=image.height,
        width=image.width,
        depth=cielab.bit_depth(gray),
        alpha=False,
        strips=strips,
        encoding=image.encoding,
        metadata=image.metadata,
    )


def colored(source: Path, target: Path) -> None:
    """Read and write as the engine does, but in one color."""
    with target.open("x+b") as file:
        write_colored(source, file)


def delivered(source: Path, target: Path) -> None:
    """Do so with all promises."""
    queued = digest(source)
    with target.open("x+b") as file:
        write_colored(source, file)
        synced_and_read_back(file)
    assert digest(source) == queued


def write_colored(source: Path, file: BinaryIO) -> None:
    """Color a scan brown."""
    photo = scan.read(source, ReadSettings())
    brown = np.full((64, 64, 2), (8.0, 16.0), np.float32)
    zeros = "0" * 64
    origin = Origin(source.name, zeros, "fake", zeros, "photochrom", zeros, datetime.now(UTC))
    render.write(photo, [brown], origin, WriteSettings(), file)


def synced_and_read_back(file: BinaryIO) -> None:
    """Do what the engine does with a staging file."""
    file.flush()
    os.fsync(file.fileno())
    digest_from_disk(Path(file.name))


STEPS: dict[str, Callable[[Path, Path], None]] = {
    "tifffile": by_tifffile,
    "tifffile and check": by_tifffile_and_check,
    "reader and writer": by_reader_and_writer,
    "both and check": by_reader_and_writer_and_check,
    "colored": colored,
    "delivered": delivered,
}


if __name__ == "__main__":
    main()
