"""The model store: numbered versions of the generator, one of which is active.

A version is a folder with `generator.keras` (float16 weights), `card.json` (origin, scores, digest)
and attachments. It is published atomically, and is a candidate until it is promoted. Only
publishing and promoting load Keras.
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
    """The versions in one folder; see `VersionFolders` about locking.

    Args:
        folder: on a local disk; created when the first version is published.
    """

    def __init__(self, folder: Path) -> None:
        """Read and create nothing yet."""
        self._folder = folder
        self._folders = VersionFolders(folder)

    def names(self) -> list[str]:
        """List all versions, readable or not: the built-in one first, then by number."""
        return [BUILT_IN, *map(str, self._folders.numbers())]

    def versions(self) -> list[ModelVersion]:
        """Read all versions, in the order of `names`.

        Raises:
            ModelError: a card cannot be read.
        """
        return [built_in(), *map(self.get, self._folders.numbers())]

    def get(self, name: VersionName) -> ModelVersion:
        """Find a version; "promoted" is the active one.

        Raises:
            ModelError: it does not exist, or its card cannot be read.
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
        """Return the active version: the one promoted last, or else the built-in one.

        Raises:
            ModelError: it no longer exists, or the history is damaged.
        """
        name = active_versions(self.promotions())[-1]
        try:
            return self.get(version_name(name))
        except ModelError as error:
            raise ModelError(
                f"{error}; it is the promoted version: restore it, or choose another with "
                "`photochrom models promote`"
            ) from error

    def promote(
        self,
        name: VersionName,
        why: str,
        now: datetime,
        check: Callable[[ModelVersion], None],
    ) -> ModelVersion:
        """Make a version the active one, after testing it.

        Args:
            name: of the version.
            why: the reason, for the history.
            now: with its time zone.
            check: raises ModelError if the version is unfit, such as
                `worker.inference.trial.try_version`.

        Raises:
            ModelError: it does not exist, is altered, fails `check`, or is active already.
            OSError: the disk failed; the active version is unchanged.
        """
        version = self.get(name)
        if active_versions(self.promotions())[-1] == version.name:
            raise ModelError(f"version {version.name} is already promoted")
        check(version)
        with self._folders.locked():
            self.get(name)  # raises if it was pruned meanwhile
            self._record(Promotion(version.name, now.isoformat(timespec="seconds"), why))
        return version

    def rollback(self, why: str, now: datetime) -> ModelVersion:
        """Return to the version that was active before; repeated calls go further back.

        Args:
            why: the reason, for the history.
            now: with its time zone.

        Raises:
            ModelError: there is none, or it no longer exists or is altered.
            OSError: the disk failed; the active version is unchanged.
        """
        with self._folders.locked():
            stack = active_versions(self.promotions())
            if len(stack) == 1:
                raise ModelError(
                    "the built-in version is promoted; there is nothing to roll back to"
                )
            version = self.get(version_name(stack[-2]))
            version.check_digest()
            at = now.isoformat(timespec="seconds")
            self._record(Promotion(version.name, at, why, rollback=True))
        return version

    def _record(self, promotion: Promotion) -> None:
        write_promotions(self._folder, [*self.promotions(), promotion])

    def prunable(self, keep: int, spare: Collection[str] = ()) -> list[str]:
        """List the versions that `prune` would remove.

        Args:
            keep: how many of the newest to keep, 0 or more.
            spare: names of others to keep.

        Returns:
            names, oldest first; never the active version, nor the one before it, which a rollback
            needs. Parents may be removed: no version needs another.

        Raises:
            ModelError: the history is damaged.
        """
        numbers = self.names()[1:]
        old = numbers[: max(0, len(numbers) - keep)]
        kept = {*active_versions(self.promotions())[-2:], *spare}
        return [name for name in old if name not in kept]

    def prune(self, keep: int, spare: Collection[str] = ()) -> list[str]:
        """Delete the oldest versions; see `prunable`.

        Returns:
            the names of the deleted versions, oldest first.

        Raises:
            ModelError: the history is damaged.
            OSError: the disk failed.
        """
        with self._folders.locked():
            names = self.prunable(keep, spare)
            self._folders.remove([int(name) for name in names])
        return names

    def publish(
        self, generator: "keras.Model", card: dict[str, Any], attachments: Sequence[Path] = ()
    ) -> ModelVersion:
        """Save a generator atomically under the next number, as a candidate.

        Args:
            generator: with its decoding (`worker.models.decoding.with_decoding`); its weights
                are saved in float16.
            card: its metadata; the SHA-256 of its file is added.
            attachments: other files of the version (contact sheet, curves), which are copied.

        Raises:
            OSError: the disk failed.
        """
        with self._folders.staging() as folder:
            save_version(generator, card, folder, attachments)
            number = self._folders.commit(folder)
        return self.get(number)


def built_in() -> ModelVersion:
    """Return the version that comes with photochrom."""
    with as_file(files("worker") / "weights" / BUILT_IN) as folder:
        return _version(BUILT_IN, folder)


def save_version(
    generator: "keras.Model", card: dict[str, Any], folder: Path, attachments: Sequence[Path] = ()
) -> None:
    """Write a version to a new folder and sync it; see `ModelStore.publish`."""
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
            f"the card of model version {name} cannot be read ({folder}): {error}"
        ) from error
    if not isinstance(card, dict):
        raise ModelError(f"the card of model version {name} is not a JSON object ({folder})")
    return ModelVersion(name, folder, card)
