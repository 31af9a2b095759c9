"""What the worker's tests share: one small generator, and Keras left as it was found."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest

from worker.models.generator import GeneratorShape, build_generator, load_imagenet_encoder

SMALL = GeneratorShape(8, (8, 8, 8))


@pytest.fixture(autouse=True)
def _keras_left_as_found() -> Iterator[None]:
    """Put the global precision policy back; training sets it."""
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture(scope="session")
def small_generator() -> keras.Model:
    """Build a generator with the pretrained encoder and a narrow decoder; tests never train it."""
    keras.utils.set_random_seed(7)
    generator = build_generator(SMALL)
    load_imagenet_encoder(generator)
    return generator


@pytest.fixture(scope="session")
def some_lightness() -> np.ndarray:
    """Return two squares of lightness, (2, 64, 64, 1)."""
    return np.random.default_rng(0).random((2, 64, 64, 1), np.float32)
