"""What `photochrom where` and `photochrom status --all` print."""

import json
from datetime import datetime
from pathlib import Path, PurePosixPath

import pytest

from service.cli.find_page import print_found, print_line, print_row, print_rows_as_json
from service.config.loader import Config
from service.filesystem import safe_open
from service.ledger.jobs import Decision, Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.monitoring.find import every
from service.storage import moves
from tests.support.delivered_results import color, place, queue

REASON = "the file is cut short"
SECOND_0, SECOND_1 = (f"{datetime.fromtimestamp(n).astimezone():%Y-%m-%d %H:%M:%S}" for n in (0, 1))


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


def printed(config: Config, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the lines about all photographs."""
    for row in every(config):
        print_row(row)
    return capsys.readouterr().out.splitlines()


def test_a_person_reads_state_places_and_reason(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """In sentences; what is not there and should be is missing."""
    color(config, "a.tif")
    reject(config, "b.tif")
    again = color(config, "c\udce9.tif")
    queue(config, "d.tif")
    (config.rejected / "b.tif").write_bytes(b"edited")
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.recolor([again.id], 0.0)

    assert [
        "a.tif (job 1)",
        f"  Colored by version 7 on {SECOND_1}.",
        f"  Its original is {config.originals.folder / 'a.tif'}",
        f"  Its result is {config.outbox / 'a.tif'}",
        "b.tif (job 2)",
        f"  Rejected on {SECOND_1}: {REASON}",
        f"  Its rejected scan is {config.rejected / 'b.tif'}, changed since",
        "c\\udce9.tif (job 3)",
        f"  Colored by version 7 on {SECOND_1}.",
        f"  Waiting to be recolored since {SECOND_0}.",
        f"  Its original is {config.originals.folder}/c\\udce9.tif",
        f"  Its result is {config.outbox}/c\\udce9.tif",
        "d.tif (job 4)",
        f"  Waiting since {SECOND_0}.",
        f"  Its scan is {config.inbox / 'd.tif'}",
    ] == printed(config, capsys)


def test_a_photograph_that_several_names_match_is_printed_once(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the names; each of them is known, and only what matches nothing is not."""
    for name in ("a.tif", "ab.tif", "b.tif"):
        queue(config, name)

    assert print_found(config, ["b", "a", "2"], json=True)
    assert [2, 3, 1] == [one["job"] for one in json.loads(capsys.readouterr().out)]

    assert not print_found(config, ["a.tif", "1", "c"], json=True)

    said = capsys.readouterr()
    assert [1] == [one["job"] for one in json.loads(said.out)]
    assert ["photochrom: no photograph matches c"] == said.err.splitlines()


def test_who_decided_when_and_why_is_told(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """What stands of it: not what was undone, nor what was said of an earlier coloring."""
    approved, rejected, opened = (color(config, name).id for name in ("a.tif", "b.tif", "c.tif"))
    with Ledger(config.state / LEDGER_FILE) as ledger:
        decide = ledger.reviews.decide
        decide([approved], Decision.APPROVED, who="Käthe", now=0.0, note="as I remember it")
        decide([rejected], Decision.REJECTED, who="Li", now=0.0, reason="the sea is red")
        decide([opened], Decision.FLAGGED, who="Li", now=0.0)
        ledger.reviews.undo("Li", 1.0)
        ledger.reviews.add_note(approved, "asked again", who="Li", now=1.0)
    text = printed(config, capsys)

    assert f"  Approved by Käthe on {SECOND_0}: as I remember it" == text[2]
    assert f"  Rejected by Li on {SECOND_0}: the sea is red" in text
    assert 2 == sum(" by " in line and "Colored" not in line for line in text)


@pytest.mark.parametrize(
    ("decision", "problem", "said"),
    [
        (None, "", "Its result is held until a reviewer approves it."),
        (Decision.FLAGGED, "", "Its result is held until a reviewer approves it."),
        (Decision.REJECTED, "", "Its result stays held."),
        (Decision.APPROVED, "", "Its result is delivered in a moment, if photochrom runs."),
        (Decision.APPROVED, "a file is there", "Its result cannot be delivered: a file is there"),
    ],
)
def test_what_becomes_of_a_held_result_is_told(
    config: Config,
    capsys: pytest.CaptureFixture[str],
    decision: Decision | None,
    problem: str,
    said: str,
) -> None:
    """And what a person must do before an approved one is delivered."""
    job = queue(config, "a.tif")
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.claim(1, 0.0, in_flight=0)
        ledger.finish(job.id, model="7", now=1.0, held=True)
        if decision:
            ledger.reviews.decide([job.id], decision, who="Li", now=0.0)
        if problem:
            ledger.reviews.note_problem(job.id, problem)

    assert f"  {said}" in printed(config, capsys)[1:4]
    for row in every(config):
        print_line(row)
    line = capsys.readouterr().out
    assert (f"cannot be delivered: {problem}" if problem else "  held") in line


def test_what_was_fetched_or_is_missing_is_told(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """Carried away is no loss; a result that is there again counts as there."""
    for name in ("a.tif", "b.tif", "c.tif"):
        color(config, name)
    for name in ("a.tif", "b.tif"):
        (config.outbox / name).unlink()
        (config.outbox / f"{name}.json").unlink()
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.reviews.mark_fetched([1, 3], 0.0)
    text = printed(config, capsys)

    assert [
        f"  Its result was fetched from the outbox on {SECOND_0}.",
        f"  Its original is {config.originals.folder / 'a.tif'}",
        "b.tif (job 2)",
    ] == text[2:5]
    assert [
        "  Its result is missing. If it was carried away, run: photochrom mark-fetched --missing",
        "  Its sidecar is missing.",
    ] == text[7:9]
    assert f"  Its result is {config.outbox / 'c.tif'}" == text[-1]


def test_a_photograph_in_trouble_is_told(
    config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """In work, put back, failed to be recolored, lost; a later scan that took over a result."""
    failed = color(config, "failed.tif")
    shorter = color(config, "pages.tif")
    lost = reject(config, "lost.tif")
    (config.rejected / "lost.tif").unlink()
    (config.inbox / "pages.tif").write_bytes(b"gray pages.tif, longer")
    stat = safe_open.file_stat(config.inbox / "pages.tif")
    assert stat
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.recolor([failed.id], 0.0)
        longer = ledger.enqueue(shorter.path, "1" * 64, stat, PurePosixPath("o.tif"), 0.0)[0]
        ledger.claim(9, 0.0, in_flight=0)
        ledger.fail(failed.id, "the original is gone", 1.0)
        ledger.supersede(longer.id, shorter)
    queue(config, "back.tif")
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.claim(1, 0.0, in_flight=1)
        ledger.back_off(5, "No space left on device", 9.0)
    text = "\n".join(printed(config, capsys))

    assert f"  Recoloring failed on {SECOND_1}; the earlier result is kept." in text
    assert "  Last difficulty: the original is gone" in text
    assert f"  Job {longer.id} took over its result: that scan has more pages." in text
    assert f"  Being colored since {SECOND_0}." in text
    assert "  Last difficulty: No space left on device" in text
    assert f"lost.tif (job {lost.id})" in text
    assert "  Its scan is missing. Drop it again to have it tried again." in text


def test_every_photo_is_told_in_a_line(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """More than are asked for in one go; the JSON is a list, a line each."""
    with Ledger(config.state / LEDGER_FILE) as ledger, ledger.transaction():
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
