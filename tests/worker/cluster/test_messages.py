"""Promises of worker.cluster.messages: what is said is what is heard."""

import json

import pytest

from worker.cluster.messages import (
    ClusterSettings,
    End,
    Message,
    Model,
    Order,
    Painted,
    Reply,
    State,
    decode,
    line_of,
    message_of,
    outcome_of,
    text_of,
)
from worker.inference.engine import Colored, Failed, Label, Outcome, Source, Task, WorkerState
from worker.metadata.provenance import PageRecord, Record, ReplacedColor, XmpFile
from worker.settings import ColorPoint, ColorWishes, ReadSettings, WriteSettings

TASK = Task(
    7,
    2,
    Source("caf\udce9/1.tif", "a" * 64, 10, 20, 30, original="1 (2).tif"),
    ReadSettings(),
    WriteSettings("png"),
    Label("photochrom 1", "an event", "2026-11-29T12:00:00+00:00"),
    "/out/caf\udce9/.photochrom-7-2.part",
    ColorWishes(points=(ColorPoint(0.5, 0.5, "#7a1f2b"),)),
)
PAGE = PageRecord(3, 4, 8, 8, "", "sRGB", "b" * 64, "c" * 64, (ReplacedColor(0, 0, 1, 1, 0.5, 9),))
RECORD = Record("png", (PAGE, PAGE), {"render_size": 64}, "uri", ("a thumbnail",), (XmpFile("x"),))


@pytest.mark.parametrize(
    "message",
    [
        ClusterSettings("127.0.0.1:1", workers=3),
        Model("builtin", "d" * 64, "/models/1"),
        Order(1, text_of(TASK), 120.0, 10, alone=True),
        Reply(1, "a #1", "{}", ((3, 0.5), (1, 0.25))),
        Reply(2, kind="crash", reason="it died\nof something"),
        State(4, (WorkerState("a #1", "a", "paused", 1, 2, 3.0, "why"),), 1, 9, "trouble"),
        End("no head"),
    ],
)
def test_a_message_is_one_line_and_comes_back_as_it_was(message: Message) -> None:
    """Of ASCII, whatever is in it."""
    line = line_of(message)

    assert 1 == line.count(b"\n")
    assert line.isascii()
    assert message == message_of(line)


def test_a_task_comes_back_as_it_was() -> None:
    """With names that are no UTF-8, and all that is inside of it."""
    assert TASK == decode(Task, json.loads(text_of(TASK)))


@pytest.mark.parametrize(
    "outcome",
    [
        Colored(7, 2, "builtin", "d" * 64, RECORD, "e" * 64, 99, 0.5, None, "gone"),
        Failed(7, 2, "disk", "No space left", 28, "/out/a"),
    ],
)
def test_an_outcome_comes_back_as_it_was(outcome: Outcome) -> None:
    """Whichever it is."""
    assert outcome == outcome_of(text_of(outcome))


@pytest.mark.parametrize("line", [b"", b"{}\n", b'["Nobody", {}]\n', b'["Order", {"ticket": 1}]\n'])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    """A pipe that broke amid a line, or another program's words."""
    with pytest.raises(ValueError, match="no message"):
        message_of(line)


@pytest.mark.parametrize(
    ("failure", "fault"),
    [
        (Failed(1, 1, "device", "no memory"), "no memory"),
        (Failed(1, 1, "memory", ""), "memory"),
        (Failed(1, 1, "disk", "Input/output error", 5), "Input/output error"),
        (Failed(1, 1, "disk", "No space left on device", 28), ""),
        (Failed(1, 1, "scan", "damaged"), ""),
    ],
)
def test_a_fault_of_one_machine_is_told_from_others(failure: Failed, fault: str) -> None:
    """A full disk is that of all; a damaged scan is nobody's but its own."""
    assert fault == Painted.of(failure).fault
    assert not Painted.of(failure).is_colored
