"""How fast is the whole road beside its bare generator? Prints the table of docs/benchmarks.md.

    python -m tests.benchmarks.throughput [--small 200] [--large 20]

Makes photographs, times the generator alone on full batches before and after, and between the two
times
`photochrom run --once` from the first photo queued to the last delivered (start-up and settling are
shown apart).
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

BARE_SECONDS = 8.0
GENERATOR_ALONE = """
import sys, time
import tensorflow as tf
from worker.inference.device import set_up_device
from worker.models.decoding import decode
from worker.models.serialization import load_generator
from worker.models.store import built_in

device = set_up_device()
generator = load_generator(built_in())
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


def main() -> None:
    """Measure both sizes and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=200, help="photos of 1 megapixel")
    parser.add_argument("--large", type=int, default=20, help="photos of 20 megapixels")
    wanted = parser.parse_args()
    print(
        "| photos | bare generator, photos/s | end to end, photos/s | ratio | megapixels/s "
        "| whole command, s |"
    )
    print("|---|---|---|---|---|---|")
    for count, width, height in ((wanted.small, 1224, 816), (wanted.large, 5472, 3648)):
        before = bare_rate()
        rate, whole = end_to_end(count, width, height)
        bare = (before + bare_rate()) / 2
        megapixels = width * height / 1e6
        print(
            f"| {count} JPEGs of {megapixels:.0f} megapixels | {bare:.1f} | {rate:.1f} "
            f"| {rate / bare:.2f} | {rate * megapixels:.0f} | {whole:.0f} |",
            flush=True,
        )


def bare_rate() -> float:
    """Time the generator alone, in a process of its own, as the daemon's is."""
    command = [sys.executable, "-c", GENERATOR_ALONE, str(BARE_SECONDS)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def end_to_end(count: int, width: int, height: int) -> tuple[float, float]:
    """Return photos per second from first queued to last delivered, and the command's seconds."""
    with TemporaryDirectory() as name:
        home = Path(name)
        (home / "inbox").mkdir()
        (home / "config.yaml").write_text("watch: {settle: 0.2}\n")
        for number, encoded in enumerate(photographs(count, width, height)):
            (home / "inbox" / f"{number:04d}.jpg").write_bytes(encoded)
        os.sync()
        started = time.monotonic()
        command = [Path(sys.executable).with_name("photochrom"), "run", "--once"]
        done = subprocess.run(command, cwd=home, check=True, capture_output=True, text=True)
        whole = time.monotonic() - started
        events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
        first = next(when(event) for event in events if event["event"] == "photo.queued")
        delivered = [when(event) for event in events if event["event"] == "photo.delivered"]
        assert count == len(delivered)
        return count / (delivered[-1] - first), whole


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
