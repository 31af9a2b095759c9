"""The losses: class loss, adversarial loss of the generator, loss of the discriminator."""

from keras import KerasTensor, ops

REAL = 0.9  # one-sided label smoothing (Salimans et al. 2016)


def class_loss(label: KerasTensor, logits: KerasTensor) -> KerasTensor:
    """Return the mean cross-entropy of the true colors, nats.

    Args:
        label: (N, s, s) int, index of the true color in the grid.
        logits: (N, s, s, K).
    """
    return ops.mean(
        ops.sparse_categorical_crossentropy(label, ops.cast(logits, "float32"), from_logits=True)
    )


def adversarial_loss(verdict_on_fake: KerasTensor) -> KerasTensor:
    """Return the cross-entropy of fakes against "real" (non-saturating, Goodfellow et al. 2014)."""
    return ops.mean(ops.softplus(-verdict_on_fake))


def discriminator_loss(verdict_on_real: KerasTensor, verdict_on_fake: KerasTensor) -> KerasTensor:
    """Return the binary cross-entropy of logits, reals against 0.9 and fakes against 0."""
    on_real = ops.softplus(-verdict_on_real) + (1 - REAL) * verdict_on_real
    return ops.mean(on_real) + ops.mean(ops.softplus(verdict_on_fake))
