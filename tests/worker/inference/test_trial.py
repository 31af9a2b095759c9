"""Promises of worker.inference.trial."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from worker.errors import ModelError
from worker.inference.trial import try_generator, try_version
from worker.models.decoding import with_decoding
from worker.models.version import CARD_FILE, ModelVersion

BUILT_IN = Path(__file__).resolve().parents[3] / "worker" / "weights" / "builtin"


def test_the_generator_that_comes_with_photochrom_passes() -> None:
    """NEEDS worker/weights/builtin: loaded from its file, it may be promoted."""
    card = json.loads((BUILT_IN / CARD_FILE).read_text())

    assert try_version(ModelVersion("builtin", BUILT_IN, card)) is None


@pytest.mark.parametrize(
    ("poison", "words"), [(np.nan, "no numbers"), (0.0, "nearly gray|nearly one tone")]
)
def test_a_broken_generator_is_refused(
    small_generator: keras.Model, poison: float, words: str
) -> None:
    """Whether it gives no numbers or no color; the message has its name."""
    broken = keras.models.clone_model(with_decoding(small_generator, np.zeros(224), 1.0))
    broken.get_layer("logits").set_weights(
        [poison * weight for weight in broken.get_layer("logits").get_weights()]
    )

    with pytest.raises(ModelError, match=f"version 7 is not fit to serve: .*({words})"):
        try_generator(broken, "7")
