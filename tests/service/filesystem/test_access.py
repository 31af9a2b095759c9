"""What permissions refuse, and what would help."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.filesystem.access import (
    how_to_open,
    may_empty,
    may_not_read,
    may_not_write,
    unwritable,
)
from tests.support.unprivileged_user import GROUP, USER, as_nobody, needs_root, reachable_folder


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Make a folder that other users can reach."""
    yield from reachable_folder()


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Make an inbox that all may reach, with a folder that root made as Samba does."""
    album = tmp_path / "in box/album"
    album.mkdir(parents=True)
    album.chmod(0o755)
    (album / "a.tif").touch()
    (tmp_path / "originals").mkdir()
    (tmp_path / "originals").chmod(0o777)
    return album


@needs_root
class TestAccess:
    """As another user than the one who made the folders."""

    def test_a_folder_of_others_keeps_its_scans(self, album: Path, tmp_path: Path) -> None:
        """Mode 0755; the folder that they go to is not to blame."""
        goal = tmp_path / "originals/new/deep"

        assert str(album) == as_nobody(lambda: str(unwritable(album / "a.tif", goal)))
        assert f"chgrp {GROUP} '{album}' && chmod g+ws '{album}'" == as_nobody(
            lambda: how_to_open(album)
        )
        assert as_nobody(lambda: may_not_write(album)).startswith(
            f"{USER} may not write there; chgrp "
        )
        assert unwritable(album / "a.tif", goal) is None  # as root

    def test_what_helps_does_help(self, album: Path, tmp_path: Path) -> None:
        """By the group, which may be one of several; and with an ACL, which no mode shows."""
        goal = tmp_path / "originals"
        os.chown(album, 0, 777)

        assert f"chmod g+w '{album}'" == as_nobody(lambda: how_to_open(album), groups=(777,))

        album.chmod(0o775)

        assert as_nobody(lambda: unwritable(album / "a.tif", goal) is None, groups=(777,))
        assert not as_nobody(lambda: may_empty(album))

    def test_a_folder_that_originals_go_to_is_named(self, album: Path, tmp_path: Path) -> None:
        """The nearest one that is there."""
        album.chmod(0o777)
        (tmp_path / "originals").chmod(0o755)
        goal = tmp_path / "originals/album/deep"

        assert str(tmp_path / "originals") == as_nobody(
            lambda: str(unwritable(album / "a.tif", goal))
        )

    def test_a_sticky_folder_lets_go_of_ones_own_files_only(
        self, album: Path, tmp_path: Path
    ) -> None:
        """As /tmp does; the words say so."""
        album.chmod(0o1777)
        mine = album / "mine.tif"
        mine.touch()
        os.chown(mine, USER, GROUP)
        goal = tmp_path / "originals"

        assert not as_nobody(lambda: may_empty(album, album / "a.tif"))
        assert as_nobody(lambda: unwritable(mine, goal) is None)
        assert f"chmod -t '{album}'" in as_nobody(lambda: how_to_open(album))

    def test_something_else_in_a_folders_place_is_no_matter_of_permissions(
        self, album: Path, tmp_path: Path
    ) -> None:
        """The move itself says what it is."""
        (tmp_path / "originals/album").touch()

        assert unwritable(album / "a.tif", tmp_path / "originals/album") is None


def test_unreadable_folders_are_counted_and_some_are_named() -> None:
    """With who is to be let in."""
    words = may_not_read(tuple(f"in/{n}" for n in range(4)))

    assert words.startswith("4 folders in the inbox cannot be read (in/0, in/1, in/2, …): give ")
    assert may_not_read(("in/0",)).startswith("1 folder in the inbox cannot be read (in/0): give ")
