"""What a training offers: its generator, and mixes of it with the one it began from.

A generator that learned a new collection forgets some of what it knew. The mean of its weights and
its parent's often keeps both (WiSE-FT, Wortsman et al. 2022, "Robust fine-tuning of zero-shot
models").
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from worker.color.cielab import Pixels
from worker.models.generator import (
    DECODING,
    color_grid,
    with_consensus,
    with_decoding,
    without_decoding,
)
from worker.models.serialization import in_precision
from worker.settings import ColorSettings
from worker.training.evaluation.evaluate import COLORFUL_ENOUGH, Decoding, DecodingSearch

RENDER_SIZE = ColorSettings.render_size  # the size that is measured is the one that serves
MOST_PHOTOS = 60  # to choose a decoding on; it is one of 82, so there is little to overfit
ALPHAS = (0.75, 0.5, 0.25)  # shares of the trained weights, beside 1: the training's own

AS_LIFE = 1.0  # colorfulness ratio; more is never asked for


class Candidate(NamedTuple):
    """One generator that may be published.

    Attributes:
        alpha: share of the trained weights in it; the rest is the parent's.
        generator: with its decoding; float32, but its weights are rounded as its file will hold
            them, so that what is measured is what serves.
        decoding: the one that was chosen for it.
    """

    alpha: float
    generator: keras.Model
    decoding: Decoding


class Parent(NamedTuple):
    """What a training began from.

    Attributes:
        generator: with its decoding, float32.
        shift: the share of its log-prior in that decoding, as its card has it; None if unknown.
    """

    generator: keras.Model
    shift: float | None


def candidates(
    generator: keras.Model,
    log_prior: NDArray[np.float32],
    parent: Parent | None,
    photos: Sequence[Pixels],
    serving: keras.Model,
) -> list[Candidate]:
    """Mix the trained generator with its parent, and choose a decoding for each mix.

    Args:
        generator: as trained, plain logits, float32.
        log_prior: (K,) of the collection.
        parent: None for a training from scratch; one of another shape is not mixed.
        photos: (H, W, 3) uint8 sRGB to choose the decodings on.
        serving: the generator that serves now, with its decoding; none is offered that is duller.
    """
    some = photos[:MOST_PHOTOS]
    colorful = _colorfulness(serving, some)
    mixes = [(1.0, generator, log_prior)]
    if parent and _shapes(plain := without_decoding(parent.generator)) == _shapes(generator):
        mixes += [
            (alpha, mix(generator, plain, alpha), _mixed_prior(log_prior, parent, alpha))
            for alpha in ALPHAS
        ]
    found = []
    for alpha, mixed, prior in mixes:
        agreed = with_consensus(mixed)
        decoding = DecodingSearch(agreed, some, RENDER_SIZE).choose(prior, colorful)
        served = with_decoding(agreed, decoding.shift * prior, decoding.temperature)
        as_saved = in_precision(in_precision(served, "float16"), "float32")
        found.append(Candidate(alpha, as_saved, decoding))
    return found


def _colorfulness(serving: keras.Model, photos: Sequence[Pixels]) -> float:
    """Say how colorful a new generator must be: as the one that serves, within sound limits.

    A duller one errs less without having learned anything: 0.02 of colorfulness is worth 0.12 units
    of ab error, six standard errors on 120 photographs. So they are compared alike.
    """
    as_it_is = DecodingSearch(serving, photos, RENDER_SIZE).colorfulness_ratio(
        np.zeros(len(color_grid()), np.float32), Decoding(0.0, 1.0)
    )
    return min(max(as_it_is, COLORFUL_ENOUGH), AS_LIFE)


def mix(generator: keras.Model, parent: keras.Model, alpha: float) -> keras.Model:
    """Return a generator with weights between those of two of one shape; alpha 1 is the first."""
    mixed = keras.models.clone_model(generator)
    mixed.set_weights(
        [
            alpha * mine + (1 - alpha) * other
            for mine, other in zip(generator.get_weights(), parent.get_weights(), strict=True)
        ]
    )
    return mixed


def _shapes(generator: keras.Model) -> list[tuple[int, ...]]:
    return [weight.shape for weight in generator.get_weights()]


def _mixed_prior(
    log_prior: NDArray[np.float32], parent: Parent, alpha: float
) -> NDArray[np.float32]:
    """Give the log-prior a mix has learned: as logits mix, so do the priors in them."""
    if not parent.shift:
        return log_prior
    taken_off = keras.ops.convert_to_numpy(parent.generator.get_layer(DECODING).mean).ravel()
    return (alpha * log_prior + (1 - alpha) * taken_off / parent.shift).astype(np.float32)
