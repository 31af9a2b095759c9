"""Ownership of inbox, outbox and held results: the marker `.photochrom` names their daemon.

Two daemons with different state folders would replace each other's results in a shared outbox. A
daemon is identified by an id in its state folder, or by host and path of that folder: so it may
move to another host with its state, or lose its state and start over.
"""

import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from service.filesystem import lock
from service.filesystem.durable import part_path
from worker.atomic import sync_opened, write_durably
from worker.errors import DeviceError

MARKER = ".photochrom"
IDENTITY = "id"  # in the state folder
OWNED = ("inbox", "outbox", "review.folder")

_NOTE = "This file tells photochrom that the right disk is mounted here, and whose folder it is."
_LONGEST = 65_536  # bytes read of a marker


class Owner(NamedTuple):
    """A daemon.

    Attributes:
        id: generated once for its state folder.
        host: the machine it runs on.
        state: its state folder.
    """

    id: str
    host: str
    state: str

    def is_the_one(self, other: "Owner") -> bool:
        """Tell whether two are the same daemon, moved with its state or started over."""
        return self.id == other.id or (self.host, self.state) == (other.host, other.state)

    @property
    def marker(self) -> bytes:
        """The text of the marker in its folders."""
        said = {"note": f"{_NOTE} Leave it in place.", **self._asdict()}
        return json.dumps(said, indent=2).encode() + b"\n"


def known_owner(state: Path) -> Owner | None:
    """Return the daemon of a state folder; None: it never ran, or the folder is not readable."""
    try:
        identity = (state / IDENTITY).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return Owner(identity, socket.gethostname(), os.path.realpath(state)) if identity else None


def new_owner(state: Path) -> Owner:
    """Give a state folder its id.

    Raises:
        DeviceError: it cannot be written.
    """
    try:
        write_durably(state / IDENTITY, uuid4().hex + "\n")
    except OSError as error:
        raise DeviceError(f"cannot write {state / IDENTITY}: {error.strerror}") from error
    found = known_owner(state)
    if found is None:
        raise DeviceError(f"{state / IDENTITY} cannot be read")
    return found


def owner_in(folder: int) -> Owner | None:
    """Read the owner of an open folder; None: the marker is missing, or has no owner.

    Raises:
        OSError: the marker cannot be read.
    """
    try:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(MARKER, flags, dir_fd=folder)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        text = file.read(_LONGEST)
    try:
        said = json.loads(text)
        return Owner(*(str(said[name]) for name in Owner._fields))
    except (ValueError, TypeError, KeyError):
        return None


def put_marker(folder: int, owner: Owner) -> None:
    """Write an owner's marker to an open folder, atomically.

    Raises:
        OSError: from the system; the old marker stays.
    """
    part = part_path(Path()).name
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(part, flags, 0o644, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)  # whatever the umask: others must be able to read it
            file.write(owner.marker)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, MARKER, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(part, dir_fd=folder)
        raise
    sync_opened(folder)


def another_owner(key: str, folder: Path, owner: Owner) -> str:
    """Say that a folder belongs to another daemon, and what to do."""
    running = _running(owner)
    there = f"{owner.state} on {owner.host}"
    to_do = (
        f"stop it ({running}) first"
        if running
        else "if it is gone for good, run `photochrom run --take-over` once"
    )
    return (
        f"{key}: {folder} belongs to another photochrom, with the state folder {there}; use"
        f" another folder, or {to_do}"
    )


def refuse_another_owner(
    folders: Mapping[str, Path], *, take_over: bool = False, me: Owner | None = None
) -> list[tuple[Path, Owner]]:
    """Make sure that no folder that has an owner, if available, belongs to another daemon.

    Args:
        folders: by their key in config.yaml (`Config.folders`); with `originals.after: keep` the
            inbox is only read, and has no owner.
        take_over: take folders over from another owner, unless that is running on this machine.
        me: this daemon; by default the one with this state folder.

    Returns:
        The folders that were taken over, and their former owners.

    Raises:
        DeviceError: one belongs to another daemon, or cannot be taken over.
    """
    me = me or known_owner(folders["state"]) or new_owner(folders["state"])
    taken = []
    for key in owned(folders):
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            folder = os.open(folders[key], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                owner = owner_in(folder)
                if owner is None or owner.is_the_one(me):
                    continue
                if not take_over or _running(owner):
                    raise DeviceError(another_owner(key, folders[key], owner))
                _take(folder, folders[key], me)
                taken.append((folders[key], owner))
            finally:
                os.close(folder)
    return taken


def _take(folder: int, path: Path, me: Owner) -> None:
    try:
        put_marker(folder, me)
    except OSError as error:
        raise DeviceError(f"cannot write {path / MARKER}: {error.strerror}") from error


def belongs_to_another(folders: Mapping[str, Path]) -> Iterator[str]:
    """Yield a message for each folder that belongs to another daemon; read-only."""
    state = folders["state"]
    me = known_owner(state) or Owner("", socket.gethostname(), os.path.realpath(state))
    for key in owned(folders):
        with suppress(OSError):
            folder = os.open(folders[key], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                owner = owner_in(folder)
            finally:
                os.close(folder)
            if owner and not owner.is_the_one(me):
                yield another_owner(key, folders[key], owner)


def owned(folders: Mapping[str, Path]) -> tuple[str, ...]:
    """Return the keys of the folders that have an owner."""
    written = OWNED if "originals.folder" in folders else OWNED[1:]
    return tuple(key for key in written if key in folders)


def _running(owner: Owner) -> str:
    """Return the local process that uses an owner's state folder, or ""."""
    if owner.host != socket.gethostname():
        return ""
    with suppress(OSError, DeviceError):
        return lock.owner_of(Path(owner.state)) or ""
    return ""
