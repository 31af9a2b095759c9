"""What lies in a folder, as tests ask for it."""

import hashlib
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
