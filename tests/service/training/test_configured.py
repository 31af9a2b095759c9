"""What the configuration adds to a training request."""

from pathlib import Path

import pytest

from service.config.loader import Config, ConfigError
from service.config.sections import Training
from service.training.configured import configured
from worker.training.request import TrainingRequest


def test_recipe_and_absolute_folders_are_added(tmp_path: Path) -> None:
    """What the command line says stays."""
    config = Config(training=Training(batch=4)).beside(tmp_path)
    asked = TrainingRequest((Path("photos"), tmp_path / "more"), 12, steps=40, name="harbor")
    request = configured(asked, config)

    assert (Path.cwd() / "photos", tmp_path / "more") == request.folders
    assert (12, 40, "harbor", None) == (
        *(request.start, request.steps, request.name),
        request.reference,
    )
    assert 4 == request.recipe.batch
    assert config.read_settings == request.read


def test_the_reference_set_of_the_request_comes_first(tmp_path: Path) -> None:
    """That of the configuration must be there if it is used."""
    for name in ("configured", "given"):
        (tmp_path / name).mkdir()
    config = Config(training=Training(reference=Path("configured"))).beside(tmp_path)
    asked = TrainingRequest((), minutes=1.0)
    given = TrainingRequest((), minutes=1.0, reference=tmp_path / "given")
    gone = Config(training=Training(reference=Path("gone"))).beside(tmp_path)
    with pytest.raises(ConfigError) as caught:
        configured(asked, gone)

    assert tmp_path / "configured" == configured(asked, config).reference
    assert tmp_path / "given" == configured(given, config).reference
    assert tmp_path / "given" == configured(given, gone).reference
    assert [f"training.reference: is not a folder ({tmp_path / 'gone'})"] == caught.value.problems
