"""What is tried again, what is forgotten, and what a kill leaves."""

import errno
import io
import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from rich.console import Console

from service.config.folder_sections import AS_USUAL, FolderSettings
from service.config.loader import Config
from service.config.sections import Batching, Originals, Watch
from service.daemon.daemon import Daemon
from service.filesystem import safe_open
from service.filesystem.lock import StateLock
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.maintenance.retry import JobResult, forget, print_results, retry
from service.storage import moves
from tests.support.delivered_results import REASON, color, place_with_ledger, queue, reject
from tests.support.fakes import FakeColorist
from tests.support.folder_listing import files
from tests.support.synthetic_photos import gray_scene, save
from worker.errors import DeviceError


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders and an empty ledger."""
    return place_with_ledger(tmp_path)


def job(config: Config, number: int) -> Job:
    """Look a job up."""
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        found = ledger.job(number)
    assert found
    return found


def put_back(config: Config, name: str) -> Job:
    """Queue a scan that a fault of the machine holds up for a year."""
    waiting = queue(config, name)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.claim(99, 0.0, in_flight=0)
        return ledger.back_off(waiting.id, "No space left on device", 1e11)


def run_daemon(config: Config) -> None:
    """Have a daemon with a fake device do all that waits."""
    watch = Watch(settle=0.0, incomplete_timeout=0.0)
    hasty = {"watch": watch, "batch": Batching(longest_wait=0.0)}
    with StateLock(config.state):
        assert Daemon(config.model_copy(update=hasty), FakeColorist(), once=True).run()


class TestRejected:
    """Their scans come back into the inbox."""

    def test_a_rejected_scan_comes_back_without_its_reason(self, config: Config) -> None:
        """Under its path, with its bytes and its looks; the ledger is left to the daemon."""
        scan = reject(config, "1931/a.tif")
        answers = retry(config, [scan.id])
        back = config.inbox / "1931/a.tif"

        assert [True] == [answer.done for answer in answers]
        looks = safe_open.file_stat(back)
        assert looks is not None
        assert scan.stat.same_as(looks)
        assert scan.digest == safe_open.digest(back)
        assert [] == files(config.rejected)
        assert JobStatus.FAILED is job(config, scan.id).status

    def test_what_is_asked_for_is_noted_before_the_scan_comes_back(
        self, config: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A daemon may find it at once; a dry run notes nothing."""
        scan = reject(config, "1931/a.tif")
        asked = FolderSettings(even_if_colored=True)
        retry(config, [scan.id], dry_run=True, asked=asked)
        before = job(config, scan.id).settings
        monkeypatch.setattr(moves, "restore", lambda *_: None)  # as if killed
        retry(config, [scan.id], asked=asked)

        assert AS_USUAL == before
        assert asked == job(config, scan.id).settings
        assert ["1931/a.tif", "1931/a.tif.reason.txt"] == files(config.rejected)

    def test_a_rejected_scan_that_was_kept_in_the_inbox_is_queued_from_there(
        self, config: Config
    ) -> None:
        """As the same job; without `retry` no daemon takes it up while it is unchanged."""
        config = config.model_copy(update={"originals": Originals(after="keep")})
        scan = queue(config, "a.tif")
        with Ledger(config.state / LEDGER_FILE) as ledger:
            ledger.fail(scan.id, REASON, 1.0)
        would = retry(config, [scan.id], dry_run=True)

        assert JobStatus.FAILED is job(config, scan.id).status

        answers = retry(config, [scan.id])

        assert [True, True] == [answer.done for answer in (*would, *answers)]
        assert JobStatus.QUEUED is job(config, scan.id).status
        assert ["a.tif"] == files(config.inbox)

    def test_the_daemon_colors_what_came_back_once_and_as_the_same_job(
        self, config: Config
    ) -> None:
        """With its attempts counted anew."""
        save(config.inbox / "a.png", gray_scene(24, 32))
        snapshot = safe_open.file_stat(config.inbox / "a.png")
        assert snapshot
        path = PurePosixPath("a.png")
        with Ledger(config.state / LEDGER_FILE) as ledger:
            digest = safe_open.digest(config.inbox / path)
            first, _ = ledger.enqueue(path, digest, snapshot, path, 0.0)
            ledger.fail(first.id, REASON, 1.0)
        moves.reject(config.inbox / path, config.inbox, config.rejected, REASON)
        retry(config, rejected=True)
        run_daemon(config)
        again = job(config, first.id)

        assert (JobStatus.FINISHED, 1) == (again.status, again.attempts)
        assert (["a.png"], ["a.png"]) == (files(config.outbox), files(config.originals.folder))
        assert ([], []) == (files(config.inbox), files(config.rejected))

    def test_a_dry_run_changes_nothing_and_says_the_same(self, config: Config) -> None:
        """Of what can be done and of what cannot."""
        for name in ("a.tif", "b.tif"):
            reject(config, name)
        queue(config, "b.tif")
        before = files(config.inbox), files(config.rejected)
        dry = retry(config, rejected=True, dry_run=True)

        assert before == (files(config.inbox), files(config.rejected))
        assert dry == retry(config, rejected=True)

    def test_nothing_in_the_inbox_is_overwritten(self, config: Config) -> None:
        """The rejected scan stays, with its reason, until the name is free."""
        scan = reject(config, "a.tif")
        (config.inbox / "a.tif").write_bytes(b"another scan")
        [answer] = retry(config, [scan.id])

        assert not answer.done
        assert "the inbox has another file with its name" in answer.words
        assert b"another scan" == (config.inbox / "a.tif").read_bytes()
        assert ["a.tif", "a.tif.reason.txt"] == files(config.rejected)

    def test_scans_that_bore_one_name_are_told_apart_by_content(self, config: Config) -> None:
        """Each comes back for its own job, also when one with a smaller number is gone."""
        first = reject(config, "a.tif")
        other = config.inbox / "a.tif"
        other.write_bytes(b"gray A.tif")  # as long as the first
        looks = safe_open.file_stat(other)
        assert looks
        with Ledger(config.state / LEDGER_FILE) as ledger:
            path = PurePosixPath("a.tif")
            second, _ = ledger.enqueue(path, safe_open.digest(other), looks, path, 0.0)
            ledger.fail(second.id, REASON, 1.0)
        moves.reject(other, config.inbox, config.rejected, REASON)
        retry(config, [first.id])
        (config.inbox / "a.tif").unlink()
        [answer] = retry(config, [second.id])

        assert answer.done
        assert b"gray A.tif" == (config.inbox / "a.tif").read_bytes()
        assert [] == files(config.rejected)

    def test_a_scan_that_was_taken_away_is_told(self, config: Config) -> None:
        """There is nothing to move."""
        gone = reject(config, "gone.tif")
        (config.rejected / "gone.tif").unlink()
        why = f"its scan is not in {config.rejected}; drop it again"

        assert [JobResult(gone.id, gone.path, done=False, words=why)] == retry(
            config, rejected=True
        )
        assert [] == files(config.inbox)

    def test_a_scan_that_was_edited_or_replaced_comes_back_as_what_it_is(
        self, config: Config
    ) -> None:
        """It is a new photo to the ledger, which forgets the one that nobody has any more."""
        scan = reject(config, "1931/a.tif")
        (config.rejected / "1931/a.tif").write_bytes(b"mended")
        would = retry(config, [scan.id], dry_run=True)
        answers = retry(config, [scan.id])

        assert would == answers
        assert [True] == [answer.done for answer in answers]
        assert "changed since it was rejected, so it will be a new job" in answers[0].words
        assert b"mended" == (config.inbox / "1931/a.tif").read_bytes()
        assert [] == files(config.rejected)
        with Ledger(config.state / LEDGER_FILE) as ledger:
            assert [] == ledger.queries.failed()

    def test_the_scan_of_another_job_is_not_taken_for_one_that_is_gone(
        self, config: Config
    ) -> None:
        """Though it lies under a number of its name, or bears such a name itself."""
        first, second = reject(config, "a.tif"), reject(config, "a (2).tif")
        (config.rejected / "a.tif").unlink()
        answers = retry(config, [first.id])

        assert [False] == [answer.done for answer in answers]
        assert ["a (2).tif", "a (2).tif.reason.txt"] == [
            name for name in files(config.rejected) if name != "a.tif.reason.txt"
        ]
        assert JobStatus.FAILED is job(config, second.id).status

    @pytest.mark.parametrize(
        "said",
        ["1931/a.tif", "1931", "{rejected}/1931/a.tif", "{inbox}/1931/a.tif", "{rejected}",
         "{rejected}/1931/a.tif.reason.txt", "{outbox}/1931"],
    )  # fmt: skip
    def test_files_and_folders_are_understood(self, config: Config, said: str) -> None:
        """From any of the folders, or as photochrom prints them."""
        scan = reject(config, "1931/a.tif")
        queue(config, "b.tif")
        folders = {key: str(folder) for key, folder in config.folders.items() if "." not in key}
        answers = retry(config, [said.format(**folders)])

        assert [(scan.id, True)] == [(answer.job, answer.done) for answer in answers]
        assert ["1931/a.tif", "b.tif"] == files(config.inbox)

    def test_a_scan_that_no_job_has_is_moved_back_too(self, config: Config) -> None:
        """As after a lost ledger; with a note that belongs to it."""
        (config.rejected / "a.tif").write_bytes(b"a scan")
        (config.rejected / "a.tif.reason.txt").write_text("the file is cut short\n")
        queue(config, "b.tif")
        answers = retry(config, [str(config.rejected / "a.tif"), "nothing.tif", "77"])

        assert [True, False, False] == [answer.done for answer in answers]
        assert ["a.tif", "b.tif"] == files(config.inbox)
        assert [] == files(config.rejected)

    def test_of_a_folder_only_what_failed_or_waits_is_tried(self, config: Config) -> None:
        """And it says so where there is none."""
        color(config, "done/a.tif")
        color(config, "done/b.tif")
        scan = reject(config, "some/a.tif")
        color(config, "some/b.tif")
        answers = retry(config, ["done", "some"])

        assert [(scan.id, True), (None, False)] == [(one.job, one.done) for one in answers]
        assert "nothing in it was rejected or is waiting" == answers[1].words

    def test_a_long_name_that_was_shortened_is_found(self, config: Config) -> None:
        """It comes back under the whole of it."""
        scan = reject(config, "x" * 250 + ".tif")
        retry(config, [scan.id])

        assert [str(scan.path)] == files(config.inbox)
        assert [] == files(config.rejected)

    def test_a_name_that_is_not_utf_8_is_moved_and_told(self, config: Config) -> None:
        """Its bytes are written out."""
        scan = reject(config, os.fsdecode(b"caf\xe9.tif"))
        page = io.StringIO()
        print_results(retry(config, [scan.id]), Console(file=page, width=40))

        assert page.getvalue().startswith("job 1, caf\\udce9.tif: moved back to the inbox from ")
        assert [str(scan.path)] == files(config.inbox)

    def test_nothing_is_moved_through_a_symlink_out_of_the_inbox(
        self, config: Config, tmp_path: Path
    ) -> None:
        """Though a sub-folder became one since the scan was rejected."""
        scan = reject(config, "1931/a.tif")
        (config.inbox / "1931").rmdir()
        (tmp_path / "elsewhere").mkdir()
        (config.inbox / "1931").symlink_to(tmp_path / "elsewhere")
        [answer] = retry(config, [scan.id])

        assert "a symlink or a file is in the place of a folder" in answer.words
        assert [] == files(tmp_path / "elsewhere")
        assert ["1931/a.tif", "1931/a.tif.reason.txt"] == files(config.rejected)

    def test_an_inbox_that_is_away_is_not_made(self, config: Config) -> None:
        """It may be a share that is not mounted."""
        reject(config, "a.tif")
        config.inbox.rmdir()

        with pytest.raises(DeviceError, match="does not exist; mount or create it"):
            retry(config, rejected=True)
        assert not config.inbox.exists()

    def test_on_another_file_system_the_scan_is_copied(
        self, config: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Verified before it is removed; where the copy fails, all is as it was."""
        scan = reject(config, "a.tif")
        monkeypatch.setattr(moves, "renamed_at_once", lambda *_: False)
        whole = moves.copy_file

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(moves, "copy_file", full)
        [failed] = retry(config, [scan.id])
        between = files(config.inbox), files(config.rejected)
        reason = (config.rejected / "a.tif.reason.txt").read_text()
        monkeypatch.setattr(moves, "copy_file", whole)
        [moved] = retry(config, [scan.id])

        assert (False, True) == (failed.done, moved.done)
        assert "No space left on device" in failed.words
        assert ([], ["a.tif", "a.tif.reason.txt"]) == between
        assert f"{REASON}\n" == reason
        assert scan.digest == safe_open.digest(config.inbox / "a.tif")
        assert [] == files(config.rejected)


def killed_at(call: int, config: Config) -> bool:
    """Run `retry` in a process that is killed before its n-th change; tell whether it was."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    left = itertools.count(call, -1)

    def counted(act: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **options: Any) -> Any:
            if next(left) == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return act(*arguments, **options)

        return change

    for owner, name in (
        *((Path, name) for name in ("rename", "unlink", "open")),
        *((os, name) for name in ("fsync", "link", "mkdir")),
        (moves, "renamed_at_once"),
    ):
        setattr(owner, name, counted(getattr(owner, name)))
    done = [answer.done for answer in retry(config, rejected=True)]
    os._exit(0 if done == [True] else 1)


@pytest.mark.parametrize("on_one_disk", [True, False])
def test_after_a_kill_at_any_point_the_scan_is_there_and_can_be_tried_again(
    config: Config, monkeypatch: pytest.MonkeyPatch, *, on_one_disk: bool
) -> None:
    """Exactly once, also when a daemon ran in between; only where it is copied may one be left."""
    scan = reject(config, "1931/a.tif")
    if not on_one_disk:
        monkeypatch.setattr(moves, "renamed_at_once", lambda *_: False)
    kills = 0
    while killed_at(kills, config):
        kills += 1
        found = [*whole(config.inbox, scan), *whole(config.rejected, scan)]
        run_daemon(config)  # it cannot color these bytes, and rejects them again
        answers = retry(config, rejected=True)

        assert found
        assert [True] == [answer.done for answer in answers]
        assert [Path("1931/a.tif")] == whole(config.inbox, scan)
        assert ["1931/a.tif"] == files(config.inbox)
        if on_one_disk:
            assert 1 == len(found)
            assert [] == files(config.rejected)
        moves.reject(config.inbox / scan.path, config.inbox, config.rejected, REASON)

    assert kills >= (5 if on_one_disk else 9)
    assert [Path("1931/a.tif")] == whole(config.inbox, scan)


def whole(folder: Path, scan: Job) -> list[Path]:
    """List the visible files in a folder that are a job's scan."""
    return [
        path.relative_to(folder)
        for path in folder.rglob("[!.]*.tif")
        if safe_open.digest(path) == scan.digest
    ]


def test_a_scan_that_a_daemon_is_moving_just_now_is_not_touched(config: Config) -> None:
    """It has two names for a moment, and the daemon is about to remove one."""
    scan = reject(config, "a.tif")
    os.link(config.rejected / "a.tif", config.inbox / "a.tif")
    [answer] = retry(config, [scan.id])
    with pytest.raises(FileExistsError):
        moves.restore(
            config.rejected / "a.tif", config.rejected, config.inbox / "a.tif", config.inbox
        )
    (config.inbox / "a.tif").unlink()

    assert not answer.done
    assert [Path("a.tif")] == whole(config.rejected, scan)
    assert ["a.tif", "a.tif.reason.txt"] == files(config.rejected)


def test_no_daemon_takes_up_a_scan_before_it_is_moved_whole(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is copied, it would else reject the copy, and find that it has it already."""
    reject(config, "a.tif")
    monkeypatch.setattr("service.ledger.database.LONGEST_LOCK_WAIT", 0.01)
    monkeypatch.setattr(moves, "renamed_at_once", lambda *_: False)
    whole_copy = moves.copy_file
    refused: list[str] = []

    def meanwhile(source: Path, target: Path, wanted: str | None, name: Path) -> os.stat_result:
        looks = whole_copy(source, target, wanted, name)
        with pytest.raises(DeviceError, match="locked") as error:
            queue(config, "another.tif")
        refused.append(str(error.value))
        return looks

    monkeypatch.setattr(moves, "copy_file", meanwhile)
    [answer] = retry(config, rejected=True)

    assert answer.done
    assert 1 == len(refused)
    assert 2 == queue(config, "another.tif").id


class TestWaiting:
    """What a fault of the machine holds up is due at once."""

    def test_all_that_wait_become_due(self, config: Config) -> None:
        """When all are asked for, or one of them; not when only the rejected are."""
        first, second = put_back(config, "a.tif"), put_back(config, "b.tif")
        nothing = retry(config, rejected=True)
        dry = retry(config, waiting=True, dry_run=True)
        still = job(config, first.id).not_before
        answers = retry(config, [second.id])

        assert [] == nothing
        assert 1e11 == still
        assert dry == answers
        assert [JobResult(j.id, j.path, done=True, words="due now") for j in (first, second)] == dry
        with Ledger(config.state / LEDGER_FILE) as ledger:
            assert [first.id] == [j.id for j in ledger.claim(2, time.time(), in_flight=0)][:1]
            assert [] == ledger.queries.backed_off(time.time())

    def test_what_is_queued_in_work_or_finished_is_left(self, config: Config) -> None:
        """It says why; so of a number that nobody has."""
        finished, queued = color(config, "a.tif"), queue(config, "b.tif")
        answers = retry(config, [finished.id, queued.id, 77])

        assert [False] * 3 == [answer.done for answer in answers]
        assert "finished; to color it again" in answers[0].words
        assert "already waiting or in work" == answers[1].words
        assert JobResult(77, None, done=False, words="no such job") == answers[2]
        assert JobStatus.FINISHED is job(config, finished.id).status

    def test_what_could_not_be_colored_again_is_queued_again(self, config: Config) -> None:
        """From its original; its earlier result stays until then."""
        done = color(config, "a.tif")
        with Ledger(config.state / LEDGER_FILE) as ledger:
            ledger.recolor([done.id], 0.0)
            ledger.claim(1, 1.0, in_flight=0)
            ledger.fail(done.id, "the original is gone", 2.0)
        retry(config, rejected=True, dry_run=True)
        before = job(config, done.id).status
        [answer] = retry(config, rejected=True)
        after = job(config, done.id)

        assert "queued to be recolored from its original" == answer.words
        assert JobStatus.FAILED is before
        assert (JobStatus.QUEUED, True) == (after.status, after.recolor)
        assert ["a.tif"] == files(config.outbox)

    def test_without_a_ledger_there_is_nothing(self, config: Config) -> None:
        """And none is made."""
        (config.state / LEDGER_FILE).unlink()

        assert [] == retry(config, rejected=True, waiting=True)
        assert [JobResult(1, None, done=False, words="no such job")] == forget(config, [1])
        assert not (config.state / LEDGER_FILE).exists()


class TestForgetting:
    """Rows go, files stay."""

    def test_a_forgotten_scan_is_colored_as_new_under_another_name(self, config: Config) -> None:
        """The earlier result is a stranger's by then, and stays as it is."""
        scan = save(config.inbox / "a.png", gray_scene(24, 32))
        content = scan.read_bytes()
        run_daemon(config)
        earlier = (config.outbox / "a.png").read_bytes()
        [answer] = forget(config, [1])
        scan.write_bytes(content)
        run_daemon(config)
        new = job(config, 2)

        assert answer.done
        assert f"{config.outbox / 'a.png'} and its scan stay" in answer.words
        assert f"a.{new.digest[:8]}.png" == str(new.output)
        assert ["a.png", str(new.output)] == sorted(files(config.outbox), key=len)
        assert earlier == (config.outbox / "a.png").read_bytes()
        assert files(config.outbox) == files(config.originals.folder)

    def test_what_waits_or_is_in_work_is_not_forgotten(self, config: Config) -> None:
        """Also when it waits to be colored again; a rejected one is."""
        again, waiting = color(config, "a.tif"), queue(config, "b.tif")
        rejected = reject(config, "c.tif")
        with Ledger(config.state / LEDGER_FILE) as ledger:
            ledger.recolor([again.id], 0.0)
        answers = forget(config, [again.id, waiting.id, rejected.id, 9])

        assert [False, False, True, False] == [answer.done for answer in answers]
        assert "waiting or in work" in answers[0].words
        assert ["c.tif", "c.tif.reason.txt"] == files(config.rejected)
        with Ledger(config.state / LEDGER_FILE) as ledger:
            assert [again.id, waiting.id] == [job.id for job in ledger.queries.owning_output()]
            assert [] == ledger.queries.failed()


def test_a_person_is_told_what_was_and_with_a_dry_run_what_would_be_done() -> None:
    """One line a job, whole however narrow the screen; names are no markup."""
    path = PurePosixPath("[red]a.tif")
    answers = [
        JobResult(1, path, done=True, words="due now"),
        JobResult(2, path, done=False, words="its scan is gone"),
        JobResult(3, None, done=False, words="no such job"),
    ]
    page = io.StringIO()
    print_results(answers, Console(file=page, width=10), dry_run=True)
    print_results(answers[:1], Console(file=page, width=10))
    print_results([], Console(file=page))

    assert [
        "job 1, [red]a.tif: would be due now",
        "job 2, [red]a.tif: its scan is gone",
        "job 3: no such job",
        "job 1, [red]a.tif: due now",
        "nothing to retry",
    ] == page.getvalue().splitlines()
