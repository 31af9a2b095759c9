"""A stranger reads how the work stands."""

import io
import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from rich.console import Console

from service.cli.status_page import IN_WORK_SHOWN, LEFT_ALONE_SHOWN, in_words, print_status
from service.ledger.jobs import JobStatus
from service.monitoring.heartbeat import ArrivingFile, InWork, WorkerBeat
from service.monitoring.status import (
    ArrivingFiles,
    DaemonHealth,
    ModelStatus,
    RefusedSettings,
    RejectedPhoto,
    ReviewStatus,
    Status,
    StatusLevel,
)
from service.terminal import printable

STATUS = Status(
    running="process 12 on archive",
    health=DaemonHealth(level="ok"),
    inbox=Path("/srv/photos/inbox"),
    outbox=Path("/srv/photos/outbox"),
    free={"inbox": 2_500_000_000, "outbox": 2_500_000_000, "state": 40_000_000_000},
    left_alone=(Path("/srv/photos/inbox/notes.txt"),),
    folder_settings=(),
    model=ModelStatus(serving="3", promoted="3", refused_because=None),
    jobs={
        JobStatus.QUEUED: 1200,
        JobStatus.STARTED: 1,
        JobStatus.FINISHED: 88,
        JobStatus.FAILED: 12,
    },
    in_work=(InWork(job=6, path="album/5.png", seconds=95.0),),
    arriving=ArrivingFiles(),
    finished_today=7,
    finished_last_24h=9,
    oldest_waiting=1_800_000_000.0,
    waiting_for=None,
    rejected=(
        RejectedPhoto(
            job=4,
            path=PurePosixPath("album/3.png"),
            reason="the file is empty",
            at=None,
            where=Path("/rejected/3.png"),
            to_be_colored_again=False,
        ),
    ),
    review=ReviewStatus(mode="after", hold_below=None, held=0, held_open=0, decisions_waiting=0),
    rate_per_hour=480.0,
    workers=(),
    worker_deaths=0,
    unmoved_originals=0,
    unmoved=(),
    unreadable_folders=0,
    unreadable=(),
    ledger_fault=None,
    eta_seconds=9000,
)


def page(width: int = 100, **values: Any) -> str:
    """Print a status with some values changed."""
    file = io.StringIO()
    print_status(STATUS.model_copy(update=values), Console(file=file, width=width))
    return file.getvalue()


def test_a_stranger_reads_how_it_stands() -> None:
    """All of it, in words."""
    lines = [line.rstrip() for line in page().splitlines()]

    assert "photochrom is running (pid 12): ok" == lines[0]
    assert {
        "in progress  1",
        "finished     88 (7 today, 9 in the last 24 hours)",
        "rejected     12",
        "rate         480 photos per hour",
        "time left    about 2 hours",
        "model        3",
        "free space   2.5 GB (inbox, outbox), 40 GB (state)",
        "  job 6, album/5.png: for 1 minute",
        "  job 4, album/3.png: the file is empty; now at /rejected/3.png",
        "  and 11 more (photochrom status --all)",
        "  /srv/photos/inbox/notes.txt",
    } <= set(lines)
    assert "waiting      1200, the oldest since 2027-01-15 " in page()


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ("not running", "photochrom is not running"),
        ("starting", "photochrom is running (pid 12): starting"),
        ("blocked", "photochrom is running (pid 12): blocked"),
        ("stalled", "photochrom is running (pid 12): stalled"),
        ("silent", "photochrom is running (pid 12) but not responding"),
    ],
)
def test_the_first_line_says_how_it_does_and_the_next_why(level: StatusLevel, words: str) -> None:
    """Each reason has a line."""
    health = DaemonHealth(level=level, reasons=("the disk is full", "[red]held"))
    first, *others = page(health=health).splitlines()

    assert words == first
    assert ["  the disk is full", "  [red]held"] == others[:2]


@pytest.mark.parametrize("what", ["unmoved_originals", "unreadable_folders"])
def test_permissions_that_must_be_fixed_are_in_the_headline(what: str) -> None:
    """The work goes on, but somebody has to see to it."""
    lines = page(
        **{what: 12}, health=DaemonHealth(level="ok", reasons=("12 originals cannot leave",))
    )

    assert lines.splitlines()[0].endswith(": ok, but permissions must be fixed")
    assert "12 originals cannot leave" in lines


def test_what_is_not_known_is_not_told() -> None:
    """Why the ledger cannot be read is."""
    text = page(jobs=None, rejected=(), in_work=(), rate_per_hour=None, eta_seconds=None, free={},
                ledger_fault="the ledger cannot be used now: database is locked")  # fmt: skip

    assert "  the ledger cannot be used now: database is locked\n" in text
    assert not [word for word in ("waiting", "rate", "time left", "free", "None") if word in text]


def test_why_photos_are_retried_is_told() -> None:
    """In the words of the system, and once."""
    fault = "No space left on device"
    health = DaemonHealth(level="blocked", reasons=(f"[Errno 28] {fault}",))

    assert f"retrying after  {fault}" in page(waiting_for=fault)
    assert 1 == page(waiting_for=fault, health=health).count(fault)


def test_files_that_are_not_whole_are_listed_with_the_reason() -> None:
    """And since when nothing came."""
    file = ArrivingFile(path="album/7.tif", reason="it is empty", seconds=185.0)
    arriving = ArrivingFiles(count=31, files=(file,))
    lines = [line.strip() for line in page(arriving=arriving).splitlines()]

    assert "Arriving (not complete yet), longest unchanged first:" in lines
    assert "album/7.tif: it is empty (unchanged for 3 minutes)" in lines
    assert "and 30 more" in lines


def test_the_workers_of_a_cluster_are_told_and_why_some_are_paused() -> None:
    """How many color, on how many machines, how fast, and how many were lost."""
    workers = (
        WorkerBeat(name="a #1", host="a", state="ready", rate_per_hour=1200.0),
        WorkerBeat(name="a #2", host="a", state="ready", rate_per_hour=1100.0),
        WorkerBeat(name="b #1", host="b", state="paused", reason="outbox: /out is read-only"),
        WorkerBeat(name="c #1", host="c", state="starting"),
    )
    said = page(workers=workers, worker_deaths=2)

    assert "2 of 4 ready on 1 machine, 2,300 photos per hour; 2 lost since the start" in said
    assert "Workers that are paused:\n  b #1: outbox: /out is read-only\n" in said
    assert "workers" not in page()


def test_many_in_work_are_counted() -> None:
    """The longest are shown."""
    some_jobs = tuple(InWork(job=n, path=f"{n}.png", seconds=1.0) for n in range(9))
    lines = page(in_work=some_jobs).splitlines()

    assert IN_WORK_SHOWN == len([line for line in lines if line.endswith(": for 1 second")])
    assert f"  and {9 - IN_WORK_SHOWN} more" in lines


def test_many_that_are_left_alone_are_counted() -> None:
    """A hundred thousand lines would hide all the rest."""
    lines = page(left_alone=tuple(Path(f"/srv/{n}.txt") for n in range(100_000))).splitlines()

    assert LEFT_ALONE_SHOWN == len([line for line in lines if line.startswith("  /srv/")])
    assert f"  and {100_000 - LEFT_ALONE_SHOWN} more" in lines


def test_a_person_reads_which_model_serves_and_why_not_another() -> None:
    """With the reason."""
    refused = ModelStatus(serving="3", promoted="4", refused_because="all probes are nearly gray")
    damaged = ModelStatus(serving="3", promoted=None, refused_because="a file is damaged")

    assert "3; 4 is promoted but was refused: all probes are nearly gray" in page(model=refused)
    assert "3; a file is damaged" in page(model=damaged)


@given(width=some.integers(20, 200))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Nothing is cut off either: it goes on in the next line."""
    text = page(width)

    assert all(len(line) <= width for line in text.splitlines())
    assert "/srv/photos/inbox/notes.txt" in "".join(text.split())


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Köln [red].tif", "Köln [red].tif"),
        ("a\nb\x1b[2J.tif", "a\\nb\\x1b[2J.tif"),
        ("caf\udce9.tif", "caf\\udce9.tif"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
    ],
)
def test_a_name_cannot_play_tricks_on_the_terminal(name: str, shown: str) -> None:
    """Whatever is in it stands in one line, as what it is."""
    lines = page(left_alone=(PurePosixPath(name),)).splitlines()

    assert shown == printable(name)
    assert f"  {shown}" in lines


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "1 minute"),
        (3_600, "60 minutes"),
        (7_199, "119 minutes"),
        (7_200, "2 hours"),
        (172_800, "2 days"),
    ],
)
def test_a_time_is_in_words(seconds: float, words: str) -> None:
    """Of one unit, and of two of it before the next."""
    assert words == in_words(seconds)


@pytest.mark.parametrize(("scans", "words"), [(1, "1 scan"), (12, "12 scans")])
def test_what_waits_for_its_folders_settings_is_told(scans: int, words: str) -> None:
    """With the file and what is wrong with it."""
    problems = ("line 1: x", "line 2: y")
    refused = RefusedSettings(file="album/photochrom.yaml", problems=problems, scans=scans)
    lines = page(folder_settings=(refused,)).splitlines()

    assert "Waiting until the mistakes in photochrom.yaml are corrected:" in lines
    assert f"  album/photochrom.yaml ({words}): line 1: x; line 2: y" in lines


@pytest.mark.parametrize(
    ("review", "said"),
    [
        ({"mode": "hold", "held_open": None}, "12 for approval: photochrom web"),
        ({"mode": "hold", "held_open": 5}, "12; 5 to decide on: photochrom web"),
        ({"mode": "hold", "held_open": 0}, "12; all decided on"),
        (
            {"hold_below": 0.3, "held_open": None},
            "12 for approval: photochrom web (confidence below 0.3)",
        ),
        (
            {"held_open": None},
            "12 for approval: photochrom web; new results are delivered at once",
        ),
    ],
)
def test_what_is_held_is_told_with_the_reason(review: dict[str, Any], said: str) -> None:
    """And what has been decided and waits for a daemon; neither where there is none."""
    waits = STATUS.review.model_copy(update={"held": 12, "decisions_waiting": 3, **review})

    assert re.search(f"held +{re.escape(said)} *\n", page(review=waits))
    assert re.search(r"decisions +3 to be carried out *\n", page(review=waits))
    stopped = page(review=waits, running=None)
    assert "3 to be carried out once photochrom runs" in stopped
    assert "held" not in page()
    assert "decisions" not in page()
