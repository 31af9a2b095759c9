"""Promises of service.monitoring.health."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from service.monitoring.health import PATIENCE, Signs, judge

OK = Signs(
    rescan_age=59.0,
    rescan_every=60.0,
    still=0.0,
    longest_wait=0.5,
    events=True,
    inbox=True,
    blocked_by="",
    unresolved="",
    idle=0.0,
    orphans=0,
)
AGES = some.floats(0, 1e6)


def test_nothing_is_wrong() -> None:
    """There is no reason then."""
    assert ("ok", ()) == judge(OK)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rescan_age": PATIENCE + 61}, "no rescan of the inbox for 961 seconds"),
        ({"still": PATIENCE + 1}, "no progress for 901 seconds"),
        ({"orphans": 1}, "1 photo in progress in the ledger only"),
        ({"orphans": 2}, "2 photos in progress in the ledger only"),
        ({"idle": PATIENCE + 1}, "photos are waiting, but none was started for 901 seconds"),
    ],
)
def test_what_a_restart_cures_is_stalled(change: dict[str, float], words: str) -> None:
    """With the reason."""
    assert ("stalled", (words,)) == judge(OK._replace(**change))


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"inbox": False}, ["the inbox cannot be read"]),
        ({"inbox": False, "events": False}, ["the inbox cannot be read"]),
        ({"blocked_by": "database is locked"}, ["database is locked"]),
        (
            {"blocked_by": "database is locked", "still": 2 * PATIENCE},
            ["database is locked"],
        ),
        (
            {"blocked_by": "database is locked", "rescan_age": 2 * PATIENCE, "idle": 2 * PATIENCE},
            ["database is locked"],
        ),
        ({"unresolved": "disk full", "idle": 2 * PATIENCE}, ["disk full"]),
        ({"unresolved": "disk full", "blocked_by": "disk full"}, ["disk full"]),
        ({"settings": "2 scans wait", "idle": 60.0}, ["2 scans wait"]),
    ],
)
def test_what_a_restart_does_not_cure_is_blocked(
    change: dict[str, bool | str | float], reasons: list[str]
) -> None:
    """The watchdog does not act on an unmounted share or a full disk."""
    assert ("blocked", tuple(reasons)) == judge(OK._replace(**change))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"events": False}, "watching failed; new files are found by rescans only"),
        ({"remarks": ("the metrics are silent",)}, "the metrics are silent"),
    ],
)
def test_what_does_not_hinder_the_work_is_no_trouble(
    change: dict[str, bool | tuple[str, ...]], reason: str
) -> None:
    """It is reported, and the level stays ok."""
    assert ("ok", (reason,)) == judge(OK._replace(**change))


@pytest.mark.parametrize("blocked_by", ["", "out of memory"])
def test_a_fault_that_was_met_before_excuses_no_device_that_hangs(blocked_by: str) -> None:
    """Photos that are tried again must move, too; what waits for another try is not in hand."""
    signs = OK._replace(unresolved="out of memory", blocked_by=blocked_by, still=2 * PATIENCE)

    assert "stalled" == judge(signs).level


@given(rescan_every=AGES, longest_wait=AGES, share=some.floats(0, 1))
def test_patience_grows_with_what_is_set(
    rescan_every: float, longest_wait: float, share: float
) -> None:
    """Rare rescans and long waits for a full batch are no fault."""
    signs = OK._replace(
        rescan_every=rescan_every,
        rescan_age=share * rescan_every,
        longest_wait=longest_wait,
        still=share * longest_wait,
    )

    assert "ok" == judge(signs).level


@given(
    some.builds(
        Signs,
        rescan_age=AGES,
        rescan_every=AGES,
        still=AGES,
        longest_wait=AGES,
        idle=AGES,
        orphans=some.integers(0, 9),
        blocked_by=some.sampled_from(["", "disk full"]),
        unresolved=some.sampled_from(["", "disk full"]),
        remarks=some.just(()),
    )
)
def test_nothing_is_wrong_without_a_reason(signs: Signs) -> None:
    """Whoever reads that it does not go on reads why."""
    level, reasons = judge(signs)

    assert level == "ok" or reasons
    assert len(reasons) == len(set(reasons))
