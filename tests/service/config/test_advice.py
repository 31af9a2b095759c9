"""What is no mistake, but will be felt, is said beforehand."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.config import advice as subject
from service.config.advice import advice
from service.config.loader import Config
from service.config.sections import Permissions, Review, Watch
from service.filesystem.availability import FolderMonitor
from service.filesystem.folder_checks import make_folders
from tests.support.unprivileged_user import USER, as_nobody, needs_root, reachable_folder

ANOTHER_DISK = Path("/dev/shm")  # noqa: S108 - a file system that is not that of the tests


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Make a folder that other users can reach."""
    yield from reachable_folder()


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders, which everybody may use."""
    config = Config().beside(tmp_path)
    make_folders(config.folders.values())
    for folder in config.folders.values():
        folder.chmod(0o777)
    return config


def said(config: Config) -> list[str]:
    """Return the warnings for nobody in particular."""
    return [str(line) for line in as_nobody(lambda: list(advice(config)))]


@needs_root
def test_where_nothing_will_be_felt_nothing_is_said(config: Config) -> None:
    """Nor about folders that are not there yet."""
    config.outbox.rmdir()

    assert [] == said(config)


@needs_root
def test_folders_that_will_keep_their_originals_are_named_with_the_remedy(config: Config) -> None:
    """Three of them, and how many more; and those that cannot be read."""
    for number in range(5):
        (config.inbox / f"album {number}").mkdir(mode=0o755)
    (config.inbox / "closed").mkdir(mode=0o700)
    (config.inbox / "#recycle").mkdir(mode=0o755)
    kept, closed = said(config)

    assert kept.startswith(f"{USER} may not move originals out of 5 folders in the inbox; ")
    assert f"chmod g+ws '{config.inbox / 'album 0'}'" in kept
    assert kept.endswith("; and 2 more")
    assert f"1 folder in the inbox cannot be read ({config.inbox / 'closed'})" in closed


@needs_root
def test_the_look_at_permissions_is_bounded(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection may have a million folders."""
    for number in range(5):
        (config.inbox / str(number)).mkdir(mode=0o755)
    monkeypatch.setattr(subject, "MOST_FOLDERS", 3)
    bounded, kept = said(config)

    assert "only the first 3 folders in the inbox were looked at for permissions" == bounded
    assert "2 folders in the inbox" in kept


@needs_root
def test_kept_originals_need_no_right_to_write(config: Config) -> None:
    """Somebody else's collection is read, and no more."""
    (config.inbox / "album").mkdir(mode=0o755)
    originals = config.originals.model_copy(update={"after": "keep"})

    assert [] == said(config.model_copy(update={"originals": originals}))


@needs_root
def test_root_is_told_that_root_sees_nothing(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is a user for the service."""
    monkeypatch.setattr(subject, "SERVICE_USER", "daemon")

    assert ["sudo -u daemon photochrom check-config"] == [
        line.rpartition(": ")[2] for line in advice(config)
    ]


@pytest.mark.skipif(
    not ANOTHER_DISK.is_dir() or ANOTHER_DISK.stat().st_dev == Path("/").stat().st_dev,
    reason="there is only one disk",
)
def test_folders_on_different_file_systems_are_told(config: Config) -> None:
    """Also of one that is not made yet, and only where something is moved there."""
    originals = config.originals.model_copy(update={"folder": ANOTHER_DISK / "not yet/there"})
    apart = config.model_copy(update={"originals": originals})

    assert "inbox and originals.folder lie on different file systems" in "\n".join(advice(apart))

    kept = originals.model_copy(update={"after": "keep"})
    apart = config.model_copy(update={"originals": kept})

    assert "different file systems" not in "\n".join(advice(apart))


@pytest.mark.parametrize("kind", ["cifs", "nfs4", "fuse.sshfs"])
def test_an_inbox_where_nobody_tells_of_closed_files_is_told(
    config: Config, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """With the setting that counts there, and what else would not work."""
    table = f"server:/scans {config.inbox} {kind} rw 0 0\n"
    monkeypatch.setattr("service.filesystem.mounts._mount_table", lambda: table)
    watched = config.model_copy(update={"watch": Watch(polling="never", settle_shared=45.0)})
    lines = "\n".join(advice(watched))

    assert f"network or FUSE file system ({kind})" in lines
    assert "was quiet for 45 s (watch.settle_shared)" in lines
    assert "watch.polling: never" in lines


def test_an_outbox_of_another_daemon_and_a_group_that_is_none_are_told(
    config: Config, tmp_path: Path
) -> None:
    """Before the start refuses them."""
    FolderMonitor(config.folders | {"state": tmp_path}).refresh()
    changed = config.model_copy(update={"permissions": Permissions(group="nowhere")})
    lines = list(advice(changed))

    assert [True, True] == [line.startswith(("inbox: ", "outbox: ")) for line in lines[:2]]
    assert "permissions.group: there is no group nowhere on this machine" in lines


@pytest.mark.skipif(not ANOTHER_DISK.is_dir(), reason="there is no other file system")
def test_held_results_on_another_disk_are_told(config: Config) -> None:
    """Approving copies them; only if any are held."""
    review = Review(mode="hold", folder=ANOTHER_DISK / "held")
    other = config.model_copy(update={"review": review})
    never = config.model_copy(update={"review": Review(folder=review.folder)})
    same_disk = ANOTHER_DISK.stat().st_dev == config.outbox.stat().st_dev

    said = [line for line in advice(other) if "review.folder" in line]
    assert (0 if same_disk else 1) == len(said)
    assert not [line for line in advice(never) if "review.folder" in line]
