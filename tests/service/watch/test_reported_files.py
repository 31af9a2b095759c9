"""Reported files are known as a dictionary would know them, in a sixth of its memory."""

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.filesystem.file_stat import FileStat
from service.watch import reported_files
from service.watch.reported_files import ReportedFiles

FOLDERS = ("/in", "/in/a", "/in/a b")
NAMES = ("1.tif", "10.tif", "2.tif", "é.tif", "漢.tif", os.fsdecode(b"\xe9.tif"), "-.tif")


def stat_of(number: int) -> FileStat:
    """Return the stat of a file that was changed so many times."""
    return FileStat(size=1, mtime_ns=number, inode=1, device=1, ctime_ns=number)


changes = st.tuples(
    st.sampled_from(FOLDERS), st.sampled_from(NAMES), st.one_of(st.none(), st.integers(0, 3))
)


@pytest.mark.parametrize("together", [1, 3, 1000])
@given(steps=st.lists(changes, max_size=40))
def test_they_are_known_as_a_dictionary_knows_them(
    together: int, steps: list[tuple[str, str, int | None]]
) -> None:
    """However often they are packed, whatever is added, changed, and forgotten, in any names."""
    expected: dict[str, int] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reported_files, "LEAST_CHANGES", together)
        files = ReportedFiles()
        for folder, name, number in steps:
            path = f"{folder}/{name}"
            if number is None:
                files.discard(Path(path))
                expected.pop(path, None)
            else:
                files.add(Path(path), stat_of(number))
                expected[path] = number

    assert sorted(expected) == sorted(files)
    assert len(expected) == len(files)
    for folder in FOLDERS:
        assert files.names_in(folder) == {
            name: hash(stat_of(expected[f"{folder}/{name}"]))
            for name in NAMES
            if f"{folder}/{name}" in expected
        }
        for name in NAMES:
            known = expected.get(f"{folder}/{name}")
            assert [number == known for number in range(4)] == [
                files.has(Path(folder, name), stat_of(number)) for number in range(4)
            ]
    assert set(files.outside({"/in"})) >= {str(Path(path).parent) for path in expected} - {"/in"}


def test_a_file_takes_few_bytes() -> None:
    """A dictionary of names and numbers takes 170 for each."""
    count = 100_000
    tracemalloc.start()
    try:
        files = ReportedFiles()
        for number in range(count):
            files.add(Path(f"/in/{number // 1000:05d}/{number:07d}.tif"), stat_of(number))
        # Not what threads of other tests hold: those may live on in this process.
        own = tracemalloc.Filter(inclusive=True, filename_pattern=reported_files.__file__)
        held = sum(one.size for one in tracemalloc.take_snapshot().filter_traces([own]).traces)
    finally:
        tracemalloc.stop()

    assert count == len(files)
    assert held / count < 60  # 26, and those that are not packed yet
