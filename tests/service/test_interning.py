"""Names of files leave nothing in memory."""

import pathlib
import sys

import pytest

from service.interning import keep_no_names


def name_of(number: int) -> str:
    """Make a new string, the same for the same number."""
    return "".join(("scan ", str(number), ".tif"))


@pytest.mark.skipif(not hasattr(pathlib, "sys"), reason="this pathlib keeps no names by itself")
def test_pathlib_interns_no_part_of_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does otherwise, and paths are what they were."""
    monkeypatch.setattr(pathlib, "sys", sys)
    interned = pathlib.PurePosixPath("box", name_of(1))

    assert interned.name is sys.intern(name_of(1))

    keep_no_names()
    path, own = pathlib.PurePosixPath("box", name_of(2)), name_of(2)

    assert path.name is not sys.intern(own) is own
    assert pathlib.PurePosixPath(f"box/{own}") == path
    assert hash(path) == hash(pathlib.PurePosixPath("box") / own)
    assert pathlib.Path.cwd().exists()
