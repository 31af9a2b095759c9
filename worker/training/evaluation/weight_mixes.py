"""Mixes the weights of a trained generator with its parent's.

A generator that learns a new collection forgets some of what it knew. An average of its weights and
its parent's often has both (WiSE-FT, Wortsman et al. 2022, "Robust fine-tuning of zero-shot
models").
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from worker.color.cielab import Pixels
from worker.models.decoding import color_grid, gain_of, plain_logits, shift_of, with_decoding
from worker.models.generator import with_consensus, without_decoding
from worker.models.serialization import in_precision
from worker.settings import ColorSettings
from worker.training.evaluation.decoding_search import COLORFUL_ENOUGH, Decoding, DecodingSearch

RENDER_SIZE = ColorSettings.render_size  # as in production
ALPHAS = (0.75, 0.5, 0.25)  # shares of the trained weights, besides 1: the unmixed ones

AS_TRUTH = 1.0  # colorfulness ratio; more is never required


class WeightMix(NamedTuple):
    """A generator that may be published.

    Attributes:
        alpha: share of the trained weights; the rest is the parent's.
        generator: with its decoding; float32, but rounded to float16 as its file will be, so that
            what is measured is what gets published.
        decoding: chosen for it.
    """

    alpha: float
    generator: keras.Model
    decoding: Decoding


class Published(NamedTuple):
    """A version that was published before.

    Attributes:
        generator: with its decoding, float32.
        shift: of its decoding, as a share of its log-prior, from its card; None if unknown.
    """

    generator: keras.Model
    shift: float | None


def weight_mixes(
    generator: keras.Model,
    log_prior: NDArray[np.float32],
    parent: Published | None,
    photos: Sequence[Pixels],
    active: keras.Model,
) -> list[WeightMix]:
    """Mix the trained generator with its parent, and choose a decoding for each mix.

    Args:
        generator: as trained, without decoding, float32.
        log_prior: (K,) of the collection.
        parent: None for a training from scratch; a parent of another shape is not mixed in.
        photos: (H, W, 3) uint8 sRGB to choose the decodings on.
        active: the active version's generator with its decoding; no mix may be less colorful.
    """
    colorful = _required_colorfulness(active, photos)
    mixes = [(1.0, generator, log_prior)]
    if parent and _shapes(plain := without_decoding(parent.generator)) == _shapes(generator):
        mixes += [
            (alpha, mix(generator, plain, alpha), _mixed_prior(log_prior, parent, alpha))
            for alpha in ALPHAS
        ]
    chosen = []
    for alpha, mixed, prior in mixes:
        agreed = with_consensus(mixed)
        decoding = DecodingSearch(agreed, photos, RENDER_SIZE).choose(prior, colorful)
        served = with_decoding(agreed, decoding.shift * prior, *decoding[1:])
        as_saved = in_precision(in_precision(served, "float16"), "float32")
        chosen.append(WeightMix(alpha, as_saved, decoding))
    return chosen


def colorful_enough(version: Published, photos: Sequence[Pixels]) -> keras.Model:
    """Return a version's generator to compare mixes with, at least as colorful as any has to be.

    A version that is duller gets a bolder decoding, for the same reason that no mix may be duller
    than the version: it would win by that alone. Without its log-prior it stays as it is.

    Args:
        version: the active one.
        photos: as for `weight_mixes`.
    """
    generator, shift = version
    taken_off = shift_of(generator)
    if taken_off is None or not shift or _colorfulness(generator, photos) >= COLORFUL_ENOUGH:
        return generator
    prior = taken_off / shift
    plain = keras.Model(generator.input, plain_logits(generator))
    decoding = DecodingSearch(plain, photos, RENDER_SIZE).choose(prior)
    return with_decoding(generator, decoding.shift * prior, *decoding[1:])


def _colorfulness(generator: keras.Model, photos: Sequence[Pixels]) -> float:
    """Return the colorfulness ratio of a generator with its decoding."""
    return DecodingSearch(generator, photos, RENDER_SIZE).colorfulness_ratio(
        np.zeros(len(color_grid()), np.float32), Decoding(0.0, 1.0, gain_of(generator))
    )


def _required_colorfulness(active: keras.Model, photos: Sequence[Pixels]) -> float:
    """Return how colorful a mix must be: as the active version, within limits.

    A duller generator errs less without having learned anything: 0.02 of colorfulness is worth 0.12
    units of ab error, six standard errors on 120 photographs. So both are made equally colorful.
    """
    return min(max(_colorfulness(active, photos), COLORFUL_ENOUGH), AS_TRUTH)


def mix(generator: keras.Model, parent: keras.Model, alpha: float) -> keras.Model:
    """Interpolate the weights of two generators of one shape; alpha 1 is the first."""
    mixed = keras.models.clone_model(generator)
    mixed.set_weights(
        [
            alpha * own + (1 - alpha) * other
            for own, other in zip(generator.get_weights(), parent.get_weights(), strict=True)
        ]
    )
    return mixed


def _shapes(generator: keras.Model) -> list[tuple[int, ...]]:
    return [weight.shape for weight in generator.get_weights()]


def _mixed_prior(
    log_prior: NDArray[np.float32], parent: Published, alpha: float
) -> NDArray[np.float32]:
    """Return the log-prior of a mix: logits mix linearly, and so do the priors in them."""
    taken_off = shift_of(parent.generator)
    if taken_off is None or not parent.shift:
        return log_prior
    return (alpha * log_prior + (1 - alpha) * taken_off / parent.shift).astype(np.float32)
