"""Whose folder is it? The marker `.photochrom` of inbox and outbox names the daemon they belong to.

Two daemons with two state folders on one outbox would each name and replace results without knowing
of the other. A daemon is known by an identity that lies in its state folder, or by host and path of
that: so it may move to another host with its state, or lose its state and begin anew.
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
from service.filesystem.durable import part_path, sync_opened
from worker.atomic import write_durably
from worker.errors import DeviceError

MARKER = ".photochrom"
IDENTITY = "id"  # in the state folder
OWNED = ("inbox", "outbox")

_NOTE = "By this file photochrom sees that the right disk is mounted here, and whose folder it is."
_LONGEST = 65_536  # bytes of a marker that are read


class Owner(NamedTuple):
    """A daemon.

    Attributes:
        id: made once for its state folder.
        host: the machine it runs on.
        state: its state folder.
    """

    id: str
    host: str
    state: str

    def is_the_one(self, other: "Owner") -> bool:
        """Tell whether two are one daemon, moved with its state or begun anew in its place."""
        return self.id == other.id or (self.host, self.state) == (other.host, other.state)

    @property
    def marker(self) -> bytes:
        """The text of the marker in its folders."""
        said = {"note": f"{_NOTE} Leave it in place.", **self._asdict()}
        return json.dumps(said, indent=2).encode() + b"\n"


def known_owner(state: Path) -> Owner | None:
    """Name the daemon of a state folder; None where none has begun there yet, or it is closed."""
    try:
        identity = (state / IDENTITY).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return Owner(identity, socket.gethostname(), os.path.realpath(state)) if identity else None


def new_owner(state: Path) -> Owner:
    """Give a state folder its identity.

    Raises:
        DeviceError: it cannot be noted.
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
    """Read whom an open folder belongs to; None: to nobody yet, as its marker is older or missing.

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
    """Mark an open folder as an owner's, in one step.

    Raises:
        OSError: the disk refuses; the marker before stays.
    """
    part = part_path(Path()).name
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(part, flags, 0o644, dir_fd=folder)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o644)  # whatever the umask: others are to know
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
    """Say, in words for people, that a folder belongs to another daemon, and what to do."""
    running = _running(owner)
    there = f"{owner.state} on {owner.host}"
    to_do = (
        f"stop that one ({running}) first"
        if running
        else "if that one is gone for good, run `photochrom run --take-over` once"
    )
    return (
        f"{key}: {folder} belongs to another photochrom, with the state folder {there}; give this"
        f" one a folder of its own, or {to_do}"
    )


def refuse_another_owner(
    folders: Mapping[str, Path], *, take_over: bool = False
) -> list[tuple[Path, Owner]]:
    """Make sure that inbox and outbox belong to nobody else; those that are away are let off.

    Args:
        folders: by their key in config.yaml (`Config.folders`); an inbox whose originals are kept
            is only read, and has no owner.
        take_over: make those of another owner one's own, unless that one runs on this machine.

    Returns:
        The folders that were taken over, and from whom.

    Raises:
        DeviceError: one belongs to another, or cannot be taken over.
    """
    me = known_owner(folders["state"]) or new_owner(folders["state"])
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
    """Yield, in words for people, which folders belong to another daemon; nothing is written."""
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
    """Return the keys of the folders that belong to one daemon alone."""
    return OWNED if "originals.folder" in folders else ("outbox",)


def _running(owner: Owner) -> str:
    """Say which process of this machine works with an owner's state folder; "" if none is known."""
    if owner.host != socket.gethostname():
        return ""
    with suppress(OSError, DeviceError):
        return lock.owner_of(Path(owner.state)) or ""
    return ""
