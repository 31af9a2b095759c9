"""Whatever was lost or altered is told, and mended where it can be."""

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from rich.console import Console

from service.config.loader import Config
from service.config.sections import Originals, Output
from service.filesystem.availability import MARKER, NOTED, FolderMonitor
from service.filesystem.lock import StateLock
from service.filesystem.safe_open import digest_of
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.maintenance.fixity import Finding, check_photo
from service.maintenance.verify import Verification, print_verification, verify
from service.storage import moves
from service.storage.sidecar import Sidecar, deliver_sidecar, read_sidecar
from tests.support.delivered_results import color, finish, place, queue
from tests.support.folder_listing import nested_folders
from worker.errors import DeviceError

LATER = 1e12  # seconds since 1970
NAMES = ("1931/a.tif", "1931/b.tif", "c.tif")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make a place where three photos were colored."""
    config = place(tmp_path)
    for name in NAMES:
        color(config, name)
    return config


def check(config: Config, *, repair: bool = False) -> Verification:
    """Verify without a progress bar."""
    return verify(config, lambda _done, _all, _words: None, repair=repair)


def found(config: Config) -> list[str]:
    """Verify and say in short what was found."""
    return [f"{one.kind} {one.fault} {one.path}" for one in check(config).findings]


class TestRejected:
    """The folder of rejected scans is looked into, too."""

    @pytest.fixture(autouse=True)
    def scan(self, config: Config) -> Job:
        """Reject one, as a daemon does."""
        job = queue(config, "1931/bad.tif")
        with Ledger(config.state / LEDGER_FILE) as ledger:
            job = ledger.fail(job.id, "the file is cut short", 1.0)
        moves.reject(config.inbox / job.path, config.inbox, config.rejected, "cut short")
        return job

    def test_what_lies_there_as_it_was_is_counted(self, config: Config) -> None:
        """And nothing is said of it."""
        result = check(config)

        assert ([], 1, 3) == (result.findings, result.rejected, result.checked)

    def test_a_scan_that_is_gone_and_the_reason_it_left_are_told(
        self, config: Config, scan: Job
    ) -> None:
        """With what to do."""
        (config.rejected / scan.path).unlink()
        missing, reason = check(config).findings

        assert ("rejected", "missing", "1931/bad.tif", scan.id) == missing[:4]
        assert f"run: photochrom forget {scan.id}" in missing.words
        assert ("reason", "orphaned", "1931/bad.tif.reason.txt", None) == reason[:4]

    @pytest.mark.parametrize("edit", [False, True])
    def test_a_scan_that_was_altered_is_told(
        self, config: Config, scan: Job, *, edit: bool
    ) -> None:
        """By a bit that fell over, or by a person."""
        if edit:
            (config.rejected / scan.path).write_bytes(b"edited")
        else:
            flip(config.rejected / scan.path)

        assert ["rejected altered 1931/bad.tif"] == found(config)

    def test_a_scan_that_no_job_has_is_told(self, config: Config, scan: Job) -> None:
        """Other files and litter are let off."""
        (config.rejected / "stray.tif").write_bytes(b"a scan")
        for name in ("notes.txt", "Thumbs.db", ".hidden.tif"):
            (config.rejected / name).write_bytes(b"none")
        with Ledger(config.state / LEDGER_FILE) as ledger:
            ledger.forget(scan.id)

        assert ["rejected orphaned 1931/bad.tif", "rejected orphaned stray.tif"] == sorted(
            found(config)
        )

    def test_a_scan_that_was_kept_in_the_inbox_is_found_there(self, config: Config) -> None:
        """With `originals.after: keep`."""
        kept = queue(config, "kept.tif")
        with Ledger(config.state / LEDGER_FILE) as ledger:
            ledger.fail(kept.id, "the file is cut short", 1.0)

        assert [] == found(config)

    def test_repair_queues_no_rejected_scan(self, config: Config, scan: Job) -> None:
        """They are for `retry`; and a rejected folder that is away is no lost scan."""
        (config.rejected / scan.path).unlink()
        result = check(config, repair=True)
        shutil.rmtree(config.rejected)

        assert (0, {}) == (result.queued, result.not_queued)
        with pytest.raises(DeviceError, match="does not exist; mount or create it"):
            check(config)


def flip(path: Path, at: int = 3) -> None:
    """Let one bit of a file fall over, without a trace in its size or times."""
    looks = path.stat()
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(looks.st_atime_ns, looks.st_mtime_ns))


def queued(config: Config) -> list[str]:
    """List the photos that wait to be colored again."""
    with Ledger(config.state / LEDGER_FILE) as ledger:
        return [
            str(job.path)
            for job in ledger.queries.owning_output()
            if job.recolor and job.status is JobStatus.QUEUED
        ]


def everything(config: Config) -> dict[Path, bytes]:
    """Read all files of the originals and the outbox."""
    return {
        path: path.read_bytes()
        for folder in (config.inbox, config.originals.folder, config.outbox)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_where_all_is_well_nothing_is_found(config: Config) -> None:
    """And every photo was checked."""
    assert (3, 0, 0, [], 0, {}, 0, 0) == check(config)


def test_nothing_is_written_by_looking(config: Config) -> None:
    """Neither a file nor a row."""
    with Ledger(config.state / LEDGER_FILE) as ledger:
        before = (everything(config), ledger.queries.owning_output())
        check(config)

        assert before == (everything(config), ledger.queries.owning_output())


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        ("original altered 1931/b.tif", "originals/1931/b.tif"),
        ("output altered 1931/b.tif", "outbox/1931/b.tif"),
        ("sidecar altered 1931/b.tif.json", "outbox/1931/b.tif.json"),
    ],
)
def test_a_flipped_bit_is_found(config: Config, expected: str, path: str) -> None:
    """In each kind of file, though size and times are as before."""
    flip(config.outbox.parent / path)

    assert [expected] == found(config)


@pytest.mark.parametrize(
    ("expected", "path"),
    [
        ("original missing 1931/b.tif", "originals/1931/b.tif"),
        ("output missing 1931/b.tif", "outbox/1931/b.tif"),
        ("sidecar missing 1931/b.tif.json", "outbox/1931/b.tif.json"),
    ],
)
def test_a_missing_file_is_found(config: Config, expected: str, path: str) -> None:
    """Also when a FIFO took its name, which would have a reader wait for ever."""
    (config.outbox.parent / path).unlink()

    assert [expected] == found(config)
    os.mkfifo(config.outbox.parent / path)
    assert [expected] == found(config)


@pytest.mark.parametrize("kind", ["original", "output", "sidecar"])
def test_a_file_that_cannot_be_read_is_told_and_stops_nothing(
    config: Config, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """As a bad sector has it; the others are checked."""
    broken = OSError(5, "Input/output error")
    bad = {"original": config.originals.folder, "output": config.outbox}

    def failing(file: io.FileIO) -> str:
        if kind in bad and file.name == str(bad[kind] / "1931/a.tif"):
            raise broken
        return digest_of(file)

    def failing_too(path: Path) -> Sidecar:
        if kind == "sidecar" and path.name == "a.tif.json":
            raise broken
        return read_sidecar(path)

    monkeypatch.setattr("service.filesystem.safe_open.digest_of", failing)
    monkeypatch.setattr("service.maintenance.fixity.read_sidecar", failing_too)
    flip(config.outbox / "c.tif")
    result = check(config)

    assert [(kind, "unreadable"), ("output", "altered")] == [
        (one.kind, one.fault) for one in result.findings
    ]
    assert "Input/output error" in result.findings[0].words


def test_a_sidecar_of_another_coloring_is_found(config: Config) -> None:
    """As after a backup was put back: it is whole, but not the one the ledger knows."""
    of_a, of_b = (read_sidecar(config.outbox / f"1931/{name}.tif.json") for name in "ab")
    other = of_a.model_copy(update={"output": of_b.output})
    (config.outbox / "1931/b.tif.json").unlink()
    deliver_sidecar(config.outbox, other)
    (finding,) = check(config).findings

    assert ("sidecar", "disagreeing", "1931/b.tif.json") == finding[:3]
    assert f"event is {other.event}" in finding.words
    assert "source.sha256" in finding.words


def test_what_no_photo_in_the_ledger_has_is_an_orphan(config: Config) -> None:
    """Results and sidecars; unfinished and hidden files and litter are let off."""
    for name in ("x.tif", "1931/y.tif.json", ".photochrom-1-ab.part", ".x.tif", "Thumbs.db"):
        (config.outbox / name).write_bytes(b"?")
    (config.outbox / ".stfolder").mkdir()
    (config.outbox / ".stfolder/z.tif").touch()

    assert ["output orphaned x.tif", "sidecar orphaned 1931/y.tif.json"] == found(config)


def test_orphans_are_found_however_deep(config: Config) -> None:
    """Deeper than Python recurses."""
    with nested_folders(config.outbox) as deepest:
        (deepest / "x.tif").touch()

        assert [f"output orphaned {(deepest / 'x.tif').relative_to(config.outbox)}"] == found(
            config
        )


def test_a_lost_ledger_makes_orphans_of_all(config: Config) -> None:
    """Nothing is known of them any more."""
    shutil.rmtree(config.state)

    assert 6 == len([line for line in found(config) if "orphaned" in line])


def test_names_that_are_not_utf8_are_verified(tmp_path: Path) -> None:
    """And told as text."""
    config = place(tmp_path)
    color(config, "m\udce4rz/caf\udce9.tif")
    well = found(config)
    flip(config.outbox / "m\udce4rz/caf\udce9.tif")
    result = check(config)

    assert [] == well
    assert r"m\udce4rz/caf\udce9.tif" == result.findings[0].path
    assert json.dumps(result.plain())


def test_originals_that_stay_in_the_inbox_are_verified_there(tmp_path: Path) -> None:
    """`originals: {after: keep}`; an altered one is told from a missing one."""
    config = place(tmp_path, Config(originals=Originals(after="keep")))
    for name in ("a.tif", "b.tif", "c.tif"):
        color(config, name)
    well = found(config)
    flip(config.inbox / "a.tif")
    (config.inbox / "b.tif").unlink()

    assert [] == well
    assert ["original altered a.tif", "original missing b.tif"] == found(config)


def test_an_original_that_was_moved_under_another_name_is_found_by_it(tmp_path: Path) -> None:
    """And one that took the first name later is not mistaken for it."""
    config = place(tmp_path)
    (config.originals.folder / "a.tif").write_bytes(b"of another day")
    color(config, "a.tif")
    well = found(config)
    (config.originals.folder / "a (2).tif").unlink()

    assert [] == well
    assert ["original missing a.tif"] == found(config)


class TestPhotosOfAnEarlierPhotochrom:
    """It kept no digests and wrote no sidecars."""

    def test_they_are_counted_and_not_accused(self, tmp_path: Path) -> None:
        """That they are there and can be read is all that is known."""
        config = place(tmp_path)
        color(config, "a.tif", sidecar=False, digest=False)
        flip(config.outbox / "a.tif")

        assert (1, 1, 0, [], 0, {}, 0, 0) == check(config)
        (config.outbox / "a.tif").unlink()
        assert ["output missing a.tif"] == found(config)

    def test_a_sidecar_serves_where_the_ledger_has_no_digest(self, tmp_path: Path) -> None:
        """It is believed, being whole."""
        config = place(tmp_path)
        color(config, "a.tif", digest=False)
        well = check(config)
        flip(config.outbox / "a.tif")

        assert (1, 0, 0, [], 0, {}, 0, 0) == well
        assert ["output altered a.tif"] == found(config)


class TestBesideADaemon:
    """What is in work is left in peace."""

    def test_what_waits_or_is_in_work_is_not_accused(self, config: Config) -> None:
        """New scans, photos that are being replaced, and those that are to be; all are owners."""
        queue(config, "new.tif")
        with StateLock(config.state), Ledger(config.state / LEDGER_FILE) as ledger:
            ledger.recolor([1, 2], 2.0)
            ledger.claim(2, 3.0, in_flight=0)  # the new one, and 1931/a.tif
            for name in ("1931/a.tif", "1931/b.tif", "new.tif", "new.tif.json"):
                (config.outbox / name).write_bytes(b"just being replaced")

            assert (1, 0, 3, [], 0, {}, 0, 0) == check(config)

    def test_a_photo_that_is_replaced_meanwhile_is_not_accused(
        self, config: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is counted as in work."""
        flip(config.outbox / "1931/a.tif")  # as if it were read while it changes

        whole = check_photo

        def slow(job: Job, config: Config) -> tuple[list[Finding], bool]:
            checked = whole(job, config)
            if job.id == 1:
                with Ledger(config.state / LEDGER_FILE) as ledger:
                    ledger.recolor([1], 2.0)
            return checked

        monkeypatch.setattr("service.maintenance.verify.check_photo", slow)

        assert (2, 0, 1, [], 0, {}, 0, 0) == check(config)


class TestRepair:
    """What is lost is queued to be colored again from its original."""

    @pytest.mark.parametrize("name", ["1931/b.tif", "1931/b.tif.json"])
    @pytest.mark.parametrize("harm", [Path.unlink, flip])
    def test_what_can_be_made_again_is_queued(
        self, config: Config, name: str, harm: Callable[[Path], None]
    ) -> None:
        """A result or sidecar, missing or altered; and after it was delivered all is well."""
        harm(config.outbox / name)
        result = check(config, repair=True)

        assert (1, {}) == (result.queued, result.not_queued)
        assert ["1931/b.tif"] == queued(config)
        with Ledger(config.state / LEDGER_FILE) as ledger:
            (job,) = ledger.claim(9, LATER, in_flight=0)
            finish(config, ledger, job)
        assert (3, 0, 0, [], 0, {}, 0, 0) == check(config)

    def test_without_being_asked_nothing_is_queued(self, config: Config) -> None:
        """Looking is not mending."""
        flip(config.outbox / "c.tif")
        check(config)

        assert [] == queued(config)

    def test_a_photo_with_several_faults_is_queued_once(self, config: Config) -> None:
        """Its result and its sidecar are made together."""
        for name in ("c.tif", "c.tif.json"):
            (config.outbox / name).unlink()
        result = check(config, repair=True)

        assert (2, 1) == (len(result.findings), result.queued)

    @pytest.mark.parametrize("harm", [Path.unlink, flip])
    def test_without_a_sound_original_nothing_is_queued(
        self, config: Config, harm: Callable[[Path], None]
    ) -> None:
        """For the worst result is better than none; a lost original alone queues nothing either."""
        harm(config.originals.folder / "c.tif")
        harm(config.originals.folder / "1931/a.tif")
        flip(config.outbox / "c.tif")
        result = check(config, repair=True)

        assert (0, {"the original is missing or altered": 1}) == (result.queued, result.not_queued)
        assert [] == queued(config)

    def test_what_would_come_out_as_another_container_is_left(self, config: Config) -> None:
        """As `photochrom recolor` leaves it."""
        flip(config.outbox / "c.tif")
        other = config.model_copy(update={"output": Output(format="jpeg")})
        result = check(other, repair=True)

        assert {
            "delivered as .tif, but output.format now produces another format": 1
        } == result.not_queued

    def test_what_cannot_be_read_is_not_made_again(
        self, config: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It may be the wrong user who verifies, and then it would be all photos."""
        denied = PermissionError(13, "Permission denied")
        monkeypatch.setattr("service.maintenance.fixity.digest", Mock(side_effect=denied))
        monkeypatch.setattr("service.maintenance.fixity.find_original", Mock())
        result = check(config, repair=True)

        assert {"unreadable"} == {one.fault for one in result.findings}
        assert {"fix the disk or the permissions first": 3} == result.not_queued

    def test_originals_and_orphans_stay_as_they_are(self, config: Config) -> None:
        """Nothing is deleted, moved or written to."""
        flip(config.outbox / "c.tif")
        (config.outbox / "orphan.tif").touch()
        before = everything(config)
        check(config, repair=True)

        assert before == everything(config)

    def test_a_photo_whose_repair_failed_is_told_again(self, config: Config) -> None:
        """And queued again, once its original is back."""
        (config.outbox / "c.tif").unlink()
        check(config, repair=True)
        with Ledger(config.state / LEDGER_FILE) as ledger:
            ledger.claim(1, LATER, in_flight=0)
            ledger.fail(3, "the original is gone", 9.0)

        assert ["output missing c.tif"] == found(config)
        assert 1 == check(config, repair=True).queued


@pytest.mark.parametrize("key", ["outbox", "originals"])
def test_a_folder_that_is_not_there_is_no_loss_of_all_photos(config: Config, key: str) -> None:
    """A share that is not mounted must not have everything colored again."""
    (config.outbox.parent / key).rename(config.outbox.parent / "away")

    with pytest.raises(DeviceError, match=f"{key} does not exist; mount or"):
        check(config, repair=True)
    assert [] == queued(config)


def test_an_empty_folder_in_place_of_a_share_is_no_loss_either(config: Config) -> None:
    """It has no marker, and is on another disk than what was noted."""
    FolderMonitor(config.folders).refresh()
    (config.outbox / MARKER).unlink()
    text = (config.state / NOTED).read_text()
    (config.state / NOTED).write_text(text.replace(str(config.outbox.stat().st_dev), "1"))

    with pytest.raises(DeviceError, match="outbox looks like an unmounted share"):
        check(config, repair=True)
    assert [] == queued(config)


def test_a_ledger_of_an_earlier_form_is_not_judged(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no digests, and a daemon of that form may work with it."""
    monkeypatch.setattr(LedgerQueries, "outdated", True)

    with pytest.raises(DeviceError, match="older photochrom"):
        check(config)


def test_a_place_where_nothing_was_colored_is_well(tmp_path: Path) -> None:
    """And no ledger is made by asking."""
    config = Config().beside(tmp_path)

    assert (0, 0, 0, [], 0, {}, 0, 0) == check(config)
    assert [] == list(tmp_path.iterdir())


def test_a_person_reads_what_was_found(config: Config) -> None:
    """One line each; brackets in names are no markup."""
    color(config, "old [bold].tif", sidecar=False, digest=False)
    color(config, "again.tif")
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.recolor([5], 2.0)
    (config.outbox / "1931/a.tif").unlink()
    (config.outbox / "c.tif.json").unlink()
    (config.originals.folder / "c.tif").unlink()
    (config.outbox / "[red]x.tif").touch()
    page = io.StringIO()
    print_verification(check(config, repair=True), Console(file=page, width=40))
    lines = page.getvalue().splitlines()

    assert [
        "output missing: 1931/a.tif: not in the outbox",
        "sidecar missing: c.tif.json: not in the outbox",
        "output orphaned: [red]x.tif: belongs to no photograph in the ledger",
        "photographs checked: 4; findings: 4",
        "only checked to be readable, because no digest was recorded: 1",
        "skipped because in progress: 1",
        "queued to be recolored: 1",
        "not queued: 1 (the original is missing or altered)",
    ] == [line for line in lines if not line.startswith("original missing: c.tif: ")]
    assert 9 == len(lines)


def test_the_bar_moves_with_each_photo(config: Config) -> None:
    """To its end."""
    moved: list[tuple[float, float]] = []
    verify(config, lambda done, of, _words: moved.append((done, of)))

    assert [(1, 3), (2, 3), (3, 3)] == moved
