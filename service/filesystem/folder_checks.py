"""Checks configured folders: none contains another, each is usable, the ledger's is local."""

import itertools
import os
import tempfile
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from service.filesystem.durable import make_folder
from service.filesystem.mounts import file_system_type, is_network_file_system
from worker.errors import DeviceError

# What lies in the inbox is taken for a scan, and what lies in the outbox for delivered.
APART = {"inbox", "review.folder"}  # keys of folders that contain no other, and lie in none


def check_folders(
    folders: Mapping[str, Path], let_off: Container[Path] = ()
) -> list[tuple[str, str]]:
    """Check the folders of a configuration; none is created, and nothing is left in them.

    Args:
        folders: by their key in config.yaml (`Config.folders`); without an "originals.folder" the
            inbox is read-only.
        let_off: folders that need not be usable now.

    Returns:
        The key and a message for everything wrong.
    """
    problems = _overlaps(folders)
    for key, folder in folders.items():
        if folder in let_off:
            continue
        only_read = key == "inbox" and "originals.folder" not in folders
        problem = _problem(folder, write=not only_read)
        if problem:
            problems.append((key, problem))
    state = folders.get("state")
    if state is not None and is_network_file_system(state):
        kind = file_system_type(state)
        text = f"{state} is on a network file system ({kind}), which can corrupt the ledger"
        problems.append(("state", f"{text}; choose a folder on a local disk"))
    return problems


def make_folders(folders: Iterable[Path]) -> None:
    """Create missing folders.

    Raises:
        DeviceError: a folder cannot be created.
    """
    for folder in folders:
        try:
            make_folder(folder)
        except OSError as error:
            message = f"cannot create {folder}: {error.strerror}"
            raise DeviceError(message) from error


def _overlaps(folders: Mapping[str, Path]) -> list[tuple[str, str]]:
    problems = []
    real = {key: Path(os.path.realpath(folder)) for key, folder in folders.items()}
    for first, second in itertools.combinations(real, 2):
        if real[first] == real[second]:
            problems.append((second, f"is the same folder as {first} ({real[first]})"))
        elif APART & {first, second} and real[second].is_relative_to(real[first]):
            problems.append((second, f"is inside the {_word(first)} ({real[second]})"))
        elif APART & {first, second} and real[first].is_relative_to(real[second]):
            problems.append((second, f"contains the {_word(first)} ({real[first]})"))
    return problems


def _word(key: str) -> str:
    return key if "." not in key else f"folder of {key}"


def _problem(folder: Path, *, write: bool) -> str:
    """Return why a folder cannot be used, or a missing one not be created; or ""."""
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
        what = "use" if existing == folder else "create"
        return f"cannot {what} {folder}: {error.strerror}"
    return ""
