"""Whose fault it is, and so what happens next.

PhotochromError
├── ScanError    this file: it goes to rejected/ with the reason, the line goes on
│   ├── IncompleteError  the same, unless the file is young: it may still be being written
│   └── InColorError     the same, unless somebody wants it colored all the same
├── DeviceError  this machine (disk, memory, GPU): the job waits and is tried again
├── SourceChanged  the file was taken away or changed: its job is dropped
└── ModelError   this generator: it is not used; the one before it stays

DamagedError is what readers raise of a part of a file, and never reaches a person by itself: a part
that costs the photograph becomes an IncompleteError (`formats`), any other is named in `lost`.
"""


class PhotochromError(Exception):
    """Any fault photochrom expects; its text is for people: what, where, what to do."""


class ScanError(PhotochromError):
    """The file cannot or should not be colored; its text is the reason for the archivist."""


class IncompleteError(ScanError):
    """The file is empty, cut short or damaged in a way that a file still being written is."""


class InColorError(ScanError):
    """The photograph has color that is no tone of its print: its own, or a stamp's beside it."""


class DamagedError(ValueError):
    """A part of a file is damaged; its text says in plain words what is wrong with it."""


class DeviceError(PhotochromError):
    """The machine could not do the work now; nothing is wrong with the photo."""


class SourceChanged(PhotochromError):  # noqa: N818 - it is news, no error
    """The scan is gone, or is another file by now, which the watcher finds."""


class ModelError(PhotochromError):
    """A generator is missing, damaged, of another shape, or gives impossible colors."""


def plain(error: BaseException, otherwise: str = "it is damaged") -> str:
    """Return what an error says, if it was written for people and not by Python or a library.

    Args:
        error: that was raised.
        otherwise: is said of any other error.
    """
    return str(error) if isinstance(error, PhotochromError | DamagedError) else otherwise
