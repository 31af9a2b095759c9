"""Can the folders do their work? None feeds another, each can be written, the ledger's is local."""

import itertools
import os
import tempfile
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from service.filesystem.durable import make_folder
from service.filesystem.mounts import file_system_type, is_network_file_system
from worker.errors import DeviceError


def check_folders(
    folders: Mapping[str, Path], let_off: Container[Path] = ()
) -> list[tuple[str, str]]:
    """Try the folders of a configuration; none is made, and nothing stays in them.

    Args:
        folders: by their key in config.yaml (`Config.folders`); without an "originals.folder" the
            inbox is only read.
        let_off: folders that need not be usable now.

    Returns:
        Key and plain words of everything wrong.
    """
    problems = _overlaps(folders)
    for key, folder in folders.items():
        if folder in let_off:
            continue
        only_read = key == "inbox" and "originals.folder" not in folders
        trouble = _trouble(folder, write=not only_read)
        if trouble:
            problems.append((key, trouble))
    state = folders.get("state")
    if state is not None and is_network_file_system(state):
        kind = file_system_type(state)
        text = f"{state} is on a network file system ({kind}), where the ledger can be damaged;"
        problems.append(("state", f"{text} choose a folder on a local disk"))
    return problems


def make_folders(folders: Iterable[Path]) -> None:
    """Make the folders that are missing.

    Raises:
        DeviceError: one cannot be made.
    """
    for folder in folders:
        try:
            make_folder(folder)
        except OSError as error:
            message = f"cannot make the folder {folder}: {error.strerror}"
            raise DeviceError(message) from error


def _overlaps(folders: Mapping[str, Path]) -> list[tuple[str, str]]:
    problems = []
    real = {key: Path(os.path.realpath(folder)) for key, folder in folders.items()}
    for first, second in itertools.combinations(real, 2):
        if real[first] == real[second]:
            problems.append((second, f"is the same folder as {first} ({real[first]})"))
        elif first == "inbox" and real[second].is_relative_to(real[first]):
            problems.append((second, f"is inside the inbox ({real[second]})"))
        elif first == "inbox" and real[first].is_relative_to(real[second]):
            problems.append((second, f"holds the inbox ({real[first]})"))
    return problems


def _trouble(folder: Path, *, write: bool) -> str:
    """Say why a folder cannot be used, or nothing; of a missing one, why it cannot be made."""
    existing = folder
    while not os.path.lexists(existing):
        existing = existing.parent
    try:
        os.scandir(existing).close()
        if write or existing != folder:
            with tempfile.NamedTemporaryFile(dir=existing, prefix=".photochrom-"):
                pass
    except NotADirectoryError:
        return f"{existing} is not a folder"
    except OSError as error:
        what = "cannot be used" if existing == folder else "cannot be made"
        return f"{folder} {what}: {error.strerror}"
    return ""
