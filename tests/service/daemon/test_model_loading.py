"""Real small versions, loaded in this process."""

from datetime import UTC, datetime

import numpy as np
import pytest
from structlog.testing import capture_logs

from service.config.loader import Config
from service.config.sections import Batching, Model
from service.daemon.model_loading import ModelLoader
from service.ledger.ledger import ActiveModel
from tests.support.small_generators import vivid_generator
from worker.errors import ModelError
from worker.models.decoding import color_grid, with_decoding
from worker.models.generator import without_decoding
from worker.models.promotions import PROMOTIONS_FILE, Promotion, write_promotions
from worker.models.store import ModelStore


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """Publish a version that works and one that fell to gray."""
    config = Config(model=Model(render_size=64), batch=Batching(size=2)).beside(
        tmp_path_factory.mktemp("serving")
    )
    config.state.mkdir()
    models = ModelStore(config.models_folder)
    good = vivid_generator(1)
    gray = np.where(np.hypot(*color_grid().T) < 8, -1e4, 0.0)
    models.publish(good, {})
    models.publish(with_decoding(without_decoding(good), gray, 0.6), {})
    return config


def promote(config: Config, *versions: str) -> None:
    """Write the history, also of what could not be promoted by the command."""
    now = datetime.now(UTC).isoformat()
    write_promotions(config.models_folder, [Promotion(each, now, "a test") for each in versions])


def test_the_promoted_version_is_loaded(config: Config) -> None:
    """After the canary; nothing was refused."""
    promote(config, "1")
    loader = ModelLoader(config)
    colorizer, serving = loader.start()

    assert ("1", ActiveModel("1")) == (colorizer.model, serving)
    assert "1" == loader.promoted()


def test_a_broken_promoted_version_is_left_for_the_one_before_it(config: Config) -> None:
    """A restart does not stop what went on before; the refusal is told in the log."""
    promote(config, "1", "2")
    loader = ModelLoader(config)
    colorizer, serving = loader.start()
    with capture_logs() as logs:
        loader.tell(colorizer, serving)

    assert ("1", "1", "2") == (colorizer.model, serving.model, serving.refused)
    assert "nearly gray" in (serving.refused_because or "")
    assert ["model.refused", "model.loaded"] == [entry["event"] for entry in logs]
    assert ("2", "1") == (logs[0]["version"], logs[1]["version"])


def test_a_version_that_is_gone_is_left_for_the_built_in_one(config: Config) -> None:
    """In the end it serves."""
    promote(config, "7", "2")
    colorizer, serving = ModelLoader(config).start()

    assert ("builtin", "2") == (colorizer.model, serving.refused)


def test_a_fixed_version_is_that_or_nothing(config: Config) -> None:
    """Whatever is promoted, and as it is: who names it has chosen it, so no canary is asked."""
    promote(config, "1")
    fixed = config.model_copy(update={"model": Model(version=2, render_size=64)})
    missing = config.model_copy(update={"model": Model(version=7, render_size=64)})

    assert "2" == ModelLoader(fixed).start()[0].model
    with pytest.raises(ModelError, match="there is no model version 7"):
        ModelLoader(missing).start()


def test_a_broken_version_is_not_taken_up(config: Config) -> None:
    """The canary says why."""
    with pytest.raises(ModelError, match="version 2 is not fit to serve"):
        ModelLoader(config).load("2")


def test_a_damaged_history_is_not_guessed_at(config: Config) -> None:
    """It is never taken for none."""
    (config.models_folder / PROMOTIONS_FILE).write_text("[")
    with pytest.raises(ModelError, match="active version is unknown"):
        ModelLoader(config).start()
