"""The mount table tells which folders are on another machine."""

from pathlib import Path

import pytest

from service.filesystem.mounts import file_system_type, is_network_file_system

TABLE = r"""/dev/sda1 / ext4 rw 0 0
server:/photos /mnt/photos nfs4 rw 0 0
/dev/sdb1 /mnt/photos/local xfs rw 0 0
//nas/scans /mnt/my\040scans cifs rw 0 0
sshfs /mnt/far fuse.sshfs rw 0 0
/dev/sdc1 /mnt/disk fuseblk rw 0 0
/dev/sdd1 /mnt/twice ext4 rw 0 0
nas:/b /mnt/twice nfs rw 0 0

"""


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        ("ext4", "/home/me/inbox"),
        ("nfs4", "/mnt/photos/inbox"),
        ("xfs", "/mnt/photos/local/inbox"),
        ("ext4", "/mnt/photos2/inbox"),
        ("cifs", "/mnt/my scans/inbox"),
        ("fuse.sshfs", "/mnt/far"),
        ("nfs", "/mnt/twice/a"),
    ],
)
def test_the_deepest_and_latest_mount_that_holds_a_path_names_its_type(
    expected: str, path: str
) -> None:
    """Whole names count, spaces are understood, a later mount covers an earlier."""
    assert expected == file_system_type(Path(path), TABLE)


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        (False, "/home/me"),
        (True, "/mnt/photos"),
        (False, "/mnt/photos/local"),
        (True, "/mnt/my scans"),
        (True, "/mnt/far/deep"),
        (False, "/mnt/disk"),
    ],
)
def test_shares_are_told_from_local_disks(expected: bool, path: str) -> None:  # noqa: FBT001
    """FUSE counts as a share, except for a local disk (fuseblk)."""
    assert expected == is_network_file_system(Path(path), TABLE)


def test_a_symlink_is_judged_by_what_it_leads_to(tmp_path: Path) -> None:
    """The link's own place does not matter."""
    link = tmp_path / "link"
    link.symlink_to("/mnt/photos/inbox")

    assert file_system_type(link, TABLE) == "nfs4"


def test_the_systems_own_table_is_read() -> None:
    """Without a table given, this machine's own says what /proc is."""
    assert file_system_type(Path("/proc/self")) == "proc"


def test_a_system_without_a_mount_table_is_taken_for_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is known, so nothing is refused."""
    monkeypatch.setattr("service.filesystem.mounts.MOUNT_TABLE", tmp_path / "none")

    assert file_system_type(tmp_path) == ""
    assert not is_network_file_system(tmp_path)
