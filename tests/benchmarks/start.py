"""How soon is the daemon ready, and how soon does a command answer?

    python -m tests.benchmarks.start [--starts 5] [--rows 100000 1000000] [--beside PHOTOCHROM]
        [--write]

The daemon: the real `photochrom run` with the built-in generator and an empty inbox, from its exec
until it tells systemd that it is ready; then it is stopped. Commands: `--help`, and `status` with
an empty ledger and with ledgers of so many photographs, all of which were done within a day; beside
them a bare program of typer and pydantic. Everything in turn, and medians of all tries.

`--beside` measures the command of another installation in turn with this one.
"""

import os
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from service.ledger.ledger import LEDGER_FILE
from tests.benchmarks import tables
from tests.benchmarks.processor import seconds_of
from tests.support.many_results import fill

OWN = Path(sys.executable).with_name("photochrom")
READY_WITHIN = 120.0  # seconds
COLUMNS = {"command": "", "s": ".2f", "processor, s": ".2f", "MB": ".0f"}
BARE = """
from typing import Annotated
import pydantic, typer

class Settings(pydantic.BaseModel):
    count: int = 1

app = typer.Typer()

@app.command()
def show(count: Annotated[int, typer.Option(help="How many.")] = 1) -> None:
    print(Settings(count=count))

@app.command()
def other() -> None:
    pass

app()
"""
RECENTLY = """
UPDATE jobs SET finished_at = :now - id * 80000.0 / (SELECT max(id) FROM jobs),
    status = iif(id % 50 = 3, 'failed', status), reason = iif(id % 50 = 3, 'it is damaged', reason),
    colored_at = iif(id % 50 = 3, NULL, colored_at)
"""


class Cost(NamedTuple):
    """Seconds by the clock and of the processor, and the most memory in MB."""

    seconds: float
    processor: float
    megabytes: float


def main() -> None:
    """Measure everything in turn."""
    parser = tables.options(__doc__)
    parser.add_argument("--starts", type=int, default=5, help="tries of everything")
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000], help="of ledgers")
    parser.add_argument("--beside", type=Path, help="another installation's photochrom")
    parser.add_argument("--on", type=Path, help="a folder on the disk to be used")
    wanted = parser.parse_args()
    programs = {"this": OWN} | ({"the other": wanted.beside.absolute()} if wanted.beside else {})
    with (
        tables.Report("start", packages=("tensorflow", "keras"), write=wanted.write) as report,
        TemporaryDirectory(dir=wanted.on) as folder,
    ):
        homes = ledgers(Path(folder), wanted.rows)
        costs = defaultdict[str, list[Cost]](list)
        for number in range(wanted.starts):
            for name, program in programs.items():
                home = Path(folder) / f"{name} {number}"
                costs[f"`run`, {name}"].append(start(program, home))
            bare = [sys.executable, "-c", BARE]
            costs["bare `--help`"].append(command([*bare, "--help"], Path(folder)))
            costs["bare command"].append(command([*bare, "show"], Path(folder)))
            for name, program in programs.items():
                costs[f"`--help`, {name}"].append(command([program, "--help"], Path(folder)))
                for rows, home in homes.items():
                    kind = f"`status`, {rows:,} rows, {name}"
                    costs[kind].append(command([program, "status"], home))
        report.begin("start", COLUMNS)
        for name, all_ in costs.items():
            report.add(name, *map(statistics.median, zip(*all_, strict=True)))


def ledgers(folder: Path, rows: list[int]) -> dict[int, Path]:
    """Make a folder with a ledger of each size, and one without."""
    homes = {count: folder / f"{count} rows" for count in (0, *rows)}
    for count, home in homes.items():
        (home / "state").mkdir(parents=True)
        (home / "inbox").mkdir()
        (home / "config.yaml").write_text("{}\n")
        if count:
            fill(home / "state" / LEDGER_FILE, count)
            ledger = sqlite3.connect(home / "state" / LEDGER_FILE)
            with ledger:
                ledger.execute(RECENTLY, {"now": time.time()})
            ledger.close()
    return homes


def start(program: Path, home: Path) -> Cost:
    """Start a daemon in a new folder, and return what it took until it was ready."""
    (home / "inbox").mkdir(parents=True)
    (home / "config.yaml").write_text("{}\n")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
        (home / "log").open("w") as log,
    ):
        systemd.bind(str(home / "notify"))
        systemd.settimeout(READY_WITHIN)
        environment = os.environ | {"NOTIFY_SOCKET": str(home / "notify")}
        began = time.monotonic()
        with subprocess.Popen([program, "run"], cwd=home, env=environment, stderr=log) as daemon:
            try:
                while b"READY=1" not in systemd.recv(4096):
                    pass
                seconds = time.monotonic() - began
                cost = Cost(seconds, *used_by(daemon.pid))
            finally:
                daemon.send_signal(signal.SIGTERM)
        assert 0 == daemon.returncode, (home / "log").read_text()
    return cost


def used_by(pid: int) -> tuple[float, float]:
    """Return the processor seconds of a process, and the most memory it had in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    most = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return seconds_of(pid), most / 1000


def command(words: list[Path | str], home: Path) -> Cost:
    """Run a command, and return what it took."""
    began = time.monotonic()
    with subprocess.Popen(words, cwd=home, stdout=subprocess.DEVNULL) as process:
        _pid, code, own = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(code)
    assert 0 == process.returncode
    return Cost(seconds, own.ru_utime + own.ru_stime, own.ru_maxrss / 1000)


if __name__ == "__main__":
    main()
