"""How long after it is at rest is a single photograph colored?

    python -m tests.benchmarks.latency [--photos 30] [--on FOLDER] [--with PHOTOCHROM] [--write]

The real daemon with the built-in generator and inotify. Gray JPEGs of one megapixel are dropped one
at a time: a second after the result of the one before, and at once after it, while its original is
being moved away. Measured is from the close of the scan until the result has its name in the
outbox, less the settle time.
"""

import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks import tables
from tests.benchmarks.processor import seconds_of
from tests.benchmarks.throughput import photographs

OWN = Path(sys.executable).with_name("photochrom")
SETTLE = 0.5  # seconds
PAUSES = {"a second after the result before": 1.0, "at once after the result before": 0.0}
LOOK_EVERY = 0.002  # seconds
GIVE_UP_AFTER = 120.0  # seconds
COLUMNS = {
    "dropped": "",
    "photos": "",
    "median past settling, s": ".2f",
    "90th percentile, s": ".2f",
    "slowest, s": ".2f",
    "processor, ms a photo": ".0f",
}


def main() -> None:
    """Measure both pauses with one daemon."""
    parser = tables.options(__doc__)
    parser.add_argument("--photos", type=int, default=30, help="of each kind")
    parser.add_argument("--on", type=Path, help="a folder on the disk to be used")
    parser.add_argument("--with", type=Path, default=OWN, help="another photochrom", dest="program")
    wanted = parser.parse_args()
    with (
        tables.Report("latency", packages=("tensorflow", "keras"), write=wanted.write) as report,
        TemporaryDirectory(dir=wanted.on) as folder,
    ):
        report.begin("latency", COLUMNS)
        home = Path(folder)
        (home / "inbox").mkdir()
        (home / "config.yaml").write_text(f"watch: {{settle: {SETTLE}}}\n")
        with (
            (home / "log").open("w") as log,
            subprocess.Popen([wanted.program, "run"], cwd=home, stderr=log) as daemon,
        ):
            try:
                drop(home, "first", next(photographs(1, 1224, 816)))  # for which it still starts
                for name, pause in PAUSES.items():
                    report.add(name, wanted.photos, *row(home, daemon.pid, pause, wanted.photos))
            finally:
                daemon.send_signal(signal.SIGTERM)
        assert 0 == daemon.returncode, (home / "log").read_text()


def row(home: Path, pid: int, pause: float, count: int) -> tuple[float, float, float, float]:
    """Drop photographs with a pause before each.

    Returns:
        the median, the 90th percentile and the longest of their seconds, and the daemon's processor
        milliseconds for each.
    """
    spent = seconds_of(pid)
    seconds = []
    for number, encoded in enumerate(photographs(count, 1224, 816)):
        time.sleep(pause)
        seconds.append(drop(home, f"{pause:.0f} {number:03}", encoded))
    cost = 1000 * (seconds_of(pid) - spent) / count
    last = statistics.quantiles(seconds, n=10, method="inclusive")[-1] if count > 1 else seconds[0]
    return statistics.median(seconds), last, max(seconds), cost


def drop(home: Path, name: str, encoded: bytes) -> float:
    """Write a photograph into the inbox; return how long after settling its result was there."""
    (home / "inbox" / f"{name}.jpg").write_bytes(encoded)
    closed, result = time.monotonic(), home / "outbox" / f"{name}.jpg"
    while not result.exists():
        assert time.monotonic() < closed + GIVE_UP_AFTER, f"{name} was not colored"
        time.sleep(LOOK_EVERY)
    return time.monotonic() - closed - SETTLE


if __name__ == "__main__":
    main()
