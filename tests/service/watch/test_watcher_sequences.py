"""Whatever people do and the system forgets: each stable file is done once, by the next rescan."""

import errno
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service.ledger.jobs import Decision
from service.storage import moves
from service.watch import supervisor
from tests.support.folder_listing import files
from tests.support.simulated_daemon import CONTENTS, PHOTOGRAPHS, RESCAN, SETTLE, World

SEQUENCES = 300  # for each of two ends of originals

# Few, so that much happens to each; among them one that the alternative name of another's result
# would have, and some that are not for the daemon.
NAMES = st.sampled_from(
    [
        *["a.png"] * 4,
        *["x/a.png", "b.png"] * 2,
        *("z/a.png", "x/y/a.png", f"a.{min(PHOTOGRAPHS)[:8]}.png"),
        *("a.png.part", ".a.png", "z/notes.txt"),
    ]
)
FOLDERS = st.sampled_from(["x", "x/y", "z"])
TOP_FOLDERS = st.sampled_from(["x", "z"])
FILES = st.sampled_from([CONTENTS[0], *CONTENTS])
NUMBERS = st.integers(0, 5)
SECONDS = st.sampled_from([0.0, 0.5, SETTLE, SETTLE, RESCAN])


def call(method: str, *arguments: st.SearchStrategy[Any], **options: Any) -> st.SearchStrategy[Any]:
    """Describe one thing that happens."""
    return st.tuples(st.just(method), st.tuples(*arguments), st.fixed_dictionaries(options))


PEOPLE = st.one_of(
    *[call("write", NAMES, FILES)] * 3,
    *[call("replace", NAMES, FILES)] * 2,
    call("begin", NAMES, FILES),
    call("go_on", NAMES),
    *[call("hold", NAMES, FILES)] * 2,
    call("grow", NAMES),
    call("let_go", NAMES),
    call("rename", NAMES, NAMES),
    call("link", NAMES, NAMES),
    call("change_time", NAMES),
    call("delete", NAMES),
    *[call("take_out", NAMES), call("bring_in", NAMES)] * 2,
    call("move_folder", FOLDERS, FOLDERS),
    call("take_folder_out", TOP_FOLDERS),
    call("bring_folder_in", TOP_FOLDERS),
    call("delete_folder", FOLDERS),
    call("decide", st.sampled_from([Decision.APPROVED, Decision.REJECTED, None])),
)
SYSTEM = st.one_of(
    *[call("tell", NUMBERS, again=st.booleans())] * 3,
    call("tell_wrongly", st.one_of(NAMES, FOLDERS)),
    call("overflow"),
)
DAEMON = st.one_of(
    *[call("queue")] * 3,
    *[call("step", SECONDS)] * 3,
    *[call("work", NUMBERS)] * 3,
    call("work_all"),
    call("settle"),
    call("end", crash=st.booleans()),
)
HAPPENS = st.lists(st.one_of(PEOPLE, SYSTEM, DAEMON), max_size=40)


@pytest.fixture(autouse=True)
def _nothing_but_what_is_told(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The system announces nothing by itself; and the signals belong to pytest afterwards."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(supervisor, "Observer", refuse)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("after", ["move", "keep"])
@settings(
    max_examples=SEQUENCES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(happens=HAPPENS, local=st.booleans(), hold=st.booleans())
def test_each_stable_file_is_done_once_and_nothing_else(
    after: str,
    happens: list[tuple[str, tuple[Any, ...], dict[str, Any]]],
    *,
    local: bool,
    hold: bool,
) -> None:
    """No unstable file is; originals and results are where they belong; nothing is left over."""
    with tempfile.TemporaryDirectory() as folder, capture_logs() as logs:
        world = World(Path(folder), after, logs, local=local, hold=hold)
        try:
            for method, arguments, options in [*happens, ("settle", (), {})]:
                getattr(world, method)(*arguments, **options)
                if world.faults:
                    break
        finally:
            world.close()
        note("\n".join(str(line) for line in logs))

        assert [] == world.faults


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Start a daemon that moves originals, on empty folders."""
    with capture_logs() as logs:
        made = World(tmp_path, "move", logs)
        yield made
    made.close()


def test_a_scan_rewritten_with_what_it_had_while_it_waits_is_done(world: World) -> None:
    """The file is another than its job's, and the job the same; its work is begun anew."""
    world.write("a.png", CONTENTS[0])
    world.queue()
    world.write("a.png", CONTENTS[0])
    world.queue()
    world.settle()

    assert [] == world.faults
    assert ["a.png"] == files(world.config.originals.folder)
    assert 1 == world.colorist.painted


def test_a_scan_that_was_away_when_it_was_to_be_read_is_done(world: World) -> None:
    """It is back as it was, and nobody announced either."""
    world.write("a.png", CONTENTS[0])
    world.queue()
    world.take_out("a.png")
    world.work_all()
    world.bring_in("a.png")
    world.settle()

    assert [] == world.faults
    assert ["a.png"] == files(world.config.originals.folder)


def test_an_original_that_was_away_when_it_was_to_be_moved_is_moved(world: World) -> None:
    """Once it is back; it is not colored again."""
    world.write("a.png", CONTENTS[0])
    world.queue()
    for _ in range(3):  # read, colored, written
        world.work(0)
        world.step()
    world.work(0)  # delivered
    world.take_out("a.png")
    world.step()
    assert ["a.png"] == files(world.config.outbox)
    world.bring_in("a.png")
    world.settle()

    assert [] == world.faults
    assert ["a.png"] == files(world.config.originals.folder)
    assert 1 == world.colorist.painted


def test_a_scan_saved_just_when_the_earlier_one_is_moved_is_colored_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is neither archived in place of that one nor forgotten."""
    rename = moves.rename_without_overwriting
    saved: list[bytes] = [CONTENTS[1]]

    def save_first(source: Path, target: Path) -> None:
        if saved:
            world.replace("a.png", saved.pop())
        rename(source, target)

    monkeypatch.setattr(moves, "rename_without_overwriting", save_first)
    world.write("a.png", CONTENTS[0])
    world.settle()
    world.settle()

    assert [] == world.faults
    assert 2 == world.colorist.painted
    [moved] = files(world.config.originals.folder)
    assert CONTENTS[1] == (world.config.originals.folder / moved).read_bytes()
