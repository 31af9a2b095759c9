"""One small file that is whole whenever it is read."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from service.filesystem.file_stat import FileStat
from service.ledger.jobs import Job, JobStatus
from service.monitoring.heartbeat import (
    HEARTBEAT_FILE,
    Heartbeat,
    InWork,
    longest_first,
    read_heartbeat,
    write_heartbeat,
)

NOON = 1_800_000_000.0
MOMENTS = some.floats(0, 4e9)
COUNTS = some.integers(0, 2**53)


def heartbeat(**values: Any) -> Heartbeat:
    """Give one of a daemon that does well."""
    known = {"time": NOON, "pid": 12, "started": NOON - 60, "health": "ok"}
    return Heartbeat(
        **{**known, "model": "builtin", "batch_size": 8, "rescanned": NOON - 5, **values}
    )


def job(number: int, path: str, started_at: float | None) -> Job:
    """Give a job in work."""
    name = PurePosixPath(path)
    looks = FileStat(1, 1, 1, 1)
    return Job(
        id=number,
        path=name,
        digest="0",
        output=name,
        stat=looks,
        same_content_as=None,
        status=JobStatus.STARTED,
        attempts=1,
        waits=0,
        reason=None,
        model=None,
        not_before=0.0,
        queued_at=0.0,
        started_at=started_at,
        finished_at=None,
    )


@given(
    beat=some.builds(
        Heartbeat,
        time=MOMENTS,
        pid=COUNTS,
        started=MOMENTS,
        reasons=some.lists(some.text()).map(tuple),
        model=some.text(),
        batch_size=COUNTS,
        jobs=some.none() | some.dictionaries(some.sampled_from(JobStatus), COUNTS),
        oldest_waiting=some.none() | MOMENTS,
        rescanned=MOMENTS,
        rescan_seconds=MOMENTS,
        free=some.dictionaries(some.text(), COUNTS),
        megapixels=MOMENTS,
        device_memory=some.none() | COUNTS,
    )
)
def test_what_is_read_is_what_was_told(
    beat: Heartbeat, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """To the last digit."""
    state = tmp_path_factory.mktemp("state")
    write_heartbeat(state, beat)

    assert beat == read_heartbeat(state)
    assert [HEARTBEAT_FILE] == [path.name for path in state.iterdir()]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"time": 1}', '{"time": "soon"}', "\0\xff"])
def test_what_makes_no_sense_is_no_heartbeat(text: str, tmp_path: Path) -> None:
    """Nor is one of a photochrom that tells other things."""
    (tmp_path / HEARTBEAT_FILE).write_text(text, "latin-1")

    assert read_heartbeat(tmp_path) is None


@pytest.mark.parametrize(
    ("level", "word"), [("ok", "well"), ("blocked", "held up"), ("stalled", "stuck")]
)
def test_the_file_has_the_words_it_always_had(level: str, word: str, tmp_path: Path) -> None:
    """Programs read it; so a daemon and a `photochrom status` of two versions agree, too."""
    write_heartbeat(tmp_path, heartbeat(health=level))
    beat = read_heartbeat(tmp_path)

    assert beat
    assert level == beat.health
    assert word == json.loads((tmp_path / HEARTBEAT_FILE).read_text())["health"]


def test_without_a_file_there_is_no_heartbeat(tmp_path: Path) -> None:
    """As before the first run."""
    assert read_heartbeat(tmp_path) is None


def test_a_line_says_what_is_wrong_and_how_much_there_is() -> None:
    """In the words of `status`; without counts where the ledger could not be asked."""
    reasons = ("disk full", "the metrics are silent")

    blocked = heartbeat(health="blocked", reasons=reasons)

    assert "blocked: disk full; the metrics are silent" == blocked.line
    assert "ok; 2 waiting, 1 in progress" == heartbeat(jobs={"queued": 2, "started": 1}).line
    assert "ok; the metrics are silent" == heartbeat(reasons=reasons[1:]).line


@pytest.mark.parametrize("what", ["unmoved_originals", "unreadable_folders"])
def test_a_line_says_that_permissions_must_be_fixed(what: str) -> None:
    """As `systemctl status` shows it, with the remedy."""
    line = heartbeat(**{what: 12}, reasons=("12 originals cannot leave inbox/album: …",)).line

    assert line.startswith("ok, but permissions must be fixed; 12 originals cannot leave")


def test_photos_in_work_are_told_longest_first() -> None:
    """A name that is no UTF-8 is written out; a clock that was set back gives no time below 0."""
    jobs = [job(1, "a.png", NOON + 5), job(2, "caf\udce9.png", NOON - 7.25), job(3, "b", None)]

    assert (
        InWork(job=2, path="caf\\udce9.png", seconds=7.2),
        InWork(job=1, path="a.png", seconds=0.0),
        InWork(job=3, path="b", seconds=0.0),
    ) == longest_first(jobs, NOON)
