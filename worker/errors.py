"""Whose fault it is, and so what happens next.

PhotochromError
├── ScanError    this file: it goes to rejected/ with the reason, the line goes on
│   ├── IncompleteError  the same, unless the file is young: it may still be being written
│   └── InColorError     the same, unless somebody wants it colored all the same
├── DeviceError  this machine (disk, memory, GPU): the job waits and is tried again
└── ModelError   this generator: it is not used; the one before it stays
"""


class PhotochromError(Exception):
    """Any fault photochrom expects; its text is for people: what, where, what to do."""


class ScanError(PhotochromError):
    """The file cannot or should not be colored; its text is the reason for the archivist."""


class IncompleteError(ScanError):
    """The file is empty, cut short or damaged in a way that a file still being written is."""


class InColorError(ScanError):
    """The photograph has color that is no tone of its print: its own, or a stamp's beside it."""


class DeviceError(PhotochromError):
    """The machine could not do the work now; nothing is wrong with the photo."""


class ModelError(PhotochromError):
    """A generator is missing, damaged, of another shape, or gives impossible colors."""
