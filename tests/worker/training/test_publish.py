"""What is measured, what the card says, what serves then."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import pytest

from tests.support.small_generators import tiny_generator
from tests.support.synthetic_photos import as_rgb, color_scene, gray_scene, save
from worker.color.cielab import Pixels
from worker.errors import ModelError
from worker.inference.trial import try_version
from worker.models.decoding import CHROMA_GAIN, DECODING, color_grid, with_decoding
from worker.models.generator import LOGITS, with_consensus, without_decoding
from worker.models.serialization import load_generator
from worker.models.store import ModelStore
from worker.settings import ReadSettings, TrainSettings
from worker.training import publish as publishing
from worker.training.data.collection import Collection
from worker.training.evaluation import decoding_search, evaluate, promotion_rule, weight_mixes
from worker.training.evaluation.contact_sheet import CELL, GAP, TITLE
from worker.training.evaluation.decoding_search import Decoding
from worker.training.evaluation.evaluate import Scored
from worker.training.evaluation.promotion_rule import Verdict
from worker.training.evaluation.weight_mixes import WeightMix
from worker.training.publish import ACTIVE, ModelComparison, Trained, publish
from worker.training.request import TrainingRequest
from worker.training.run import Progress

SIDE, PHOTOS = 64, 6
FLAT = np.zeros(len(color_grid()), np.float32)


@pytest.fixture(scope="module", autouse=True)
def _small_exam() -> Iterator[None]:
    """Measure at a small size, with few decodings and mixes, and ask for few photographs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(weight_mixes, "RENDER_SIZE", SIDE)
        patch.setattr(publishing, "RENDER_SIZE", SIDE)
        patch.setattr(publishing, "SIDE", SIDE)
        patch.setattr(weight_mixes, "ALPHAS", (0.5,))
        patch.setattr(decoding_search, "SHIFTS", (0.5,))
        patch.setattr(decoding_search, "TEMPERATURE", 0.6)
        patch.setattr(promotion_rule, "FEWEST_PHOTOS", PHOTOS)
        yield


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """Make a store in which version 1 serves."""
    store = ModelStore(tmp_path / "models")
    agreed = with_consensus(without_decoding(tiny_generator(3)))
    serving = with_decoding(agreed, np.zeros(len(color_grid())), 0.6, CHROMA_GAIN)
    store.publish(serving, {"decoding": {"shift": 0.0}})
    store.promote(1, "for the test", datetime.now(UTC), try_version)
    return store


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a reference set, and among it what is unfit."""
    folder = tmp_path_factory.mktemp("reference")
    for number in range(PHOTOS):
        save(folder / f"{number}.png", color_scene(100, 120, 50 + number))
    save(folder / "gray.png", as_rgb(gray_scene(100, 100)))
    (folder / "broken.jpg").write_bytes(b"no photograph")
    return folder


def trained(
    generator: keras.Model | None = None, held_back: int = PHOTOS, **request: Any
) -> Trained:
    """End a training that began from version 1."""
    photos = np.stack([color_scene(SIDE, SIDE, seed) for seed in range(2 * PHOTOS)])
    collection = Collection(
        photos,
        np.arange(held_back, 2 * PHOTOS),
        np.arange(held_back),
        {"gray": 2},
        "abc",
        licenses={"CC0": 12},
    )
    settings = TrainSettings(crop=32)
    return Trained(
        TrainingRequest(**{"folders": (), "start": 1, "recipe": settings, **request}),
        collection,
        FLAT,
        generator or without_decoding(tiny_generator(4)),
        Progress(step=7, seconds=90),
    )


def always(*, promoted: bool) -> Callable[..., Verdict]:
    """Judge without looking."""
    return lambda *_: Verdict(promoted=promoted, why="because")


@pytest.mark.parametrize("able", [True, False])
def test_the_card_tells_whether_it_colors_as_well_in_bfloat16(
    store: ModelStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    able: bool,  # noqa: FBT001 - a case
) -> None:
    """Where the processor has it; elsewhere it would take long, and nothing is said."""
    monkeypatch.setattr(publishing, "computes_in_bfloat16", lambda: able)
    card = publish(trained(), store, tmp_path / "run").card

    assert able == ("bfloat16" in card)
    if able:
        mine, exact = card["bfloat16"]["scores"], card["scores"]["validation"]
        assert PHOTOS == mine["photographs"]
        assert mine["ab_rmse"] == pytest.approx(exact["ab_rmse"], abs=0.5)
        assert mine["ab_rmse"] != exact["ab_rmse"]
        assert card["bfloat16"]["why"]


def test_without_a_reference_set_it_stays_a_candidate(store: ModelStore, tmp_path: Path) -> None:
    """It is published with all that is known of it, and version 1 serves on."""
    version = publish(trained(name="mine"), store, tmp_path / "run")
    card = json.loads((version.folder / "card.json").read_text())

    assert ("2", "1") == (version.name, store.promoted().name)
    assert not card["promotion"]["promoted"]
    assert "no reference set" in card["promotion"]["why"]
    assert ("mine", "1", 7, 1.5) == tuple(
        card[key] for key in ("name", "parent", "steps", "minutes")
    )
    assert "abc" == card["photographs"]["digest"]
    assert {"CC0": 12} == card["photographs"]["licenses"]
    assert {"gray": 2} == card["photographs"]["left_out"]
    assert 32 == card["recipe"]["crop"]
    assert 1.0 == card["alpha"]
    assert {"shift": 0.5, "temperature": 0.6, "gain": CHROMA_GAIN} == card["decoding"]
    assert PHOTOS == card["scores"]["validation"]["photographs"]
    assert card["scores"]["reference"] is card["current"]["reference"] is None
    assert "1" == card["current"]["version"]
    assert card["scores"]["validation"] != card["current"]["validation"]
    assert {"created", "code_version", "backend", "sha256", "scores_on"} <= set(card)
    assert DECODING == load_generator(version).layers[-1].name


def test_sheet_and_curves_lie_beside_it(store: ModelStore, tmp_path: Path) -> None:
    """The sheet is drawn; the curves are copied from the run, if it has any."""
    run = tmp_path / "run"
    run.mkdir()
    without = publish(trained(), store, run)
    (run / "curves.png").write_bytes(b"curves")
    version = publish(trained(), store, run)

    assert not (without.folder / "curves.png").exists()
    assert b"curves" == (version.folder / "curves.png").read_bytes()
    assert (version.folder / "sheet.jpg").read_bytes().startswith(b"\xff\xd8")


def test_a_sheet_of_scans_lies_beside_it(store: ModelStore, tmp_path: Path) -> None:
    """Twelve of them at most: as scanned, as the serving version colors them, as the new one."""
    run = tmp_path / "run"
    scans = [gray_scene(60, 60, seed=seed) for seed in range(20)]
    version = publish(trained()._replace(scans=scans), store, run)
    sheet = cv2.imread(str(version.folder / "scans.jpg"))

    assert (TITLE + 12 * (CELL + GAP), GAP + 3 * (CELL + GAP)) == sheet.shape[:2]
    scan, now, new = (
        sheet[TITLE : TITLE + 100, GAP + column * (CELL + GAP) :][:, :CELL] for column in range(3)
    )
    assert np.ptp(scan.astype(int), axis=2).max() < 12
    assert np.ptp(now.astype(int), axis=2).max() > 12
    assert np.abs(now.astype(int) - new).max() > 12
    assert not (publish(trained(), store, run).folder / "scans.jpg").exists()


def test_a_generator_that_earned_it_serves(
    store: ModelStore, tmp_path: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is promoted with the reason that its card tells, measured on both sets."""
    monkeypatch.setattr(publishing, "judge", always(promoted=True))
    version = publish(trained(reference=reference), store, tmp_path / "run")
    scores = version.card["scores"]

    assert version.name == store.promoted().name == store.promotions()[-1].version
    assert "because" == version.card["promotion"]["why"] == store.promotions()[-1].why
    assert PHOTOS == scores["reference"]["photographs"] == scores["validation"]["photographs"]
    assert scores["reference"] != version.card["current"]["reference"]


def test_a_generator_that_is_refused_does_not_serve(
    store: ModelStore, tmp_path: Path, reference: Path
) -> None:
    """A training that changed nothing is no better than its parent; the numbers are told."""
    same = without_decoding(tiny_generator(3))
    version = publish(trained(same, reference=reference), store, tmp_path / "run")

    assert ("2", "1") == (version.name, store.promoted().name)
    assert 1.0 == version.card["alpha"]
    assert version.card["scores"] == {
        which: version.card["current"][which] for which in ("validation", "reference")
    }
    assert "not clearly better" in version.card["promotion"]["why"]


def test_what_the_canary_refuses_does_not_serve(
    store: ModelStore, tmp_path: Path, reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the numbers are good; the card tells the canary's reason."""
    gray = without_decoding(tiny_generator(4))
    kernel, _ = gray.get_layer(LOGITS).get_weights()
    neutral = np.where((color_grid() == 0).all(axis=1), 50.0, 0.0)
    gray.get_layer(LOGITS).set_weights([0 * kernel, neutral])
    monkeypatch.setattr(publishing, "judge", always(promoted=True))
    monkeypatch.setattr(weight_mixes, "ALPHAS", ())
    version = publish(trained(gray, reference=reference), store, tmp_path / "run")

    assert "1" == store.promoted().name
    assert not version.card["promotion"]["promoted"]
    assert "canary" in version.card["promotion"]["why"]


def test_a_collection_too_small_to_hold_any_back_says_so(
    store: ModelStore, tmp_path: Path, reference: Path
) -> None:
    """It is scored on what it learned from, which proves nothing and promotes nothing."""
    version = publish(trained(held_back=0, reference=reference), store, tmp_path / "run")

    assert "only 0 validation" in version.card["promotion"]["why"]
    assert "trained on: none could be held back" in version.card["scores_on"]["validation"]
    assert "1" == store.promoted().name


@pytest.mark.parametrize("start", ["scratch", 9])
def test_without_a_parent_there_is_no_mix(
    store: ModelStore, tmp_path: Path, reference: Path, start: Any
) -> None:
    """From scratch, or when the parent was pruned meanwhile: the training's own is published."""
    version = publish(trained(start=start, reference=reference), store, tmp_path / "run")

    assert (1.0, str(start)) == (version.card["alpha"], version.card["parent"])


def exam(**errors: float) -> ModelComparison:
    """Give each candidate an ab error on the collection."""
    base = evaluate.evaluate([color_scene(64, 64)], {}, 64)[evaluate.GRAY].scores
    scored = {
        name: Scored(replace(base, ab_rmse=error), np.full(PHOTOS, error))
        for name, error in errors.items()
    }
    return ModelComparison(scored, None, held_back=True)


@pytest.mark.parametrize(
    ("due", "expected"), [([], 0.25), ([0.5], 0.5), ([0.5, 0.25], 0.25), ([1.0, 0.5, 0.25], 0.25)]
)
def test_the_best_that_is_due_is_chosen(
    monkeypatch: pytest.MonkeyPatch, due: list[float], expected: float
) -> None:
    """Of those that may be promoted the one that errs least, or of all if none may."""
    generator = tiny_generator(2)
    found = [WeightMix(alpha, generator, Decoding(0, 0.6)) for alpha in (1.0, 0.5, 0.25)]
    scores = exam(**{ACTIVE: 12.0, "1.0": 9.0, "0.5": 8.0, "0.25": 7.0})
    names = iter(found)
    monkeypatch.setattr(publishing, "judge", lambda *_: Verdict(next(names).alpha in due, "told"))
    chosen, verdict = publishing._choose(found, scores)

    assert expected == chosen.alpha
    assert (expected in due) == verdict.promoted


def test_the_reference_is_always_the_same_sample(
    reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As squares, without what is unfit, and the first of it when only some are wanted."""
    all_of_it: list[Pixels] = publishing._reference(reference, ReadSettings())
    monkeypatch.setattr(publishing, "MOST_PHOTOS", 2)
    some = publishing._reference(reference, ReadSettings())

    assert PHOTOS == len(all_of_it)
    assert {(SIDE, SIDE, 3)} == {photo.shape for photo in all_of_it}
    assert all(map(np.array_equal, all_of_it[:2], some))
    assert 2 == len(some)


def test_a_damaged_server_is_told(store: ModelStore, tmp_path: Path) -> None:
    """Nothing is published beside a store whose serving generator cannot be read."""
    (store.promoted().folder / "generator.keras").write_bytes(b"altered")
    with pytest.raises(ModelError, match="SHA-256 differs"):
        publish(trained(start="scratch"), store, tmp_path / "run")

    assert ["builtin", "1"] == store.names()
