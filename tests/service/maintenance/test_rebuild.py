"""A lost ledger made again, and nothing colored twice for it."""

import base64
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from rich.console import Console

from service.config.folder_sections import FolderSettings
from service.config.loader import Config
from service.config.sections import Batching, Originals, Watch
from service.daemon.daemon import Daemon
from service.filesystem import safe_open
from service.filesystem.availability import FolderMonitor
from service.filesystem.lock import StateLock
from service.filesystem.ownership import MARKER
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.maintenance.rebuild import print_rebuilt, rebuild
from service.maintenance.restoring import NO_REASON, Rebuilt
from service.maintenance.retry import retry
from service.maintenance.verify import verify
from service.storage.sidecar import read_sidecar, sealed
from tests.support.delivered_results import REASON, color, place, reject
from tests.support.fakes import FakeColorist
from tests.support.folder_listing import files, nested_folders
from tests.support.synthetic_photos import color_scene, gray_scene, save
from worker.errors import DeviceError

NAMES = ("1931/a.tif", "caf\udce9.tif", "x" * 250 + ".tif")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make a place where three photos were colored and one was rejected."""
    config = place(tmp_path)
    for name in NAMES:
        color(config, name)
    reject(config, "1931/bad.tif")
    FolderMonitor(config.folders).refresh()
    return config


def jobs(config: Config) -> list[Job]:
    """List all jobs, as they are apart from their numbers and times."""
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        found = sorted(ledger.all_jobs(), key=lambda job: (str(job.path), job.digest))
    no_time = {"queued_at": 0.0, "started_at": None, "finished_at": None, "not_before": 0.0}
    no_time["colored_at"] = None
    return [replace(job, id=0, attempts=0, same_content_as=None, **no_time) for job in found]


def lose(config: Config) -> None:
    """Lose the state folder."""
    shutil.rmtree(config.state)


def again(config: Config, *, move_aside: bool = False) -> Rebuilt:
    """Make the ledger again without a progress bar."""
    return rebuild(config, lambda _done, _all, _words: None, move_aside=move_aside)


def wrong(config: Config) -> list[str]:
    """Verify, and say in short what was found."""
    found = verify(config, lambda _done, _all, _words: None).findings
    return [f"{one.kind} {one.fault} {one.path}" for one in found]


def run_daemon(config: Config) -> int:
    """Have a daemon with a fake device do all that waits; return how many photos it colored."""
    hasty = {"watch": Watch(settle=0.0), "batch": Batching(longest_wait=0.0)}
    with StateLock(config.state):
        daemon = Daemon(config.model_copy(update=hasty), FakeColorist(), once=True)
        assert daemon.run()
    return daemon.counters.finished


class TestWhole:
    """All is as if the ledger had never been lost."""

    def test_all_jobs_are_as_they_were(self, config: Config) -> None:
        """With result, original, version, event and reason; and `verify` finds nothing."""
        before = jobs(config)
        lose(config)
        found = again(config)
        left = sorted(path.name for path in config.state.iterdir())

        assert (3, 0, 0, 1, ()) == (
            found.finished,
            found.without_sidecar,
            found.without_original,
            found.rejected,
            found.unplaced,
        )
        assert before == jobs(config)
        assert [] == wrong(config)
        assert [LEDGER_FILE, "lock"] == left

    def test_a_photo_that_was_colored_all_the_same_is_so_again(self, tmp_path: Path) -> None:
        """What a folder or a person wanted is in its sidecar."""
        config = place(tmp_path)
        save(config.inbox / "a.png", color_scene(40, 48))
        run_daemon(config)
        retry(config, [1], asked=FolderSettings(even_if_colored=True))
        run_daemon(config)
        lose(config)
        again(config)
        (known,) = jobs(config)
        with Ledger(config.state / LEDGER_FILE) as ledger:
            ledger.recolor([1], 0.0)

        assert known.settings.even_if_colored
        assert 1 == run_daemon(config)

    def test_nothing_is_colored_twice(self, tmp_path: Path) -> None:
        """A scan with the content of an archived original is known when it is dropped again."""
        config = place(tmp_path)
        scan = save(config.inbox / "a.png", gray_scene(24, 32))
        content = scan.read_bytes()
        first = run_daemon(config)
        lose(config)
        again(config)
        scan.write_bytes(content)
        second = run_daemon(config)

        assert (1, 0) == (first, second)
        assert ["a.png"] == files(config.outbox)
        assert [] == files(config.inbox)

    def test_a_rejected_scan_is_known_and_can_be_tried_again(self, config: Config) -> None:
        """With its reason, under its path though it lies under a number."""
        (config.rejected / "1931/bad.tif").rename(config.rejected / "1931/bad (2).tif")
        note = "bad.tif.reason.txt"
        (config.rejected / "1931" / note).rename(config.rejected / "1931/bad (2).tif.reason.txt")
        (config.rejected / "1931/bad.tif").write_bytes(b"another")
        lose(config)
        again(config)
        failed = [job for job in jobs(config) if job.status is JobStatus.FAILED]

        assert ["1931/bad.tif"] * 2 == [str(job.path) for job in failed]
        assert {REASON, NO_REASON} == {job.reason for job in failed}

    def test_the_old_number_of_a_job_is_no_longer_named(self, config: Config) -> None:
        """It may be that of another photo by now."""
        note = config.rejected / "1931/bad.tif.reason.txt"
        note.write_text("too large; then `photochrom retry 12`, or save it smaller\n")
        lose(config)
        again(config)
        [failed] = [job for job in jobs(config) if job.status is JobStatus.FAILED]

        assert "too large; then `photochrom retry FILE`, or save it smaller" == failed.reason

    def test_originals_that_are_kept_are_found_in_the_inbox(self, tmp_path: Path) -> None:
        """They look as they did, so that no daemon reads them all again."""
        config = place(tmp_path, Config(originals=Originals(after="keep")))
        color(config, "a.tif")
        FolderMonitor(config.folders).refresh()
        before = jobs(config)
        lose(config)
        found = again(config)

        assert 0 == found.without_original
        assert before == jobs(config)

    def test_a_scan_with_the_content_of_another_is_linked(self, config: Config) -> None:
        """As it was when it was queued."""
        lose(config)
        (config.originals.folder / "copy.tif").write_bytes(b"gray 1931/a.tif")
        again(config)
        with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
            [copy] = ledger.by_ids(ledger.ids_of_path(PurePosixPath("copy.tif")))
            [first] = ledger.by_ids(ledger.ids_of_path(PurePosixPath("1931/a.tif")))

        assert first.id == copy.same_content_as


class TestWithoutSidecars:
    """As results of an early photochrom are, or whose sidecars somebody deleted."""

    def test_an_original_and_the_result_of_its_name_are_enough(self, config: Config) -> None:
        """Its digest, and so the scan, is known; the generator is not."""
        for path in config.outbox.rglob("*.json"):
            path.unlink()
        lose(config)
        found = again(config)
        done = [job for job in jobs(config) if job.status is JobStatus.FINISHED]

        assert (0, 3, ()) == (found.finished, found.without_sidecar, found.unplaced)
        assert sorted(NAMES) == [str(job.path) for job in done] == [str(job.output) for job in done]
        assert {None} == {job.model for job in done}
        assert [] == wrong(config)

    def test_a_numbered_original_is_one_of_its_name(self, config: Config) -> None:
        """Where that has one already; its result bears the digits of its content."""
        content = b"another scan of this name"
        (config.originals.folder / "1931/a (2).tif").write_bytes(content)
        digest = safe_open.digest(config.originals.folder / "1931/a (2).tif")
        (config.outbox / f"1931/a.{digest[:8]}.tif").write_bytes(b"in color")
        lose(config)
        found = again(config)
        [other] = [job for job in jobs(config) if job.digest == digest]

        assert (3, 1, ()) == (found.finished, found.without_sidecar, found.unplaced)
        assert (f"1931/a.{digest[:8]}.tif", "1931/a.tif") == (str(other.output), str(other.path))

    def test_a_name_with_a_number_stays_one_where_its_result_has_it(self, config: Config) -> None:
        """Such as Windows makes for a copy."""
        for folder in (config.originals.folder, config.outbox):
            (folder / "1931/a (2).tif").write_bytes(folder.name.encode())
        lose(config)
        again(config)

        assert "1931/a (2).tif" in [str(job.path) for job in jobs(config)]

    def test_the_shorter_scan_that_a_longer_one_superseded_is_known(self, config: Config) -> None:
        """By the digits in its name; it has no result of its own."""
        path = config.originals.folder / "1931/shorter"
        path.write_bytes(b"one page")
        digest = safe_open.digest(path)
        path.rename(path.with_name(f"a.{digest[:8]}.tif"))
        lose(config)
        again(config)
        with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
            shorter = ledger.by_digest(PurePosixPath("1931/a.tif"), digest)
            assert shorter
            longer = ledger.job(shorter.superseded_by or 0)
            assert longer

        assert PurePosixPath(f"1931/a.{digest[:8]}.tif") == shorter.original
        assert (longer.path, longer.output) == (shorter.path, shorter.output)
        assert [] == wrong(config)

    def test_copies_of_an_original_are_counted(self, config: Config) -> None:
        """As a scan leaves that was dropped again after it was colored."""
        folder = config.originals.folder / "1931"
        shutil.copy(folder / "a.tif", folder / "a (2).tif")
        lose(config)
        found = again(config)

        assert (1, ()) == (found.copies, found.unplaced)

    def test_a_result_of_which_nothing_is_known_is_told(self, config: Config) -> None:
        """Nobody can say what it was made from."""
        (config.outbox / "stray.tif").write_bytes(b"in color")
        lose(config)
        [one] = again(config).unplaced

        assert str(config.outbox / "stray.tif") == one.path
        assert "no sidecar or original" in one.words


def change(**values: Any) -> Callable[[Path], None]:
    """Have a sidecar say something else, and be whole all the same."""

    def alter(path: Path) -> None:
        sidecar = read_sidecar(path)
        source = sidecar.source.model_copy(update=values)
        path.write_bytes(sealed(sidecar.model_copy(update={"source": source})))

    return alter


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b"{"), "is damaged: not valid JSON"),
        (lambda path: path.write_bytes(b"[" * 100_000), "is damaged: not valid JSON"),
        (lambda path: path.write_bytes(b"{}"), "is not a photochrom sidecar"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"7", b"8")), "was altered"),
        (
            lambda path: path.write_text(
                json.dumps({"schema": "photochrom sidecar 1", "own_sha256": ""}) + " " * 1_000_000
            ),
            "was altered",
        ),
        (lambda path: os.truncate(path, 1 << 33), "too large for a sidecar"),
        (lambda path: (path.unlink(), path.symlink_to("/etc/passwd")), "not a regular file"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "not a regular file"),
        (change(path="../../etc/passwd"), "leads out of its folder"),
        (change(path="/etc/passwd"), "leads out of its folder"),
        (change(path="a\0.tif"), "leads out of its folder"),
        (change(path_bytes="%"), ""),
        (change(path_bytes=base64.b64encode(b"../a").decode()), "leads out of its folder"),
        (lambda path: path.rename(path.with_name("b.tif.json")), "describes another file"),
    ],
)
def test_a_hostile_sidecar_is_told_and_its_original_is_known_all_the_same(
    config: Config, spoil: Callable[[Path], object], words: str
) -> None:
    """Nothing is read outside the folders, and nothing huge."""
    before = jobs(config)
    spoil(config.outbox / "1931/a.tif.json")
    lose(config)
    found = again(config)

    assert any(words in one.words for one in found.unplaced)
    assert 1 == len(found.unplaced)
    assert (2, 1) == (found.finished, found.without_sidecar)
    assert [job.path for job in before] == [job.path for job in jobs(config)]


def test_symlinks_lead_nowhere(config: Config, tmp_path: Path) -> None:
    """Neither files nor folders; a folder that cannot be read, and a deep one, end nothing."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/secret.tif").write_bytes(b"secret")
    (config.originals.folder / "link").symlink_to(tmp_path / "elsewhere")
    (config.rejected / "link.tif").symlink_to(tmp_path / "elsewhere/secret.tif")
    lose(config)
    with nested_folders(config.rejected):
        found = again(config)

    assert ["link", "link.tif"] == [Path(one.path).name for one in found.unplaced]
    assert {"not a regular file"} == {one.words for one in found.unplaced}
    assert "secret" not in str(jobs(config))


def test_the_later_of_two_colorings_of_one_scan_counts(config: Config) -> None:
    """As after `forget`; the other is told."""
    first, second = config.outbox / "1931/a.tif", config.outbox / "1931/a.12345678.tif"
    shutil.copy(first, second)
    sidecar = read_sidecar(first.with_name("a.tif.json"))
    output = sidecar.output.model_copy(update={"path": "1931/a.12345678.tif"})
    later = sidecar.colored.replace(year=sidecar.colored.year + 1)
    newer = sidecar.model_copy(update={"output": output, "colored": later})
    second.with_name("a.12345678.tif.json").write_bytes(sealed(newer))
    lose(config)
    found = again(config)

    assert "1931/a.12345678.tif" in [str(job.output) for job in jobs(config)]
    assert any("superseded by 1931/a.12345678.tif" in one.words for one in found.unplaced)


class TestRefusals:
    """When nothing is made."""

    def test_a_ledger_that_is_there_is_kept(self, config: Config) -> None:
        """Only on demand it gets another name, and is whole under it."""
        before = jobs(config)
        with pytest.raises(DeviceError, match=r"the ledger .* exists; .*--move-aside"):
            again(config)
        found = again(config, move_aside=True)
        assert found.aside
        aside = Path(found.aside)
        shutil.copy(aside, config.state / LEDGER_FILE)

        assert aside.name.startswith(f"{LEDGER_FILE}.")
        assert before == jobs(config)

    def test_beside_a_daemon_nothing_is_made(self, config: Config) -> None:
        """It is told whose process it is."""
        lose(config)
        config.state.mkdir()
        with (
            StateLock(config.state),
            pytest.raises(DeviceError, match=r"is in use by process .*; stop it first"),
        ):
            again(config)

        assert not (config.state / LEDGER_FILE).exists()

    @pytest.mark.parametrize("key", ["outbox", "originals.folder", "rejected"])
    def test_a_folder_that_is_not_mounted_is_no_empty_one(self, config: Config, key: str) -> None:
        """It has no mark; all its photos would be unknown."""
        lose(config)
        (config.folders[key] / MARKER).unlink()
        with pytest.raises(DeviceError, match=rf"{key}: .*run: touch .*{MARKER}"):
            again(config)

        assert not (config.state / LEDGER_FILE).exists()

    def test_what_a_killed_one_left_is_made_anew(self, config: Config) -> None:
        """Half a ledger is never taken for a whole one."""
        lose(config)
        config.state.mkdir()
        (config.state / "ledger.rebuilding").write_bytes(b"half of one")
        (config.state / "delivering").mkdir()
        (config.state / "delivering/1").write_text("0" * 64)
        again(config)

        assert 4 == len(jobs(config))
        assert [] == files(config.state / "delivering")


def test_a_person_is_told_what_is_known_and_what_is_not(config: Config) -> None:
    """In a line each."""
    (config.outbox / "stray.tif").write_bytes(b"in color")
    lose(config)
    page = io.StringIO()
    print_rebuilt(again(config), Console(file=page, width=20))

    words = "no sidecar or original shows what it was made from"
    assert [
        f"not placed: {config.outbox}/stray.tif: {words}",
        "finished, with a sidecar: 3",
        "rejected: 1",
        "not placed: 1",
        "The jobs have new numbers. To check all files, run: photochrom verify",
    ] == page.getvalue().splitlines()
