"""What does not fit into memory is not called damaged."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tests.support.synthetic_photos import as_rgb, gray_scene
from worker import scan
from worker.errors import ScanError
from worker.formats import memory
from worker.settings import ReadSettings

ROOT = Path(__file__).parents[3]
# Reads a file once with a limit on the address space for each number of bytes that is left free,
# in a process of its own, and prints what became of it.
SWEEP = """
import os, resource, sys
from pathlib import Path
from worker import scan
from worker.settings import ReadSettings

path, warm, *free = sys.argv[1:]
scan.read(Path(warm), ReadSettings())
for bytes_left in map(int, free):
    if os.fork() == 0:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + bytes_left,) * 2)
        try:
            said = f"whole {scan.read(Path(path), ReadSettings()).size}"
        except MemoryError as error:
            said = f"too little memory for {error}"
        except Exception as error:
            said = f"wrong: {error!r}"
        os.write(1, said.encode() + b"\\n")
        os._exit(0)
    os.wait()
"""
FREE = [5_000_000, 20_000_000, 30_000_000, 45_000_000, 60_000_000, 400_000_000]


def stored(folder: Path, suffix: str, gray: np.ndarray) -> Path:
    """Write a photograph whose decoder has but one word for damage and for want of memory."""
    path = folder / f"{len(gray)}{suffix}"
    if suffix == ".jpg":
        Image.fromarray(as_rgb(gray)).save(path, progressive=True)
    elif suffix == ".webp":
        Image.fromarray(gray).save(path, lossless=True, method=0)
    elif suffix == ".jp2":
        path.write_bytes(imagecodecs.jpeg2k_encode(gray, codecformat="jp2", reversible=True))
    else:
        path.write_bytes(imagecodecs.jpegxl_encode(gray, effort=1))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".jp2", ".jxl"])
def test_a_sound_file_is_never_called_damaged_for_want_of_memory(
    tmp_path: Path, suffix: str
) -> None:
    """Whatever memory is left, it is whole, or does not fit, and then its size is told."""
    big = stored(tmp_path, suffix, gray_scene(2000, 2500))
    small = stored(tmp_path, suffix, gray_scene(64, 80))
    done = subprocess.run(
        [sys.executable, "-c", SWEEP, str(big), str(small), *map(str, FREE)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MALLOC_ARENA_MAX": "1"},  # none in reserve
        capture_output=True,
        text=True,
        check=True,
    )
    said = done.stdout.splitlines()

    assert "too little memory for 5.0 megapixels" == said[0]
    assert "whole 5000000" == said[-1]
    assert {said[0], said[-1]} == set(said)


def test_a_damaged_file_is_damaged_while_there_is_memory(tmp_path: Path) -> None:
    """Only where memory is short is there a doubt."""
    path = stored(tmp_path, ".jp2", gray_scene(64, 80))
    path.write_bytes(path.read_bytes()[:-300])

    with pytest.raises(ScanError, match="damaged or cut short"):
        scan.read(path, ReadSettings())


def test_asking_for_more_than_there_are_addresses_is_answered() -> None:
    """At once, and with no; a photograph's worth is there."""
    assert not memory.suffices_for(2**60)
    assert not memory.suffices_for(2**80)
    assert memory.suffices_for(1_000_000)
    assert memory.suffices_for(0)


def test_memory_is_refused_in_more_than_one_way() -> None:
    """By Python, and by the system where it makes a process or a map; other faults are others."""
    assert memory.is_short(MemoryError())
    assert memory.is_short(OSError(errno.ENOMEM, "Cannot allocate memory"))
    assert not memory.is_short(OSError(errno.ENOSPC, "No space left on device"))
    assert not memory.is_short(ValueError("memory"))
