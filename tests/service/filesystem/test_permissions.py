"""Who may do what with what photochrom makes, and its state."""

import grp
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from structlog.testing import capture_logs

from service.config.loader import ConfigError, load_config
from service.config.sections import Permissions
from service.filesystem.access import refuse_strangers
from service.filesystem.availability import make_new_folders
from service.filesystem.lock import StateLock, owner_of
from service.filesystem.permissions import adopt, close_state, file_made, group_number
from service.filesystem.safe_open import open_dir_beneath
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.storage.moves import reject
from tests.support.staged_delivery import deliver
from tests.support.unprivileged_user import GROUP, USER, as_nobody, needs_root, reachable_folder
from worker.errors import DeviceError

OTHER_GROUP = "daemon"  # that every Linux has


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Make a folder that other users can reach."""
    yield from reachable_folder()


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    """Begin with the usual umask, and leave no rule behind."""
    before = os.umask(0o022)
    yield
    adopt(Permissions())
    os.umask(before)


def mode(path: Path) -> str:
    """Return the mode of a file or folder, in octal digits."""
    return f"{stat.S_IMODE(path.stat().st_mode):o}"


def result(folder: Path) -> Path:
    """Deliver something into a new sub-folder."""
    return deliver(folder, PurePosixPath("album/a.tif"), lambda file: file.write(b"x")).path


def acl(folder: Path, *entries: str) -> None:
    """Set a default ACL, or skip where there is none."""
    command = shutil.which("setfacl")
    if command is None:
        pytest.skip("setfacl is not installed (package acl)")
    done = subprocess.run(
        [command, "-d", "-m", ",".join(entries), folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("this file system has no ACLs")


def test_without_a_rule_all_is_as_the_system_has_it(tmp_path: Path) -> None:
    """The umask, and the setgid bit of the folder above."""
    tmp_path.chmod(0o2750)
    os.umask(0o027)
    path = result(tmp_path)

    assert ("2750", "640") == (mode(path.parent), mode(path))


def test_modes_are_those_of_the_configuration(tmp_path: Path) -> None:
    """Of results and reasons, and of folders for them; the umask is back with another rule."""
    inbox, rejected = tmp_path / "inbox", tmp_path / "rejected"
    for folder in (inbox / "sub", rejected):
        folder.mkdir(parents=True)
    scan = inbox / "sub/a.tif"
    scan.write_bytes(b"x")
    scan.chmod(0o604)
    adopt(Permissions(folders="770", files="640"))
    path = result(tmp_path)
    moved = reject(scan, inbox, rejected, "why").place

    assert ("770", "640") == (mode(path.parent), mode(path))
    assert ("770", "640") == (mode(moved.parent), mode(moved.with_name("a.tif.reason.txt")))
    assert "604" == mode(moved)  # an original stays as it came

    adopt(Permissions(files="660"))
    again = result(tmp_path / "album")

    assert ("755", "660") == (mode(again.parent), mode(again))


@needs_root
def test_all_belongs_to_the_group_and_so_does_what_others_add(tmp_path: Path) -> None:
    """By the setgid bit; the folders of config.yaml too, when they are made."""
    gid = grp.getgrnam(OTHER_GROUP).gr_gid
    adopt(Permissions(group=OTHER_GROUP, folders="2775"))
    folders = {key: tmp_path / key for key in ("outbox", "state")}
    make_new_folders(folders)
    path = result(folders["outbox"])

    assert [gid] * 3 == [one.stat().st_gid for one in (folders["outbox"], path.parent, path)]
    assert ["2775"] * 2 == [mode(folders["outbox"]), mode(path.parent)]
    assert gid != folders["state"].stat().st_gid


def test_a_default_acl_goes_before_the_modes(tmp_path: Path) -> None:
    """It was set for this folder; the rule is for all of them."""
    acl(tmp_path, "u::rwx", "g::rwx", "g:daemon:rwx", "o::---", "m::rwx")
    without = result(tmp_path)
    inherited = os.getxattr(without, "system.posix_acl_access")
    adopt(Permissions(folders="755", files="644"))
    with_rule = deliver(tmp_path, PurePosixPath("other/b.tif"), lambda file: file.write(b"x")).path

    assert "660" == mode(without) == mode(with_rule)
    assert inherited == os.getxattr(with_rule, "system.posix_acl_access")
    assert os.getxattr(without.parent, "system.posix_acl_default") == os.getxattr(
        with_rule.parent, "system.posix_acl_default"
    )


def test_a_disk_that_knows_no_groups_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The photographs are of more worth."""

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    adopt(Permissions(files="600"))
    monkeypatch.setattr(os, "fchmod", refuse)
    with capture_logs() as logs:
        for name in ("a", "b"):
            with (tmp_path / name).open("w") as file:
                file_made(file.fileno(), tmp_path)

    assert ["permissions.refused"] == [entry["event"] for entry in logs]
    assert str(tmp_path) == logs[0]["folder"]


@needs_root
def test_a_group_must_be_there_and_have_the_user() -> None:
    """Else each file would be refused its group."""
    with pytest.raises(DeviceError, match="there is no group nowhere"):
        adopt(Permissions(group="nowhere"))
    with pytest.raises(AssertionError, match="is not in the group daemon"):
        as_nobody(lambda: group_number(OTHER_GROUP))
    gid = grp.getgrnam(OTHER_GROUP).gr_gid

    assert gid == as_nobody(lambda: group_number(OTHER_GROUP), groups=(gid,))


@pytest.mark.parametrize(
    "text", ["folders: 770", "folders: '9'", "files: '2640'", "group: 'a b'", "files: 0640"]
)
def test_modes_are_octal_digits_in_quotes(tmp_path: Path, text: str) -> None:
    """YAML makes other numbers of digits without them."""
    (tmp_path / "config.yaml").write_text(f"permissions: {{{text}}}\n")
    with pytest.raises(ConfigError, match=r"permissions\.\w+: must be"):
        load_config(tmp_path / "config.yaml")


class TestState:
    """Nobody else may take the ledger away."""

    def test_it_is_closed_to_all_others(self, tmp_path: Path) -> None:
        """Also where an earlier version left it open; and once is enough."""
        tmp_path.chmod(0o2770)
        close_state(tmp_path)
        close_state(tmp_path)

        assert "700" == mode(tmp_path)

    @needs_root
    def test_one_that_cannot_be_closed_is_refused_if_others_may_write_there(
        self, tmp_path: Path
    ) -> None:
        """With what to run. That they may only look is no danger."""
        tmp_path.chmod(0o755)
        as_nobody(lambda: close_state(tmp_path))
        tmp_path.chmod(0o777)
        with pytest.raises(AssertionError, match=f"run: chown {USER} {tmp_path}"):
            as_nobody(lambda: close_state(tmp_path))

    @needs_root
    @pytest.mark.parametrize(
        "use", [owner_of, StateLock, lambda state: Ledger(state / LEDGER_FILE)]
    )
    def test_commands_of_others_say_who_should_run_them(self, tmp_path: Path, use: object) -> None:
        """With the very command."""
        state = tmp_path / "state"
        state.mkdir(mode=0o700)
        words = f"{USER} may not read {state}; run it as the user root: sudo -u root photochrom"
        with pytest.raises(AssertionError, match=words):
            as_nobody(lambda: use(state))  # type: ignore[operator]

    @needs_root
    def test_it_is_the_owner_of_the_nearest_folder_that_can_be_seen(self, tmp_path: Path) -> None:
        """Where even the folder above is closed; and by number where it has no name."""
        home = tmp_path / "home"
        (home / "state").mkdir(parents=True)
        os.chown(home, GROUP, GROUP)
        home.chmod(0o700)

        with pytest.raises(AssertionError, match=f"run it as the user #{GROUP}: sudo -u "):
            as_nobody(lambda: refuse_strangers(home / "state", write=True))
        as_nobody(lambda: refuse_strangers(tmp_path / "missing", write=False))


def test_folders_are_made_by_others_with_the_same_rule(tmp_path: Path) -> None:
    """Whatever makes a folder below another one."""
    adopt(Permissions(folders="711"))
    with open_dir_beneath(tmp_path, PurePosixPath("a/b"), make=True) as folder:
        assert "711" == mode(folder)
