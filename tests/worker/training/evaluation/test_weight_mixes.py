"""Promises of worker.training.evaluation.weight_mixes."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest

from tests.support.small_generators import tiny_generator
from tests.support.synthetic_photos import color_scene
from worker.models.decoding import CHROMA_GAIN, color_grid, gain_of, shift_of, with_decoding
from worker.models.generator import without_decoding
from worker.training.evaluation import decoding_search
from worker.training.evaluation import weight_mixes as module
from worker.training.evaluation.decoding_search import Decoding, DecodingSearch
from worker.training.evaluation.weight_mixes import (
    Published,
    WeightMix,
    colorful_enough,
    mix,
    weight_mixes,
)

K = len(color_grid())
PRIOR = np.random.default_rng(0).normal(size=K).astype(np.float32)
OTHER_PRIOR = np.random.default_rng(1).normal(size=K).astype(np.float32)

SERVING = tiny_generator(3)


@pytest.fixture(autouse=True)
def _small_examination() -> Iterator[None]:
    """Try few decodings, at a small size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RENDER_SIZE", 64)
        patch.setattr(decoding_search, "SHIFTS", (0.5,))
        patch.setattr(decoding_search, "TEMPERATURE", 0.6)
        yield


def trained(seed: int = 1, features: int = 16) -> keras.Model:
    """Make a generator as training leaves it: plain logits."""
    return without_decoding(tiny_generator(seed, features))


def parent(features: int = 16) -> Published:
    """Make a generator as a version holds it, a quarter of its prior taken off."""
    return Published(with_decoding(trained(2, features), 0.25 * OTHER_PRIOR, 0.6), 0.25)


def photos() -> list[np.ndarray]:
    """Paint two photographs."""
    return [color_scene(64, 64, seed) for seed in range(2)]


def taken_off(candidate: WeightMix) -> np.ndarray:
    """Return what a candidate's last layer takes off its logits."""
    found = shift_of(candidate.generator)
    assert found is not None
    return found


def test_a_mix_lies_between() -> None:
    """Each weight is the mean of the two, weighed by alpha; neither of the two is moved."""
    mine, other = trained(1), trained(2)
    before = [one.get_weights() for one in (mine, other)]
    mixed = mix(mine, other, 0.75).get_weights()

    for weight, one, two in zip(mixed, *before, strict=True):
        assert np.allclose(0.75 * one + 0.25 * two, weight, atol=1e-6)
    for kept, now in zip(before, (mine, other), strict=True):
        assert all(map(np.array_equal, kept, now.get_weights()))


def test_the_ends_of_a_mix_are_the_two() -> None:
    """Alpha 1 is the training's own generator, alpha 0 its parent."""
    mine, other = trained(1), trained(2)

    assert all(map(np.array_equal, mine.get_weights(), mix(mine, other, 1).get_weights()))
    assert all(map(np.array_equal, other.get_weights(), mix(mine, other, 0).get_weights()))


def test_the_unmixed_weights_come_first() -> None:
    """First as it is, then with more and more of its parent, each with a decoding of its own."""
    found = weight_mixes(trained(), PRIOR, parent(), photos(), SERVING)

    assert [1.0, 0.75, 0.5, 0.25] == [one.alpha for one in found]
    assert {Decoding(0.5, 0.6, CHROMA_GAIN)} == {one.decoding for one in found}
    for weight, kept in zip(
        trained().get_weights(), found[0].generator.get_weights(), strict=False
    ):
        assert np.allclose(weight, kept, rtol=1e-3)  # rounded as its file holds it


def test_priors_mix_as_logits_do() -> None:
    """What is taken off lies between the collection's prior and the parent's own, by alpha."""
    found = weight_mixes(trained(), PRIOR, parent(), photos(), SERVING)

    for one in found:
        expected = 0.5 * (one.alpha * PRIOR + (1 - one.alpha) * OTHER_PRIOR)
        assert np.allclose(expected, taken_off(one), atol=1e-5)


def test_a_parent_of_unknown_prior_lends_none() -> None:
    """Then the collection's is all there is."""
    found = weight_mixes(trained(), PRIOR, parent()._replace(shift=None), photos(), SERVING)

    assert all(np.allclose(0.5 * PRIOR, taken_off(one), atol=1e-5) for one in found)


@pytest.mark.parametrize("other", [None, parent(features=8)])
def test_what_cannot_be_mixed_is_left_as_it_is(other: Published | None) -> None:
    """From scratch, or with a parent of another shape, there is one candidate."""
    assert [1.0] == [one.alpha for one in weight_mixes(trained(), PRIOR, other, photos(), SERVING)]


def test_no_mix_is_duller_than_the_active_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Less color is less error without any merit; beyond life's own color none is asked for."""
    asked: list[float] = []

    def choose(_exam: DecodingSearch, _prior: np.ndarray, colorful_enough: float) -> Decoding:
        asked.append(colorful_enough)
        return Decoding(0.5, 0.6, 1.1)

    monkeypatch.setattr(DecodingSearch, "choose", choose)
    monkeypatch.setattr(module, "COLORFUL_ENOUGH", 0.75)
    for share in (1.0, 0.8, 0.2):  # of their color, left in the photographs
        gray = [photo.mean(axis=-1, keepdims=True) for photo in photos()]
        pale = [
            (share * photo + (1 - share) * plain).astype(np.uint8)
            for photo, plain in zip(photos(), gray, strict=True)
        ]
        weight_mixes(trained(), PRIOR, None, pale, SERVING)
    dull, between, vivid = asked

    assert 0.75 == dull < between < vivid == module.AS_TRUTH


def test_a_version_too_dull_is_compared_with_more_color(monkeypatch: pytest.MonkeyPatch) -> None:
    """What serves gets the bolder decoding that any mix would need, its weights as they are."""
    monkeypatch.setattr(module, "COLORFUL_ENOUGH", np.inf)
    dull = parent()
    bolder = colorful_enough(dull, photos())
    shift = shift_of(bolder)

    assert shift is not None
    assert np.allclose(0.5 * OTHER_PRIOR, shift, atol=1e-5)
    assert CHROMA_GAIN == pytest.approx(gain_of(bolder))
    for one, other in zip(
        without_decoding(dull.generator).get_weights(),
        without_decoding(bolder).get_weights(),
        strict=True,
    ):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(("least", "shift"), [(0.0, 0.25), (np.inf, None), (np.inf, 0.0)])
def test_a_version_colorful_enough_is_compared_as_it_serves(
    monkeypatch: pytest.MonkeyPatch, least: float, shift: float | None
) -> None:
    """So is one whose card does not tell what was taken off."""
    monkeypatch.setattr(module, "COLORFUL_ENOUGH", least)
    version = parent()._replace(shift=shift)

    assert colorful_enough(version, photos()) is version.generator
