"""How long do the gallery's pages take with many results?

    python -m tests.benchmarks.gallery [--results 100000] [--times 15] [--on FOLDER] [--write]

Makes a ledger of that many results in 200 folders, of three models, four in ten decided, and serves
it by `photochrom web`. Each page is asked for a number of times by one client that keeps its
connection; the median and the worst are told, the server's processor time for each, and the size
of the page without pictures.
"""

import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import httpx

from service.ledger.ledger import LEDGER_FILE
from tests.benchmarks import tables
from tests.benchmarks.processor import running_children, seconds_of
from tests.support.command import Home
from tests.support.light_table import page_of
from tests.support.many_results import fill

PAGES = {
    "first page": "/",
    "first page, grid": "/?view=grid",
    "a page in the middle": "/?after=1700500000.0_50000",
    "open ones": "/?decision=open",
    "open ones, least confident first": "/?decision=open&order=confidence",
    "of one model": "/?model=2",
    "held ones": "/?state=held",
    "held ones, least confident first": "/?state=held&order=confidence",
    "a folder": "/?folder=fonds%2003",
    "a word in the name": "/?word=1944",
    "a word that no name has": "/?word=nowhere",
    "cards brought up to date": "/cards?seen=1800000000&cards=" + ".".join(map(str, range(1, 31))),
}
COLUMNS = {
    "page": "",
    "median, ms": ".0f",
    "worst, ms": ".0f",
    "processor, ms": ".0f",
    "KB": ".0f",
}
LARGEST = 1_000_000  # bytes of a page without pictures


class Cost(NamedTuple):
    """What a page took: milliseconds of a clock and of a processor, kilobytes."""

    median: float
    worst: float
    processor: float
    kilobytes: float


def main() -> None:
    """Measure each page."""
    parser = tables.options(__doc__)
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--on", type=Path, help="a folder on the disk to be used")
    wanted = parser.parse_args()
    with (
        tables.Report("gallery", write=wanted.write) as report,
        TemporaryDirectory(dir=wanted.on) as name,
    ):
        home = Home(Path(name) / "home")
        (home.folder / "state").mkdir()
        fill(home.folder / "state" / LEDGER_FILE, wanted.results)
        report.begin("gallery", COLUMNS)
        with page_of(home) as base, httpx.Client(base_url=base, timeout=60) as client:
            for page, path in PAGES.items():
                cost = measured(client, path, wanted.times)
                report.add(page, *cost)
                assert cost.kilobytes * 1000 < LARGEST, f"{page} is too large"


def measured(client: httpx.Client, path: str, times: int) -> Cost:
    """Ask for a page several times, after once that does not count."""
    headers = {"Accept": "text/html"}
    size = len(client.get(path, headers=headers).raise_for_status().content)
    seconds, before = [], children_seconds()
    for _ in range(times):
        started = time.perf_counter()
        client.get(path, headers=headers)
        seconds.append(time.perf_counter() - started)
    used = (children_seconds() - before) / times
    return Cost(statistics.median(seconds) * 1e3, max(seconds) * 1e3, used * 1e3, size / 1e3)


def children_seconds() -> float:
    """Return the processor seconds of this process's running children, the server, so far."""
    return sum(map(seconds_of, running_children()))


if __name__ == "__main__":
    main()
