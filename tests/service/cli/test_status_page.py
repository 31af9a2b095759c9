"""A stranger reads how the work stands."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from rich.console import Console

from service.cli.status_page import IN_WORK_SHOWN, LEFT_ALONE_SHOWN, in_words, print_status
from service.terminal import printable

STATUS: dict[str, Any] = {
    "running": "process 12 on archive",
    "health": {"level": "well", "reasons": []},
    "inbox": "/srv/photos/inbox",
    "outbox": "/srv/photos/outbox",
    "free": {"inbox": 2_500_000_000, "outbox": 2_500_000_000, "state": 40_000_000_000},
    "left_alone": ["/srv/photos/inbox/notes.txt"],
    "model": {"serving": "3", "promoted": "3", "refused_because": None},
    "jobs": {"queued": 1200, "started": 1, "finished": 88, "failed": 12},
    "in_work": [{"job": 6, "path": "album/5.png", "seconds": 95.0}],
    "arriving": {"count": 0, "files": []},
    "folder_settings": [],
    "finished_today": 7,
    "finished_last_24h": 9,
    "oldest_waiting": "2027-01-15T07:58:24+00:00",
    "waiting_for": None,
    "rejected": [
        {
            "job": 4,
            "path": "album/3.png",
            "reason": "the file is empty",
            "at": None,
            "where": "/rejected/3.png",
            "to_be_colored_again": False,
        }
    ],
    "unmoved_originals": 0,
    "unreadable_folders": 0,
    "rate_per_hour": 480.0,
    "eta_seconds": 9000,
    "ledger_fault": None,
}


def page(width: int = 100, **values: Any) -> str:
    """Print a status with some values changed."""
    file = io.StringIO()
    print_status(STATUS | values, Console(file=file, width=width))
    return file.getvalue()


def test_a_stranger_reads_how_it_stands() -> None:
    """All of it, in words."""
    lines = [line.rstrip() for line in page().splitlines()]

    assert "photochrom is running (process 12 on archive): all is well" == lines[0]
    assert {
        "in work        1",
        "finished       88, 7 of them today, 9 in the last 24 hours",
        "rejected       12",
        "rate           480 photos an hour",
        "done in about  2 hours",
        "model          3",
        "free space     2.5 GB (inbox, outbox), 40 GB (state)",
        "  job 6, album/5.png: for 1 minute",
        "  job 4, album/3.png: the file is empty; now /rejected/3.png",
        "  and 11 more (photochrom status --all)",
        "  /srv/photos/inbox/notes.txt",
    } <= set(lines)
    assert "waiting        1200, the oldest since 2027-01-15 " in page()


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ("not running", "photochrom is not running"),
        ("starting", "photochrom is running (process 12 on archive): starting"),
        ("held up", "photochrom is running (process 12 on archive): held up"),
        ("stuck", "photochrom is running (process 12 on archive): stuck"),
        ("silent", "photochrom is running (process 12 on archive): but gives no sign of life"),
    ],
)
def test_the_first_line_says_how_it_does_and_the_next_why(level: str, words: str) -> None:
    """Each reason has a line."""
    health = {"level": level, "reasons": ["the disk is full", "[red]held"]}
    first, *others = page(health=health).splitlines()

    assert words == first
    assert ["  the disk is full", "  [red]held"] == others[:2]


@pytest.mark.parametrize("what", ["unmoved_originals", "unreadable_folders"])
def test_what_permissions_hinder_is_not_called_well(what: str) -> None:
    """The work goes on, but somebody has to see to it."""
    lines = page(**{what: 12}, health={"level": "well", "reasons": ["12 originals cannot leave"]})

    assert lines.splitlines()[0].endswith(": working, but permissions need to be changed")
    assert "12 originals cannot leave" in lines


def test_what_is_not_known_is_not_told() -> None:
    """Why the ledger cannot be read is."""
    text = page(jobs=None, rejected=[], in_work=[], rate_per_hour=None, eta_seconds=None, free={},
                ledger_fault="the ledger cannot be used now: database is locked")  # fmt: skip

    assert "  the ledger cannot be used now: database is locked\n" in text
    assert not [word for word in ("waiting", "rate", "done in", "free", "None") if word in text]


def test_what_holds_photos_up_is_told() -> None:
    """In the words of the system, and once."""
    fault = "No space left on device"
    health = {"level": "held up", "reasons": [f"held up: [Errno 28] {fault}"]}

    assert f"held up by     {fault}" in page(waiting_for=fault)
    assert 1 == page(waiting_for=fault, health=health).count(fault)


def test_files_that_are_not_whole_are_listed_with_the_reason() -> None:
    """And since when nothing came."""
    file = {"path": "album/7.tif", "reason": "it is empty", "seconds": 185.0}
    lines = [line.strip() for line in page(arriving={"count": 31, "files": [file]}).splitlines()]

    assert "Arriving (not whole yet), those at rest for longest first:" in lines
    assert "album/7.tif: it is empty (unchanged for 3 minutes)" in lines
    assert "and 30 more" in lines


def test_many_in_work_are_counted() -> None:
    """The longest are shown."""
    some_jobs = [{"job": n, "path": f"{n}.png", "seconds": 1.0} for n in range(9)]
    lines = page(in_work=some_jobs).splitlines()

    assert IN_WORK_SHOWN == len([line for line in lines if line.endswith(": for 1 second")])
    assert f"  and {9 - IN_WORK_SHOWN} more" in lines


def test_many_that_are_left_alone_are_counted() -> None:
    """A hundred thousand lines would hide all the rest."""
    lines = page(left_alone=[f"/srv/{n}.txt" for n in range(100_000)]).splitlines()

    assert LEFT_ALONE_SHOWN == len([line for line in lines if line.startswith("  /srv/")])
    assert f"  and {100_000 - LEFT_ALONE_SHOWN} more" in lines


def test_a_person_reads_which_model_serves_and_why_not_another() -> None:
    """With the reason."""
    model = {"serving": "3", "promoted": "4", "refused_because": "all probes are nearly gray"}

    assert "3; 4 is promoted; refused: all probes are nearly gray" in page(model=model)


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
    lines = page(left_alone=[name]).splitlines()

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


@pytest.mark.parametrize(("scans", "words"), [(1, "1 scan for"), (12, "12 scans for")])
def test_what_waits_for_its_folders_settings_is_told(scans: int, words: str) -> None:
    """With the file and what is wrong with it."""
    refused = {"file": "album/photochrom.yaml", "problems": ["line 1: x", "line 2: y"]}
    lines = page(folder_settings=[{**refused, "scans": scans}]).splitlines()

    assert "Waiting until their photochrom.yaml is mended:" in lines
    assert f"  {words} album/photochrom.yaml: line 1: x; line 2: y" in lines
