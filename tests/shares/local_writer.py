"""Writes files in the ways of programs on the same machine, pausing in the middle of each.

`python -m tests.shares.local_writer` reads orders, one a line of JSON, does all at once, and
answers each with a line when it is done: `id`, and `last`, when its last pause had ended.
"""

import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

Pause = Callable[[], None]


def write_pages(path: Path, pages: Sequence[Any], pause: Pause) -> None:
    """Write a TIFF page by page, as a scanner with a feeder does, with the file open all the time.

    Args:
        path: the new file.
        pages: each (H, W) uint8.
        pause: called after each page but the last.
    """
    with tifffile.TiffWriter(path) as tiff:
        for number, page in enumerate(pages):
            if number:
                tiff.filehandle.flush()
                pause()
            tiff.write(page, photometric="minisblack", metadata=None)


def append_pages(path: Path, pages: Sequence[Any], pause: Pause) -> None:
    """Write the same file, closing it after each page: whole each time, and then larger."""
    for number, page in enumerate(pages):
        if number:
            pause()
        tifffile.imwrite(path, page, photometric="minisblack", metadata=None, append=True)


def halves(path: Path, data: bytes, pause: Pause) -> None:
    """Write half of it, and then the rest."""
    middle = len(data) // 2
    with path.open("wb", buffering=0) as file:
        file.write(data[:middle])
        pause()
        file.write(data[middle:])


def stopped(path: Path, data: bytes, pause: Pause) -> None:
    """Have another program write it, and stop that in the middle (SIGSTOP)."""
    middle = len(data) // 2
    with (
        path.open("wb") as file,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) as cat,
    ):
        assert cat.stdin
        file.close()  # only the program has it open
        cat.stdin.write(data[:middle])
        cat.stdin.flush()
        cat.send_signal(signal.SIGSTOP)
        pause()
        cat.send_signal(signal.SIGCONT)
        cat.stdin.write(data[middle:])


def size_first(path: Path, data: bytes, pause: Pause) -> None:
    """Give the file its full size at once, then fill it from its beginning."""
    middle = len(data) // 3
    with path.open("wb", buffering=0) as file:
        file.truncate(len(data))
        file.write(data[:middle])
        pause()
        file.write(data[middle:])


def header_last(path: Path, data: bytes, pause: Pause) -> None:
    """Give the file its full size at once, then fill it, and at last its first 4 KiB."""
    with path.open("wb", buffering=0) as file:
        file.truncate(len(data))
        file.seek(4096)
        file.write(data[4096:])
        pause()
        file.seek(0)
        file.write(data[:4096])


def mapped(path: Path, data: bytes, pause: Pause) -> None:
    """Fill the file by way of memory: the system announces none of these changes."""
    middle = len(data) // 3
    with path.open("wb+", buffering=0) as file:
        file.truncate(len(data))
        memory = mmap.mmap(file.fileno(), len(data))
    with memory:  # the file is closed, but not its mapping
        memory[:middle] = data[:middle]
        pause()
        memory[middle:] = data[middle:]


def closed_between(path: Path, data: bytes, pause: Pause) -> None:
    """Write half, close the file, and go on later, as after a lost connection."""
    middle = len(data) // 2
    path.write_bytes(data[:middle])
    pause()
    with path.open("r+b") as file:
        file.seek(middle)
        file.write(data[middle:])


def size_first_closed_between(path: Path, data: bytes, pause: Pause) -> None:
    """Give the file its full size, fill a third, close it, and go on later."""
    middle = len(data) // 3
    with path.open("wb") as file:
        file.truncate(len(data))
        file.write(data[:middle])
    pause()
    with path.open("r+b") as file:
        file.seek(middle)
        file.write(data[middle:])


PAGED = {"pages": write_pages, "appended": append_pages}
WAYS = {
    way.__name__: way
    for way in (
        *(halves, stopped, size_first, header_last, mapped),
        *(closed_between, size_first_closed_between),
    )
}


def _obey(order: dict[str, Any], answer: Callable[[dict[str, Any]], None]) -> None:
    last = 0.0

    def pause() -> None:
        nonlocal last
        threading.Event().wait(order["pause"])
        last = time.time()

    path, source = Path(order["target"]), Path(order["source"])
    fault = ""
    try:
        if order["way"] in PAGED:
            pages = np.load(source)
            PAGED[order["way"]](path, pages, pause)
        else:
            WAYS[order["way"]](path, source.read_bytes(), pause)
    except Exception as error:  # noqa: BLE001 - whoever ordered it judges
        fault = f"{type(error).__name__}: {error}"
    answer({"id": order["id"], "last": last, "fault": fault})


def main() -> None:
    """Obey until there are no more orders and all are done."""
    os.umask(0o002)
    lock = threading.Lock()

    def answer(words: dict[str, Any]) -> None:
        with lock:
            print(json.dumps(words), flush=True)  # noqa: T201 - the answer

    threads = []
    for line in sys.stdin:
        threads.append(threading.Thread(target=_obey, args=(json.loads(line), answer)))
        threads[-1].start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
