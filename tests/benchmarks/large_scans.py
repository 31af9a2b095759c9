"""What do large scans cost beside tifffile alone? Prints the table of docs/benchmarks.md.

    python -m tests.benchmarks.large_scans [--megapixels 100 400]

For each size: makes a 16-bit gray TIFF as large and as grainy as a scan of a plate, lets tifffile
alone read it and write an RGB file of 16 bits of the same size with the same compression, and lets
`photochrom run --once` color it. Each is a process of its own; its peak memory is the kernel's
figure. Photochrom's time is from the claim of the photo to the ledger's "finished":
reading, hashing, coloring, encoding, reading back for the digest, two syncs.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
import tifffile

STRIP_BYTES = 1 << 20
TIFFFILE_ALONE = """
import sys, time
import numpy as np, tifffile
source, target, compression = sys.argv[1:]
options = {} if compression == "none" else {"compression": "zlib", "predictor": True}
started = time.monotonic()
gray = tifffile.imread(source)
read = time.monotonic() - started
rgb = np.repeat(gray[..., None], 3, axis=-1)
started = time.monotonic()
tifffile.imwrite(target, rgb, photometric="rgb", metadata=None, **options)
print(read + time.monotonic() - started)
"""
# Runs a command and tells how many KB it held at most. A small process of its own, since a process
# begins with the peak of the one that started it (getrusage(2), across exec).
HOLDS = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


class Cost(NamedTuple):
    """What one run took."""

    seconds: float
    gigabytes: float


def main() -> None:
    """Measure each size and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megapixels", type=int, nargs="*", default=[100, 400])
    wanted = parser.parse_args()
    print(
        "| scan | compression | tifffile alone, s | photochrom, s | ratio | tifffile's peak, GB"
        " | the daemon's peak, GB |"
    )
    print("|---|---|---|---|---|---|---|")
    for megapixels in wanted.megapixels:
        for compression in ("deflate", "none"):
            with TemporaryDirectory() as name:
                home = Path(name)
                scan = make_scan(home, megapixels, compression)
                alone = tifffile_alone(scan, home / "alone.tif", compression)
                own = photochrom(home, scan)
                print(
                    f"| {megapixels} megapixels, gray, 16 bits | {compression} "
                    f"| {alone.seconds:.1f} | {own.seconds:.1f} "
                    f"| {own.seconds / alone.seconds:.2f} | {alone.gigabytes:.2f} "
                    f"| {own.gigabytes:.2f} |",
                    flush=True,
                )


def make_scan(home: Path, megapixels: int, compression: str) -> Path:
    """Write a 16-bit gray TIFF: soft shapes with grain, in strips as scanners write them."""
    height = math.isqrt(megapixels * 10**6 * 4 // 5)
    width = megapixels * 10**6 // height
    rng = np.random.default_rng(0)
    coarse = rng.uniform(2000, 63000, (48, 60)).astype(np.float32)
    gray = np.empty((height, width), np.uint16)
    rows = max(1, STRIP_BYTES // (2 * width))
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
    options = {} if compression == "none" else {"compression": "zlib", "predictor": True}
    tifffile.imwrite(path, gray, rowsperstrip=rows, metadata=None, **options)
    return path


def tifffile_alone(scan: Path, target: Path, compression: str) -> Cost:
    """Time tifffile's own way through."""
    command = [sys.executable, "-c", TIFFFILE_ALONE, str(scan), str(target), compression]
    done = open_dir_beneath(command, scan.parent)
    seconds, kilobytes = done.stdout.split()
    target.unlink()
    return Cost(float(seconds), float(kilobytes) / 1e6)


def photochrom(home: Path, scan: Path) -> Cost:
    """Time the command on a scan that is dropped in its inbox; it is taken out again."""
    (home / "inbox").mkdir()
    (home / "config.yaml").write_text("watch: {settle: 0.2}\n")
    scan.rename(home / "inbox" / scan.name)
    done = open_dir_beneath(
        [str(Path(sys.executable).with_name("photochrom")), "run", "--once"], home
    )
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    delivered = [event for event in events if event["event"] == "photo.delivered"]
    assert len(delivered) == 1, done.stderr
    return Cost(float(delivered[0]["seconds"]), float(done.stdout.split()[-1]) / 1e6)


def open_dir_beneath(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, to its end; the last it prints is the most KB that it held."""
    os.sync()
    holding = [sys.executable, "-c", HOLDS, *command]
    return subprocess.run(holding, cwd=folder, check=True, capture_output=True, text=True)


if __name__ == "__main__":
    main()
