"""Real files and ledger, a fake device, and the test's own clock."""

import errno
import io
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from structlog.testing import capture_logs

from service.config.folder_sections import FolderSettings
from service.config.sections import Batching, Originals, Output
from service.filesystem import safe_open
from service.ledger.jobs import Job, JobStatus
from service.storage import departures, moves, outbox
from service.storage.moves import Departure
from service.storage.naming import free_name
from service.storage.sidecar import read_sidecar
from tests.support.fakes import FakeColorist, rendering
from tests.support.folder_listing import files
from tests.support.stepped_pipeline import Line
from tests.support.synthetic_photos import Array, color_scene, gray_scene, save
from tests.support.waiting import wait_until
from worker import scan
from worker.color import cielab
from worker.errors import DeviceError
from worker.inference import local_engine as engine_module
from worker.inference.local_engine import BATCHES_IN_MEMORY, THREADS
from worker.inference.wishes import ab_of
from worker.settings import ColorPoint, ColorWishes, ReadSettings, Reference


def full() -> OSError:
    """Give what a full disk says."""
    return OSError(errno.ENOSPC, "No space left on device")


def failing() -> OSError:
    """Give what a disk says that fails."""
    return OSError(errno.EIO, "Input/output error")


def fail_together(line: Line, count: int) -> None:
    """Let photographs be rendered, or fail, when so many are in hand."""
    line.colorist.gate.clear()
    wait_until(lambda: (line.step(), rendering(line.pipeline) == count)[1])
    line.colorist.gate.set()
    line.run()


@pytest.fixture
def make_line(tmp_path: Path) -> Iterator[Callable[..., Line]]:
    """Make lines that are closed after the test, whatever happened in it."""
    lines: list[Line] = []

    def make(**sections: Any) -> Line:
        lines.append(Line(tmp_path, **sections))
        return lines[-1]

    yield make
    for each in lines:
        each.colorist.gate.set()
        each.colorist.device_gate.set()
        each.pipeline.close()
        each.ledger.close()


@pytest.fixture
def line(make_line: Callable[..., Line]) -> Line:
    """Make a line with the usual settings."""
    return make_line()


class TestScansThatWereNotWhole:
    """Their writer paused for longer than anybody waits; nothing wrong is delivered or lost."""

    def test_the_rest_of_one_that_is_cut_short_is_waited_for(self, line: Line) -> None:
        """Its job is dropped until then; where that was done long enough, it is rejected."""
        job = line.drop("a.png")
        whole = (line.config.inbox / "a.png").read_bytes()
        (line.config.inbox / "a.png").write_bytes(whole[:-20])
        line.ledger.claim(1, line.now, in_flight=0)
        line.ledger.unqueue(job.id)
        line.queue("a.png")
        line.inbox.waits = True
        line.run()

        [(path, reason)] = line.inbox.held
        assert line.config.inbox / "a.png" == path
        assert "cut short" in reason
        assert {"inbox": ["a.png"], "outbox": [], "originals": [], "rejected": []} == line.files()
        assert not line.ledger.queries.failed()

        line.inbox.waits = False
        line.queue("a.png")
        line.run()
        assert ["a.png", "a.png.reason.txt"] == line.files()["rejected"]

    def test_one_that_changed_while_it_was_colored_has_no_result(
        self, line: Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also when its size and time are as they were: its SHA-256 is compared."""
        path = line.config.inbox / "a.tif"
        paint = line.colorist.paint

        def change_and_paint(*arguments: object) -> object:
            looks = path.stat()
            with path.open("r+b") as file:
                file.seek(-8, os.SEEK_END)
                file.write(b"\x01" * 8)
            os.utime(path, ns=(looks.st_atime_ns, looks.st_mtime_ns))
            return paint(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(line.colorist, "paint", change_and_paint)
        line.drop("a.tif", gray_scene(64, 80))
        line.run()

        assert {"inbox": ["a.tif"], "outbox": [], "originals": [], "rejected": []} == line.files()
        assert [path] == line.inbox.revisited

    @pytest.mark.parametrize("fate", ["colored", "rejected"])
    def test_what_is_written_to_after_the_move_comes_back(self, line: Line, fate: str) -> None:
        """As itself, with its result withdrawn and its job forgotten; then it is done anew."""
        job = line.drop("sub/a.png", color_scene(64, 64) if fate == "rejected" else None)
        line.run()
        moved = line.config.originals.folder if fate == "colored" else line.config.rejected
        with (moved / "sub/a.png").open("ab") as late:
            late.write(b"late bytes")
        line.now += 2.0
        with capture_logs() as logs:
            line.step()

        assert ["photo.taken_back"] == [entry["event"] for entry in logs]
        assert {
            "inbox": ["sub/a.png"],
            "outbox": [],
            "originals": [],
            "rejected": [],
        } == line.files()
        assert line.ledger.queries.job(job.id) is None
        assert line.config.inbox / "sub/a.png" == line.inbox.revisited[-1]

    def test_what_is_at_rest_after_the_move_stays_there(self, line: Line) -> None:
        """Nothing is looked at for ever."""
        job = line.drop("a.png")
        line.run()
        line.now += 2.0
        line.step()

        assert ["a.png"] == line.files()["originals"]
        assert ["a.png"] == line.files()["outbox"]
        assert JobStatus.FINISHED is line.job(job.id).status
        assert line.pipeline.originals.next_due(line.now) is None


class TestScansThatGrow:
    """A scanner adds pages to a file whose result was delivered."""

    def pages(self, line: Line, count: int) -> None:
        """Write the first pages of a film strip in the inbox."""
        path = line.config.inbox / "a.tif"
        for number in range(count):
            tifffile.imwrite(path, gray_scene(24, 32, seed=number), append=number > 0)

    def queue(self, line: Line) -> Job:
        """Queue it under a free name, as the intake does, and have it colored."""
        path = PurePosixPath("a.tif")
        looks = safe_open.file_stat(line.config.inbox / path)
        assert looks is not None
        digest = safe_open.digest(line.config.inbox / path)
        name = free_name(path, digest, line.config, line.ledger.queries)
        job, _is_new = line.ledger.enqueue(path, digest, looks, name, line.now)
        line.run()
        return job

    def test_the_longer_one_takes_the_place_of_the_shorter(self, line: Line) -> None:
        """One result under the name, of all pages; both originals and both jobs stay."""
        jobs = []
        for count in (1, 3):
            self.pages(line, count)
            jobs.append(self.queue(line))
        first, second = (line.job(job.id) for job in jobs)

        assert ["a.tif"] == line.files()["outbox"]
        assert 3 == len(read_sidecar(line.config.outbox / "a.tif.json").pages)
        assert second.digest == safe_open.digest(line.config.originals.folder / "a.tif")
        aside = line.config.originals.folder / f"a.{first.digest[:8]}.tif"
        assert first.digest == safe_open.digest(aside)
        assert (second.id, None) == (first.superseded_by, second.superseded_by)
        assert PurePosixPath(aside.name) == first.original
        assert 0 == line.ledger.recolor([first.id], line.now)

    def test_another_photograph_of_the_name_is_none(self, line: Line) -> None:
        """It has a result of its own, and its original has the name of that."""
        self.pages(line, 1)
        self.queue(line)
        path = line.config.inbox / "a.tif"
        for number in (7, 8):
            tifffile.imwrite(path, gray_scene(24, 32, seed=number), append=number > 7)
        name = f"a.{safe_open.digest(path)[:8]}.tif"
        self.queue(line)

        assert sorted([name, "a.tif"]) == line.files()["outbox"]
        assert sorted([name, "a.tif"]) == line.files()["originals"]


class TestAnotherFormat:
    """`output.format` became another one while photos waited."""

    def test_a_photo_that_waited_comes_out_under_a_name_that_fits(
        self, make_line: Callable[..., Line]
    ) -> None:
        """Its name tells what is inside; another scan's result is not overwritten."""
        line = make_line(output=Output(format="jpeg"))
        line.drop("a.png")
        line.drop("b.png", gray_scene(24, 32, seed=1))
        (line.config.outbox / "b.png.jpg").touch()
        line.run()
        found = line.files()["outbox"]

        assert "a.png.jpg" in found
        assert [name for name in found if name.startswith("b.png.")] != ["b.png.jpg"]
        assert b"" == (line.config.outbox / "b.png.jpg").read_bytes()
        assert [] == [name for name in found if name.endswith(".png")]
        assert PurePosixPath("a.png.jpg") == line.job(1).output

    def test_a_photo_to_be_colored_again_keeps_its_result(
        self, make_line: Callable[..., Line], tmp_path: Path
    ) -> None:
        """It has one of the former format, which would be replaced by another kind of file."""
        line = make_line()
        job = line.drop("a.png")
        line.run()
        before = (line.config.outbox / "a.png").read_bytes()
        line.ledger.recolor([job.id], line.now)
        line.pipeline.close()
        jpeg = line.config.model_copy(update={"output": Output(format="jpeg")})
        line.pipeline = line.make_pipeline(jpeg)
        line.run()

        assert before == (line.config.outbox / "a.png").read_bytes()
        assert ["a.png"] == files(tmp_path / "outbox")
        assert (
            "delivered as .png, but output.format now produces another format"
            == line.job(job.id).reason
        )


class TestTheUsualWay:
    """Nothing goes wrong."""

    def test_photos_are_delivered_and_their_originals_archived(self, line: Line) -> None:
        """Same names and sub-folders, same sizes; the original is moved byte for byte."""
        names = ["a.png", "sub/b.png", "sub/c.png"]
        jobs = [line.drop(name, gray_scene(24 + 8 * n, 32, seed=n)) for n, name in enumerate(names)]
        originals = {name: (line.config.inbox / name).read_bytes() for name in names}
        line.run()

        assert {"inbox": [], "outbox": names, "originals": names, "rejected": []} == line.files()
        for n, name in enumerate(names):
            assert originals[name] == (line.config.originals.folder / name).read_bytes()
            colored = scan.read_color(line.config.outbox / name, ReadSettings())
            assert (24 + 8 * n, 32, 3) == colored.shape
        assert [JobStatus.FINISHED] * 3 == [line.job(job.id).status for job in jobs]
        assert ["fake"] * 3 == [line.job(job.id).model for job in jobs]
        assert [0.5] * 3 == [line.job(job.id).confidence for job in jobs]
        assert 3 == line.pipeline.tally.finished

    def test_every_event_of_a_photo_carries_its_job_and_path(self, line: Line) -> None:
        """So that one photo can be followed through the log."""
        job = line.drop("sub/a.png")
        with capture_logs() as logs:
            line.run()

        assert ["photo.delivered", "photo.moved"] == [entry["event"] for entry in logs]
        assert all(job.id == entry["job"] and job.path == entry["path"] for entry in logs)

    def test_originals_that_are_kept_stay_in_the_inbox(
        self, make_line: Callable[..., Line]
    ) -> None:
        """With `after: keep` the inbox is only read."""
        line = make_line(originals=Originals(after="keep"))
        line.drop("a.png")
        line.run()

        assert ["a.png"] == line.files()["inbox"]
        assert ["a.png"] == line.files()["outbox"]
        assert not line.config.originals.folder.exists()

    def test_a_rejected_scan_that_is_kept_stays_in_the_inbox(
        self, make_line: Callable[..., Line]
    ) -> None:
        """With `after: keep` its reason is in the ledger, and nothing is written beside it."""
        line = make_line(originals=Originals(after="keep"))
        job = line.drop("sub/color.png", color_scene(24, 32))
        line.run()

        assert JobStatus.FAILED == line.job(job.id).status
        assert "color" in str(line.job(job.id).reason)
        assert ["sub/color.png"] == line.files()["inbox"]
        assert [] == line.files()["rejected"]
        assert [] == list(line.config.inbox.glob(".*"))

    @pytest.mark.parametrize("name", ["a.png", "a.png.json"])
    def test_a_name_that_is_taken_while_a_photo_is_in_work_stays_its_takers(
        self, line: Line, name: str
    ) -> None:
        """As by a second daemon on the same outbox; the photo comes out under another name."""
        job = line.drop("a.png")
        (line.config.outbox / name).write_bytes(b"theirs")
        line.run()
        done = line.job(job.id)

        assert b"theirs" == (line.config.outbox / name).read_bytes()
        assert (JobStatus.FINISHED, 1) == (done.status, done.attempts)
        assert PurePosixPath(f"a.{job.digest[:8]}.png") == done.output
        assert done.output_digest == safe_open.digest(line.config.outbox / done.output)
        assert [str(done.output)] == line.files()["originals"]

    def test_a_full_batch_goes_to_the_device_at_once(self, make_line: Callable[..., Line]) -> None:
        """Together, and the last ones do not wait for company that will not come."""
        line = make_line(batch=Batching(longest_wait=3600.0))
        for n in range(5):
            line.drop(f"{n}.png", gray_scene(24, 32, seed=n))
        line.run()

        assert 5 == sum(line.colorist.batches)
        assert max(line.colorist.batches) <= line.colorist.batch_size
        assert 5 == len(line.files()["outbox"])


class TestMemory:
    """Only a bounded number of photos, and of their pixels, is in hand."""

    def test_the_number_of_photos_in_hand_is_bounded(self, line: Line) -> None:
        """However many wait and however slow the disk is."""
        for n in range(20):
            line.drop(f"{n}.png", gray_scene(8, 8, seed=n))
        line.colorist.gate.clear()
        most = BATCHES_IN_MEMORY * line.colorist.batch_size
        wait_until(lambda: (line.step(), most == self.in_hand(line))[1])
        for _ in range(20):
            line.step()

        assert most == self.in_hand(line)

        line.colorist.gate.set()
        line.run()

        assert 20 == len(line.files()["outbox"])

    @staticmethod
    def in_hand(line: Line) -> int:
        """Count the jobs that are claimed and not done."""
        return line.ledger.queries.counts()[JobStatus.STARTED]

    def test_no_photo_is_read_while_the_pixels_in_hand_are_too_many(
        self, line: Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """They are read ahead only while there is room; one that is larger goes alone."""
        monkeypatch.setattr(engine_module, "PIXELS_IN_MEMORY", 100)
        reads: list[str] = []
        read = scan.read
        monkeypatch.setattr(
            scan, "read", lambda path, *rest: (reads.append(path.name), read(path, *rest))[1]
        )
        for n in range(THREADS + 4):
            line.drop(f"{n}.png", gray_scene(24, 32, seed=n))
        line.colorist.gate.clear()
        wait_until(lambda: (line.step(), rendering(line.pipeline) > 0)[1])
        for _ in range(20):
            line.step()

        assert len(reads) <= THREADS

        line.colorist.gate.set()
        line.run()

        assert THREADS + 4 == len(line.files()["outbox"])


class TestWishes:
    """What people wish of colors reaches the result, and stays with it."""

    def test_wishes_are_granted_and_every_recoloring_keeps_them(self, line: Line) -> None:
        """The sidecar has who said what; another photo is as usual."""
        line.drop("b.png", gray_scene(24, 32, seed=3))
        job = line.drop("a.png")
        coat = ColorPoint(0.5, 0.5, "#7a1f2b", who="Ada", source="the coat itself")
        sunset = Reference("sunset.jpg", "0" * 64, ((20, 40, 900), (0, 0, 100)), "Li")
        wishes = ColorWishes(70, 5, (coat,), reference=sunset)
        line.ledger.override_settings(job.id, FolderSettings.of(wishes))
        line.run()
        first = (line.config.outbox / "a.png").read_bytes()
        line.pipeline.take_up(FakeColorist(model="new"))
        line.ledger.recolor([job.id], line.now)
        line.run()
        again = (line.config.outbox / "a.png").read_bytes()
        sidecar = read_sidecar(line.config.outbox / "a.png.json")
        colored = cielab.lab_of_rgb(scan.read_color(line.config.outbox / "a.png", ReadSettings()))

        assert first != again
        assert "new" == sidecar.model.version
        assert sidecar.wishes is not None
        assert wishes == sidecar.wishes.asked
        assert np.linalg.norm(colored[12, 16, 1:] - ab_of("#7a1f2b")) < 3
        for photo in (first, again):
            assert b"color known at 1 place (said by Ada), vividness 70, warmth 5" in photo
            assert b"colors like those of sunset.jpg (chosen by Li)" in photo
        assert read_sidecar(line.config.outbox / "b.png.json").wishes is None


class TestThePhotosFault:
    """A ScanError concerns one photo only."""

    def test_a_photo_that_cannot_be_read_is_rejected_alone(self, line: Line) -> None:
        """It goes to the rejected ones with the reason; its neighbors are delivered."""
        line.drop("sub/color.png", color_scene(64, 64))
        line.drop("sub/a.png")
        line.run()

        assert ["sub/a.png"] == line.files()["outbox"]
        assert ["sub/color.png", "sub/color.png.reason.txt"] == line.files()["rejected"]
        reason = (line.config.rejected / "sub/color.png.reason.txt").read_text()
        assert "in color already" in reason
        assert "with `photochrom retry 1 --even-if-colored`" in reason
        assert 1 == line.pipeline.tally.rejected
        assert 1 == line.pipeline.tally.finished

    def test_a_photo_in_color_is_colored_when_that_was_asked_for(self, line: Line) -> None:
        """Also again; where it had color is told in the log and the sidecar."""
        job = line.drop("a.png", color_scene(64, 64))
        line.ledger.override_settings(job.id, FolderSettings(even_if_colored=True))
        with capture_logs() as logs:
            line.run()
        line.pipeline.take_up(FakeColorist(model="new"))
        line.ledger.recolor([job.id], line.now)
        line.run()
        (told,) = [entry for entry in logs if entry["event"] == "photo.color_replaced"]
        sidecar = read_sidecar(line.config.outbox / "a.png.json")

        assert "new" == line.job(job.id).model
        assert (job.id, 1) == (told["job"], told["page"])
        regions = [region.model_dump() for region in sidecar.pages[0].replaced_color]
        assert told["regions"] == regions != []
        assert sidecar.settings["even_if_colored"]

    def test_a_photo_the_generator_refuses_is_rejected_alone(self, line: Line) -> None:
        """Its neighbors in the batch are delivered."""
        line.colorist.refuses = lambda photo: photo.gray.shape[1] == 40
        line.drop("a.png")
        refused = line.drop("b.png", gray_scene(24, 40))
        line.run()

        assert {
            "inbox": [],
            "outbox": ["a.png"],
            "originals": ["a.png"],
            "rejected": ["b.png", "b.png.reason.txt"],
        } == line.files()
        assert JobStatus.FAILED == line.job(refused.id).status
        assert "refused by the fake" == line.job(refused.id).reason

    def test_a_file_that_was_changed_since_it_was_queued_is_not_colored_as_what_it_was(
        self, line: Line
    ) -> None:
        """It stays in the inbox; nothing is delivered, and it is not called rejected."""
        job = line.drop("a.png")
        save(line.config.inbox / "a.png", gray_scene(48, 64))
        with capture_logs() as logs:
            line.run()

        assert {"inbox": ["a.png"], "outbox": [], "originals": [], "rejected": []} == line.files()
        assert JobStatus.FAILED == line.job(job.id).status
        assert ["photo.changed"] == [entry["event"] for entry in logs]
        assert 0 == line.pipeline.tally.rejected

    def test_a_file_that_changes_while_it_is_read_is_not_colored(
        self, line: Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was read may be half of each, so it is thrown away."""
        read = scan.read

        def read_slowly(
            path: Path, settings: ReadSettings, file: io.FileIO, *rest: Any
        ) -> scan.Scan:
            photo = read(path, settings, file, *rest)
            save(path, gray_scene(48, 64))
            return photo

        monkeypatch.setattr(scan, "read", read_slowly)
        line.drop("a.png")
        line.run()

        assert {"inbox": ["a.png"], "outbox": [], "originals": [], "rejected": []} == line.files()

    @pytest.mark.parametrize("pixels", [gray_scene(24, 32), color_scene(24, 32)])
    def test_a_scan_that_is_dropped_again_while_it_is_in_work_is_done(
        self, line: Line, pixels: Array
    ) -> None:
        """Nobody tells of the second copy again; colored or rejected, it leaves the inbox."""
        job = line.drop("a.png", pixels)
        line.step()  # its reader has it, as it looked then
        again = line.config.inbox / "again.png"
        shutil.copy(line.config.inbox / job.path, again)
        again.rename(line.config.inbox / job.path)
        line.queue("a.png")
        line.run()

        assert [] == line.files()["inbox"]
        assert line.job(job.id).status in {JobStatus.FINISHED, JobStatus.FAILED}
        assert 1 == line.pipeline.tally.finished + line.pipeline.tally.rejected

    def test_a_file_that_was_taken_away_is_forgotten(self, line: Line) -> None:
        """Its owner changed their mind; there is nothing to reject."""
        line.drop("a.png")
        (line.config.inbox / "a.png").unlink()
        line.run()

        assert {"inbox": [], "outbox": [], "originals": [], "rejected": []} == line.files()


class TestTheMachinesFault:
    """The photo waits, however long it takes."""

    def test_photos_wait_for_the_device_twice_as_long_each_time(self, line: Line) -> None:
        """Up to the longest wait; attempts do not count, and it is colored in the end."""
        line.colorist.faults.extend(DeviceError("the card fell off the bus") for _ in range(4))
        job = line.drop("a.png")
        waits = []
        for _ in range(4):
            line.run()
            waits.append(line.job(job.id).not_before - line.now)
            assert JobStatus.QUEUED == line.job(job.id).status
            line.now += waits[-1]
        line.run()

        assert [10.0, 20.0, 35.0, 35.0] == waits
        assert JobStatus.FINISHED == line.job(job.id).status
        assert 1 == line.job(job.id).attempts
        assert ["a.png"] == line.files()["outbox"]

    def test_what_a_person_makes_due_is_begun_at_once(self, line: Line) -> None:
        """By `photochrom retry`; if the fault is still there, the next wait is the longer one."""
        line.colorist.faults.extend(DeviceError("the card fell off the bus") for _ in range(2))
        job = line.drop("a.png")
        line.run()
        line.now += 1.0
        line.ledger.expedite(line.now)
        line.run()
        second = line.job(job.id).not_before - line.now
        line.now += 1.0
        line.ledger.expedite(line.now)
        line.run()

        assert 20.0 == second
        assert JobStatus.FINISHED == line.job(job.id).status

    def test_nothing_is_begun_before_the_wait_is_over(self, line: Line) -> None:
        """Other photos would meet the same fault."""
        line.colorist.faults.append(DeviceError("the card fell off the bus"))
        line.drop("a.png")
        line.run()
        later = line.drop("b.png")
        line.now += 9.9
        line.run()

        assert JobStatus.QUEUED == line.job(later.id).status
        assert 1 == line.pipeline.faults

        line.now += 0.1
        line.run()

        assert ["a.png", "b.png"] == line.files()["outbox"]
        assert 0 == line.pipeline.faults

    def test_photos_that_fail_together_are_one_fault(self, line: Line) -> None:
        """They double the wait once, not once a photo."""
        line.colorist.paint_faults.extend(full() for _ in range(4))
        jobs = [line.drop(f"{n}.png", gray_scene(24, 32, seed=n)) for n in range(4)]
        fail_together(line, 4)

        assert {1010.0} == {line.job(job.id).not_before for job in jobs}
        assert 1 == line.pipeline.faults

    def test_after_a_fault_one_photo_goes_first(self, line: Line) -> None:
        """A disk that fails for a year gives one line of log for each try, not one a photo."""
        line.colorist.paint_faults.extend(failing() for _ in range(9))
        jobs = [line.drop(f"{n}.png", gray_scene(24, 32, seed=n)) for n in range(4)]
        fail_together(line, 4)
        line.colorist.paint_faults.clear()
        line.colorist.paint_faults.append(failing())
        line.now += 10.0
        with capture_logs() as logs:
            line.run()

        assert 1 == sum(entry["event"] == "photo.waits" for entry in logs)
        assert [] == line.files()["outbox"]

        line.now += 35.0
        line.run()

        assert len(jobs) == len(line.files()["outbox"])

    def test_a_full_disk_makes_photos_wait_and_leaves_nothing_behind(self, line: Line) -> None:
        """No half-written photo in the outbox; when there is space again it is delivered."""
        line.colorist.paint_faults.append(full())
        job = line.drop("sub/a.png")
        with capture_logs() as logs:
            line.run()

        assert [] == line.files()["outbox"]
        assert ["sub/a.png"] == line.files()["inbox"]
        assert (JobStatus.QUEUED, 0, 1) == (
            line.job(job.id).status,
            line.job(job.id).attempts,
            line.job(job.id).waits,
        )
        assert "No space left" in logs[0]["reason"]

        line.now += 10.0
        line.run()

        assert ["sub/a.png"] == line.files()["outbox"]
        assert ["sub/a.png"] == line.files()["originals"]

    def test_a_small_photo_is_not_held_behind_a_large_one_that_does_not_fit(
        self, line: Line
    ) -> None:
        """Those as large as that one wait with it, and are not even begun."""
        line.colorist.paint_faults.append(full())
        large = line.drop("large.png", gray_scene(96, 96))
        line.run()
        larger = line.drop("larger.png", gray_scene(120, 120))
        line.drop("small.png")
        unresolved = line.pipeline.unresolved(line.now)
        line.run()

        assert ["small.png"] == line.files()["outbox"]
        assert (1, 0) == (line.job(large.id).waits, line.job(larger.id).waits)
        assert 1 == line.pipeline.faults
        assert unresolved == line.pipeline.blocked_by == line.job(large.id).reason
        assert (
            f"outbox: {line.config.outbox}: No space left on device; free up space;"
            " smaller photographs go on meanwhile"
        ) == unresolved

        line.now += 10.0
        line.run()

        assert ["large.png", "larger.png", "small.png"] == line.files()["outbox"]
        assert 0 == line.pipeline.faults
        assert not line.pipeline.blocked_by

    def test_what_does_not_fit_is_tried_less_often_though_small_ones_do(self, line: Line) -> None:
        """Each time after twice the wait; without the small ones' success it would be the same."""
        line.colorist.paint_faults.append(full())
        large = line.drop("large.png", gray_scene(96, 96))
        line.run()
        waits = []
        for n in range(3):
            line.drop(f"{n}.png")
            line.run()
            waits.append(line.job(large.id).not_before - line.now)
            line.now += waits[-1]
            line.colorist.paint_faults.append(full())
            line.run()

        assert [10.0, 20.0, 35.0] == waits
        assert ["0.png", "1.png", "2.png"] == line.files()["outbox"]

    def test_a_full_disk_is_told_once_and_not_for_each_photo(self, line: Line) -> None:
        """Those that fail together are told of at the level of debugging."""
        line.colorist.paint_faults.extend(full() for _ in range(4))
        for n in range(4):
            line.drop(f"{n}.png")
        with capture_logs() as logs:
            fail_together(line, 4)
        levels = [entry["log_level"] for entry in logs if entry["event"] == "photo.waits"]

        assert ["debug"] * 3 + ["warning"] == sorted(levels)

    def test_what_waits_for_room_is_begun_at_once_when_a_person_makes_it_due(
        self, line: Line
    ) -> None:
        """As `photochrom retry` does, when space was freed."""
        line.colorist.paint_faults.append(full())
        line.drop("a.png")
        line.run()
        line.ledger.expedite(line.now)
        line.run()

        assert ["a.png"] == line.files()["outbox"]

    def test_a_disk_that_fails_to_sync_makes_photos_wait(
        self, line: Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A photo that may not be on the disk is not delivered."""
        faults: list[OSError] = [OSError(errno.EIO, "Input/output error")]
        sync = outbox.os.fsync

        def failing(descriptor: int) -> None:
            if faults and threading.current_thread().name.startswith("writer"):
                raise faults.pop()
            sync(descriptor)

        monkeypatch.setattr("os.fsync", failing)
        line.drop("a.png")
        line.run()

        assert [] == line.files()["outbox"]

        line.now += 10.0
        line.run()

        assert ["a.png"] == line.files()["outbox"]

    @pytest.mark.parametrize("fate", ["archived", "rejected"])
    def test_an_original_that_cannot_be_moved_is_moved_later(
        self, line: Line, monkeypatch: pytest.MonkeyPatch, fate: str
    ) -> None:
        """The photo is done by then; only the move is tried again, after the wait."""
        name = {"archived": "archive", "rejected": "reject"}[fate]
        faults: list[OSError] = [OSError(errno.EROFS, "Read-only file system")]
        move = getattr(moves, name)

        def failing(*args: Any, **kwargs: Any) -> Departure:
            if faults:
                raise faults.pop()
            moved = move(*args, **kwargs)
            assert isinstance(moved, Departure)
            return moved

        monkeypatch.setattr(moves, name, failing)
        line.drop("a.png", color_scene(64, 64) if fate == "rejected" else None)
        with capture_logs() as logs:
            line.run()

        assert ["a.png"] == line.files()["inbox"]
        assert "photo.not_moved" == logs[-1]["event"]
        assert 10.0 == line.pipeline.next_due(line.now)

        line.now += 10.0
        line.run()

        assert [] == line.files()["inbox"]
        home = {"archived": "originals", "rejected": "rejected"}[fate]
        assert "a.png" in line.files()[home]

    @pytest.mark.parametrize("change", ["finish", "fail", "back_off", "requeue"])
    def test_a_ledger_that_cannot_be_written_loses_nothing(
        self, line: Line, monkeypatch: pytest.MonkeyPatch, change: str
    ) -> None:
        """The step ends with the fault, and the next one goes on where it ended."""
        line.colorist.refuses = lambda photo: photo.gray.shape[1] == 40
        if change == "back_off":
            line.colorist.paint_faults.append(full())
        if change == "requeue":
            line.colorist.paint_faults.append(ZeroDivisionError())
        line.drop("a.png")
        line.drop("b.png", gray_scene(24, 40))
        faults = [DeviceError("database or disk is full")]
        done = getattr(line.ledger, change)

        def failing(*args: Any, **kwargs: Any) -> Any:
            if faults:
                raise faults.pop()
            return done(*args, **kwargs)

        monkeypatch.setattr(line.ledger, change, failing)
        with pytest.raises(DeviceError):
            line.run()
        line.run()
        line.now += 35.0
        line.run()

        assert {
            "inbox": [],
            "outbox": ["a.png"],
            "originals": ["a.png"],
            "rejected": ["b.png", "b.png.reason.txt"],
        } == line.files()
        assert (1, 1) == (line.pipeline.tally.finished, line.pipeline.tally.rejected)


class TestTooLittleMemory:
    """Another program may have it, or the photo is too large: it comes alone, but not for ever."""

    @pytest.mark.parametrize("where", ["read", "predict", "paint"])
    def test_a_photo_that_never_fits_is_rejected_in_plain_words(
        self, line: Line, monkeypatch: pytest.MonkeyPatch, where: str
    ) -> None:
        """After the last attempt, with its size and what to do; the others are delivered."""
        _hungry(line, monkeypatch, where)
        big = line.drop("big.png", gray_scene(48, 40))
        line.drop("a.png")
        line.drop("b.png", gray_scene(24, 32, seed=2))
        for _ in range(3):
            line.run()
            line.now += 35.0

        assert ["a.png", "b.png"] == line.files()["outbox"]
        assert ["big.png", "big.png.reason.txt"] == line.files()["rejected"]
        reason = (line.config.rejected / "big.png.reason.txt").read_text()
        assert "out of memory after 3 attempts (the last one alone)" in reason
        assert "0.0 MB as a file" in reason
        assert f"photochrom retry {big.id}" in reason
        assert ("2.5 megapixels" in reason) == (where == "read")

    def test_it_is_tried_again_after_the_wait_and_alone(
        self, line: Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With nothing else in memory, so that the last attempt is a fair one."""
        _hungry(line, monkeypatch, "predict")
        job = line.drop("big.png", gray_scene(48, 40))
        line.drop("a.png")
        with capture_logs() as logs:
            line.run()

        assert (1, 0) == (line.job(job.id).attempts, line.job(job.id).waits)
        assert 1010.0 == line.job(job.id).not_before
        waits = [entry for entry in logs if entry["event"] == "photo.waits"]
        assert "out of memory for a photograph of 0.0 MB as a file" == waits[0]["reason"]

        line.now += 10.0
        line.colorist.batches.clear()
        line.run()

        assert 1 == line.colorist.batches[0]

    def test_memory_that_is_there_again_is_enough(self, line: Line) -> None:
        """The photo is delivered, and its attempts are forgotten with the fault."""
        line.colorist.faults.append(MemoryError())
        line.colorist.paint_faults.append(OSError(errno.ENOMEM, "Cannot allocate memory"))
        line.drop("a.png")
        for _ in range(3):
            line.run()
            line.now += 35.0

        assert ["a.png"] == line.files()["outbox"]
        assert 0 == line.pipeline.faults

    def test_a_device_without_room_for_one_photo_rejects_none(self, line: Line) -> None:
        """Every photo is of one size to the device, so that it is never the photo's fault."""
        line.colorist.faults.extend(DeviceError("too little memory for one photo") for _ in "12345")
        job = line.drop("a.png")
        for _ in range(5):
            line.run()
            line.now += 35.0

        assert (JobStatus.QUEUED, 0, 5) == (
            line.job(job.id).status,
            line.job(job.id).attempts,
            line.job(job.id).waits,
        )

        line.run()

        assert ["a.png"] == line.files()["outbox"]


def _hungry(line: Line, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Let a photo of 48 x 40 not fit into memory where it is read, predicted or painted."""
    read, predict, paint = scan.read, line.colorist.predict, line.colorist.paint

    def hungry_read(path: Path, *rest: Any) -> scan.Scan:
        if path.name == "big.png":
            raise MemoryError("2.5 megapixels")
        return read(path, *rest)

    def hungry_predict(pages: Any) -> Any:
        line.colorist.batches.append(len(pages))
        if any(page.gray.shape[0] == 48 for page in pages):
            raise MemoryError
        return predict(pages)

    def hungry_paint(photo: scan.Scan, *rest: Any) -> Any:
        if photo.pages[0].gray.shape[0] == 48:
            raise MemoryError
        return paint(photo, *rest)

    if where == "read":
        monkeypatch.setattr(scan, "read", hungry_read)
    elif where == "predict":
        monkeypatch.setattr(line.colorist, "predict", hungry_predict)
    else:
        monkeypatch.setattr(line.colorist, "paint", hungry_paint)


class TestFoldersThatAreAway:
    """What is not there was neither taken away nor deleted."""

    def test_nothing_is_begun_while_a_folder_is_away(self, line: Line) -> None:
        """It is said which; when it is back, what waited goes on at once."""
        job = line.drop("a.png")
        elsewhere = line.config.rejected.rename(line.config.rejected.with_name("elsewhere"))
        line.run()

        assert f"rejected: {line.config.rejected} does not exist; mount or create it" == (
            line.pipeline.blocked_by
        )
        assert JobStatus.QUEUED == line.job(job.id).status

        elsewhere.rename(line.config.rejected)
        line.run()

        assert "" == line.pipeline.blocked_by
        assert ["a.png"] == line.files()["outbox"]

    def test_a_scan_that_is_away_with_its_inbox_was_not_taken_away(
        self, line: Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Though its job was claimed just before; the attempt does not count."""
        job = line.drop("a.png")
        looks = line.pipeline.places.refresh
        monkeypatch.setattr(line.pipeline.places, "refresh", lambda: "")
        elsewhere = line.config.inbox.rename(line.config.inbox.with_name("elsewhere"))
        line.run()
        waiting = line.job(job.id)

        assert (JobStatus.QUEUED, 0, 1) == (waiting.status, waiting.attempts, waiting.waits)
        assert f"inbox: {line.config.inbox} does not exist; mount or create it" == waiting.reason

        monkeypatch.setattr(line.pipeline.places, "refresh", looks)
        line.step()
        elsewhere.rename(line.config.inbox)
        line.run()  # no time passed: the wait of ten seconds ended with the hold-up

        assert {"inbox": [], "outbox": ["a.png"], "originals": ["a.png"], "rejected": []} == (
            line.files()
        )

    def test_an_original_that_is_away_with_its_folder_is_not_gone(
        self, line: Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is colored again when the folder is back."""
        job = line.drop("a.png")
        line.run()
        line.ledger.recolor([job.id], line.now)
        monkeypatch.setattr(line.pipeline.places, "refresh", lambda: "")
        folder = line.config.originals.folder
        folder.rename(folder.with_name("elsewhere"))
        line.run()

        assert JobStatus.QUEUED == line.job(job.id).status
        assert 0 == line.pipeline.tally.rejected

        folder.with_name("elsewhere").rename(folder)
        line.now += 10.0
        line.run()

        assert JobStatus.FINISHED == line.job(job.id).status
        assert 2 == line.colorist.painted

    def test_an_original_is_moved_when_its_folder_is_back(self, line: Line) -> None:
        """Not after the wait of a move that failed; and nothing is made in its place."""
        line.colorist.gate.clear()
        line.drop("a.png")
        wait_until(lambda: (line.step(), rendering(line.pipeline) > 0)[1])
        folder = line.config.originals.folder
        folder.rename(folder.with_name("elsewhere"))
        line.colorist.gate.set()
        with capture_logs() as logs:
            line.run()

        assert "photo.not_moved" not in {entry["event"] for entry in logs}
        assert ["a.png"] == line.files()["inbox"]
        assert not folder.exists()
        assert line.pipeline.originals.waiting()

        folder.with_name("elsewhere").rename(folder)
        line.run()

        assert ["a.png"] == line.files()["originals"]
        assert [] == line.files()["inbox"]

    def test_what_failed_before_is_tried_at_once_when_all_is_well(
        self, line: Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Moves too, and the next wait is a short one again: it may have been the same fault."""
        archive, refusals = moves.archive, [OSError(errno.EIO, "Input/output error")]

        def refusing_once(*args: Any, **kwargs: Any) -> Departure:
            if refusals:
                raise refusals.pop()
            return archive(*args, **kwargs)

        monkeypatch.setattr(moves, "archive", refusing_once)
        line.drop("a.png")
        line.run()
        line.colorist.faults.append(DeviceError("the card fell off the bus"))
        line.drop("b.png")
        line.run()

        assert 1 == line.pipeline.faults

        elsewhere = line.config.rejected.rename(line.config.rejected.with_name("elsewhere"))
        line.step()
        elsewhere.rename(line.config.rejected)
        line.step()

        assert 0 == line.pipeline.faults

        line.run()

        assert ["a.png", "b.png"] == line.files()["originals"]

    def test_a_move_is_not_forgotten_because_the_inbox_vanished_just_then(
        self, line: Line, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Between the look at the folders and the look at the file."""
        line.colorist.gate.clear()
        line.drop("a.png")
        wait_until(lambda: (line.step(), rendering(line.pipeline) > 0)[1])
        away = iter(["", "", "", *["away"] * 100])  # three folders are looked at before the file
        places = SimpleNamespace(problem=lambda _key: next(away))
        monkeypatch.setattr(line.pipeline.originals, "_places", places)
        monkeypatch.setattr(departures, "still_there", lambda *_: False)
        line.colorist.gate.set()
        line.run()
        monkeypatch.undo()

        assert line.pipeline.originals.waiting()

        line.run()

        assert ["a.png"] == line.files()["originals"]


class TestFaultsNobodyForesaw:
    """One photo must not stop the line."""

    @pytest.mark.parametrize("where", ["predict", "paint"])
    def test_such_a_photo_is_rejected_after_the_last_attempt(self, line: Line, where: str) -> None:
        """Each attempt counts, the traceback is logged, and the reason names the fault."""
        faults = {"predict": line.colorist.faults, "paint": line.colorist.paint_faults}[where]
        faults.extend(ZeroDivisionError("oh") for _ in range(3))
        job = line.drop("a.png")
        with capture_logs() as logs:
            for attempt in (1, 2, 3):
                line.run()
                assert attempt == line.job(job.id).attempts
                line.now += 10.0

        assert 3 == sum(entry["event"] == "photo.failed" for entry in logs)
        assert {
            "inbox": [],
            "outbox": [],
            "originals": [],
            "rejected": ["a.png", "a.png.reason.txt"],
        } == line.files()
        reason = (line.config.rejected / "a.png.reason.txt").read_text()
        assert "3 times" in reason
        assert "ZeroDivisionError" in reason

    def test_neighbors_in_its_batch_are_delivered(self, line: Line) -> None:
        """After such a fault photos are colored one at a time, so that the culprit is alone."""
        poisoned = line.colorist.predict

        def predict(scans: Any) -> Any:
            if any(photo.gray.shape[1] == 40 for photo in scans):
                raise ZeroDivisionError("oh")
            return poisoned(scans)

        line.colorist.predict = predict  # type: ignore[method-assign]
        line.drop("a.png")
        line.drop("b.png", gray_scene(24, 40))
        line.drop("c.png", gray_scene(24, 32, seed=3))
        for _ in range(4):
            line.run()
            line.now += 10.0

        assert ["a.png", "c.png"] == line.files()["outbox"]
        assert ["b.png", "b.png.reason.txt"] == line.files()["rejected"]


class TestStopping:
    """What is in hand is brought to its end, and nothing else is begun."""

    def test_jobs_nobody_began_are_given_back_uncounted(self, line: Line) -> None:
        """A restart is no attempt."""
        jobs = [line.drop(f"{n}.png", gray_scene(8, 8, seed=n)) for n in range(8)]
        line.pipeline._claim(line.now, line.now)
        line.pipeline.release(line.now)

        assert {JobStatus.QUEUED} == {line.job(job.id).status for job in jobs}
        assert {0} == {line.job(job.id).attempts for job in jobs}
        assert not line.pipeline.busy

    def test_without_claiming_only_what_is_in_hand_is_done(self, line: Line) -> None:
        """The rest waits in the ledger."""
        for n in range(6):
            line.drop(f"{n}.png", gray_scene(8, 8, seed=n))
        line.step()
        line.pipeline.release(line.now)
        in_hand = line.ledger.queries.counts()[JobStatus.STARTED]
        wait_until(
            lambda: (line.pipeline.step(line.now, line.now, claim=False), not line.pipeline.busy)[1]
        )

        assert 0 < in_hand < 6
        assert in_hand == line.ledger.queries.counts()[JobStatus.FINISHED]
        assert 6 - in_hand == line.ledger.queries.counts()[JobStatus.QUEUED]


class TestTakingUpAnotherGenerator:
    """Between two batches; nothing is lost, nothing comes twice, and each photo knows its own."""

    def test_what_the_old_one_predicted_is_finished_under_its_name(self, line: Line) -> None:
        """On the device and at the writers; what comes after is the new one's."""
        jobs = [line.drop(f"{n}.png", gray_scene(24, 32, seed=n)) for n in range(8)]
        new = FakeColorist(model="new")
        line.colorist.gate.clear()  # the first batch is predicted and waits to be painted
        wait_until(lambda: (line.step(), rendering(line.pipeline) >= 2)[1])
        line.colorist.device_gate.clear()  # the next ones are on the device
        wait_until(lambda: (line.step(), len(line.colorist.batches) >= 2)[1])
        line.pipeline.take_up(new)
        line.colorist.device_gate.set()
        line.colorist.gate.set()
        line.run()
        models = [line.job(job.id).model for job in jobs]

        assert 8 == len(line.files()["outbox"]) == len(line.files()["originals"])
        assert {"fake", "new"} == set(models)
        assert line.colorist.painted == models.count("fake") == sum(line.colorist.batches)
        assert new.painted == models.count("new") == sum(new.batches)

    def test_photos_that_wait_are_the_new_ones(self, line: Line) -> None:
        """Also those that were read already; its batches may be of another size."""
        new = FakeColorist(batch_size=4, model="new")
        line.pipeline.take_up(new)
        for n in range(4):
            line.drop(f"{n}.png", gray_scene(24, 32, seed=n))
        line.run()

        assert [] == line.colorist.batches
        assert 4 == sum(new.batches)
        assert ["new"] * 4 == [job.model for job in line.ledger.queries.colored()]

    def test_a_batch_that_failed_on_the_old_one_is_done_by_the_new_one(self, line: Line) -> None:
        """The machine's fault puts it back, and then the new one serves."""
        line.colorist.faults.append(DeviceError("the card fell off the bus"))
        job = line.drop("a.png")
        line.colorist.device_gate.clear()
        wait_until(lambda: (line.step(), len(line.colorist.batches) == 1)[1])
        line.pipeline.take_up(FakeColorist(model="new"))
        line.colorist.device_gate.set()
        line.run()
        line.now += 10.0
        line.run()

        assert "new" == line.job(job.id).model


class TestColoringAgain:
    """A finished photo, from its original, in place of its own earlier result."""

    @pytest.fixture
    def done(self, line: Line) -> Job:
        """Color a photo, and make the next result another one."""
        job = line.drop("sub/a.png")
        line.run()
        line.pipeline.take_up(FakeColorist(model="new"))
        self.result = (line.config.outbox / "sub/a.png").read_bytes()
        line.ledger.recolor([job.id], line.now)
        return line.job(job.id)

    def earlier(self, line: Line) -> bool:
        """Tell whether the earlier result is still in the outbox."""
        return (line.config.outbox / "sub/a.png").read_bytes() == self.result

    def test_it_replaces_its_own_result_and_the_original_stays(self, line: Line, done: Job) -> None:
        """Byte for byte where it was."""
        original = line.config.originals.folder / "sub/a.png"
        before = original.read_bytes(), safe_open.file_stat(original)

        assert PurePosixPath("sub/a.png") == done.original

        line.run()
        again = line.job(done.id)

        assert not self.earlier(line)
        assert (24, 32, 3) == scan.read_color(
            line.config.outbox / "sub/a.png", ReadSettings()
        ).shape
        assert before == (original.read_bytes(), safe_open.file_stat(original))
        assert (JobStatus.FINISHED, "new", False) == (again.status, again.model, again.recolor)
        assert ["sub/a.png"] == line.files()["outbox"] == line.files()["originals"]

    def test_its_change_is_kept(self, line: Line, done: Job) -> None:
        """In ledger and sidecar; none for a first coloring, and none of equal colors."""
        line.run()
        same = line.job(done.id).change
        line.ledger.override_settings(done.id, FolderSettings.of(ColorWishes(vividness=10)))
        line.ledger.recolor([done.id], line.now)
        line.run()
        duller = line.job(done.id).change

        assert done.change is None
        assert 0 == same
        assert duller is not None
        assert duller > 5
        sidecar = read_sidecar(line.config.outbox / "sub/a.png.json")
        assert sidecar.change == pytest.approx(duller, abs=0.01)

    @pytest.mark.parametrize("fate", ["gone", "changed"])
    def test_without_its_earlier_result_there_is_no_change(
        self, line: Line, done: Job, fate: str
    ) -> None:
        """And no failure."""
        earlier = line.config.outbox / "sub/a.png"
        if fate == "gone":
            earlier.unlink()
        else:
            save(earlier, color_scene(24, 32))
        with capture_logs() as logs:
            line.run()

        again = line.job(done.id)
        assert (JobStatus.FINISHED, "new", None) == (again.status, again.model, again.change)
        assert "photo.not_compared" not in [entry["event"] for entry in logs]

    def test_why_it_was_not_compared_is_told(
        self, line: Line, done: Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The new result is delivered all the same."""

        def broken(*_: object) -> float:
            raise failing()

        monkeypatch.setattr(engine_module.difference, "change", broken)
        with capture_logs() as logs:
            line.run()
        (told,) = [entry for entry in logs if entry["event"] == "photo.not_compared"]

        assert (done.id, "warning") == (told["job"], told["log_level"])
        assert "Input/output error" in told["reason"]
        assert not self.earlier(line)

    def test_a_result_that_others_changed_is_never_replaced(self, line: Line, done: Job) -> None:
        """Somebody may have retouched it: the new one gets another name, and that is told."""
        mine = line.config.outbox / "sub/a.png"
        mine.write_bytes(b"retouched by hand")
        with capture_logs() as logs:
            line.run()
        again = line.job(done.id)

        assert b"retouched by hand" == mine.read_bytes()
        assert PurePosixPath(f"sub/a.{done.digest[:8]}.png") == again.output
        assert ("new", JobStatus.FINISHED) == (again.model, again.status)
        (told,) = [entry for entry in logs if entry["event"] == "photo.name_taken"]
        assert (done.id, again.output) == (told["job"], told["output"])

    def test_a_sidecar_that_others_wrote_is_never_replaced(self, line: Line, done: Job) -> None:
        """Then the photo gets another name, too: they belong together."""
        theirs = line.config.outbox / "sub/a.png.json"
        theirs.write_text("{}")
        line.run()

        assert "{}" == theirs.read_text()
        assert self.earlier(line)
        assert PurePosixPath(f"sub/a.{done.digest[:8]}.png") == line.job(done.id).output

    def test_until_it_is_done_the_earlier_result_stays(self, line: Line, done: Job) -> None:
        """Also when painting fails halfway."""
        slow = FakeColorist(model="new")
        slow.paint_faults.append(full())
        line.pipeline.take_up(slow)
        line.run()

        assert self.earlier(line)
        assert ["sub/a.png"] == line.files()["outbox"]

        line.now += 10.0
        line.run()

        assert not self.earlier(line)
        assert "new" == line.job(done.id).model

    def test_an_original_that_is_gone_is_told_and_the_result_stays(
        self, line: Line, done: Job
    ) -> None:
        """The job fails, nothing is rejected; when the original is back it can be tried again."""
        original = line.config.originals.folder / "sub/a.png"
        away = original.rename(line.config.state / "away.png")
        with capture_logs() as logs:
            line.run()

        assert JobStatus.FAILED == line.job(done.id).status
        assert "the original is gone" in (line.job(done.id).reason or "")
        assert ["photo.not_recolored"] == [entry["event"] for entry in logs]
        assert self.earlier(line)
        assert [] == line.files()["rejected"]
        assert 1 == line.pipeline.tally.rejected

        away.rename(original)
        line.ledger.recolor([done.id], line.now)
        line.run()

        assert not self.earlier(line)

    def test_an_original_that_was_altered_is_neither_colored_nor_moved(
        self, line: Line, done: Job
    ) -> None:
        """Its content is not the job's any more."""
        original = save(line.config.originals.folder / "sub/a.png", gray_scene(30, 30, seed=5))
        altered = original.read_bytes()
        line.run()

        assert "was changed since it was colored" in (line.job(done.id).reason or "")
        assert self.earlier(line)
        assert altered == original.read_bytes()
        assert [] == line.files()["rejected"]

    def test_one_that_the_new_generator_refuses_keeps_its_result(
        self, line: Line, done: Job
    ) -> None:
        """And its original is not rejected: it was good once."""
        choosy = FakeColorist(model="new")
        choosy.refuses = lambda _photo: True
        line.pipeline.take_up(choosy)
        line.run()

        assert JobStatus.FAILED == line.job(done.id).status
        assert "fake" == line.job(done.id).model
        assert self.earlier(line)
        assert ["sub/a.png"] == line.files()["originals"]
        assert [] == line.files()["rejected"]

    def test_an_original_that_was_kept_is_read_in_the_inbox(
        self, make_line: Callable[..., Line]
    ) -> None:
        """With `after: keep` it stays there again."""
        line = make_line(originals=Originals(after="keep"))
        job = line.drop("a.png")
        line.run()
        line.pipeline.take_up(FakeColorist(model="new"))
        line.ledger.recolor([job.id], line.now)
        line.run()

        assert ("new", 0) == (line.job(job.id).model, line.job(job.id).change)
        assert ["a.png"] == line.files()["inbox"] == line.files()["outbox"]

    def test_a_copy_dropped_meanwhile_is_archived_beside_the_original(
        self, line: Line, done: Job
    ) -> None:
        """It is the same photo; it is not colored twice, and does not stay in the inbox."""
        line.drop("sub/a.png")
        line.run()

        assert {
            "inbox": [],
            "outbox": ["sub/a.png"],
            "originals": ["sub/a (2).png", "sub/a.png"],
            "rejected": [],
        } == line.files()
        assert PurePosixPath("sub/a (2).png") == line.job(done.id).original
        assert not self.earlier(line)

    def test_new_photos_are_not_kept_waiting(self, line: Line) -> None:
        """However many are to be colored again."""
        jobs = [line.drop(f"{n}.png", gray_scene(24, 32, seed=n)) for n in range(6)]
        line.run()
        line.ledger.recolor([job.id for job in jobs], line.now)
        new = line.drop("new.png", gray_scene(24, 32, seed=9))
        first = line.ledger.claim(1, line.now, in_flight=0)[0]

        assert new.id == first.id

        line.ledger.unclaim(new.id, line.now)
        line.run()

        assert 7 == line.ledger.queries.counts()[JobStatus.FINISHED]
