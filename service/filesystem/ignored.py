"""Which names in an inbox are no scans: unfinished files, recycle bins, snapshots, litter.

One table, matched against the name alone and whatever its case. `watch.ignore` adds to it.
"""

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import cache
from typing import NamedTuple


class Pattern(NamedTuple):
    """A pattern of names, with * ? and [], and who makes what it matches.

    Attributes:
        name: with a slash at its end it is for folders, else for files.
        maker: the program or system.
    """

    name: str
    maker: str


TABLE = (
    # Unfinished files
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
    # Snapshots, and what belongs to a whole disk
    Pattern("#snapshot/", "Synology: snapshots of a share"),
    Pattern("@recently-snapshot/", "QNAP: snapshots of a share"),
    Pattern("~snapshot/", "NetApp: snapshots of a share over SMB"),
    Pattern("system volume information/", "Windows: restore points of a disk"),
    Pattern("temporary items/", "macOS: files being saved on a share"),
    Pattern("lost+found/", "fsck of ext2, ext3 and ext4: what it recovered"),
)


class Ignored:
    """What is ignored: the table, and what `watch.ignore` adds.

    Args:
        more: patterns of names, such as "*_preview.tif"; with a slash at the end for folders.
    """

    def __init__(self, more: Iterable[str] = ()) -> None:
        """Take the patterns."""
        patterns = [*(one.name for one in TABLE), *(pattern.lower() for pattern in more)]
        self._files = _any_of(one for one in patterns if not one.endswith("/"))
        self._folders = _any_of(one.removesuffix("/") for one in patterns if one.endswith("/"))

    def file(self, name: str) -> bool:
        """Tell whether a file of this name is no scan."""
        return self._files.match(name.lower()) is not None

    def folder(self, name: str) -> bool:
        """Tell whether a folder of this name holds no scans, nor any folder in it."""
        return self._folders.match(name.lower()) is not None


@cache
def ignored(more: tuple[str, ...] = ()) -> Ignored:
    """Return what is ignored with these patterns of `watch.ignore`; made once."""
    return Ignored(more)


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern) for pattern in patterns))
