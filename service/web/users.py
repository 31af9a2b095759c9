"""The users of the page, in a file with one line each: name:role:hash, the hash by argon2.

Passwords are kept nowhere. The file is read again whenever it has changed, so a user who is removed
or gets another password is logged out at once.
"""

import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from fcntl import LOCK_EX, flock
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from worker.atomic import write_durably
from worker.errors import PhotochromError

SHORTEST_PASSWORD = 10  # characters
LONGEST_PASSWORD = 1000  # characters
NAME = re.compile(r"[\w.@+-][\w.@+ -]{0,62}[\w.@+-]|[\w.@+-]")
_hasher = PasswordHasher()


class Role(StrEnum):
    """What a user may do; each may also do what those before may."""

    READER = "reader"  # see photographs and the service
    REVIEWER = "reviewer"  # decide, correct, upload, retry
    OPERATOR = "operator"  # promote models

    def may(self, needed: "Role") -> bool:
        """Tell whether this role includes another."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True)
class User:
    """A line of the file; `hash` is argon2's, with salt and parameters."""

    name: str
    role: Role
    hash: str


class UsersFileError(PhotochromError):
    """The file of users cannot be read, or a change of it makes no sense."""


class UsersFile:
    """The users in a file; see the module.

    Args:
        path: the file; it need not exist to add the first user.
    """

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self.path = path
        self._seen: tuple[int, ...] | None = None
        self._users: dict[str, User] = {}
        self._nobody = _hasher.hash(secrets.token_hex())

    def users(self) -> dict[str, User]:
        """Return the users by name, in the order of the file; from memory while it is unchanged.

        Raises:
            UsersFileError: it cannot be read, or a line of it is wrong.
        """
        try:
            status = self.path.stat()
            seen = (status.st_mtime_ns, status.st_size, status.st_ino)
            if seen != self._seen:
                text = self.path.read_text(encoding="utf-8")
                self._users, self._seen = _parsed(text, self.path), seen
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UsersFileError(f"{self.path} cannot be read: {reason}") from error
        return self._users

    def verified(self, name: str, password: str) -> User | None:
        """Return the user whose password this is, or None.

        An unknown name takes as long as a wrong password, and 64 MiB like it.

        Raises:
            UsersFileError: as for `users`.
        """
        user = self.users().get(name)
        try:
            _hasher.verify(user.hash if user else self._nobody, password[:LONGEST_PASSWORD])
        except (VerificationError, InvalidHashError):
            return None
        return user

    def add(self, name: str, role: Role, password: str) -> bool:
        """Add a user, or replace role and password of one.

        Returns:
            Whether the user is new.

        Raises:
            UsersFileError: the name or the password cannot be used, or the file cannot be read.
            OSError: the file cannot be written.
        """
        if not NAME.fullmatch(name):
            words = "a name has 1 to 64 letters, digits, spaces and . _ @ + -"
            raise UsersFileError(f"{name!r} cannot be a name: {words}")
        if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
            raise UsersFileError(
                f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"
            )
        user = User(name, role, _hasher.hash(password))
        with self._changing() as users:
            new = name not in users
            users[name] = user
        return new

    def remove(self, name: str) -> None:
        """Remove a user.

        Raises:
            UsersFileError: there is none of this name, or the file cannot be read.
            OSError: the file cannot be written.
        """
        with self._changing() as users:
            if users.pop(name, None) is None:
                raise UsersFileError(f"{self.path} has no user {name}")

    @contextmanager
    def _changing(self) -> Iterator[dict[str, User]]:
        """Yield the users, and write them when the block ends; one process at a time."""
        folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            flock(folder, LOCK_EX)
            users = dict(self.users()) if self.path.exists() else {}
            yield users
            lines = [f"{one.name}:{one.role}:{one.hash}\n" for one in users.values()]
            write_durably(self.path, "".join(lines), mode=0o600)
        finally:
            os.close(folder)


def _parsed(text: str, path: Path) -> dict[str, User]:
    users = {}
    for number, line in enumerate(text.splitlines(), 1):
        name, _, rest = line.partition(":")
        role, _, known = rest.partition(":")
        if not (NAME.fullmatch(name) and role in list(Role) and known.startswith("$argon2")):
            raise UsersFileError(f"{path}:{number}: not a line of the form name:role:hash")
        users[name] = User(name, Role(role), known)
    return users
