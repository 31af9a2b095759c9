"""Saves generators with float16 weights, and loads them, after inspection, in any precision."""

from pathlib import Path

import keras

from worker.errors import ModelError
from worker.models.decoding import DECODING
from worker.models.generator import LOGITS
from worker.models.safe_archive import check_archive
from worker.models.version import GENERATOR_FILE, ModelVersion

# What Keras raises if layers and weights, though known and plain, do not match.
_UNLOADABLE = (OSError, ValueError, TypeError, LookupError, AttributeError, RuntimeError)


def save_generator(generator: keras.Model, path: Path) -> None:
    """Write a generator with float16 weights.

    Args:
        generator: with its decoding (`worker.models.decoding.with_decoding`).
        path: ends in `.keras`.

    Raises:
        OSError: the disk failed.
    """
    in_precision(generator, "float16").save(path)


def load_generator(version: ModelVersion, precision: str = "float32") -> keras.Model:
    """Load a version's generator.

    Args:
        version: of the generator.
        precision: Keras dtype policy to compute in.

    Raises:
        ModelError: the file is missing, altered, or not a plain Keras model of known layers.
    """
    version.check_digest()
    path = version.folder / GENERATOR_FILE
    try:
        check_archive(path)
        return in_precision(keras.models.load_model(path, compile=False, safe_mode=True), precision)
    except _UNLOADABLE as error:
        raise ModelError(f"{path} cannot be loaded as a generator: {error}") from error


def in_precision(generator: keras.Model, policy: str) -> keras.Model:
    """Copy a generator to another Keras dtype policy; its last layers stay float32."""

    def convert(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        stays = layer.name in {LOGITS, DECODING} or isinstance(layer, keras.layers.InputLayer)
        if isinstance(layer, keras.Layer) and not stays:  # operations have no dtype policy
            config["dtype"] = policy
        return layer.__class__.from_config(config)

    copy = keras.models.clone_model(generator, clone_function=convert)
    copy.set_weights(generator.get_weights())
    return copy
