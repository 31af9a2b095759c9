"""Writes and removes the unit files; never touches a file that photochrom did not write."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import service
import worker
from service.config.loader import Config
from service.filesystem.durable import make_folder
from service.systemd.units import FILES, TIMER, UNIT, WEB, Program
from worker.atomic import write_durably
from worker.errors import DeviceError

SIGNATURE = "Written by `photochrom install"  # and options, in every file; others are not touched
ENABLED_UNITS = (UNIT.name, TIMER.name, WEB.name)  # what `systemctl enable` may have linked to


def this_program(config: Path) -> Program:
    """Find the running photochrom, for the service to start the same one.

    Raises:
        DeviceError: its environment has no command `photochrom`.
    """
    environment = Path(sys.prefix)
    command = environment / "bin" / "photochrom"
    if not command.is_file():
        raise DeviceError(f"{command} not found; install photochrom into this environment")
    packages = (Path(str(package.__file__)).parent for package in (service, worker))
    parts = (environment, Path(sys.base_prefix), *packages)
    return Program(command, parts, config.absolute())


def closed_folders(config: Config, program: Program) -> Iterator[str]:
    """Yield a message for each parent folder that the service's user cannot enter."""
    paths = (*config.folders.values(), program.config, *program.parts)
    parents = dict.fromkeys(parent for path in paths for parent in reversed(path.parents))
    for folder in parents:
        if folder.is_dir() and not folder.stat().st_mode & 0o001:
            name = shlex.quote(str(folder))
            yield f"user photochrom cannot enter {folder}; run: chmod o+x {name}"


def refuse_foreign_files(prefix: Path) -> None:
    """Check that every unit file below `prefix` is ours, before anything is changed.

    Raises:
        DeviceError: a file with one of our names was written by someone else.
    """
    for path in (prefix / name for name in FILES):
        if path.exists() and SIGNATURE not in path.read_text(errors="replace"):
            raise DeviceError(f"{path} was not written by `photochrom install`; move it away first")


def installed_files(prefix: Path) -> list[Path]:
    """List the unit files that exist below `prefix`."""
    return [path for path in (prefix / name for name in FILES) if path.exists()]


def enabled_units(prefix: Path) -> list[str]:
    """List the units that are enabled below `prefix`."""
    units = prefix / UNIT.parent
    return [name for name in ENABLED_UNITS if any(units.glob(f"*.wants/{name}"))]


def write_file(path: Path, text: str) -> None:
    """Write a file atomically, readable by everyone."""
    make_folder(path.parent)
    write_durably(path, text, mode=0o644)
