"""Promises of training.evaluate, on real photographs and a real store of tiny generators."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from service.config.loader import Config
from service.config.sections import Model
from service.training.evaluate import LINES, evaluate_models, print_evaluation
from tests.support.small_generators import tiny_generator
from tests.support.synthetic_photos import color_scene, gray_scene, save
from worker.errors import ModelError, ScanError
from worker.models import store
from worker.models.store import ModelStore
from worker.models.version import ModelVersion
from worker.training.evaluation.evaluate import Scores

PHOTOS = 4


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with four color photographs and two that are unfit."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        save(folder / f"{number}.png", color_scene(100, 120, number))
    save(folder / "gray.png", gray_scene(100, 120))
    (folder / "broken [red].jpg").write_bytes(b"no photograph")
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    """Configure a state with a tiny built-in and version 1."""
    home = tmp_path_factory.mktemp("home")
    config = Config(model=Model(render_size=64)).beside(home)
    elsewhere = ModelStore(home / "elsewhere")
    small = elsewhere.publish(tiny_generator(2), {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "built_in", lambda: ModelVersion("builtin", small.folder, small.card))
        ModelStore(config.models_folder).publish(tiny_generator(3), {})
        yield config


def quiet(*_: object) -> None:
    """Report to nobody."""


def test_a_model_is_measured_in_bfloat16_beside_itself(config: Config, photos: Path) -> None:
    """So that an operator can see whether the quicker precision costs anything."""
    found = evaluate_models(config, photos, ["1"], None, None, quiet, bfloat16=True)

    assert ["gray", "1", "1, bfloat16"] == list(found.scores)
    exact, rough = found.scores["1"].ab_rmse, found.scores["1, bfloat16"].ab_rmse
    assert exact != rough
    assert exact == pytest.approx(rough, abs=0.5)


def test_models_are_measured_side_by_side(config: Config, photos: Path) -> None:
    """Gray first, then as asked; a model asked for twice, by two names, is there once."""
    names = ["1", "promoted", "builtin"]
    found = evaluate_models(config, photos, names, None, None, quiet)

    assert ["gray", "1", "builtin"] == list(found.scores)
    assert {PHOTOS} == {scores.photographs for scores in found.scores.values()}
    assert found.scores["1"] != found.scores["builtin"]
    assert {"gray": 1, "unreadable": 1} == found.left_out
    assert found.sheet is None


def test_few_photographs_are_enough_where_few_are_wanted(config: Config, photos: Path) -> None:
    """Of those that are fit; the bar ends full."""
    told: list[tuple[float, float, str]] = []
    found = evaluate_models(config, photos, ["builtin"], 2, None, lambda *words: told.append(words))

    assert 2 == found.scores["gray"].photographs
    assert (2, 2) == told[-1][:2]


def test_the_bar_moves_with_the_photographs(config: Config, photos: Path) -> None:
    """It never goes back, and ends when the last one that is fit is done."""
    told: list[tuple[float, float, str]] = []
    evaluate_models(config, photos, ["builtin"], None, None, lambda *words: told.append(words))

    assert list(range(1, PHOTOS + 1)) == [done for done, _, _ in told]
    assert (PHOTOS, PHOTOS) == told[-1][:2]


def test_the_sheet_is_written(config: Config, photos: Path, tmp_path: Path) -> None:
    """Where it was asked for, as the kind that its name says."""
    path = tmp_path / "sheets" / "sheet.png"
    found = evaluate_models(config, photos, ["1"], None, path, quiet)

    assert path == found.sheet
    assert path.read_bytes().startswith(b"\x89PNG")


def test_json_has_every_number(config: Config, photos: Path) -> None:
    """What cannot be measured is null."""
    found = evaluate_models(config, photos, ["1"], None, None, quiet)
    plain = json.loads(json.dumps(found.plain(), allow_nan=False))

    assert set(Scores.__dataclass_fields__) == set(plain["scores"]["1"])
    assert plain["scores"]["gray"]["calibration_error"] is None
    assert {"gray": 1, "unreadable": 1} == plain["left_out"]


def test_the_table_has_every_number(config: Config, photos: Path) -> None:
    """One line for each score and one column for each model; a dash where there is none."""
    found = evaluate_models(config, photos, ["1"], None, None, quiet)
    told = io.StringIO()
    print_evaluation(found, Console(file=told, width=100))
    table = told.getvalue()

    assert {name for name, *_ in LINES} == set(Scores.__dataclass_fields__) - {"photographs"}
    for _, words, _, _ in LINES:
        assert words in table
    for words in ("gray", "model 1", f"{found.scores['1'].ab_rmse:.2f}", "docs/evaluation.md"):
        assert words in table
    assert f"{PHOTOS} photographs of {photos}" in table
    assert "1 unreadable" in table
    assert 3 == table.count(" - ")  # gray has no doubt


def test_a_folder_without_colors_is_told(config: Config, tmp_path: Path) -> None:
    """With what was found instead."""
    save(tmp_path / "gray.png", gray_scene(100, 120))
    with pytest.raises(ScanError, match="no photograph has colors") as fault:
        evaluate_models(config, tmp_path, ["builtin"], None, None, quiet)

    assert "1 gray" in str(fault.value)


@pytest.mark.parametrize("name", ["7", "best"])
def test_a_model_that_is_not_there_is_told(config: Config, photos: Path, name: str) -> None:
    """Before any photograph is read."""
    with pytest.raises(ModelError, match=name):
        evaluate_models(config, photos, [name], None, None, pytest.fail)
