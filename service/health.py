"""Pure: from what the daemon sees of itself, does its work make progress?

A fault that a restart does not heal (a full disk, an inbox that is away) is no lack of progress: it
is said, and waited for.
"""

from typing import NamedTuple

PATIENCE = 900.0  # seconds; the largest scan takes minutes on a slow machine


class Signs(NamedTuple):
    """What the daemon sees of itself.

    Attributes:
        rescan_age: seconds since the last full look through the inbox.
        rescan_every: seconds between two of them, as is set.
        still: seconds since the work last moved, though there is some.
        longest_wait: seconds a batch may wait for more photos, as is set.
        hints: whether the system announces new files.
        inbox: whether the inbox can be read.
        held_up: the machine's fault that all waits for, or "".
        orphans: how many jobs are in work for the ledger, and in nobody's hand.
    """

    rescan_age: float
    rescan_every: float
    still: float
    longest_wait: float
    hints: bool
    inbox: bool
    held_up: str
    orphans: int


def stuck(signs: Signs) -> str:
    """Say why only a restart can help, or nothing where the work goes on."""
    if signs.rescan_age > signs.rescan_every + PATIENCE:
        return f"the inbox was not looked through for {signs.rescan_age:.0f} seconds"
    if signs.orphans:
        return f"{signs.orphans} photos are in work for the ledger only"
    if not signs.held_up and signs.still > signs.longest_wait + PATIENCE:
        return f"nothing in work has moved for {signs.still:.0f} seconds"
    return ""


def troubles(signs: Signs) -> list[str]:
    """List, in words for people, what is wrong, the worst first."""
    reason = stuck(signs)
    return [
        words
        for wrong, words in (
            (reason, reason),
            (not signs.inbox, "the inbox cannot be read"),
            (signs.held_up, f"held up: {signs.held_up}"),
            (signs.inbox and not signs.hints, "new files are found by the rescans only"),
        )
        if wrong
    ]
