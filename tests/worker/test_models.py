"""Promises of worker.models."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from worker import models
from worker.errors import ModelError
from worker.generator import color_grid, with_decoding
from worker.models import (
    CARD_FILE,
    GENERATOR_FILE,
    ModelStore,
    ModelVersion,
    in_precision,
    load_generator,
)

CARD = {"steps": 3}
FAKE_BUILT_IN = ModelVersion("builtin", Path("nowhere"), {})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """Return an empty store, beside a built-in version that needs no file."""
    monkeypatch.setattr(models, "built_in", lambda: FAKE_BUILT_IN)
    return ModelStore(tmp_path / "state" / "models")


@pytest.fixture(scope="session")
def served(small_generator: keras.Model) -> keras.Model:
    """Return the small generator with a decoding, as it is published."""
    return with_decoding(small_generator, np.linspace(-1, 1, len(color_grid())), 0.5)


@pytest.fixture(scope="session")
def published(served: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save one version to be copied by tests: saving takes longer than copying."""
    folder = tmp_path_factory.mktemp("published") / "0001"
    models.save_version(served, CARD, folder)
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


def shown(folder: Path) -> list[str]:
    """List what a folder holds, hidden things included."""
    return sorted(path.name for path in folder.iterdir())


def test_versions_are_numbered(store: ModelStore, served: keras.Model) -> None:
    """Each publish gets the next number, keeps its card and is the latest; the others stay."""
    first = store.publish(served, CARD)
    second = store.publish(served, {"steps": 9})

    assert ["1", "2"] == [first.name, second.name]
    assert ["builtin", "1", "2"] == [version.name for version in store.versions()]
    assert second == store.get("latest") == store.get(2)
    assert first == store.get(1)
    assert [3, 9] == [first.card["steps"], second.card["steps"]]
    assert sorted([GENERATOR_FILE, CARD_FILE]) == shown(first.folder)


def test_an_empty_store_has_the_built_in(store: ModelStore) -> None:
    """Where nothing was published, the latest version is the built-in one."""
    assert [FAKE_BUILT_IN] == store.versions()
    assert FAKE_BUILT_IN == store.get("latest") == store.get("builtin")


def test_a_missing_version_is_named(store: ModelStore) -> None:
    """A number that was never published is a ModelError with that number."""
    with pytest.raises(ModelError, match="version 7 "):
        store.get(7)


def fail(*_: Any, **__: Any) -> None:
    """Be a disk that is full."""
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("failing", ["save", "_fsync", "_digest"])
def test_a_failed_publish_leaves_no_version(
    store: ModelStore,
    served: keras.Model,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    failing: str,
) -> None:
    """A disk that fails while publishing leaves no version; the next publish sweeps up."""
    folder = tmp_path / "state" / "models"
    with monkeypatch.context() as broken:
        if failing == "save":
            broken.setattr(keras.Model, "save", fail)
        else:
            broken.setattr(models, failing, fail)
        with pytest.raises(OSError, match="No space left"):
            store.publish(served, CARD)

        assert [FAKE_BUILT_IN] == store.versions()
        assert all(name.startswith(".publishing-") for name in shown(folder))
    version = store.publish(served, CARD)

    assert "1" == version.name
    assert ["0001"] == shown(folder)


def test_a_crash_between_files_is_swept(
    store: ModelStore, served: keras.Model, tmp_path: Path
) -> None:
    """Half a version that a killed process left is not a version and goes with the next publish."""
    left = tmp_path / "state" / "models" / ".publishing-99999"
    left.mkdir(parents=True)
    (left / GENERATOR_FILE).write_bytes(b"half")

    assert [FAKE_BUILT_IN] == store.versions()
    store.publish(served, CARD)

    assert ["0001"] == shown(left.parent)


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
        spoiled = ModelVersion("1", version.folder, {"sha256": models._digest(path)})

        with pytest.raises(ModelError, match="cannot be loaded"):
            load_generator(spoiled)


def test_code_in_a_model_is_refused(version: ModelVersion) -> None:
    """A Keras file that carries code (a Lambda layer) is refused: safe mode."""
    path = version.folder / GENERATOR_FILE
    evil = keras.Sequential([keras.Input((1,)), keras.layers.Lambda(lambda x: x)])
    evil.save(path)
    spoiled = ModelVersion("1", version.folder, {"sha256": models._digest(path)})

    with pytest.raises(ModelError, match="cannot be loaded"):
        load_generator(spoiled)


@pytest.mark.parametrize("card", ["", "{", "[]", "{}"])
def test_a_broken_card_is_a_model_error(
    store: ModelStore, published: Path, tmp_path: Path, card: str
) -> None:
    """A card that cannot be read, or lacks what it must have, is a ModelError, never another."""
    home = tmp_path / "state" / "models" / "0001"
    shutil.copytree(published, home)
    (home / CARD_FILE).write_text(card)

    with pytest.raises(ModelError):
        load_generator(store.get(1))


def test_a_broken_version_does_not_block_the_store(
    store: ModelStore, served: keras.Model, published: Path, tmp_path: Path
) -> None:
    """Beside a version with a broken card the next one can be published, and is the latest."""
    home = tmp_path / "state" / "models" / "0001"
    shutil.copytree(published, home)
    (home / CARD_FILE).write_text("{")
    version = store.publish(served, CARD)

    assert "2" == version.name
    assert version == store.get("latest")


def test_strange_things_in_the_folder_are_left_alone(
    store: ModelStore, served: keras.Model, tmp_path: Path
) -> None:
    """Notes and folders with other names are neither versions nor swept."""
    folder = tmp_path / "state" / "models"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    (folder / "12 old").mkdir()
    store.publish(served, CARD)

    assert ["0001", "12 old", "notes.txt"] == shown(folder)
    assert ["builtin", "1"] == [version.name for version in store.versions()]


def test_the_real_built_in_loads(some_lightness: np.ndarray) -> None:
    """NEEDS worker/weights/builtin: it loads, has at most 20 MB, and a card of its origin."""
    version = models.built_in()
    generator = load_generator(version)
    scores = numbers(generator(some_lightness, training=False))

    assert (2, 16, 16, len(color_grid())) == scores.shape
    assert np.isfinite(scores).all()
    assert (version.folder / GENERATOR_FILE).stat().st_size <= 20e6
    assert {"created", "steps", "scores", "photographs", "sha256"} <= set(version.card)


def test_the_real_built_in_is_the_start(tmp_path: Path) -> None:
    """NEEDS worker/weights/builtin: a fresh store offers it as its only and latest version."""
    store = ModelStore(tmp_path / "never made")

    assert ["builtin"] == [version.name for version in store.versions()]
    assert "builtin" == store.get("latest").name
