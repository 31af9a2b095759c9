"""A running daemon takes up a promoted version with photos in flight, and refuses a broken one.

Two real versions with colors of their own, a third that fell to gray; one daemon serves all tests,
in their order.
"""

import json
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from tests.support.command import Command, Home
from tests.support.folder_listing import files
from tests.support.small_generators import vivid_generator
from tests.support.synthetic_photos import Array, gray_scene
from worker import scan
from worker.inference.trial import try_version
from worker.models.decoding import color_grid, with_decoding
from worker.models.generator import without_decoding
from worker.models.promotions import Promotion, write_promotions
from worker.models.store import ModelStore
from worker.settings import ReadSettings

pytestmark = pytest.mark.slow

SCENE = gray_scene(64, 80, seed=1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Publish the three versions."""
    home = Home(tmp_path_factory.mktemp("take_up"))
    gray = np.where(np.hypot(*color_grid().T) < 8, -1e4, 0.0)
    models = store(home)
    models.publish(vivid_generator(1), {})
    models.publish(vivid_generator(3), {})
    models.publish(with_decoding(without_decoding(vivid_generator(1)), gray, 0.6), {})
    models.promote(1, "the first", datetime.now(UTC), try_version)
    return home


@pytest.fixture(scope="module")
def daemon(home: Home) -> Iterator[Command]:
    """Start the daemon with version 1."""
    with home.start("run") as command:
        command.wait_for("daemon.started")
        yield command


def store(home: Home) -> ModelStore:
    """Open the daemon's model store."""
    return ModelStore(home.folder / "state/models")


def status(home: Home) -> dict[str, Any]:
    """Ask which model serves."""
    with home.start("status", "--json") as command:
        assert 0 == command.exit_code()
        answer: dict[str, Any] = json.loads(command.printed)["model"]
        return answer


def result(home: Home, name: str) -> Array:
    """Read a colored photo."""
    return scan.read_color(home.outbox / name, ReadSettings())


def test_photos_in_flight_come_out_once_whichever_version_colors_them(
    home: Home, daemon: Command
) -> None:
    """Photos are dropped without a pause until the new one serves, and a while longer."""
    home.drop("before.png", SCENE)
    daemon.wait_for("photo.delivered", path="before.png", model="1")
    store(home).promote(2, "the second", datetime.now(UTC), try_version)
    dropped = ["before.png"]

    def taken_up() -> bool:
        dropped.append(f"{len(dropped):04d}.png")
        home.drop(dropped[-1], gray_scene(64, 80, seed=len(dropped)))
        return bool(daemon.events("model.taken_up"))

    daemon.wait_until(taken_up)
    dropped.append("after.png")
    home.drop("after.png", SCENE)
    daemon.wait_for("photo.moved", times=len(dropped))
    delivered = Counter(entry["path"] for entry in daemon.events("photo.delivered"))
    with LedgerQueries.open(home.folder / "state" / LEDGER_FILE) as ledger:
        models = {str(job.path): job.model for job in ledger.colored()}

    assert dict.fromkeys(dropped, 1) == delivered
    assert sorted(dropped) == files(home.outbox) == files(home.originals)
    assert [("1", "2")] == [
        (entry["from"], entry["to"]) for entry in daemon.events("model.taken_up")
    ]
    assert {"1", "2"} == set(models.values())
    assert ("1", "2") == (models["before.png"], models["after.png"])
    assert not np.array_equal(result(home, "before.png"), result(home, "after.png"))


def test_a_version_that_fails_the_canary_is_refused_and_the_old_one_goes_on(
    home: Home, daemon: Command
) -> None:
    """The status tells why, and the refusal is told once."""
    now = datetime.now(UTC).isoformat()
    write_promotions(
        home.folder / "state/models", [Promotion(name, now, "forced") for name in ("1", "2", "3")]
    )
    daemon.wait_for("model.refused", version="3", serving="2")
    home.drop("meanwhile.png", SCENE)
    daemon.wait_for("photo.delivered", path="meanwhile.png", model="2")
    model = status(home)

    assert ("2", "3") == (model["serving"], model["promoted"])
    assert "nearly gray" in model["refused_because"]
    assert 1 == len(daemon.events("model.refused"))
    assert np.array_equal(result(home, "after.png"), result(home, "meanwhile.png"))


def test_going_back_is_followed_as_well(home: Home, daemon: Command) -> None:
    """First to what serves anyway, then to the one before it."""
    store(home).rollback("3 is gray", datetime.now(UTC))
    store(home).rollback("1 was nicer", datetime.now(UTC))
    daemon.wait_for("model.taken_up", to="1")
    home.drop("again.png", SCENE)
    daemon.wait_for("photo.delivered", path="again.png", model="1")

    assert np.array_equal(result(home, "before.png"), result(home, "again.png"))
    assert {"serving": "1", "promoted": "1", "refused_because": None} == status(home)


def test_it_stops_as_asked(daemon: Command) -> None:
    """With every generator it has loaded."""
    daemon.signal(signal.SIGTERM)

    assert 0 == daemon.exit_code()
