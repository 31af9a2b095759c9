"""What is logged while work is blocked."""

from structlog.testing import capture_logs

from service.daemon.blocked_log import REPEAT_AFTER, SAME_WITHIN, BlockedLog


def said(notes: list[tuple[float, str]], *, over: bool = True) -> list[str]:
    """Note what is at which seconds; return the events and reasons that were logged."""
    blocked = BlockedLog()
    with capture_logs() as logs:
        for now, reason in notes:
            blocked.note(reason, now, over=over)
            assert reason == blocked.reason
    return [f"{entry['event']} {entry.get('reason', '')}".strip() for entry in logs]


def test_being_blocked_is_logged_when_it_begins_and_when_it_ends() -> None:
    """Once each."""
    assert ["daemon.held_up full", "daemon.goes_on"] == said(
        [(0.0, ""), (1.0, "full"), (1.5, "full"), (2.0, "full"), (3.0, ""), (3.5, "")]
    )


def test_another_reason_is_said() -> None:
    """The first one need not be over."""
    assert ["daemon.held_up full", "daemon.held_up away"] == said([(0.0, "full"), (1.0, "away")])


def test_what_lasts_is_said_every_ten_minutes() -> None:
    """A day is 144 lines, and no more."""
    day = [(float(second), "away") for second in range(0, 86_400, 5)]

    assert 144 == len(said(day))


def test_a_flapping_fault_is_logged_once() -> None:
    """A single file that cannot be read now and then must not fill the log."""
    flapping = [(0.5 * n, "cannot be read" if n % 4 else "") for n in range(1, 240)]

    assert ["daemon.held_up cannot be read", "daemon.goes_on"] == said(flapping)


def test_reasons_that_take_turns_are_each_said_once() -> None:
    """Within ten minutes, however often they change."""
    assert ["daemon.held_up one", "daemon.held_up two"] == said(
        [(0.5 * n, ("one", "two")[n % 2]) for n in range(1000)]
    )[:2]
    assert 2 == len(said([(0.5 * n, ("one", "two")[n % 2]) for n in range(1000)]))


def test_what_is_back_later_is_said_again() -> None:
    """After more than a minute it is another one."""
    assert ["daemon.held_up full", "daemon.goes_on", "daemon.held_up full"] == said(
        [(0.0, "full"), (1.0, ""), (SAME_WITHIN + 2.0, "full")]
    )


def test_work_that_is_tried_again_is_not_yet_going_on() -> None:
    """Only when something works again."""
    assert ["daemon.held_up full"] == said([(0.0, "full"), (1.0, "")], over=False)


def test_what_was_said_is_forgotten() -> None:
    """A thousand reasons a day must not stay in memory for a year."""
    blocked = BlockedLog()
    for n in range(1000):
        blocked.note(f"reason {n}", n * REPEAT_AFTER)

    assert len(blocked._seen) <= 2
