"""Photographs whose colors others are to have: found, opened, and kept in mind."""

import io
from pathlib import Path, PurePath
from threading import Lock

from service.filesystem import safe_open
from service.filesystem.file_stat import FileStat
from service.ledger.rows import storable
from worker.errors import ScanError
from worker.settings import LONGEST_WORD, ReadSettings, Reference

MOST_KNOWN = 256

_known: dict[tuple[str, FileStat], Reference] = {}
_lock = Lock()


def reference_of(file: io.FileIO, name: str, megapixels: float) -> Reference:
    """Read the colors of a photograph; a file that did not change is read once.

    Args:
        file: open; its `name` tells its format.
        name: of it, for people.
        megapixels: the limit.

    Raises:
        ScanError: it is no photograph in color, or cannot be read; says why.
        DeviceError: the disk failed.
        MemoryError: out of memory.
        OSError: the disk failed.
    """
    from worker.reference import colors_of  # noqa: PLC0415 - loads OpenCV; most need no reference

    key = (str(file.name), safe_open.file_stat_of(file))
    with _lock:
        found = _known.get(key)
    if found is None:
        colors = colors_of(Path(str(file.name)), ReadSettings(megapixels), file)
        file.seek(0)
        found = Reference("", safe_open.digest_of(file), colors)
        with _lock:
            if len(_known) >= MOST_KNOWN:
                _known.clear()
            _known[key] = found
    return Reference(storable(name)[-LONGEST_WORD:], found.sha256, found.colors)


def read_reference(path: Path, megapixels: float) -> Reference:
    """Read the colors of a photograph that a person named; errors as `reference_of`."""
    with io.FileIO(path) as file:
        return reference_of(file, path.name, megapixels)


def reference_in(root: Path, name: PurePath, megapixels: float) -> Reference:
    """Read the colors of a photograph in a folder; no symlink is followed.

    Raises:
        ScanError, DeviceError, MemoryError, OSError: as `reference_of`.
    """
    try:
        with safe_open.open_beneath(root, name) as file:
            return reference_of(file, str(name), megapixels)
    except FileNotFoundError as error:
        raise ScanError(f"there is no file {root / name}") from error
