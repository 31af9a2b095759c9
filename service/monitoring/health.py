"""Pure: from what the daemon sees of itself, how does it do?

Well: its work goes on, or there is none. Held up: a fault that a restart does not heal (a full
disk, an inbox that is away) is waited for. Stuck: only a restart can help.
"""

from typing import Literal, NamedTuple

PATIENCE = 900.0  # seconds; the largest scan takes minutes on a slow machine

Level = Literal["well", "held up", "stuck"]
WELL = "all is well"  # for people, wherever it is told
NEEDS_SOMEBODY = "working, but permissions need to be changed"  # in place of it
HELD_UP = "held up: "  # begins a reason


class Signs(NamedTuple):
    """What the daemon sees of itself.

    Attributes:
        rescan_age: seconds since the last full look through the inbox was over, or since the next
            one came on, which may take long.
        rescan_every: seconds between two of them, as is set.
        still: seconds since the work last moved, though there is some.
        longest_wait: seconds a batch may wait for more photos, as is set.
        hints: whether the system announces new files.
        inbox: whether the inbox can be read.
        held_up: the machine's fault that all waits for, or "".
        tried_again: the machine's fault that photos were put back for and did not get past yet, or
            "".
        idle: seconds for which a photo was due, and none in hand.
        orphans: how many jobs are in work for the ledger, and in nobody's hand.
        remarks: what else is wrong and does not hinder the work, in words.
    """

    rescan_age: float
    rescan_every: float
    still: float
    longest_wait: float
    hints: bool
    inbox: bool
    held_up: str
    tried_again: str
    idle: float
    orphans: int
    remarks: tuple[str, ...] = ()


class Health(NamedTuple):
    """How the daemon does, and in words for people what is wrong, the worst first."""

    level: Level
    reasons: tuple[str, ...]


def judge(signs: Signs) -> Health:
    """Say how the daemon does."""
    stuck, held_up = _stuck(signs), _held_up(signs)
    blind = signs.inbox and not signs.hints
    beside = ("new files are found by the rescans only",) if blind else ()
    level: Level = "stuck" if stuck else "held up" if held_up else "well"
    return Health(level, (*stuck, *held_up, *beside, *signs.remarks))


def _stuck(signs: Signs) -> list[str]:
    """Say why only a restart can help, or nothing."""
    waits = bool(signs.held_up)
    # What fails on its way is put back; what is in hand must move, or wait for the ledger, say.
    may_rest = waits and signs.held_up != signs.tried_again
    return [
        words
        for wrong, words in (
            (
                signs.rescan_age > signs.rescan_every + PATIENCE and not waits,
                f"the inbox was not looked through for {signs.rescan_age:.0f} seconds",
            ),
            (signs.orphans, f"{signs.orphans} photos are in work for the ledger only"),
            (
                signs.still > signs.longest_wait + PATIENCE and not may_rest,
                f"nothing in work has moved for {signs.still:.0f} seconds",
            ),
            (
                signs.idle > PATIENCE and not waits and not signs.tried_again,
                f"photos wait, and none was taken up for {signs.idle:.0f} seconds",
            ),
        )
        if wrong
    ]


def _held_up(signs: Signs) -> list[str]:
    """Say what is waited for, or nothing."""
    reasons = dict.fromkeys(reason for reason in (signs.held_up, signs.tried_again) if reason)
    away = [] if signs.inbox else ["the inbox cannot be read"]
    return [*away, *(f"{HELD_UP}{reason}" for reason in reasons)]
