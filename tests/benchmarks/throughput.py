"""How fast is the whole road beside its bare parts?

    python -m tests.benchmarks.throughput [--small 300] [--large 10] [--precision float32 bfloat16]
        [--seconds 8] [--on FOLDER] [--write]

Makes gray JPEGs and colors them by `photochrom run --once`, from the first one queued to the last
one delivered; the processor's time is that of the whole command less that of coloring one. Before
and after, the generator alone on full batches, and the codec alone: each scan decoded and its
result encoded, on all cores. Their harmonic sum, 1 / (1 / generator + 1 / codec), is what a program
would reach that does nothing else.
"""

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np

from tests.benchmarks import tables
from tests.benchmarks.processor import seconds_of_ended

SMALL, LARGE = (1224, 816), (5472, 3648)  # pixels
COLUMNS = {
    "photos": "",
    "generator alone, /s": ".1f",
    "codec alone, /s": ".1f",
    "harmonic sum, /s": ".1f",
    "end to end, /s": ".1f",
    "share of it": ".2f",
    "processor, ms a photo": ".0f",
    "whole command, s": ".0f",
}
RESULT = [
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
]
GENERATOR_ALONE = """
import sys, time
import tensorflow as tf
from worker.inference.device import POLICIES, set_up_device
from worker.models.decoding import decode
from worker.models.serialization import load_generator
from worker.models.store import built_in

device = set_up_device()
generator = load_generator(built_in(), POLICIES[sys.argv[2]])
run = tf.function(lambda squares: decode(generator(squares, training=False))[0])
squares = tf.random.uniform((device.batch_size, 256, 256, 1))
for _ in range(3):
    run(squares)
started, calls = time.monotonic(), 0
while time.monotonic() - started < float(sys.argv[1]):
    run(squares).numpy()
    calls += 1
print(calls * device.batch_size / (time.monotonic() - started))
"""


class Run(NamedTuple):
    """A run of the command: photographs a second, its seconds, and those of the processor."""

    rate: float
    seconds: float
    processor: float


def main() -> None:
    """Measure both sizes in each precision."""
    parser = tables.options(__doc__)
    parser.add_argument("--small", type=int, default=300, help="photos of 1 megapixel")
    parser.add_argument("--large", type=int, default=10, help="photos of 20 megapixels")
    parser.add_argument(
        "--precision", nargs="*", choices=["float32", "bfloat16"], default=["float32"]
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="that the generator runs alone")
    parser.add_argument("--on", type=Path, help="a folder on the disk to be used")
    wanted = parser.parse_args()
    packages = ("tensorflow", "keras")
    with tables.Report("throughput", packages=packages, write=wanted.write) as report:
        report.begin("throughput", COLUMNS)
        for count, (width, height) in ((wanted.small, SMALL), (wanted.large, LARGE)):
            scans = list(photographs(count, width, height)) if count else []
            what = f"{count} JPEGs of {width * height / 1e6:.0f} megapixels"
            for precision in wanted.precision if scans else ():
                report.add(f"{what}, {precision}", *row(scans, precision, wanted))


def row(scans: list[bytes], precision: str, wanted: Namespace) -> tuple[float | None, ...]:
    """Measure the parts before and after the whole; see `COLUMNS`."""
    generators, codecs = [generator_rate(precision, wanted.seconds)], [codec_rate(scans)]
    run = end_to_end(scans, precision, wanted.on)
    one = end_to_end(scans[:1], precision, wanted.on) if len(scans) > 1 else run
    generators.append(generator_rate(precision, wanted.seconds))
    codecs.append(codec_rate(scans))
    generator, codec = sum(generators) / 2, sum(codecs) / 2
    together = 1 / (1 / generator + 1 / codec)
    more = len(scans) - 1
    processor = 1000 * (run.processor - one.processor) / more if more else None
    share = run.rate / together
    return generator, codec, together, run.rate, share, processor, run.seconds


def generator_rate(precision: str, seconds: float) -> float:
    """Time the generator alone, in a process of its own, as the daemon's is."""
    command = [sys.executable, "-c", GENERATOR_ALONE, str(seconds), precision]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def codec_rate(scans: list[bytes]) -> float:
    """Decode each scan, and encode a color photograph like its result, on all cores."""

    def work(scan: bytes) -> None:
        gray = cv2.imdecode(np.frombuffer(scan, np.uint8), cv2.IMREAD_GRAYSCALE)
        color = cv2.applyColorMap(gray, cv2.COLORMAP_BONE)
        cv2.imencode(".jpg", color, RESULT)

    cv2.setNumThreads(1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = time.monotonic()
        list(pool.map(work, scans))
        return len(scans) / (time.monotonic() - started)


def end_to_end(scans: list[bytes], precision: str, on: Path | None) -> Run:
    """Color scans by the real command, from the first one queued to the last one delivered."""
    with TemporaryDirectory(dir=on) as name:
        home = Path(name)
        (home / "inbox").mkdir()
        settings = f"watch: {{settle: 0.2}}\nmodel: {{precision: {precision}}}\n"
        (home / "config.yaml").write_text(settings)
        for number, encoded in enumerate(scans):
            (home / "inbox" / f"{number:04d}.jpg").write_bytes(encoded)
        os.sync()
        started, spent = time.monotonic(), seconds_of_ended()
        command = [Path(sys.executable).with_name("photochrom"), "run", "--once"]
        done = subprocess.run(command, cwd=home, check=True, capture_output=True, text=True)
        seconds, processor = time.monotonic() - started, seconds_of_ended() - spent
        events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        first = next(when(event) for event in events if event["event"] == "photo.queued")
        delivered = [when(event) for event in events if event["event"] == "photo.delivered"]
        assert len(scans) == len(delivered)
        return Run(len(scans) / (delivered[-1] - first), seconds, processor)


def photographs(count: int, width: int, height: int) -> Iterator[bytes]:
    """Make gray JPEGs about as large and as busy as scans: soft shapes, edges and grain."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 6, (height, width)).astype(np.float32)
    for number in range(count):
        coarse = rng.uniform(20, 235, (12, 16)).astype(np.float32)
        picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        cv2.circle(picture, (width // 2, height // 2), height // 4, float(number % 255), -1)
        pixels = np.clip(picture + np.roll(noise, number), 0, 255).astype(np.uint8)
        yield cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def when(event: dict[str, str]) -> float:
    """Return the time of a log line, seconds since 1970."""
    return datetime.fromisoformat(event["timestamp"]).timestamp()


if __name__ == "__main__":
    main()
