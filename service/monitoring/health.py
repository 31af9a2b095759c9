"""Judge the daemon's health from what it observes; pure.

ok: it is working or has nothing to do. blocked: it waits for something that a restart cannot fix (a
full disk, an unmounted inbox) or that somebody must correct. stalled: only a restart can help.
"""

from typing import Literal, NamedTuple

PATIENCE = 900.0  # seconds; the largest scan takes minutes on a slow machine

Level = Literal["ok", "blocked", "stalled"]
# What programs read (heartbeat.json, `status --json`, metrics) keeps the words it began with.
PUBLISHED: dict[Level, str] = {"ok": "well", "blocked": "held up", "stalled": "stuck"}
FIX_PERMISSIONS = "ok, but permissions must be fixed"  # said instead of "ok"


class Signs(NamedTuple):
    """What the daemon observes of itself.

    Attributes:
        rescan_age: seconds since the last full rescan of the inbox ended, or since the running one
            made progress.
        rescan_every: seconds between rescans, as configured.
        still: seconds since any photo in progress moved.
        longest_wait: seconds a batch may wait for more photos, as configured.
        events: whether new files are reported by events (inotify or polling).
        inbox: whether the inbox can be read.
        blocked_by: why no new work begins, or "".
        unresolved: the machine fault that photos were put back for and that none has passed yet, or
            "".
        idle: seconds during which photos were due and none was in progress.
        orphans: number of jobs that the ledger has in progress and the pipeline does not.
        settings: which folder settings have mistakes that scans wait for, or "".
        remarks: what else is wrong and does not stop the work.
    """

    rescan_age: float
    rescan_every: float
    still: float
    longest_wait: float
    events: bool
    inbox: bool
    blocked_by: str
    unresolved: str
    idle: float
    orphans: int
    settings: str = ""
    remarks: tuple[str, ...] = ()


class Health(NamedTuple):
    """The level, and the reasons in words for people, the worst first."""

    level: Level
    reasons: tuple[str, ...]


def judge(signs: Signs) -> Health:
    """Return the daemon's health."""
    stalled, blocked = _stalled(signs), _blocked(signs)
    polling = signs.inbox and not signs.events
    minor = ("watching failed; new files are found by rescans only",) if polling else ()
    level: Level = "stalled" if stalled else "blocked" if blocked else "ok"
    return Health(level, (*stalled, *blocked, *minor, *signs.remarks))


def _stalled(signs: Signs) -> list[str]:
    """Return the reasons why only a restart can help."""
    blocked = bool(signs.blocked_by)
    # A photo that fails goes back to the queue, so one in progress must move, unless what blocks
    # new work (a locked ledger, say) also stops it from being recorded.
    may_rest = blocked and signs.blocked_by != signs.unresolved
    return [
        reason
        for wrong, reason in (
            (
                signs.rescan_age > signs.rescan_every + PATIENCE and not blocked,
                f"no rescan of the inbox for {signs.rescan_age:.0f} seconds",
            ),
            (signs.orphans, f"{_photos(signs.orphans)} in progress in the ledger only"),
            (
                signs.still > signs.longest_wait + PATIENCE and not may_rest,
                f"no progress for {signs.still:.0f} seconds",
            ),
            (
                signs.idle > PATIENCE and not blocked and not signs.unresolved,
                f"photos are waiting, but none was started for {signs.idle:.0f} seconds",
            ),
        )
        if wrong
    ]


def _blocked(signs: Signs) -> list[str]:
    """Return the reasons why work waits."""
    inbox = "" if signs.inbox else "the inbox cannot be read"
    reasons = (inbox, signs.blocked_by, signs.unresolved, signs.settings)
    return list(dict.fromkeys(reason for reason in reasons if reason))


def _photos(count: int) -> str:
    return "1 photo" if count == 1 else f"{count} photos"
