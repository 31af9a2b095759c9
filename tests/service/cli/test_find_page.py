"""What `photochrom find` and `photochrom status --all` print."""

import json
from pathlib import Path

import pytest

from service.cli.find_page import print_line, print_row, print_rows_as_json
from service.config.loader import Config
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.monitoring.find import every
from service.storage import moves
from tests.support.delivered_results import color, place, queue

REASON = "the file is cut short"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders and an empty ledger."""
    config = place(tmp_path)
    Ledger(config.state / LEDGER_FILE).close()
    return config


def reject(config: Config, name: str) -> Job:
    """Queue a scan and reject it, as a daemon does."""
    job = queue(config, name)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.fail(job.id, REASON, 1.0)
    moves.reject(config.inbox / name, config.inbox, config.rejected, REASON)
    return job


def test_a_person_reads_state_places_and_reason(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the words of `status`; what is not there and should be is missing."""
    color(config, "a.tif")
    reject(config, "b.tif")
    again = color(config, "c\udce9.tif")
    (config.rejected / "b.tif").write_bytes(b"edited")
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.recolor([again.id], 0.0)
    for row in every(config):
        print_row(row)
    text = [line for line in capsys.readouterr().out.splitlines() if "times" not in line]

    assert [
        "job 1, a.tif: finished",
        f"  original  {config.originals.folder / 'a.tif'}",
        f"  result    {config.outbox / 'a.tif'}",
        "  version   7",
        "job 2, b.tif: rejected",
        f"  rejected  {config.rejected / 'b.tif'} (changed since)",
        f"  reason    {REASON}",
        "job 3, c\\udce9.tif: finished; queued for recoloring",
        f"  original  {config.originals.folder}/c\\udce9.tif",
        f"  result    {config.outbox}/c\\udce9.tif",
        "  version   7",
    ] == text


def test_every_photo_is_told_in_a_line(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """More than are asked for in one go; the JSON is a list, a line each."""
    with Ledger(config.state / LEDGER_FILE) as ledger, ledger.exclusive():
        sql = "INSERT INTO jobs (path, digest, output, size, mtime_ns, inode, device, status,"
        sql += " not_before, queued_at) VALUES (?, '0', ?, 1, 1, '1', '1', 'queued', 0, 0)"
        for n in range(1234):
            ledger._database.rows(sql, b"%d.tif" % n, b"%d.tif" % n)
    for row in every(config):
        print_line(row)
    lines = capsys.readouterr().out.splitlines()
    print_rows_as_json(every(config))
    rows = json.loads(f"[{capsys.readouterr().out}]")

    assert 1234 == len(lines)
    assert "      1  waiting      0.tif  missing: scan" == lines[0]
    assert [f"{n}.tif" for n in range(1234)] == [row["path"] for row in rows]
    print_rows_as_json(iter(()))
    assert not capsys.readouterr().out.strip()
