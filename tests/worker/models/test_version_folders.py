"""Promises of worker.models.version_folders."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from worker.errors import ModelError
from worker.models.version_folders import LAST_NUMBER_FILE, VersionFolders

ROOT = Path(__file__).resolve().parents[3]
ANOTHER_PROCESS = """
import sys
from pathlib import Path
from worker.models.version_folders import VersionFolders
with VersionFolders(Path(sys.argv[1])).staging() as folder:
    (folder / "half").write_text("half")
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folders(tmp_path: Path) -> VersionFolders:
    """Return folders in a place that is not made yet."""
    return VersionFolders(tmp_path / "models")


def add(folders: VersionFolders, text: str = "whole") -> int:
    """Add one folder with a file."""
    with folders.staging() as folder:
        (folder / "file").write_text(text)
        return folders.commit(folder)


def test_numbers_follow_each_other(folders: VersionFolders) -> None:
    """From 1; each folder holds what was put into it."""
    assert [] == folders.numbers()
    assert [1, 2] == [add(folders, text) for text in ("a", "b")]
    assert [1, 2] == folders.numbers()
    assert ["a", "b"] == [(folders.home(number) / "file").read_text() for number in (1, 2)]


def test_a_number_is_never_given_twice(folders: VersionFolders) -> None:
    """Not after the highest was removed, nor after a person took it away."""
    add(folders)
    add(folders)
    with folders.locked():
        folders.remove([1, 2])

    assert [] == folders.numbers()
    assert 3 == add(folders)


def test_a_number_that_a_person_gave_is_passed_over(
    folders: VersionFolders, tmp_path: Path
) -> None:
    """A folder copied in from elsewhere is never overwritten, and its number counts as given."""
    (tmp_path / "models" / "0007").mkdir(parents=True)
    with folders.locked():
        folders.remove([7])

    assert 8 == add(folders)


def test_what_is_not_settled_is_gone(folders: VersionFolders, tmp_path: Path) -> None:
    """A fault while a folder is filled leaves nothing, and takes no number."""
    with pytest.raises(FileNotFoundError), folders.staging() as folder:
        (folder / "half" / "file").write_text("half")

    assert [] == list((tmp_path / "models").iterdir())
    assert 1 == add(folders)


def test_two_may_fill_at_once(folders: VersionFolders) -> None:
    """Each keeps its own folder and gets its own number, by who is ready first."""
    with folders.staging() as first, folders.staging() as second:
        (first / "file").write_text("first")
        (second / "file").write_text("second")
        numbers = folders.commit(second), folders.commit(first)

    assert (1, 2) == numbers
    assert ["second", "first"] == [(folders.home(n) / "file").read_text() for n in (1, 2)]


def test_another_process_at_work_is_left_alone(folders: VersionFolders, tmp_path: Path) -> None:
    """Its half-filled folder stays while it lives, and is swept once it was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", ANOTHER_PROCESS, tmp_path / "models"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout
        half = Path(other.stdout.readline().strip()) / "half"
        add(folders)
        while_it_lives = half.exists()
        other.kill()
    killed = half.exists()
    add(folders)

    assert (True, True, False) == (while_it_lives, killed, half.parent.exists())
    assert [1, 2] == folders.numbers()


def test_changes_wait_for_each_other(folders: VersionFolders) -> None:
    """Who holds the lock is alone: a second change begins when the first has ended."""
    order = []
    begun = threading.Event()

    def second() -> None:
        begun.set()
        with folders.locked():
            order.append("second")

    thread = threading.Thread(target=second)
    with folders.locked():
        thread.start()
        assert begun.wait(10)
        thread.join(0.2)
        order.append("first")
    thread.join(10)

    assert ["first", "second"] == order


def test_removing_ends_what_a_crash_left(folders: VersionFolders, tmp_path: Path) -> None:
    """A removal that was killed half way is finished by the next change."""
    add(folders)
    left = tmp_path / "models" / ".pruned-99999-abc"
    left.mkdir()
    (left / "file").write_text("old")
    add(folders)

    assert not left.exists()
    assert [1, 2] == folders.numbers()


def test_a_damaged_record_of_the_last_number_is_told(
    folders: VersionFolders, tmp_path: Path
) -> None:
    """It is not taken for none: a number could be given twice."""
    add(folders)
    (tmp_path / "models" / LAST_NUMBER_FILE).write_text("?")

    with pytest.raises(ModelError, match="last_number is damaged"):
        add(folders)
    assert [1] == folders.numbers()
