"""Promises of service.backoff."""

from service.backoff import Backoff
from service.config.sections import Retry

RETRY = Retry(first_wait=10.0, longest_wait=35.0)


def test_waits_double_up_to_the_limit_and_start_again_after_a_success() -> None:
    """10, 20, 35, 35 seconds; then 10 again."""
    backoff, now, waits = Backoff(), 0.0, []
    for _ in range(4):
        backoff = backoff.after_failure(now, "disk full", RETRY)
        waits.append(backoff.until - now)
        now = backoff.until
    again = backoff.cleared().after_failure(now, "disk full", RETRY)

    assert [10.0, 20.0, 35.0, 35.0] == waits
    assert (now + 10.0, 1) == (again.until, again.faults)


def test_what_fails_together_is_one_fault() -> None:
    """A second failure while the wait lasts changes nothing."""
    first = Backoff().after_failure(0.0, "disk full", RETRY)

    assert first == first.after_failure(9.9, "another", RETRY)
    assert first.waits(9.9)
    assert not first.waits(10.0)


def test_a_wait_that_was_ended_still_counts_its_faults() -> None:
    """The next failure waits longer; a wait that is over stays as it was."""
    ended = Backoff().after_failure(0.0, "disk full", RETRY).ended(3.0)

    assert Backoff(3.0, 1, "disk full") == ended
    assert ended == ended.ended(100.0)
    assert 20.0 == ended.after_failure(3.0, "disk full", RETRY).until - 3.0


def test_the_1st_2nd_4th_8th_are_logged() -> None:
    """A fault may last for weeks."""
    assert [1, 2, 4, 8] == [n for n in range(10) if Backoff(faults=n).is_to_be_logged]
