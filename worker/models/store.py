"""The model store: numbered versions of the generator, and which of them serves.

A version is `generator.keras` (weights in float16), `card.json` (where it comes from, how it was
measured, its digest) and what else belongs to it, published whole or not at all. It is a candidate
until it is promoted. Only publishing and promoting load Keras.
"""

import json
import shutil
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.atomic import sync, sync_folder
from worker.errors import ModelError
from worker.models.promotions import (
    BUILT_IN,
    Promotion,
    active_versions,
    read_promotions,
    write_promotions,
)
from worker.models.version import (
    CARD_FILE,
    GENERATOR_FILE,
    ModelVersion,
    VersionName,
    digest,
    version_name,
)
from worker.models.version_folders import VersionFolders

if TYPE_CHECKING:
    import keras


class ModelStore:
    """The versions under one folder; see `VersionFolders` for who may change it, and how.

    Args:
        folder: on a local disk; made when the first version is published.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read or made yet."""
        self._folder = folder
        self._folders = VersionFolders(folder)

    def names(self) -> list[str]:
        """List what there is, readable or not: the built-in one first, then by number."""
        return [BUILT_IN, *map(str, self._folders.numbers())]

    def versions(self) -> list[ModelVersion]:
        """Read all versions, in the order of `names`.

        Raises:
            ModelError: when a card cannot be read.
        """
        return [built_in(), *map(self.get, self._folders.numbers())]

    def get(self, name: VersionName) -> ModelVersion:
        """Find a version; "promoted" is the one that serves.

        Raises:
            ModelError: when it is not there or its card cannot be read.
        """
        if name == "promoted":
            return self.promoted()
        if name == BUILT_IN:
            return built_in()
        return _version(str(name), self._folders.home(int(name)))

    def promotions(self) -> list[Promotion]:
        """Return every promotion and rollback, oldest first.

        Raises:
            ModelError: the history is damaged.
        """
        return read_promotions(self._folder)

    def promoted(self) -> ModelVersion:
        """Return the version that serves: the one promoted last, or else the built-in one.

        Raises:
            ModelError: it is not there any more, or the history is damaged.
        """
        name = active_versions(self.promotions())[-1]
        try:
            return self.get(version_name(name))
        except ModelError as error:
            raise ModelError(
                f"{error}; it is the one that was promoted: put it back, or choose another with "
                "`photochrom models promote`"
            ) from error

    def promote(
        self,
        name: VersionName,
        why: str,
        now: datetime,
        check: Callable[[ModelVersion], None],
    ) -> ModelVersion:
        """Let a version serve, after trying it.

        Args:
            name: which.
            why: for people; kept in the history.
            now: with its time zone.
            check: raises ModelError if the version is not fit to serve, such as
                `worker.inference.trial.try_version`.

        Raises:
            ModelError: it is not there, altered, no generator, fails the canary, or serves already.
            OSError: when the disk fails; what served goes on serving.
        """
        version = self.get(name)
        if active_versions(self.promotions())[-1] == version.name:
            raise ModelError(f"version {version.name} serves already")
        check(version)
        with self._folders.locked():
            self.get(name)  # nobody pruned it meanwhile
            self._note(Promotion(version.name, now.isoformat(timespec="seconds"), why))
        return version

    def rollback(self, why: str, now: datetime) -> ModelVersion:
        """Let the version serve again that served before; once more goes back further.

        Args:
            why: for people; kept in the history.
            now: with its time zone.

        Raises:
            ModelError: there is none, or it is gone or altered.
            OSError: when the disk fails; what served goes on serving.
        """
        with self._folders.locked():
            walk = active_versions(self.promotions())
            if len(walk) == 1:
                raise ModelError("the built-in generator serves, and nothing served before it")
            version = self.get(version_name(walk[-2]))
            version.check_digest()
            at = now.isoformat(timespec="seconds")
            self._note(Promotion(version.name, at, why, rollback=True))
        return version

    def _note(self, promotion: Promotion) -> None:
        write_promotions(self._folder, [*self.promotions(), promotion])

    def prunable(self, keep: int, spare: Collection[str] = ()) -> list[str]:
        """Name the versions that `prune` would remove.

        Args:
            keep: how many of the newest stay, 0 or more.
            spare: names that stay as well.

        Returns:
            names, oldest first; never that of the version that serves, nor of the one before it,
            which a rollback needs. A parent of a version that stays is no exception: a version
            needs no other to be loaded or to be trained further.

        Raises:
            ModelError: the history is damaged.
        """
        numbers = self.names()[1:]
        old = numbers[: max(0, len(numbers) - keep)]
        kept = {*active_versions(self.promotions())[-2:], *spare}
        return [name for name in old if name not in kept]

    def prune(self, keep: int, spare: Collection[str] = ()) -> list[str]:
        """Remove the oldest versions for good; see `prunable`.

        Returns:
            the names of those removed, oldest first.

        Raises:
            ModelError: the history is damaged.
            OSError: when the disk fails.
        """
        with self._folders.locked():
            names = self.prunable(keep, spare)
            self._folders.remove([int(name) for name in names])
        return names

    def publish(
        self, generator: "keras.Model", card: dict[str, Any], attachments: Sequence[Path] = ()
    ) -> ModelVersion:
        """Save a generator as the next number, whole or not at all; it is a candidate.

        Args:
            generator: with its decoding (`worker.models.generator.with_decoding`); its weights
                are saved in float16.
            card: what is known of it; the SHA-256 of its file is added.
            attachments: files that belong to it (sheet, curves), copied under their own names.

        Raises:
            OSError: when the disk fails.
        """
        with self._folders.staging() as folder:
            save_version(generator, card, folder, attachments)
            number = self._folders.commit(folder)
        return self.get(number)


def built_in() -> ModelVersion:
    """Return the generator that comes with photochrom."""
    with as_file(files("worker") / "weights" / BUILT_IN) as folder:
        return _version(BUILT_IN, folder)


def save_version(
    generator: "keras.Model", card: dict[str, Any], folder: Path, attachments: Sequence[Path] = ()
) -> None:
    """Write a version into a new folder and see it onto the disk; see `ModelStore.publish`."""
    from worker.models.serialization import save_generator

    folder.mkdir(exist_ok=True)
    save_generator(generator, folder / GENERATOR_FILE)
    for attachment in attachments:
        shutil.copyfile(attachment, folder / attachment.name)
    text = json.dumps({**card, "sha256": digest(folder / GENERATOR_FILE)}, indent=2)
    (folder / CARD_FILE).write_text(f"{text}\n", encoding="utf-8")
    for path in folder.iterdir():
        sync(path)
    sync_folder(folder)


def _version(name: str, folder: Path) -> ModelVersion:
    try:
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"there is no model version {name} in {folder}") from error
    except (OSError, ValueError) as error:
        raise ModelError(
            f"model version {name} has no readable card in {folder}: {error}"
        ) from error
    if not isinstance(card, dict):
        raise ModelError(f"model version {name} has no readable card in {folder}: it is a list")
    return ModelVersion(name, folder, card)
