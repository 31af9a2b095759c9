"""Tests for service.storage.viewed: the recorded file is opened, wherever it is, and no other."""

from dataclasses import replace
from pathlib import Path

import pytest

from service.config.loader import Config
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.storage.viewed import Side, digest_of_side, open_side
from tests.support import delivered_results
from worker.errors import ScanError


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders of a service and its ledger."""
    return delivered_results.place_with_ledger(tmp_path)


def content(job: Job, side: Side, config: Config) -> bytes:
    """Open one side of a job and read it."""
    with (
        LedgerQueries.open(config.state / LEDGER_FILE) as ledger,
        open_side(job, side, config, ledger.rejected_of) as file,
    ):
        return file.read()


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("moved", [True, False])
def test_a_result_is_found_on_its_way(config: Config, *, held: bool, moved: bool) -> None:
    """Held or delivered, also in the moment when the ledger and the disk differ."""
    job = delivered_results.color(config, "a/b.tif")
    if moved:
        (config.review.folder / "a").mkdir(parents=True)
        (config.outbox / job.output).rename(config.review.folder / job.output)

    assert b"color b.tif" == content(replace(job, held=held), "colored", config)


def test_a_scan_is_found_where_it_went(config: Config) -> None:
    """In the inbox while it waits, then among the originals, or among the rejected."""
    waiting = delivered_results.queue(config, "a.tif")
    assert b"gray a.tif" == content(waiting, "scan", config)
    done = delivered_results.color(config, "b.tif")
    assert b"gray b.tif" == content(done, "scan", config)
    rejected = delivered_results.reject(config, "c.tif")
    assert b"gray c.tif" == content(rejected, "scan", config)
    assert (rejected.digest, None) == (
        digest_of_side(rejected, "scan"),
        digest_of_side(rejected, "colored"),
    )


@pytest.mark.parametrize("what", ["changed", "gone", "symlink", "unrecorded"])
def test_anything_else_is_refused_in_words(config: Config, tmp_path: Path, what: str) -> None:
    """A result that was changed, is gone, or is a symlink to the same bytes."""
    job = delivered_results.color(config, "a.tif", digest=what != "unrecorded")
    path = config.outbox / job.output
    if what == "changed":
        path.write_bytes(b"other")
    elif what == "gone":
        path.unlink()
    elif what == "symlink":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    said = {"changed": "SHA-256 differs", "unrecorded": "not recorded"}.get(what, "is gone")

    with pytest.raises(ScanError, match=said):
        content(job, "colored", config)
