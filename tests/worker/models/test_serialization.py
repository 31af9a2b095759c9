"""Promises of worker.models.serialization."""

import json
import resource
import shutil
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from worker.errors import DeviceError, ModelError
from worker.models import store
from worker.models.decoding import color_grid, with_decoding
from worker.models.generator import encoder_layers
from worker.models.serialization import in_precision, load_generator
from worker.models.version import CARD_FILE, GENERATOR_FILE, ModelVersion, digest


@pytest.fixture(scope="session")
def served(small_generator: keras.Model) -> keras.Model:
    """Return the small generator with a decoding, as it is published."""
    return with_decoding(small_generator, np.linspace(-1, 1, len(color_grid())), 0.5)


@pytest.fixture(scope="session")
def published(served: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save one version to be copied by tests: saving takes longer than copying."""
    folder = tmp_path_factory.mktemp("published") / "0001"
    store.save_version(served, {"steps": 3}, folder)
    return folder


@pytest.fixture
def version(published: Path, tmp_path: Path) -> ModelVersion:
    """Return a saved version that may be spoiled."""
    shutil.copytree(published, tmp_path / "0001")
    return ModelVersion(
        "1", tmp_path / "0001", json.loads((tmp_path / "0001" / CARD_FILE).read_text())
    )


def numbers(tensor: Any) -> np.ndarray:
    """Return a tensor as an array."""
    return np.asarray(ops.convert_to_numpy(tensor))


def test_weights_lie_in_sixteen_bits(version: ModelVersion, tmp_path: Path) -> None:
    """On disk the weights are float16, but for the last layers."""
    with zipfile.ZipFile(version.folder / GENERATOR_FILE) as archive:
        archive.extract("model.weights.h5", tmp_path)
    kinds: dict[str, int] = {}

    def count(_name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            kinds[item.dtype.name] = kinds.get(item.dtype.name, 0) + item.size

    with h5py.File(tmp_path / "model.weights.h5") as file:
        file.visititems(count)

    assert kinds["float16"] > 0.99 * sum(kinds.values())


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_loaded_generator_computes_what_was_published(
    version: ModelVersion, served: keras.Model, some_lightness: np.ndarray, precision: str
) -> None:
    """What is loaded gives nearly the scores of what was published, in either precision."""
    loaded = load_generator(version, precision)
    expected = numbers(served(some_lightness, training=False))
    actual = numbers(loaded(some_lightness, training=False))

    assert np.float32 == actual.dtype
    assert (
        np.abs(expected - actual).max()
        < (0.02 if precision == "float32" else 0.15) * np.abs(expected).max()
    )


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "float16"])
def test_a_generator_is_built_in_a_precision_as_if_it_were_copied_to_it(
    version: ModelVersion, some_lightness: np.ndarray, precision: str
) -> None:
    """The same layers, weights and scores, bit by bit, as Keras's own loading and a copy."""
    plain = keras.models.load_model(version.folder / GENERATOR_FILE, compile=False)
    copied = in_precision(plain, precision)
    built = load_generator(version, precision)

    assert [layer.name for layer in copied.layers] == [layer.name for layer in built.layers]
    assert [weight.dtype for weight in copied.weights] == [weight.dtype for weight in built.weights]
    assert all(map(np.array_equal, copied.get_weights(), built.get_weights()))
    assert np.array_equal(
        numbers(copied(some_lightness, training=False)),
        numbers(built(some_lightness, training=False)),
    )


def test_a_full_disk_for_temporary_files_is_no_fault_of_the_generator(
    version: ModelVersion,
) -> None:
    """Nothing of its weights can be written, so the machine is to blame: a DeviceError."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(DeviceError, match="cannot be written"):
            load_generator(version)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_precision_changes_no_weight(
    small_generator: keras.Model, some_lightness: np.ndarray
) -> None:
    """A copy in another precision leaves the original alone, and the way back is exact."""
    before = [weight.copy() for weight in small_generator.get_weights()]
    mixed = in_precision(small_generator, "mixed_bfloat16")
    back = in_precision(mixed, "float32")
    expected = numbers(small_generator(some_lightness, training=False))

    assert expected == pytest.approx(numbers(back(some_lightness, training=False)), abs=1e-4)
    assert all(map(np.array_equal, before, back.get_weights()))
    assert all(map(np.array_equal, before, small_generator.get_weights()))
    assert "float32" == small_generator.get_layer("bottom").dtype_policy.name
    assert "mixed_bfloat16" == mixed.get_layer("bottom").dtype_policy.name
    assert "float32" == mixed.get_layer("logits").dtype_policy.name


def test_the_encoder_may_have_a_precision_of_its_own(small_generator: keras.Model) -> None:
    """All its layers have it, and no other."""
    apart = in_precision(small_generator, "mixed_bfloat16", "float32")
    policies = {layer.name: layer.dtype_policy.name for layer in apart.layers[1:] if layer.weights}
    encoder = {layer.name for layer in encoder_layers(apart)}

    assert {"float32"} == {policies[name] for name in encoder}
    assert {"logits"} == {name for name in policies.keys() - encoder if "float32" == policies[name]}


def test_an_altered_file_is_refused(version: ModelVersion) -> None:
    """A generator that is not the one its card describes is not loaded."""
    with (version.folder / GENERATOR_FILE).open("r+b") as file:
        file.seek(1000)
        file.write(b"?")

    with pytest.raises(ModelError, match="SHA-256"):
        load_generator(version)


def test_a_missing_file_is_refused(version: ModelVersion) -> None:
    """A version without its generator is a ModelError with the path."""
    (version.folder / GENERATOR_FILE).unlink()

    with pytest.raises(ModelError, match=GENERATOR_FILE):
        load_generator(version)


def test_a_file_that_is_no_model_is_refused(version: ModelVersion) -> None:
    """A generator file that its card vouches for, but that is no Keras model, is a ModelError."""
    path = version.folder / GENERATOR_FILE
    for content in (b"", b"not a model", b"PK\x03\x04 half a zip"):
        path.write_bytes(content)
        spoiled = ModelVersion("1", version.folder, {"sha256": digest(path)})

        with pytest.raises(ModelError, match="cannot be loaded"):
            load_generator(spoiled)


def test_code_in_a_model_is_refused(version: ModelVersion) -> None:
    """A Keras file that carries code (a Lambda layer) is refused: safe mode."""
    path = version.folder / GENERATOR_FILE
    evil = keras.Sequential([keras.Input((1,)), keras.layers.Lambda(lambda x: x)])
    evil.save(path)
    spoiled = ModelVersion("1", version.folder, {"sha256": digest(path)})

    with pytest.raises(ModelError, match="cannot be loaded"):
        load_generator(spoiled)
