"""A file is taken when it has stopped changing, and not before."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from service.filesystem.file_stat import FileStat
from service.watch.stability import StabilityTracker

SETTLE = 2.0
PATH = Path("scan.tif")


def looks(size: int) -> FileStat:
    """Make a snapshot that differs by its size only."""
    return FileStat(size=size, mtime_ns=0, inode=1, device=1)


def test_a_file_is_stable_when_it_stayed_the_same_for_the_settle_time() -> None:
    """The settle time itself is enough, a moment less is not."""
    tracker = StabilityTracker(SETTLE)

    assert not tracker.observe(PATH, looks(1), 10.0)
    assert not tracker.observe(PATH, looks(1), 11.9)
    assert tracker.observe(PATH, looks(1), 12.0)


def test_a_half_written_file_is_not_taken() -> None:
    """Each change starts the settle time again."""
    tracker = StabilityTracker(SETTLE)
    for moment in range(10):
        assert not tracker.observe(PATH, looks(moment), moment * 1.9)

    assert not tracker.observe(PATH, looks(9), 18.0)
    assert tracker.observe(PATH, looks(9), 9 * 1.9 + SETTLE)


def test_a_file_that_went_and_came_back_starts_again() -> None:
    """None forgets what was seen before."""
    tracker = StabilityTracker(SETTLE)
    tracker.observe(PATH, looks(1), 0.0)

    assert not tracker.observe(PATH, None, 1.0)
    assert tracker.waiting == 0
    assert not tracker.observe(PATH, looks(1), 3.0)


def test_another_inode_of_the_same_size_and_time_is_another_file() -> None:
    """A file put in place of another is seen."""
    tracker = StabilityTracker(SETTLE)
    tracker.observe(PATH, FileStat(1, 1, inode=1, device=1), 0.0)

    assert not tracker.observe(PATH, FileStat(1, 1, inode=2, device=1), 3.0)


def test_restart_counts_from_now_though_nothing_changed() -> None:
    """A file that a writer holds open waits for another settle time."""
    tracker = StabilityTracker(SETTLE)
    tracker.observe(PATH, looks(1), 0.0)
    tracker.restart(PATH, looks(1), 5.0)

    assert not tracker.observe(PATH, looks(1), 6.0)
    assert tracker.observe(PATH, looks(1), 7.0)


def test_without_settle_time_a_file_is_stable_at_once() -> None:
    """Zero is allowed."""
    assert StabilityTracker(0.0).observe(PATH, looks(1), 0.0)


def test_next_due_is_the_time_until_the_first_file_may_be_stable() -> None:
    """None without files, never below zero."""
    tracker = StabilityTracker(SETTLE)

    assert tracker.next_due(0.0) is None
    tracker.observe(PATH, looks(1), 0.0)
    tracker.observe(Path("other.tif"), looks(1), 1.0)
    assert tracker.next_due(0.5) == 1.5
    assert tracker.next_due(9.0) == 0.0
    tracker.forget(PATH)
    assert tracker.next_due(1.0) == SETTLE


steps = st.lists(
    st.tuples(
        st.floats(0, 3),  # seconds since the step before
        st.sampled_from(["a", "b", "c"]),
        st.one_of(st.none(), st.integers(0, 2)),  # its size, or gone
    ),
    max_size=40,
)


@given(steps)
def test_stable_means_seen_the_same_for_at_least_the_settle_time(
    seen: list[tuple[float, str, int | None]],
) -> None:
    """For every history, by comparison with the whole history of the file."""
    tracker = StabilityTracker(SETTLE)
    history: dict[str, list[tuple[float, int | None]]] = {"a": [], "b": [], "c": []}
    now = 0.0
    for seconds, name, size in seen:
        now += seconds
        history[name].append((now, size))
        stable = tracker.observe(Path(name), None if size is None else looks(size), now)
        since = now
        for moment, before in reversed(history[name]):
            if before != size:
                break
            since = moment

        assert stable == (size is not None and now - since >= SETTLE)


@given(steps, st.integers(1, 3))
def test_due_lists_the_files_that_have_not_changed_for_the_settle_time(
    seen: list[tuple[float, str, int | None]], limit: int
) -> None:
    """The longest unchanged first, at most as many as asked for; next_due agrees."""
    tracker = StabilityTracker(SETTLE)
    since: dict[Path, tuple[int, float]] = {}
    now = 0.0
    for seconds, name, size in seen:
        now += seconds
        path = Path(name)
        tracker.observe(path, None if size is None else looks(size), now)
        if size is None:
            since.pop(path, None)
        elif path not in since or since[path][0] != size:
            since.pop(path, None)
            since[path] = (size, now)
    due = [path for path, (_, moment) in since.items() if now >= moment + SETTLE]

    assert due[:limit] == tracker.due(now, limit)
    assert len(since) == tracker.waiting
    assert since.keys() == tracker.paths
    waits = [max(0.0, moment + SETTLE - now) for _, moment in since.values()]
    assert min(waits, default=None) == tracker.next_due(now)
