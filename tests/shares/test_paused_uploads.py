"""Two hundred uploads that pause in the middle, by real servers, beside an unprivileged daemon.

None is taken before it is whole, none loses a byte, and each result shows all of its scan. All
come at once, so that the longest pause is waited for once; then each shared folder is looked at.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest

from tests.shares.machine import DAEMON, GROUP, Machine, why_not
from tests.shares.scans import KINDS, DecodedImage, raw, raw_16, three_pages
from tests.shares.scenes import FOLDERS, Scene
from tests.shares.servers import Servers
from tests.shares.writers import Upload, Writers
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.shares, pytest.mark.slow, pytest.mark.timeout(420)]

PAUSES = (30.0, 8.0, 3.0)  # seconds; the longest begin first
LATEST = 90.0  # seconds from the end of the last upload until all must be done
LOCAL = ("halves", "stopped", "pages", "size_first", "header_last", "mapped")
LOST_AND_FOUND = ("closed_between", "size_first_closed_between")
SMB = ("smb.stopped", "smb.slow", "smb.again")
FTP = ("ftp.slow", "ftp.returns")
SSH = ("sftp.slow", "sftp.stopped", "sftp.size_first", "scp.stopped", "scp.old")
RSYNC = ("rsync.inplace", "rsync.stopped")
ALL = (*(f"local.{way}" for way in (*LOCAL, *LOST_AND_FOUND)), *SMB, *FTP, *SSH, *RSYNC)
# Where the system tells nothing: what does not end within its quiet time is told by its content.
UNSEEN = (
    *("local.halves", "local.stopped", "local.size_first", "local.header_last"),
    *("local.closed_between", "smb.stopped", "ftp.slow", "sftp.slow", "scp.stopped"),
)
KEPT = ("local.appended", "local.pages", "local.halves")
TIMES = {
    "one": (ALL, 2),
    "two": (ALL, 1),
    "bind": (UNSEEN, 1),
    "ssh": (UNSEEN, 1),
    "keep": (KEPT, 1),
}
# Their full size comes first, which harms only these; or they have to be large, since clients send
# some 200 KB at once, however slow they are to be.
RAW_ONLY = {"local.size_first", "local.mapped", "local.size_first_closed_between"}
RAW_ONLY |= {*SSH, *RSYNC}


REASONS = ("a program has it open for writing", "cut short")  # of which `status` is to tell


class Story(NamedTuple):
    """What happened: each scene by name, the uploads in it, and what `status` said meanwhile."""

    scenes: dict[str, Scene]
    uploads: dict[str, list[Upload]]
    arriving: list[dict[str, Any]]


def picture_for(way: str, seed: int, folder: Path) -> DecodedImage:
    """Make a scan that this way of uploading is a danger for."""
    if way in {"local.pages", "local.appended"}:
        return three_pages(seed, folder)
    if way in RAW_ONLY:
        return (raw, raw_16)[seed % 2](seed)
    return KINDS[seed % len(KINDS)](seed)


def uploads_to(
    scene: Scene, ways: Sequence[str], times: int, seeds: Iterator[int], folder: Path
) -> list[Upload]:
    """Plan uploads in each way with each pause."""
    found = []
    for pause, way, _ in itertools.product(PAUSES, ways, range(times)):
        seed = next(seeds)
        picture = picture_for(way, seed, folder)
        name = f"{way.replace('.', '-')}-{seed}{picture.suffix}"
        found.append(Upload(scene.inbox, name, way, pause, picture))
    return found


def scenes_on(machine: Machine, servers: Servers, *, fuse: bool) -> dict[str, Scene]:
    """Make shared folders on one file system, across two, behind FUSE, and one that is kept."""
    one, two = Scene(machine, "one"), Scene(machine, "two")
    kept = Scene(machine, "keep", after="keep")
    for scene in (one, two, kept):
        scene.make()
    inbox = f"{two.folder}/inbox"
    machine.run("mount", "-t", "tmpfs", "-o", "size=256m", "none", inbox)
    machine.run("chown", f"{DAEMON}:{GROUP}", inbox)
    machine.run("chmod", "2770", inbox)
    found = {"one": one, "two": two, "keep": kept}
    if fuse:
        for name in ("bind", "ssh"):
            real = f"/srv/{name}.real"
            machine.share(real, *(f"{real}/{folder}" for folder in FOLDERS))
            found[name] = Scene(machine, name, f"{real}/inbox")
        machine.run("mkdir", "/srv/bind")
        machine.run("bindfs", "/srv/bind.real", "/srv/bind")
        servers.mount("/srv/ssh.real", "/srv/ssh")
    return found


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Have everything uploaded, wait for the daemons to be done, and stop them."""
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("shares")
    for name in ("servers", "sources", "pages"):
        (folder / name).mkdir()
    with Machine(folder) as machine:
        servers = Servers(machine, folder / "servers")
        scenes = scenes_on(machine, servers, fuse=not why_not(fuse=True))
        seeds = itertools.count()
        plans = [(name, *plan) for name, plan in TIMES.items() if name in scenes]
        uploads = {
            name: uploads_to(scenes[name], ways, times, seeds, folder / "pages")
            for name, ways, times in plans
        }
        for scene in scenes.values():
            scene.start()
        arriving = upload_all(Writers(machine, servers, folder / "sources"), scenes, uploads)
        for scene in scenes.values():
            scene.stop()
        yield Story(scenes, uploads, arriving)


def upload_all(
    writers: Writers, scenes: dict[str, Scene], uploads: dict[str, list[Upload]]
) -> list[dict[str, Any]]:
    """Upload and wait for the daemons to be done; return which files `status` called arriving."""
    every = sorted(itertools.chain(*uploads.values()), key=lambda upload: -upload.pause)
    work = Thread(target=writers.run, args=(every,))
    work.start()
    seen: list[dict[str, Any]] = []
    while work.is_alive():
        work.join(5.0)
        if not all(any(word in one["reason"] for one in seen) for word in REASONS):
            seen += scenes["one"].status()["arriving"]["files"]
    waiting = [(scenes[name], upload) for name, some in uploads.items() for upload in some]

    def all_are_home() -> bool:
        waiting[:] = [(scene, one) for scene, one in waiting if not scene.is_home(one)]
        return not waiting

    with suppress(AssertionError):  # the tests say which are not
        wait_until(all_are_home, LATEST)
    return seen


def faults(story: Story, name: str) -> list[str]:
    """Say what is wrong in a scene."""
    if name not in story.scenes:
        pytest.skip(why_not(fuse=True))
    return story.scenes[name].faults(story.uploads[name])


def test_two_hundred_were_uploaded(story: Story) -> None:
    """In all ways; where there is no FUSE they are fewer."""
    counts = {name: len(uploads) for name, uploads in story.uploads.items()}

    assert 200 <= sum(counts.values()) or "ssh" not in counts, counts


@pytest.mark.parametrize("name", TIMES)
def test_a_paused_upload_is_taken_when_it_is_whole(story: Story, name: str) -> None:
    """Not before; its original has the client's SHA-256, its result shows all of it."""
    assert [] == faults(story, name)


def test_status_says_what_is_on_its_way(story: Story) -> None:
    """Files that a program has open, and such as are cut short, with the reason."""
    names = {upload.name for upload in story.uploads["one"]}

    assert {one["path"] for one in story.arriving} <= names
    for word in REASONS:
        assert any(word in one["reason"] for one in story.arriving), word


@pytest.mark.parametrize("name", TIMES)
def test_verify_finds_nothing(story: Story, name: str) -> None:
    """The ledger, the originals, the results and their sidecars belong together."""
    if name not in story.scenes:
        pytest.skip(why_not(fuse=True))
    count = len(story.uploads[name])

    assert f"photographs checked: {count}; findings: 0" in story.scenes[name].verify()
