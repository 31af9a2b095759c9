"""The ignored names in an inbox: temporary files, recycle bins, snapshots, litter.

The table is matched against names only, ignoring case; `watch.ignore` adds to it.
"""

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import cache
from typing import NamedTuple


class Pattern(NamedTuple):
    """A glob pattern of names.

    Attributes:
        name: with * ? and []; with a trailing slash it is for folders, otherwise for files.
        maker: the program or system that creates them.
    """

    name: str
    maker: str


TABLE = (
    # Temporary files
    Pattern(".*", "hidden by convention; temporary files of rsync, Syncthing and photochrom"),
    Pattern("~*", "lock and temporary files of office programs"),
    Pattern("*.part", "Firefox, Nextcloud, FTP clients"),
    Pattern("*.tmp", "many programs"),
    Pattern("*.crdownload", "Chrome"),
    Pattern("*.download/", "Safari: a folder until the download is complete"),
    # Litter
    Pattern("thumbs.db", "Windows Explorer: previews"),
    Pattern("desktop.ini", "Windows Explorer: how a folder is shown"),
    Pattern(".*/", "hidden by convention: .Trashes, .stfolder, .snapshots of snapper, .zfs"),
    Pattern("@eadir/", "Synology: previews"),
    Pattern("__macosx/", "macOS: resource forks in archives"),
    # Recycle bins
    Pattern("#recycle/", "Synology: recycle bin of a share"),
    Pattern("@recycle/", "QNAP: recycle bin of a share"),
    Pattern("$recycle.bin/", "Windows: recycle bin of a disk"),
    Pattern("network trash folder/", "macOS over AFP: trash of a share"),
    # Snapshots, and special folders of file systems
    Pattern("#snapshot/", "Synology: snapshots of a share"),
    Pattern("@recently-snapshot/", "QNAP: snapshots of a share"),
    Pattern("~snapshot/", "NetApp: snapshots of a share over SMB"),
    Pattern("system volume information/", "Windows: restore points of a disk"),
    Pattern("temporary items/", "macOS: files being saved on a share"),
    Pattern("lost+found/", "fsck of ext2, ext3 and ext4: what it recovered"),
)


class Ignored:
    """The ignored names: the table, and what `watch.ignore` adds.

    Args:
        more: further patterns, such as "*_preview.tif" or "previews/".
    """

    def __init__(self, more: Iterable[str] = ()) -> None:
        """Compile the patterns."""
        patterns = [*(one.name for one in TABLE), *(pattern.lower() for pattern in more)]
        self._files = _any_of(one for one in patterns if not one.endswith("/"))
        self._folders = _any_of(one.removesuffix("/") for one in patterns if one.endswith("/"))

    def file(self, name: str) -> bool:
        """Tell whether a file with this name is ignored."""
        return self._files.match(name.lower()) is not None

    def folder(self, name: str) -> bool:
        """Tell whether a folder with this name is ignored, with all it contains."""
        return self._folders.match(name.lower()) is not None


@cache
def ignored(more: tuple[str, ...] = ()) -> Ignored:
    """Return the ignored names with these patterns of `watch.ignore`; cached."""
    return Ignored(more)


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern) for pattern in patterns))
