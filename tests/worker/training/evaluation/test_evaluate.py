"""Promises of worker.training.evaluation.evaluate."""

import dataclasses
import json
from collections.abc import Iterator

import numpy as np
import pytest

from tests.support.known_colors import (
    SIDE,
    flat_photos,
    logits_of,
    mean_logits,
    oracle,
)
from tests.support.small_generators import vivid_generator
from tests.support.synthetic_photos import as_rgb, color_scene
from worker.color import cielab
from worker.errors import ScanError
from worker.training.evaluation.decoding_search import BATCH
from worker.training.evaluation.evaluate import GRAY, Colored, Scored, evaluate
from worker.training.evaluation.metrics import colorfulness


def scored(photos: list[np.ndarray], logits: np.ndarray) -> Scored:
    """Score fixed logits."""
    return evaluate(photos, {"it": oracle(logits)}, SIDE)["it"]


def test_gray_gains_nothing() -> None:
    """A generator that gives gray scores as gray does: no gain, no color, the chroma as error."""
    photos = flat_photos(3)
    gray = logits_of(np.zeros((3, SIDE // 4, SIDE // 4, 2), np.float32))
    both = evaluate(photos, {"it": oracle(gray)}, SIDE)
    chroma = [cielab.lab_of_rgb(photo)[..., 1:] for photo in photos]
    rmse = np.mean([np.sqrt((one**2).mean()) for one in chroma])

    assert [GRAY, "it"] == list(both)
    for scores, _ in both.values():
        assert 0 == pytest.approx(scores.psnr_gain, abs=1e-6)
        assert 0 == pytest.approx(scores.colorfulness_ratio, abs=1e-6)
        assert rmse == pytest.approx(scores.ab_rmse, abs=0.02)
        assert 1 == pytest.approx(scores.kernel_share, abs=1e-6)
        assert -scores.colorfulness_truth == pytest.approx(scores.colorfulness_difference)


def test_the_truth_gains_much() -> None:
    """The true colors gain many decibels, err hardly, look real, and are as colorful as life."""
    photos = flat_photos(8)
    scores, each = scored(photos, mean_logits(photos))

    assert scores.psnr_gain > 15
    assert scores.ab_rmse < 1
    assert 1 == pytest.approx(scores.colorfulness_ratio, abs=0.02)
    assert 0 == pytest.approx(scores.colorfulness_difference, abs=0.5)
    assert scores.kernel_share is not None
    assert scores.kernel_share < 0.05
    assert scores.agreement > 0.8
    assert scores.lightness_mean <= scores.lightness_max < 1
    assert each.mean() == pytest.approx(scores.ab_rmse)
    assert 8 == scores.photographs == len(each)


def test_false_colors_cost() -> None:
    """The colors of other photos lose against gray."""
    photos = flat_photos(4)
    scores, _ = scored(photos, mean_logits(photos)[::-1])

    assert scores.psnr_gain < 0
    assert scores.ab_rmse > 20


def test_the_mean_of_outputs_is_over_the_mean_of_truths() -> None:
    """The colorfulness ratio is of the two means that are told beside it."""
    photos = flat_photos(4)
    scores, _ = scored(photos, mean_logits(photos)[::-1])
    truths = np.mean([colorfulness(photo) for photo in photos])

    assert truths == pytest.approx(scores.colorfulness_truth)
    assert scores.colorfulness / truths == pytest.approx(scores.colorfulness_ratio)


def test_doubt_is_held_against_the_error() -> None:
    """One that is sure and right is calibrated; one that is sure and wrong is far from it."""
    photos = flat_photos(4)
    right, _ = scored(photos, mean_logits(photos))
    wrong, _ = scored(photos, mean_logits(photos)[::-1])

    assert right.calibration_error == pytest.approx(0, abs=1.5)
    assert wrong.calibration_error is not None
    assert wrong.calibration_error > 25


def test_generators_are_measured_side_by_side() -> None:
    """What stands beside a generator changes nothing of its scores; the order is as given."""
    photos = flat_photos(3)
    right, wrong = mean_logits(photos), mean_logits(photos)[::-1]
    both = evaluate(photos, {"b": oracle(right), "a": oracle(wrong)}, SIDE)

    assert [GRAY, "b", "a"] == list(both)
    assert scored(photos, right).scores == both["b"].scores
    assert scored(photos, wrong).scores == both["a"].scores


def test_more_photos_than_a_batch_are_each_met_once() -> None:
    """Batches that are not full, or more than one, change nothing; the order is kept."""
    photos = flat_photos(2 * BATCH + 3)
    logits = mean_logits(photos)
    logits[-1] = logits[-2]  # one is wrong: the last
    scores, each = scored(photos, logits)

    assert len(photos) == scores.photographs
    assert len(photos) - 1 == each.argmax()
    assert each[:-1].max() < 1


def test_photos_are_never_all_held() -> None:
    """At most two batches are asked for before the first is done with, however many there are."""
    given, most, seen = 0, 0, 0

    def stream() -> Iterator[np.ndarray]:
        nonlocal given, most
        for photo in flat_photos(4 * BATCH):
            given += 1
            most = max(most, given - seen)
            yield photo

    def watch(_colored: Colored) -> None:
        nonlocal seen
        seen += 1

    evaluate(stream(), {}, SIDE, watch)

    assert 4 * BATCH == seen
    assert most <= 2 * BATCH


def test_the_watcher_sees_each_photo_and_its_outputs() -> None:
    """In order: the truth, its gray, and what each generator made of it."""
    photos, seen = flat_photos(3), []
    evaluate(photos, {"it": oracle(mean_logits(photos))}, SIDE, seen.append)

    assert 3 == len(seen)
    for photo, one in zip(photos, seen, strict=True):
        assert np.array_equal(photo, one.truth)
        assert np.array_equal(as_rgb(one.gray), one.outputs[GRAY])
        assert np.abs(photo.astype(int) - one.outputs["it"]).mean() < 2


def test_a_real_generator_of_any_decoding_is_scored() -> None:
    """Keras models take the same road; photographs need not be squares or of one size."""
    photos = [color_scene(97, 120, 1), color_scene(130, 96, 2)]
    scores, each = evaluate(photos, {"vivid": vivid_generator()}, 64)["vivid"]

    assert scores.colorfulness > 5
    assert np.isfinite(each).all()
    assert scores.calibration_rank is not None


def test_without_photographs_there_is_nothing_to_say() -> None:
    """It is an error, not a row of zeros."""
    with pytest.raises(ScanError, match="no photograph"):
        evaluate([], {}, SIDE)


def test_what_cannot_be_measured_is_none() -> None:
    """One photograph has no kernel distance, gray no doubt; JSON takes it."""
    both = evaluate(flat_photos(1), {}, SIDE)
    plain = json.loads(json.dumps(both[GRAY].scores.rounded(), allow_nan=False))

    assert plain["kernel_distance"] is plain["kernel_share"] is plain["calibration_error"] is None
    assert {field.name for field in dataclasses.fields(both[GRAY].scores)} == set(plain)
