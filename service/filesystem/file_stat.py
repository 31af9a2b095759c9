"""What identifies a file and its content at one moment, as far as stat(2) tells."""

from dataclasses import dataclass
from os import stat_result


@dataclass(frozen=True, slots=True)
class FileStat:
    """A file as stat(2) described it at one moment.

    Attributes:
        size: bytes.
        mtime_ns: modification time, nanoseconds since 1970; anyone who can write the file can set
            it.
        inode: a different inode is a different file.
        device: of the file system.
        ctime_ns: time of the last change of content, name or permissions, which nobody can set; 0
            if it was not recorded.
    """

    size: int
    mtime_ns: int
    inode: int
    device: int
    ctime_ns: int = 0

    @classmethod
    def of(cls, result: stat_result) -> "FileStat":
        """Return the part of a stat result that matters here."""
        return cls(
            result.st_size, result.st_mtime_ns, result.st_ino, result.st_dev, result.st_ctime_ns
        )

    def same_as(self, other: "FileStat") -> bool:
        """Tell whether it is probably the same file with the same content.

        Device and ctime do not count: a reboot may renumber the one, and a change of permissions
        sets the other.
        """
        mine, theirs = (self.size, self.mtime_ns, self.inode), (other.size, other.mtime_ns)
        return mine == (*theirs, other.inode)
