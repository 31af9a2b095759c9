"""The exceptions, by whose fault it is and what happens next.

PhotochromError
├── ScanError    the file: it moves to rejected/ with the reason
│   ├── IncompleteError  likewise, unless the file is recent and may still be being written
│   └── InColorError     likewise, unless even_if_colored is set
├── DeviceError  the machine (disk, memory, GPU): the job backs off and is retried
├── SourceChanged  the file was removed or changed: its job is dropped
└── ModelError   the generator: it is not used; the previous one stays active

Readers raise DamagedError for a part of a file. If the image needs that part, `open_image` turns it
into an IncompleteError; otherwise `lost` names the part.
"""


class PhotochromError(Exception):
    """Any expected error; its text tells people what is wrong, where, and what to do."""


class ScanError(PhotochromError):
    """The file cannot or should not be colored; the text is the reason shown to the archivist."""


class IncompleteError(ScanError):
    """The file is empty, truncated or damaged, as a file still being written is."""


class InColorError(ScanError):
    """The photograph has color beyond the tone of its print: its own, or that of a stamp."""


class DamagedError(ValueError):
    """A part of a file is damaged; the text says in plain words how."""


class DeviceError(PhotochromError):
    """The machine cannot do the work now; nothing is wrong with the photo."""


class SourceChanged(PhotochromError):  # noqa: N818 - it is news, no error
    """The scan is gone, or is another file by now, which the watcher finds."""


class ModelError(PhotochromError):
    """A generator is missing, damaged, of the wrong shape, or predicts impossible colors."""


def plain(error: BaseException, otherwise: str = "it is damaged") -> str:
    """Return an error's text if it was written for people, not by Python or a library.

    Args:
        error: the error.
        otherwise: the text for any other error.
    """
    return str(error) if isinstance(error, PhotochromError | DamagedError) else otherwise
