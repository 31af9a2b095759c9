"""Folders as shares have them: whose they are, and who may do what; the real command on them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.filesystem.ownership import MARKER
from tests.support.command import HASTY, Command, Home, ordinary_prefix
from tests.support.folder_listing import files
from tests.support.mount_namespaces import WITH_FAKE, Namespace, can_mount
from tests.support.synthetic_photos import color_scene
from tests.support.unprivileged_user import USER, needs_root, reachable_folder


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Make a folder that other users can reach."""
    yield from reachable_folder()


def test_a_second_daemon_on_one_outbox_is_refused_until_it_takes_over(tmp_path: Path) -> None:
    """With the owner's name; the first one's results stay what they were."""
    first = Home(tmp_path / "first")
    second = Home(tmp_path / "second", f"{HASTY}outbox: {first.outbox}\n")
    first.drop("a.png")
    with first.start("run", program=WITH_FAKE) as daemon:
        daemon.wait_for("photo.moved")
        mine = (first.outbox / "a.png").read_bytes()
        second.drop("a.png")
        for option in ((), ("--take-over",)):
            with second.start("run", "--once", *option, program=WITH_FAKE) as refused:
                assert 1 == refused.exit_code()
                assert f"the state folder {first.folder / 'state'} on " in refused.said
                assert f"stop it (process {daemon.process.pid} on " in refused.said
    with second.start("run", "--once", program=WITH_FAKE) as refused:
        assert 1 == refused.exit_code()
        assert "run `photochrom run --take-over` once" in refused.said
    assert ["a.png"] == files(first.outbox)

    with second.start("run", "--once", "--take-over", program=WITH_FAKE) as taken:
        assert 0 == taken.exit_code(), taken.said
        assert 1 == len(taken.events("folder.taken_over", state=str(first.folder / "state")))
    assert 2 == len(files(first.outbox))
    assert mine == (first.outbox / "a.png").read_bytes()
    assert str(second.folder / "state") == json.loads((first.outbox / MARKER).read_text())["state"]
    with first.start("run", "--once", program=WITH_FAKE) as refused:
        assert 1 == refused.exit_code()


def status(home: Home) -> dict[str, Any]:
    """Return what `photochrom status --json` says."""
    with home.start("status", "--json") as command:
        assert 0 == command.exit_code(), command.said
        said: dict[str, Any] = json.loads(command.printed)
        return said


def told(daemon: Command, home: Home, **values: Any) -> None:
    """Return when `photochrom status` says all this."""
    daemon.wait_until(lambda: values.items() <= status(home).items())


@needs_root
def test_originals_in_folders_of_others_are_told_of_once_and_leave_when_they_may(
    tmp_path: Path,
) -> None:
    """They are colored; status and the log name the folder and the remedy, which helps."""
    home = Home(tmp_path)
    for number in range(20):
        home.drop(f"album/{number}.png")
    album = home.inbox / "album"
    os.chown(album, USER, USER)
    album.chmod(0o755)
    with home.start("run", program=WITH_FAKE, prefix=ordinary_prefix()) as daemon:
        daemon.wait_for("photo.delivered", times=20)
        told(daemon, home, unmoved_originals=20)
        (blocked,) = daemon.events("originals.blocked")

        assert str(album) == blocked["folder"]
        assert [] == daemon.events("photo.not_moved") == files(home.originals)
        now = status(home)
        assert [{"folder": str(album), "photos": 20, "reason": blocked["reason"]}] == now["unmoved"]
        assert any(
            reason.startswith(f"20 originals cannot leave {album}: root may not write there; ")
            for reason in now["health"]["reasons"]
        )
        with home.start("status") as page:
            page.exit_code()
        assert ": ok, but permissions must be fixed" in page.printed

        command = blocked["reason"].partition("; ")[2]
        assert 0 == os.system(command), command  # noqa: S605 - it is what a person would paste
        told(daemon, home, unmoved_originals=0)
        daemon.wait_for("photo.moved", times=20)

        assert 20 == len(files(home.originals))
        assert [20] == [event["photos"] for event in daemon.events("originals.unblocked")]


@needs_root
def test_folders_that_may_not_be_read_are_counted(tmp_path: Path) -> None:
    """Their scans are found once they may be."""
    home = Home(tmp_path)
    home.drop("closed/a.png")
    os.chown(home.inbox / "closed", USER, USER)
    (home.inbox / "closed").chmod(0o700)
    with home.start("run", program=WITH_FAKE, prefix=ordinary_prefix()) as daemon:
        told(daemon, home, unreadable_folders=1, unreadable=[str(home.inbox / "closed")])
        (home.inbox / "closed").chmod(0o777)
        daemon.wait_for("photo.moved")
        told(daemon, home, unreadable_folders=0, unreadable=[])


@needs_root
@pytest.mark.parametrize("after", ["move", "keep"])
def test_a_pass_ends_though_permissions_keep_originals(tmp_path: Path, after: str) -> None:
    """With 75 where they are to be moved: only a person can help. Kept ones are no fault."""
    home = Home(tmp_path, f"{HASTY}originals: {{after: {after}}}\n")
    home.drop("album/a.png")
    os.chown(home.inbox / "album", USER, USER)
    (home.inbox / "album").chmod(0o755)
    with home.start("run", "--once", program=WITH_FAKE, prefix=ordinary_prefix()) as daemon:
        assert {"move": 75, "keep": 0}[after] == daemon.exit_code()

    assert ["album/a.png"] == files(home.outbox) == files(home.inbox)


def test_folders_go_when_their_last_scan_has_left(tmp_path: Path) -> None:
    """Others stay, and so does what a person just made; a scan dropped there again is taken."""
    quick = HASTY.replace("rescan: 1.0", "rescan: 1.0, settle_shared: 0.3")
    home = Home(tmp_path, f"{quick}originals: {{remove_empty_after: 0.5}}\n")
    home.drop("box/album/a.png")
    home.drop("box/notes/b.png")
    (home.inbox / "box/notes/list.txt").touch()
    (home.inbox / "mine").mkdir()
    with home.start("run", program=WITH_FAKE) as daemon:
        daemon.wait_for("folder.removed", folder=str(home.inbox / "box/album"))
        home.drop("box/album/c.png")
        daemon.wait_for("folder.removed", folder=str(home.inbox / "box/album"), times=2)
        daemon.wait_until(lambda: len(files(home.originals)) == 3)

    assert ["box/notes/list.txt"] == files(home.inbox)
    assert (home.inbox / "mine").is_dir()
    assert ["box/album/a.png", "box/album/c.png", "box/notes/b.png"] == files(home.originals)


@needs_root
@pytest.mark.parametrize("command", ["status", "find x", "retry --all", "forget 1", "models list"])
def test_a_command_of_somebody_without_rights_says_who_should_run_it(
    tmp_path: Path, command: str
) -> None:
    """In words that can be pasted, whatever it was that it could not open first."""
    home = Home(tmp_path)
    with home.start("run", "--once", program=WITH_FAKE) as daemon:
        assert 0 == daemon.exit_code(), daemon.said
    assert 0o700 == (home.folder / "state").stat().st_mode & 0o777
    stranger = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
    with home.start(*command.split(), prefix=stranger) as refused:
        assert 1 == refused.exit_code()

    refusals = ("may not ", "has no permission for ")
    assert refused.said.startswith(tuple(f"photochrom: {USER} {words}" for words in refusals))
    assert f"; run it as the user root: sudo -u root photochrom {command}\n" in refused.said


def test_a_collection_on_a_share_that_is_read_only_is_colored_from_there(tmp_path: Path) -> None:
    """With `after: keep`; a scan that is rejected is no fault either, and nothing is written."""
    if not can_mount():
        pytest.skip("namespaces with mounts are not allowed here")
    home = Home(tmp_path, f"{HASTY}originals: {{after: keep}}\n")
    home.drop("album/a.png")
    home.drop("album/color.png", color_scene(64, 80))
    before = {path: path.stat().st_mtime_ns for path in home.inbox.rglob("*")}
    with Namespace() as namespace:
        namespace.bind(home.inbox, home.inbox)
        namespace.run("mount", "-o", "remount,bind,ro", home.inbox)
        for rejected in (1, 0):
            with home.start("run", "--once", program=WITH_FAKE, prefix=namespace.prefix) as daemon:
                assert {1: 3, 0: 0}[rejected] == daemon.exit_code(), daemon.said
                assert rejected == len(daemon.events("photo.rejected"))
                assert [] == daemon.events("daemon.held_up")

    assert before == {path: path.stat().st_mtime_ns for path in home.inbox.rglob("*")}
    assert ["album/a.png"] == files(home.outbox)
    assert [] == files(home.rejected)
