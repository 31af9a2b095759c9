"""Files in a folder: listed, written, and in folders deeper than Python recurses."""

import hashlib
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from service.filesystem.availability import MARKER
from service.storage.sidecar import SUFFIX, SidecarError, read_sidecar


def files(folder: Path) -> list[str]:
    """List all files of a folder and its sub-folders, hidden ones too, but not the folder's marker.

    A sidecar is left out that is whole and tells of the very photo it lies beside; so one that is
    listed is wrong.
    """
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and path != folder / MARKER and not tells_of_its_photo(path)
    )


def tells_of_its_photo(path: Path) -> bool:
    """Tell whether a file is a sidecar, as it was written, of the photo beside it as it is."""
    photo = path.with_name(path.name.removesuffix(SUFFIX))
    if path == photo or not photo.is_file():
        return False
    try:
        said = read_sidecar(path)
    except SidecarError:
        return False
    return said.output.sha256 == hashlib.sha256(photo.read_bytes()).hexdigest()


def put(folder: Path, name: str, content: str | bytes = "photo") -> Path:
    """Write a file, and the folders above it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def relative_names(paths: Iterable[Path], folder: Path) -> list[str]:
    """Return paths as text, relative to a folder."""
    return [str(path.relative_to(folder)) for path in paths]


@contextmanager
def nested_folders(root: Path, depth: int = 1200) -> Iterator[Path]:
    """Make folders `d/d/d/...` in a folder, and remove them afterwards: pytest cannot."""
    deepest = str(root)
    for _ in range(depth):
        deepest += "/d"
        os.mkdir(deepest)  # noqa: PTH102 - pathlib is quadratic in the depth
    try:
        yield Path(deepest)
    finally:
        subprocess.run(["rm", "-r", root / "d"], check=True)
