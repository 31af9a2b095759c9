"""Promises of worker.training.losses, against the formulas in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from worker.training.losses import REAL, adversarial_loss, class_loss, discriminator_loss

VERDICTS = arrays.arrays(np.float32, (2, 3, 3, 1), elements=st.floats(-30, 30, width=32))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return the probability of a logit, kept off 0 and 1."""
    return np.clip(1 / (1 + np.exp(-x.astype(np.float64))), 1e-300, 1 - 1e-16)


def test_class_loss_is_the_mean_cross_entropy() -> None:
    """class_loss is -log p of the true color, on average."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (2, 4, 5, 7)).astype(np.float32)
    label = rng.integers(0, 7, (2, 4, 5))
    p = np.exp(logits.astype(np.float64))
    p /= p.sum(axis=-1, keepdims=True)
    expected = -np.log(np.take_along_axis(p, label[..., None], axis=-1)).mean()

    assert expected == pytest.approx(float(class_loss(label, logits)), rel=1e-5)


def test_class_loss_of_knowing_nothing_is_the_log_of_the_colors() -> None:
    """Equal scores for K colors cost log K; certainty of the truth costs nothing."""
    label = np.zeros((1, 2, 2), np.int32)
    sure = np.zeros((1, 2, 2, 224), np.float32)
    sure[..., 0] = 50

    assert np.log(224) == pytest.approx(float(class_loss(label, np.zeros_like(sure))), rel=1e-5)
    assert 0 == pytest.approx(float(class_loss(label, sure)), abs=1e-6)


@given(VERDICTS)
@settings(max_examples=20, deadline=None)
def test_the_generator_wants_to_pass_for_real(verdict: np.ndarray) -> None:
    """adversarial_loss is the binary cross-entropy of the verdicts against "real"."""
    expected = np.logaddexp(0, -verdict.astype(np.float64)).mean()

    assert expected == pytest.approx(float(adversarial_loss(verdict)), rel=1e-4, abs=1e-6)


@given(VERDICTS, VERDICTS)
@settings(max_examples=20, deadline=None)
def test_the_discriminator_wants_to_tell_them_apart(real: np.ndarray, fake: np.ndarray) -> None:
    """Its loss is the binary cross-entropy of reals against 0.9 plus that of fakes against 0."""
    x = real.astype(np.float64)
    on_real = REAL * np.logaddexp(0, -x) + (1 - REAL) * np.logaddexp(0, x)
    on_fake = np.logaddexp(0, fake.astype(np.float64))
    expected = on_real.mean() + on_fake.mean()

    assert expected == pytest.approx(float(discriminator_loss(real, fake)), rel=1e-4, abs=1e-5)


def test_overconfidence_is_punished() -> None:
    """The discriminator's best verdict on reals is 0.9, not certainty."""
    none = np.full((1, 1, 1, 1), -30, np.float32)
    losses = [
        float(discriminator_loss(np.full_like(none, x), none)) for x in (0.0, np.log(9), 10.0)
    ]

    assert min(losses) == losses[1]
