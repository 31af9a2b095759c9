"""A version of the generator on disk: its name, files and digest."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from worker.errors import ModelError
from worker.models.promotions import BUILT_IN

GENERATOR_FILE = "generator.keras"
CARD_FILE = "card.json"
VersionName = int | Literal["promoted", "builtin"]


def version_name(text: str) -> VersionName:
    """Parse the name of a version: promoted, builtin, or a number.

    Raises:
        ModelError: it is none of these.
    """
    if text in {"promoted", BUILT_IN}:
        return cast("VersionName", text)
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise ModelError(f"there is no version {text!r}; use promoted, builtin, or a number")


@dataclass(frozen=True)
class ModelVersion:
    """A version of the generator on disk.

    Attributes:
        name: "builtin" or its number as text.
        folder: of its files.
        card: the contents of `card.json`.
    """

    name: str
    folder: Path
    card: dict[str, Any]

    def check_digest(self) -> None:
        """Verify the generator's file against the digest in its card.

        Raises:
            ModelError: it is missing or differs.
        """
        path = self.folder / GENERATOR_FILE
        try:
            found = digest(path)
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error}") from error
        if found != self.card.get("sha256"):
            raise ModelError(f"{path} does not match its card (SHA-256 differs); copy it again")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
