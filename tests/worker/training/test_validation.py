"""Fixed photographs, averaged weights, honest numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.synthetic_photos import as_rgb, color_scene
from tests.worker.conftest import SMALL
from worker.color import cielab
from worker.color.cielab import gray_of_rgb
from worker.models.decoding import CHROMA_GAIN, color_grid
from worker.models.generator import build_generator, load_imagenet_encoder
from worker.settings import TrainSettings
from worker.training.data.collection import Collection
from worker.training.data.dataset import log_prior, make_batch
from worker.training.discriminator import build_discriminator
from worker.training.gan import ColorizationGAN
from worker.training.run import Progress
from worker.training.validation import SAMPLES, Validation, mean_chroma, variety

SIDE = 32
PHOTOS = np.stack([color_scene(256, 256, seed) for seed in range(10)])
PRIOR = np.full(224, -np.log(224), np.float32)


@pytest.fixture
def _eager() -> Iterator[None]:
    """Compile nothing, which takes longer than the few steps of a test."""
    tf.config.run_functions_eagerly(True)  # noqa: FBT003
    yield
    tf.config.run_functions_eagerly(False)  # noqa: FBT003


class Renderer:
    """Stands in for generator and training: gives logits for each batch it is shown."""

    def __init__(self, logits: Any) -> None:
        """Give these: a function of the number of photographs shown before."""
        self._logits = logits
        self.shown: list[np.ndarray] = []

    @contextmanager
    def averaged(self, *, adversarial: bool) -> Iterator["Renderer"]:
        """Lend itself."""
        self.stage = adversarial
        yield self

    def predict_on_batch(self, lightness: np.ndarray) -> np.ndarray:
        """Paint a batch (N, S, S, 1)."""
        start = sum(len(batch) for batch in self.shown)
        self.shown.append(lightness)
        return np.stack([self._logits(start + place) for place in range(len(lightness))])


def collection(held_back: list[int]) -> Collection:
    """Hold some photographs back."""
    training = np.array([place for place in range(len(PHOTOS)) if place not in held_back])
    return Collection(PHOTOS, training, np.array(held_back, np.intp), {}, "")


def validation(held_back: list[int], prior: np.ndarray = PRIOR) -> Validation:
    """Look at some photographs, three in a batch."""
    return Validation(collection(held_back), SIDE, 3, prior)


def flat(_place: int) -> np.ndarray:
    """Think every color as likely as any other."""
    return np.zeros((SIDE // 4, SIDE // 4, 224), np.float32)


def knowing(places: list[int]) -> Any:
    """Know the nearest color of the grid to the truth, nearly for certain."""

    def logits(place: int) -> np.ndarray:
        lab = cielab.lab_of_rgb(PHOTOS[places[min(place, len(places) - 1)]])
        ab = lab[4::32, 4::32, 1:] if SIDE == 8 else lab[..., 1:]
        small = ab.reshape(SIDE // 4, 1024 // SIDE, SIDE // 4, 1024 // SIDE, 2).mean(axis=(1, 3))
        distance = ((small[..., None, :] - color_grid()) ** 2).sum(axis=-1)
        return (-distance / 50).astype(np.float32)

    return logits


def test_only_held_back_photographs_are_looked_at() -> None:
    """Whole, with their true lightness, the same every time; the last batch is filled with none."""
    look, painter = validation([2, 5, 6, 9]), Renderer(flat)
    first = look.check(painter, Progress(step=7, seconds=9.0))  # type: ignore[arg-type]
    again = look.check(painter, Progress(step=7, seconds=9.0))  # type: ignore[arg-type]

    assert first == again
    assert (7, 9.0, False) == (first.step, first.seconds, first.adversarial)
    assert [(3, SIDE, SIDE, 1)] * 4 == [batch.shape for batch in painter.shown]
    gray = gray_of_rgb(PHOTOS[2])
    assert cielab.lightness(gray).mean() == pytest.approx(painter.shown[0][0].mean(), abs=0.01)
    assert 0 == np.abs(painter.shown[1][1:]).max()
    assert np.array_equal(painter.shown[0], painter.shown[2])


def test_the_loss_is_the_cross_entropy_of_the_true_colors() -> None:
    """The logarithm of 224 for who knows nothing, however full the last batch is."""
    for held_back in ([1, 2, 3], [1, 2, 3, 4]):
        nothing = validation(held_back).check(Renderer(flat), Progress())  # type: ignore[arg-type]
        much = validation(held_back).check(Renderer(knowing(held_back)), Progress())  # type: ignore[arg-type]

        assert np.log(224) == pytest.approx(nothing.loss, abs=1e-4)
        assert much.loss is not None
        assert much.loss < 3.5
        assert CHROMA_GAIN == pytest.approx(much.colorfulness, abs=0.15)
        assert CHROMA_GAIN == pytest.approx(much.variety, abs=0.15)
        assert (0, 0) == pytest.approx((nothing.variety, mean_chroma(np.zeros((1, 2, 2, 2)))))


def test_to_have_learned_is_to_beat_guessing_the_collection() -> None:
    """Not the even guess, which fresh weights may beat by chance."""
    held_back = [1, 2, 3]
    prior = log_prior(collection(held_back))
    learned = [
        validation(held_back, prior).check(Renderer(painter), Progress()).learned  # type: ignore[arg-type]
        for painter in (flat, lambda place: flat(place) + 0.5 * prior, knowing(held_back))
    ]

    assert [False, False, True] == learned


def test_without_held_back_photographs_color_is_still_looked_at() -> None:
    """On photographs of the training; a loss there would say nothing."""
    look = validation([])
    check = look.check(Renderer(knowing(list(range(10)))), Progress())  # type: ignore[arg-type]

    assert not look.held_back
    assert check.loss is None
    assert CHROMA_GAIN == pytest.approx(check.variety, abs=0.15)


def test_variety_is_zero_for_every_way_in_which_color_dies() -> None:
    """Gray, one tint over all, one tint over each; and scales with the colors otherwise."""
    rng = np.random.default_rng(0)
    alive = rng.normal(0, 20, (3, 8, 8, 2)).astype(np.float32)
    tints = np.broadcast_to(rng.normal(0, 20, (3, 1, 1, 2)), alive.shape)

    assert 0 == variety(np.zeros_like(alive))
    assert 0 == pytest.approx(variety(tints), abs=1e-6)
    assert np.sqrt(2) * 20 == pytest.approx(variety(alive), rel=0.1)
    assert variety(alive) == pytest.approx(variety(alive + tints), rel=1e-5)
    assert 2 * variety(alive) == pytest.approx(variety(2 * alive), rel=1e-5)
    assert 5 == pytest.approx(mean_chroma(np.full((1, 2, 2, 2), (3.0, 4.0))))


def test_samples_are_laid_over_the_photograph_as_serving_does() -> None:
    """Gray, colored, true: always the same photographs, at most so many."""
    held_back = list(range(9))
    look = validation(held_back)
    look.check(Renderer(knowing(held_back)), Progress())  # type: ignore[arg-type]
    samples = look.samples()

    assert SAMPLES == len(samples)
    for gray, colored, true in samples:
        assert np.array_equal(as_rgb(gray_of_rgb(true)), gray)
        assert np.abs(cielab.lab_of_rgb(colored) - cielab.lab_of_rgb(true)).mean() < 10
        assert np.abs(cielab.lab_of_rgb(colored) - cielab.lab_of_rgb(gray)).mean() > 10


@pytest.mark.usefixtures("_eager")
def test_the_averaged_weights_are_lent_and_given_back() -> None:
    """Keras computes with the averages inside the block, and trains on with its own after it."""
    keras.utils.set_random_seed(1)
    generator = build_generator(SMALL)
    load_imagenet_encoder(generator)
    gan = ColorizationGAN(generator, build_discriminator(), PRIOR, TrainSettings())
    fresh = generator.get_weights()
    with gan.averaged(adversarial=False) as lent:
        assert all(map(np.array_equal, fresh, lent.get_weights()))
    for step in range(2):
        gan.step_alone(make_batch(collection([]), SIDE, 2, 0, step), 1e-2)
    own = generator.get_weights()
    with gan.averaged(adversarial=False) as lent:
        averaged = lent.get_weights()

    assert all(map(np.array_equal, own, generator.get_weights()))
    assert not all(map(np.allclose, own, averaged))
    served = gan.averaged_generator(adversarial=False).get_weights()
    assert all(map(np.array_equal, served, averaged))
