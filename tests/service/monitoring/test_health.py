"""Promises of service.monitoring.health."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from service.monitoring.health import PATIENCE, Signs, judge

WELL = Signs(
    rescan_age=59.0,
    rescan_every=60.0,
    still=0.0,
    longest_wait=0.5,
    hints=True,
    inbox=True,
    held_up="",
    tried_again="",
    idle=0.0,
    orphans=0,
)
AGES = some.floats(0, 1e6)


def test_all_is_well() -> None:
    """Nothing is said then."""
    assert ("well", ()) == judge(WELL)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rescan_age": PATIENCE + 61}, "the inbox was not looked through for 961 seconds"),
        ({"still": PATIENCE + 1}, "nothing in work has moved for 901 seconds"),
        ({"orphans": 2}, "2 photos are in work for the ledger only"),
        ({"idle": PATIENCE + 1}, "photos wait, and none was taken up for 901 seconds"),
    ],
)
def test_what_a_restart_heals_is_stuck(change: dict[str, float], words: str) -> None:
    """It is said, too."""
    assert ("stuck", (words,)) == judge(WELL._replace(**change))


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({"inbox": False}, ["the inbox cannot be read"]),
        ({"inbox": False, "hints": False}, ["the inbox cannot be read"]),
        ({"held_up": "database is locked"}, ["held up: database is locked"]),
        (
            {"held_up": "database is locked", "still": 2 * PATIENCE},
            ["held up: database is locked"],
        ),
        (
            {"held_up": "database is locked", "rescan_age": 2 * PATIENCE, "idle": 2 * PATIENCE},
            ["held up: database is locked"],
        ),
        ({"tried_again": "disk full", "idle": 2 * PATIENCE}, ["held up: disk full"]),
        ({"tried_again": "disk full", "held_up": "disk full"}, ["held up: disk full"]),
    ],
)
def test_what_a_restart_does_not_heal_is_only_said(
    change: dict[str, bool | str | float], reasons: list[str]
) -> None:
    """The watchdog does not bite for a share that is away or a disk that is full."""
    assert ("held up", tuple(reasons)) == judge(WELL._replace(**change))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"hints": False}, "new files are found by the rescans only"),
        ({"remarks": ("the metrics are silent",)}, "the metrics are silent"),
    ],
)
def test_what_does_not_hinder_the_work_is_no_trouble(
    change: dict[str, bool | tuple[str, ...]], reason: str
) -> None:
    """It is said, and all is well."""
    assert ("well", (reason,)) == judge(WELL._replace(**change))


@pytest.mark.parametrize("held_up", ["", "out of memory"])
def test_a_fault_that_was_met_before_excuses_no_device_that_hangs(held_up: str) -> None:
    """Photos that are tried again must move, too; what waits for another try is not in hand."""
    signs = WELL._replace(tried_again="out of memory", held_up=held_up, still=2 * PATIENCE)

    assert "stuck" == judge(signs).level


@given(rescan_every=AGES, longest_wait=AGES, share=some.floats(0, 1))
def test_patience_grows_with_what_is_set(
    rescan_every: float, longest_wait: float, share: float
) -> None:
    """Rare rescans and long waits for a full batch are no fault."""
    signs = WELL._replace(
        rescan_every=rescan_every,
        rescan_age=share * rescan_every,
        longest_wait=longest_wait,
        still=share * longest_wait,
    )

    assert "well" == judge(signs).level


@given(
    some.builds(
        Signs,
        rescan_age=AGES,
        rescan_every=AGES,
        still=AGES,
        longest_wait=AGES,
        idle=AGES,
        orphans=some.integers(0, 9),
        held_up=some.sampled_from(["", "disk full"]),
        tried_again=some.sampled_from(["", "disk full"]),
        remarks=some.just(()),
    )
)
def test_nothing_is_wrong_without_a_reason(signs: Signs) -> None:
    """Whoever reads that it does not go on reads why."""
    level, reasons = judge(signs)

    assert level == "well" or reasons
    assert len(reasons) == len(set(reasons))
