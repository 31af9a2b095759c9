"""A daemon is stopped, cut short and killed at its work: every photo comes out exactly once."""

import hashlib
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Command, Home
from tests.support.folder_listing import files
from tests.support.synthetic_photos import gray_scene
from tests.support.waiting import wait_until
from worker import scan
from worker.settings import ReadSettings

pytestmark = pytest.mark.slow

PHOTOS = 120


@dataclass
class Stage:
    """What was there when one run was over."""

    code: int
    outbox: list[str]
    originals: list[str]
    inbox: list[str]
    events: list[dict[str, Any]] = field(repr=False)

    @property
    def whole(self) -> list[str]:
        """Name what is in the outbox under its own name."""
        return whole(self.outbox)


def whole(outbox: list[str]) -> list[str]:
    """Name the files that are no staging files."""
    return [name for name in outbox if not Path(name).name.startswith(".")]


@dataclass
class Life:
    """The collection and the runs."""

    home: Home
    digests: dict[str, str]
    stages: dict[str, Stage]


def digests(folder: Path) -> dict[str, str]:
    """Take the SHA-256 of each file."""
    return {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files(folder)
    }


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Interrupt three runs in their work, each in another way, then let one finish."""
    home = Home(tmp_path_factory.mktemp("interruptions"))
    for n in range(PHOTOS):
        home.drop(f"{n % 4}/{n:03d}.png", gray_scene(96, 128, seed=n))
    dropped = digests(home.inbox)
    stages: dict[str, Stage] = {}

    def live(name: str, *arguments: str, end: Callable[[Command], None]) -> None:
        with home.start("run", *arguments) as command:
            end(command)
            code = command.exit_code()
            stages[name] = Stage(
                code, files(home.outbox), files(home.originals), files(home.inbox), command.events()
            )

    def interrupted_by(*numbers: signal.Signals) -> Callable[[Command], None]:
        def interrupt(command: Command) -> None:
            before = [name for stage in stages.values() for name in stage.whole]
            command.wait_for("photo.delivered", times=3)
            # What the run before delivered without noting it is delivered again, and first.
            wait_until(lambda: not set(whole(files(home.outbox))) <= set(before))
            command.signal(*numbers)

        return interrupt

    live("stopped", end=interrupted_by(signal.SIGTERM))
    live("hurried", end=interrupted_by(signal.SIGTERM, signal.SIGINT))
    live("killed", end=interrupted_by(signal.SIGKILL))
    live("last", "--once", end=lambda _command: None)
    return Life(home, dropped, stages)


def test_each_run_was_interrupted_in_the_middle(life: Life) -> None:
    """Else the other tests would prove nothing."""
    done = [len(stage.whole) for stage in life.stages.values()]

    assert sorted(done) == done
    assert 0 < done[0] < done[1] < done[2] < done[3] == PHOTOS


def test_asked_to_stop_it_delivers_what_is_in_hand_and_ends_well(life: Life) -> None:
    """Exit code 0; whole photos only, their originals archived; the rest stays in the inbox."""
    stage = life.stages["stopped"]

    assert 0 == stage.code
    assert stage.outbox == stage.whole == stage.originals
    assert PHOTOS == len(stage.originals) + len(stage.inbox)
    assert "daemon.stopped" == stage.events[-1]["event"]
    assert stage.events[-1]["everything_done"]


def test_a_second_signal_ends_it_at_once(life: Life) -> None:
    """As if it had not listened."""
    stage = life.stages["hurried"]

    assert stage.code in {-signal.SIGTERM, -signal.SIGINT}
    assert "daemon.stopped" != stage.events[-1]["event"]


def test_killed_it_leaves_only_whole_photos(life: Life) -> None:
    """Under a photo's own name there is never half of one, whatever ended the process."""
    assert -signal.SIGKILL == life.stages["killed"].code
    for name in life.stages["killed"].whole:
        assert (96, 128, 3) == scan.read_color(life.home.outbox / name, ReadSettings()).shape


def test_the_next_start_does_the_rest(life: Life) -> None:
    """What was in work is taken up again; nothing is rejected for having been in work so often."""
    last = life.stages["last"]

    assert 0 == last.code
    assert [] == files(life.home.rejected)
    assert [] == last.inbox


def test_every_photo_is_in_the_outbox_exactly_once(life: Life) -> None:
    """Under its own name, whole, and nothing else is there: no temporary file, no second copy."""
    assert sorted(life.digests) == files(life.home.outbox)
    for name in life.digests:
        assert (96, 128, 3) == scan.read_color(life.home.outbox / name, ReadSettings()).shape


def test_every_original_is_accounted_for(life: Life) -> None:
    """By its SHA-256, under its own name."""
    assert life.digests == digests(life.home.originals)
