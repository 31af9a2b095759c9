"""Reads damaged files until something breaks: `python -m tests.fuzz.fuzz_readers --minutes 5`.

Honest files (hostile_files.py) are changed at random, and each goes the way of a photograph: read,
and written again in color. That happens in a process of its own, so that what crashes it, fills its
memory or hangs is found too. What breaks is kept in a folder, and can be read again from there:
`python -m tests.fuzz.fuzz_readers --replay FOLDER`. Exits 1 when something broke.
"""

import argparse
import io
import json
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.support import hostile_files
from tests.support.synthetic_photos import origin
from worker import render, scan
from worker.errors import ScanError
from worker.settings import ReadSettings, WriteSettings

SLOWEST = 10.0  # seconds that a file may take
HUNG = 60.0  # seconds after which its process is ended
MEGAPIXELS = 20.0
MOST_MEMORY = 4 << 30  # bytes of address space; what asks for more gets a MemoryError
SUSPICIOUS = ("Traceback", "Error", " at 0x", "instances of", "\n", "None", "unpack_", "to unpack",
              "unpack requires", "buffer", "values to", "cannot fit", "argument", "Errno",
              "codec can", "start byte", "reshape", "index out", "object", "out of range",
              "positional", "not supported between", "identify image", "failed", "returned",
              "imcd_", "_decode", "corrupted")  # fmt: skip
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes:
        name: of the file.
        reason: why it was refused; "" if it came out in color.
        fault: what should not be: an exception, a reason not for people; "" for nothing.
        seconds: it took.
        peak: most memory its process ever held, MB.
    """

    name: str
    reason: str
    fault: str
    seconds: float
    peak: int


class Mutant(NamedTuple):
    """A damaged file: its name, from which its content follows again, and its content."""

    name: str
    data: bytes


def attempt(path: Path) -> Outcome:
    """Read a file and write it in color, as the daemon does but for the generator."""
    began = time.monotonic()
    reason = fault = ""
    try:
        found = scan.read(path, ReadSettings(megapixels=MEGAPIXELS))
        gray = [np.zeros((8, 8, 2), np.float32) for _ in found.pages]
        record = render.write(found, gray, origin(path.name), WriteSettings(), io.BytesIO())
        fault = "".join(f"lost: {what}; " for what in record.lost if not names_plainly(what))
    except ScanError as error:
        reason = str(error)
        fault = "" if is_plain(reason) else "its reason is not for people"
    except Exception:  # noqa: BLE001 - whatever comes is what is looked for
        fault = traceback.format_exc()
    seconds = time.monotonic() - began
    if seconds > SLOWEST:
        fault += f" it took {seconds:.1f} s"
    return Outcome(path.name, reason, fault, round(seconds, 3), most_held())


def most_held() -> int:
    """Return the most memory that this process ever held, MB.

    Not getrusage's figure: across exec that keeps what the starting process held (getrusage(2)).
    """
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) // 1024


def is_plain(reason: str) -> bool:
    """Tell whether a reason is in words for an archivist, and short enough for one."""
    return 10 < len(reason) < 500 and not any(sign in reason for sign in SUSPICIOUS)


def names_plainly(lost: str) -> bool:
    """Tell whether what is left behind is named for an archivist; it may quote the file itself."""
    quoted = lost.startswith(("a comment", "the text ", "a copyright notice"))
    return quoted or not any(sign in lost for sign in SUSPICIOUS)


def mutant(sources: Sequence[tuple[str, bytes]], number: int) -> Mutant:
    """Make the damaged file of a number: always the same one."""
    rng = random.Random(number)  # noqa: S311 - to be made again
    name, data = rng.choice(sources)
    spoiled = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        _spoil(spoiled, rng, data)
    if name.endswith("png") and number % 2:
        _sign(spoiled)
    return Mutant(f"{number}-{name}", bytes(spoiled))


def _spoil(data: bytearray, rng: random.Random, whole: bytes) -> None:
    """Make one change: a byte, a number, a piece gone, doubled or from elsewhere, an end."""
    at = rng.randrange(min(len(data), rng.choice((64, 300, len(data)))) or 1)
    piece = rng.randrange(1, 65)
    match rng.randrange(8):
        case 0 | 1:
            data[at : at + 1] = bytes([rng.randrange(256)])
        case 2 | 3:
            size = rng.choice((1, 2, 4))
            number = rng.choice(NUMBERS) & (256**size - 1)
            data[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))
        case 4:
            del data[at : at + piece]
        case 5:
            data[at:at] = data[at : at + piece] * rng.choice((1, 2, 100))
        case 6:
            start = rng.randrange(len(whole))
            data[at : at + piece] = whole[start : start + piece]
        case _:
            if rng.randrange(4) == 0:
                del data[at:]
            elif data:
                data[at % len(data)] ^= 1 << rng.randrange(8)


def _sign(png: bytearray) -> None:
    """Make the checksums of chunks right, so that what is in them is believed."""
    at = 8
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4])
        png[end : end + 4] = zlib.crc32(png[at + 4 : end]).to_bytes(4)
        at = end + 4


def _serve(link: Connection) -> None:
    """Read the files whose paths come; answer with what became of each."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with tempfile.TemporaryFile() as said:  # what C libraries say there would be no line of a log
        os.dup2(said.fileno(), 2)
        while path := link.recv():
            outcome = attempt(Path(path))
            if said.seek(0, os.SEEK_END):
                said.seek(0)
                words = said.read().decode(errors="replace")
                outcome = replace(outcome, fault=f"{outcome.fault} on standard error: {words}")
                said.seek(0)
                said.truncate()
            link.send(outcome)


class Reader:
    """A process that reads files, and is replaced when one ends it."""

    def __init__(self) -> None:
        """Start it with the first file."""
        self._process: multiprocessing.process.BaseProcess | None = None
        self._link: Connection | None = None

    def read(self, path: Path) -> Outcome:
        """Return what became of a file."""
        link = self._started()
        began = time.monotonic()
        try:
            link.send(str(path))
            if link.poll(HUNG):
                found = link.recv()
                assert isinstance(found, Outcome)
                return found
            fault = f"it was not done after {HUNG:.0f} s"
        except (EOFError, ConnectionError):
            fault = "it ended its process"
        self.end()
        return Outcome(path.name, "", fault, round(time.monotonic() - began, 3), 0)

    def end(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def _started(self) -> Connection:
        if self._process is None or self._link is None:
            context = multiprocessing.get_context("spawn")
            self._link, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
            self._process.start()
            theirs.close()
        return self._link


def read_all(paths: Sequence[Path]) -> Iterator[Outcome]:
    """Yield what became of each file."""
    reader = Reader()
    try:
        for path in paths:
            yield reader.read(path)
    finally:
        reader.end()


def fuzz(kinds: Sequence[str], minutes: float, first: int, kept: Path) -> Iterator[Outcome]:
    """Read damaged files of some kinds (suffixes) for some time; keep and yield what broke."""
    sources = [
        (name, data)
        for name, data in hostile_files.honest().items()
        if not kinds or name.rpartition(".")[2] in kinds
    ]
    reader, number, end = Reader(), first, time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            name, data = mutant(sources, number)
            path = Path(folder, name)
            path.write_bytes(data)
            outcome = reader.read(path)
            if outcome.fault:
                kept.mkdir(parents=True, exist_ok=True)
                (kept / name).write_bytes(data)
                yield outcome
            path.unlink()
            number += 1
    reader.end()
    sys.stderr.write(f"{number - first} files of {len(sources)} kinds read\n")


def main() -> int:
    """Run from the command line; prints a line of JSON for each file that is of interest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--kinds", nargs="*", default=[], help="suffixes; all if none is given")
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--kept", type=Path, default=Path("crashers"), help="for what broke")
    parser.add_argument("--replay", type=Path, help="read the files of this folder instead")
    options = parser.parse_args()
    if options.replay:
        outcomes = read_all(sorted(options.replay.iterdir()))
    else:
        outcomes = fuzz(options.kinds, options.minutes, options.first, options.kept)
    broken = 0
    for outcome in outcomes:
        broken += bool(outcome.fault)
        sys.stdout.write(json.dumps(asdict(outcome)) + "\n")
        sys.stdout.flush()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
