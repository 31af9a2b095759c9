"""Promises of worker.training.evaluation.features."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest

from tests.support.synthetic_photos import as_rgb, color_scene, gray_scene
from worker.models.generator import ENCODER_WEIGHTS
from worker.training.evaluation import features
from worker.training.evaluation.features import BATCH, HEAD_WEIGHTS, classifier, see

# What the original network (float32, batch norms not folded, its own classes) says of the scenes.
CLASSES = [549, 549, 549, 549, 722]
LENGTHS = [19.7189, 19.3925, 21.3384, 19.1373, 15.6946]
MEANS = [0.18902, 0.17247, 0.20441, 0.17265, 0.17033]
STRONGEST = [1157, 1157, 1157, 1157, 113]


@pytest.fixture(scope="module", autouse=True)
def _built_under_a_training_policy() -> Iterator[None]:
    """Build the classifier as after a training, which leaves its precision policy behind."""
    classifier.cache_clear()
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    classifier()
    keras.config.set_dtype_policy(policy)
    yield
    classifier.cache_clear()


def scenes() -> list[np.ndarray]:
    """Paint what the original network was asked about."""
    return [*(color_scene(300, 400, seed) for seed in range(4)), as_rgb(gray_scene(200, 150))]


def test_it_sees_what_the_original_sees() -> None:
    """Classes are those of Google's weights, and features are theirs but for float16's rounding."""
    seen = see(scenes())

    assert CLASSES == seen.classes.tolist()
    assert LENGTHS == pytest.approx(np.linalg.norm(seen.features, axis=1), rel=0.01)
    assert MEANS == pytest.approx(seen.features.mean(axis=1), rel=0.01)
    assert STRONGEST == seen.features.argmax(axis=1).tolist()
    assert (5, features.FEATURES) == seen.features.shape


def test_its_red_green_and_blue_stems_add_up_to_the_encoders() -> None:
    """On gray photographs it sees what the generator's encoder sees."""
    color, gray = (
        features._weights(name)["encoder_stem/kernel"] for name in (HEAD_WEIGHTS, ENCODER_WEIGHTS)
    )

    assert (3, 3, 3, 32) == color.shape
    assert np.allclose(gray, color.sum(axis=2, keepdims=True), atol=0.01)


def test_it_computes_in_float32_under_any_policy() -> None:
    """A training's bfloat16 does not blur what is measured after it."""
    assert {"float32"} == {layer.compute_dtype for layer in classifier().layers}


def test_color_matters_to_it() -> None:
    """A scene and its gray are farther apart than two sizes of the same scene."""
    scene = color_scene(448, 448)
    gray = as_rgb(scene.mean(axis=-1).astype(np.uint8))
    here, smaller, without = see([scene, scene[::2, ::2], gray]).features

    assert np.linalg.norm(here - without) > 1.5 * np.linalg.norm(here - smaller)


def test_photographs_beyond_a_batch_are_each_seen_once() -> None:
    """Batches that are not full, or more than one, change nothing."""
    many = scenes()[:3] * 4
    seen = see(many)

    assert len(many) > BATCH
    assert np.allclose(seen.features[:3], seen.features[9:12], atol=1e-4)
    assert np.allclose(seen.features[:3], see(many[:3]).features, atol=1e-4)
    assert 0 == len(see([]).classes)
