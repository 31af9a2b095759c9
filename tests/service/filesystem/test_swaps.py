"""A file that is swapped between two looks at it is left alone: never read, never moved, no hang.

Each test swaps at the worst moment, which a real attacker would only meet by luck.
"""

import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from service.config.loader import Config
from service.config.sections import Batching, Originals, Watch
from service.daemon.daemon import Daemon
from service.filesystem.file_stat import FileStat
from service.filesystem.folder_checks import make_folders
from service.ledger.jobs import Job, JobStatus
from service.maintenance.retry import retry
from service.pipeline import reading
from service.watch.stability import StableFile
from tests.support.fakes import FakeColorist
from tests.support.folder_listing import files
from tests.support.stepped_pipeline import Line
from tests.support.synthetic_photos import gray_scene, save
from worker import scan

pytestmark = pytest.mark.timeout(60)

OURS, SECRET = gray_scene(24, 32, seed=1), gray_scene(24, 32, seed=2)


def swapped_for(what: str, path: Path) -> None:
    """Put something else in the place of a scan, `sub/a.png` in the inbox."""
    elsewhere = path.parents[2] / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    save(elsewhere / "a.png", SECRET)
    if what == "folder's symlink":
        path.parent.rename(path.parents[1] / "aside")
        path.parent.symlink_to(elsewhere)
        return
    path.unlink()
    if what == "symlink":
        path.symlink_to(elsewhere / "a.png")
    elif what == "FIFO":
        os.mkfifo(path)
    elif what == "device":
        os.mknod(path, 0o20666, os.makedev(1, 5))  # /dev/zero, which never ends
    elif what == "another file":
        (elsewhere / "a.png").rename(path)


SWAPS = ["symlink", "FIFO", "device", "another file", "folder's symlink"]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """Make a pipeline."""
    made = Line(tmp_path)
    yield made
    made.pipeline.close()
    made.ledger.close()


@pytest.mark.parametrize("what", SWAPS)
def test_a_scan_swapped_before_it_is_read_is_left_alone(
    line: Line, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it was queued; the decoder never sees what took its place."""
    reads: list[Path] = []
    monkeypatch.setattr(scan, "read", lambda path, *_: reads.append(path))
    job = line.drop("sub/a.png", OURS)
    swapped_for(what, line.config.inbox / "sub/a.png")
    with capture_logs() as logs:
        line.run()

    assert [] == reads
    assert ["photo.changed"] == [entry["event"] for entry in logs]
    assert JobStatus.FAILED == line.job(job.id).status
    assert [] == [*files(line.config.outbox), *files(line.config.rejected)]


@pytest.mark.parametrize("what", SWAPS)
def test_a_scan_swapped_once_it_is_open_is_not_read_from_its_new_place(
    line: Line, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All bytes come from the file that was opened; and that is given up, since it left."""
    seen: list[np.ndarray] = []
    read, open_scan = scan.read, reading.open_scan

    def open_and_swap(job: Job, config: Config) -> tuple[io.FileIO, FileStat]:
        opened = open_scan(job, config)
        swapped_for(what, config.inbox / job.path)
        return opened

    def read_and_tell(*arguments: Any) -> scan.Scan:
        photo = read(*arguments)
        seen.append(photo.pages[0].gray)
        return photo

    monkeypatch.setattr(reading, "open_scan", open_and_swap)
    monkeypatch.setattr(scan, "read", read_and_tell)
    line.drop("sub/a.png", OURS)
    with capture_logs() as logs:
        line.run()

    assert [OURS.tolist()] == [gray.tolist() for gray in seen]
    assert ["photo.changed"] == [entry["event"] for entry in logs]
    assert [] == [*files(line.config.outbox), *files(line.config.rejected)]


@pytest.mark.parametrize("what", SWAPS)
def test_an_original_swapped_while_it_was_colored_has_no_result(
    line: Line, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never gets its name; what took the original's place stays where it is."""
    paint = line.colorist.paint

    def swap_and_paint(*arguments: object) -> object:
        swapped_for(what, line.config.inbox / "sub/a.png")
        return paint(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(line.colorist, "paint", swap_and_paint)
    line.drop("sub/a.png", OURS)
    line.run()

    assert [] == files(line.config.outbox)
    assert [] == files(line.config.originals.folder)
    assert os.path.lexists(line.config.inbox / "sub/a.png")


@pytest.mark.parametrize("what", SWAPS)
def test_a_file_swapped_before_it_is_queued_is_left_alone(tmp_path: Path, what: str) -> None:
    """Between the watcher's last look and the digest; no job is made of what took its place."""
    watch = Watch(settle=0.0, incomplete_timeout=0.0)
    config = Config(watch=watch, batch=Batching(longest_wait=0.0)).beside(tmp_path)
    make_folders(config.folders.values())
    path = config.inbox / "sub/a.png"
    path.parent.mkdir()
    save(path, OURS)
    daemon = Daemon(config, FakeColorist(), once=True)
    tell = daemon.watcher._on_stable
    told: list[Path] = []

    def swap_and_tell(files: Sequence[StableFile]) -> Sequence[str | Exception]:
        if not told:
            swapped_for(what, files[0].path)
        told.extend(file.path for file in files)
        reasons = tell(files)
        if len(told) == 1:
            assert daemon.ledger.queries.counts()[JobStatus.QUEUED] == 0
        return reasons

    daemon.watcher._on_stable = swap_and_tell
    daemon.run()
    Daemon(config, FakeColorist(), once=True).run()

    # What can be colored where it lies now is found there later, as what it is.
    expected = {"another file": ["sub/a.png"], "folder's symlink": ["aside/a.png"]}
    assert expected.get(what, []) == files(config.outbox)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Line]:
    """Make a pipeline that leaves originals in the inbox."""
    made = Line(tmp_path, originals=Originals(after="keep"))
    yield made
    made.pipeline.close()
    made.ledger.close()


@pytest.mark.parametrize("what", SWAPS)
def test_an_original_swapped_before_it_is_colored_again_is_not_read(
    kept: Line, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as gone or changed; the earlier result stays."""
    job = kept.drop("sub/a.png", OURS)
    kept.run()
    before = (kept.config.outbox / "sub/a.png").read_bytes()
    swapped_for(what, kept.config.inbox / "sub/a.png")
    reads: list[Path] = []
    monkeypatch.setattr(scan, "read", lambda path, *_: reads.append(path))
    kept.ledger.recolor([job.id], kept.now)
    with capture_logs() as logs:
        kept.run()

    assert [] == reads
    assert ["photo.not_recolored"] == [entry["event"] for entry in logs]
    assert before == (kept.config.outbox / "sub/a.png").read_bytes()


def test_a_symlink_planted_in_the_outbox_holds_up_only_what_is_meant_for_it(line: Line) -> None:
    """That photo is rejected and says why; without the symlink, it is colored at the next try."""
    elsewhere = line.config.inbox.parent / "elsewhere"
    elsewhere.mkdir()
    (line.config.outbox / "sub").symlink_to(elsewhere)
    job = line.drop("sub/a.png", OURS)
    line.drop("b.png", SECRET)
    line.run()

    assert [] == files(elsewhere)
    assert ["b.png"] == files(line.config.outbox)
    assert ["sub/a.png", "sub/a.png.reason.txt"] == files(line.config.rejected)
    reason = (line.config.rejected / "sub/a.png.reason.txt").read_text()
    assert (
        f"a symlink or a file is in the place of a folder ({line.config.outbox / 'sub'})" in reason
    )

    (line.config.outbox / "sub").unlink()
    assert [True] == [answer.done for answer in retry(line.config, [job.id])]
    line.queue("sub/a.png")
    line.run()

    assert ["b.png", "sub/a.png"] == files(line.config.outbox)


@pytest.mark.parametrize("folder", ["originals", "rejected"])
def test_a_symlink_planted_among_the_originals_moves_nothing_through_it(
    line: Line, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original stays in the inbox until the symlink is gone; nothing else waits for it."""
    elsewhere = line.config.inbox.parent / "elsewhere"
    elsewhere.mkdir()
    (line.config.inbox.parent / folder / "sub").symlink_to(elsewhere)
    monkeypatch.setattr(line.colorist, "refuses", lambda _page: folder == "rejected")
    line.drop("sub/a.png", OURS)
    with capture_logs() as logs:
        line.run()

    assert [] == files(elsewhere)
    assert ["sub/a.png"] == files(line.config.inbox)
    assert ["photo.not_moved"] == [
        entry["event"] for entry in logs if "a symlink or a file" in str(entry.get("reason"))
    ]

    (line.config.inbox.parent / folder / "sub").unlink()
    line.now += 100
    line.drop("b.png", SECRET)
    line.run()

    assert [] == files(line.config.inbox)
    assert "sub/a.png" in files(line.config.inbox.parent / folder)
