"""Promises of service.health."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from service.health import PATIENCE, Signs, stuck, troubles

WELL = Signs(
    rescan_age=59.0,
    rescan_every=60.0,
    still=0.0,
    longest_wait=0.5,
    hints=True,
    inbox=True,
    held_up="",
    orphans=0,
)
AGES = some.floats(0, 1e6)


def test_all_is_well() -> None:
    """Nothing is said then."""
    assert "" == stuck(WELL)
    assert [] == troubles(WELL)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rescan_age": PATIENCE + 61}, "the inbox was not looked through for 961 seconds"),
        ({"still": PATIENCE + 1}, "nothing in work has moved for 901 seconds"),
        ({"orphans": 2}, "2 photos are in work for the ledger only"),
    ],
)
def test_what_a_restart_heals_is_stuck(change: dict[str, float], words: str) -> None:
    """It is said, too."""
    signs = WELL._replace(**change)

    assert words == stuck(signs)
    assert [words] == troubles(signs)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inbox": False}, ["the inbox cannot be read"]),
        ({"inbox": False, "hints": False}, ["the inbox cannot be read"]),
        ({"hints": False}, ["new files are found by the rescans only"]),
        ({"held_up": "database is locked"}, ["held up: database is locked"]),
        (
            {"held_up": "database is locked", "still": 2 * PATIENCE},
            ["held up: database is locked"],
        ),
    ],
)
def test_what_a_restart_does_not_heal_is_only_said(
    change: dict[str, bool | str | float], words: list[str]
) -> None:
    """The watchdog does not bite for a share that is away or a disk that is full."""
    signs = WELL._replace(**change)

    assert "" == stuck(signs)
    assert words == troubles(signs)


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

    assert "" == stuck(signs)
