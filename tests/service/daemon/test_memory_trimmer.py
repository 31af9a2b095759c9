"""Memory that is free goes back to the system."""

import ctypes
from pathlib import Path

import pytest

from service.daemon.memory_trimmer import TRIM_EVERY, MemoryTrimmer

CHUNK, CHUNKS = 1 << 16, 1_000  # bytes, below what malloc maps apart; 65 MB in all


def resident() -> int:
    """Return this process's memory, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_what_was_freed_goes_back_to_the_system() -> None:
    """Also where what lies between is still in use, so that malloc keeps it."""
    trimmer = MemoryTrimmer()
    chunks = [bytes(1) * CHUNK for _ in range(CHUNKS)]
    kept = [bytes(1) * CHUNK for _ in range(2)] + chunks[::50]
    chunks.clear()
    before = resident()

    trimmer.step(0.0, done=1)

    assert resident() < before - CHUNK * CHUNKS / 2
    assert 2 + CHUNKS / 50 == len(kept)


def test_it_is_done_now_and_then_after_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not when nothing was done since, and not after every photograph."""
    trimmer, calls = MemoryTrimmer(), []
    monkeypatch.setattr(trimmer, "_trim", calls.append)

    for now, done in ((0.0, 0), (1.0, 1), (2.0, 2), (TRIM_EVERY, 3), (TRIM_EVERY + 1.0, 3)):
        trimmer.step(now, done)

    assert [0, 0] == calls or pytest.fail(f"{calls}")
