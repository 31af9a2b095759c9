"""How a file looked at one moment, so that a change of it can be told; pure."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class FileStat:
    """How a file looked at one moment.

    Attributes:
        size: in bytes.
        mtime_ns: time of the last change, in nanoseconds since 1970; its writer may set it.
        inode: its number in its file system; another number is another file.
        device: the number of that file system.
        ctime_ns: time of the last change of content, name or permissions, which nobody can set; 0
            where it was not noted.
    """

    size: int
    mtime_ns: int
    inode: int
    device: int
    ctime_ns: int = 0

    def same_as(self, other: "FileStat") -> bool:
        """Tell whether it is the same file with the same content, as far as this can tell.

        A reboot may have renumbered the device, and a change of permissions changes no content.
        """
        return replace(self, device=other.device, ctime_ns=other.ctime_ns) == other
