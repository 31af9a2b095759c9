"""The model store: numbered versions of the generator in folders, and the built-in one.

A version is published whole or not at all: `generator.keras` (weights in float16) and `card.json`
(where it comes from, how it was measured, its digest).
"""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal

import keras

from worker.errors import ModelError
from worker.generator import DECODING, LOGITS

BUILT_IN = "builtin"
GENERATOR_FILE = "generator.keras"
CARD_FILE = "card.json"
VersionName = int | Literal["latest", "builtin"]


@dataclass(frozen=True)
class ModelVersion:
    """One generator on disk.

    Attributes:
        name: "builtin" or its number as text.
        folder: where it lies.
        card: what `card.json` says.
    """

    name: str
    folder: Path
    card: dict[str, Any]


class ModelStore:
    """The versions under one folder.

    Args:
        folder: made when the first version is published.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read or made yet."""
        self._folder = folder

    def versions(self) -> list[ModelVersion]:
        """List all versions, the built-in one first, then by number."""
        return [built_in(), *(self.get(number) for number in self._numbers())]

    def _numbers(self) -> list[int]:
        return sorted(int(path.name) for path in self._folder.glob("[0-9]*") if path.name.isdigit())

    def get(self, name: VersionName) -> ModelVersion:
        """Find a version; "latest" is the highest number, or else the built-in one.

        Raises:
            ModelError: when it is not there or its card cannot be read.
        """
        if name == BUILT_IN:
            return built_in()
        if name == "latest":
            numbers = self._numbers()
            return self.get(numbers[-1]) if numbers else built_in()
        return _version(str(name), self._folder / f"{name:04d}")

    def publish(self, generator: keras.Model, card: dict[str, Any]) -> ModelVersion:
        """Save a generator as the next number, whole or not at all.

        Args:
            generator: with its decoding (`worker.generator.with_decoding`); its weights are saved
                in float16.
            card: what is known of it; the weights' SHA-256 and the number are added.

        Raises:
            OSError: when the disk fails.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob(".publishing-*"):
            shutil.rmtree(leftover)
        number = max(self._numbers(), default=0) + 1
        temporary = self._folder / f".publishing-{os.getpid()}"
        save_version(generator, card, temporary)
        home = self._folder / f"{number:04d}"
        temporary.rename(home)
        _fsync(self._folder)
        return _version(str(number), home)


def built_in() -> ModelVersion:
    """Return the generator that comes with photochrom."""
    with as_file(files("worker") / "weights" / BUILT_IN) as folder:
        return _version(BUILT_IN, folder)


def save_version(generator: keras.Model, card: dict[str, Any], folder: Path) -> None:
    """Write `generator.keras` and `card.json` into a new folder and see them onto the disk."""
    folder.mkdir()
    in_precision(generator, "float16").save(folder / GENERATOR_FILE)
    card = {**card, "sha256": _digest(folder / GENERATOR_FILE)}
    (folder / CARD_FILE).write_text(json.dumps(card, indent=2) + "\n")
    for path in (folder / GENERATOR_FILE, folder / CARD_FILE, folder):
        _fsync(path)


def load_generator(version: ModelVersion, precision: str = "float32") -> keras.Model:
    """Load a version's generator.

    Args:
        version: which.
        precision: Keras precision policy to compute in.

    Raises:
        ModelError: when the file is missing, altered, or not a plain Keras model.
    """
    path = version.folder / GENERATOR_FILE
    try:
        if _digest(path) != version.card["sha256"]:
            raise ModelError(
                f"{path} is not the file its card describes (SHA-256 differs); copy it again"
            )
        return in_precision(keras.models.load_model(path, compile=False, safe_mode=True), precision)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path} cannot be loaded as a generator: {error}") from error


def in_precision(generator: keras.Model, policy: str) -> keras.Model:
    """Copy a generator into another Keras precision policy; its last layers stay float32."""

    def convert(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer.name not in {LOGITS, DECODING} and not isinstance(layer, keras.layers.InputLayer):
            config["dtype"] = policy
        return layer.__class__.from_config(config)

    copy = keras.models.clone_model(generator, clone_function=convert)
    copy.set_weights(generator.get_weights())
    return copy


def _version(name: str, folder: Path) -> ModelVersion:
    try:
        return ModelVersion(name, folder, json.loads((folder / CARD_FILE).read_text()))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model version {name} has no readable card in {folder}: {error}"
        ) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
