"""What is no mistake in a configuration but will be felt: each with what it means, and what to do.

`photochrom check-config` prints it; nothing is changed and nothing written.
"""

import os
import pwd
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from service.config.loader import Config
from service.filesystem.access import how_to_open, may_empty, may_not_read, user_name
from service.filesystem.mounts import file_system_type, is_network_file_system
from service.filesystem.ownership import belongs_to_another
from service.filesystem.permissions import group_number
from worker.errors import DeviceError

MOST_FOLDERS = 20_000  # that are looked at
LONGEST_LOOK = 5.0  # seconds
SHOWN = 3  # folders that are named
SERVICE_USER = "photochrom"


def advice(config: Config) -> Iterator[str]:
    """Yield warnings about a configuration that is right, in words for people."""
    yield from belongs_to_another(config.folders)
    yield from _file_systems(config)
    yield from _announcements(config)
    if config.permissions.group is not None:
        yield from _group(config.permissions.group)
    yield from _permissions(config)


def _file_systems(config: Config) -> Iterator[str]:
    """Say which files will be copied."""
    if config.review.may_hold and _device(config.review.folder) != _device(config.outbox):
        yield (
            "outbox and review.folder lie on different file systems: approved results are copied"
            " and compared, which takes time; put them on one file system if you can"
        )
    if config.originals.after != "move":
        return
    others = (("originals.folder", config.originals.folder), ("rejected", config.rejected))
    apart = [key for key, folder in others if _device(folder) != _device(config.inbox)]
    if apart:
        yield (
            f"inbox and {' and '.join(apart)} lie on different file systems: scans are copied there"
            ", compared and then removed, not renamed. That takes time, and room for both for a"
            " while; put them on one file system if you can"
        )


def _announcements(config: Config) -> Iterator[str]:
    """Say that the system does not tell when a file in the inbox is complete."""
    if not is_network_file_system(config.inbox):
        return
    kind, seconds = file_system_type(config.inbox), f"{config.watch.settle_shared:g}"
    yield (
        f"inbox: {config.inbox} is on a network or FUSE file system ({kind}), where nobody tells"
        f" when a file was closed: a scan is taken when it was quiet for {seconds} s"
        " (watch.settle_shared). Raise that if senders pause for longer, as FTP clients and network"
        " scanners do; best is to send under a hidden name and rename when done"
    )
    if config.watch.polling == "never":
        yield (
            f"watch.polling: never, though the inbox is on {kind}: what other machines write there"
            f" is found by the rescans only, each {config.watch.rescan:g} s (watch.rescan)"
        )


def _group(name: str) -> Iterator[str]:
    try:
        group_number(name)
    except DeviceError as error:
        yield f"permissions.group: {error}"


def _permissions(config: Config) -> Iterator[str]:
    """Say which folders in the inbox will not let their originals go, or be read."""
    if os.geteuid() == 0:
        with suppress(KeyError):
            pwd.getpwnam(SERVICE_USER)
            yield (
                "nothing is refused to root; to see what permissions will hinder, run it as the"
                f" user of the service: sudo -u {SERVICE_USER} photochrom check-config"
            )
        return
    closed: list[str] = []
    kept: list[Path] = []
    until = time.monotonic() + LONGEST_LOOK
    walk = os.walk(config.inbox, onerror=lambda error: closed.append(str(error.filename)))
    for seen, (parent, folders, _names) in enumerate(walk, 1):
        folders[:] = sorted(name for name in folders if not config.watch.ignored.folder(name))
        if config.originals.after == "move" and not may_empty(Path(parent)):
            kept.append(Path(parent))
        if seen >= MOST_FOLDERS or time.monotonic() > until:
            yield f"only the first {seen} folders in the inbox were looked at for permissions"
            break
    if kept:
        count = f"{len(kept)} folder{'s' * (len(kept) > 1)} in the inbox"
        what = "; ".join(f"{folder}: {how_to_open(folder)}" for folder in kept[:SHOWN])
        more = f"; and {len(kept) - SHOWN} more" if len(kept) > SHOWN else ""
        yield (
            f"{user_name()} may not move originals out of {count}; scans in them will be colored,"
            f" and stay: {what}{more}"
        )
    if closed:
        yield f"{may_not_read(tuple(closed))}; scans in them will not be found"


def _device(folder: Path) -> int:
    """Return the file system of a folder, or of what it would be made in."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.stat().st_dev
