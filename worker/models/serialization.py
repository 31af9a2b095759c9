"""Saves generators with float16 weights, and loads them, after inspection, in any precision."""

from pathlib import Path
from tempfile import TemporaryDirectory

import keras

from worker.errors import DeviceError, ModelError
from worker.models.decoding import DECODING
from worker.models.generator import ENCODER, LOGITS
from worker.models.safe_archive import WEIGHTS, SafeArchive, read_archive
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
        DeviceError: its weights cannot be written to a temporary file.
    """
    version.check_digest()
    path = version.folder / GENERATOR_FILE
    try:
        return _built(read_archive(path), precision)
    except _UNLOADABLE as error:
        raise ModelError(f"{path} cannot be loaded as a generator: {error}") from error


def _built(archive: SafeArchive, policy: str) -> keras.Model:
    """Build a generator in a precision at once; loading and then copying it takes twice as long."""
    config = archive.config | {"compile_config": None}
    for layer in config["config"]["layers"]:
        if "dtype" in layer["config"] and not _stays(layer["class_name"], layer["name"]):
            layer["config"]["dtype"] = policy
    generator = keras.saving.deserialize_keras_object(config, safe_mode=True)
    with TemporaryDirectory() as folder:
        weights = Path(folder) / WEIGHTS  # Keras takes a path; within `.keras` it is slow
        try:
            weights.write_bytes(archive.weights)
        except OSError as error:
            raise DeviceError(f"{weights} cannot be written: {error.strerror}") from error
        generator.load_weights(weights)
    return generator


def _stays(kind: str, name: str) -> bool:
    """Tell whether a layer has the same precision under every policy."""
    return kind == "InputLayer" or name == LOGITS or name.startswith(DECODING)


def in_precision(generator: keras.Model, policy: str, encoder: str = "") -> keras.Model:
    """Copy a generator to another Keras dtype policy; its last layers stay float32.

    Args:
        generator: not changed.
        policy: of all other layers.
        encoder: that of the encoder's; "" for the same.
    """

    def convert(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        stays = _stays(layer.__class__.__name__, layer.name)
        if isinstance(layer, keras.Layer) and not stays:  # operations have no dtype policy
            encodes = layer.name.startswith(ENCODER)
            config["dtype"] = encoder if encoder and encodes else policy
        return layer.__class__.from_config(config)

    copy = keras.models.clone_model(generator, clone_function=convert)
    copy.set_weights(generator.get_weights())
    return copy
