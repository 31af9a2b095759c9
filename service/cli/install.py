"""The commands `photochrom install` and `uninstall`: systemd's files, written and taken away.

They write and remove files that photochrom wrote, and nothing else; what is left to do is printed.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

import service
import worker
from service.cli.options import DEFAULT_CONFIG, ConfigFile
from service.config.loader import Config, load_config
from service.filesystem.durable import make_folder
from service.systemd.units import FILES, TIMER, UNIT, Program, notes, render
from worker.atomic import write_durably
from worker.errors import DeviceError

OURS = "Written by `photochrom install"  # in each of the files, and so what may be replaced

install_app = typer.Typer()

Prefix = Annotated[Path, typer.Option(help="The root below which the files lie, as for packages.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]


@install_app.command()
def install(
    gpu: Annotated[bool, typer.Option("--gpu", help="Let the service use an NVIDIA card.")] = False,
    dry_run: DryRun = False,
    prefix: Prefix = Path("/"),
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Write systemd's files for a service with this configuration, and print what is left to do."""
    settings = load_config(config)
    program = this_program(config)
    texts = render(settings, program, gpu=gpu)
    _refuse_strangers(prefix)
    for name in FILES:
        path = prefix / name
        if name in texts:
            print(f"{'would write' if dry_run else 'wrote'} {path}")
        elif path.exists():  # of an earlier installation with other options
            print(f"{'would remove' if dry_run else 'removed'} {path}")
        if dry_run and name in texts:
            print(texts[name])
        elif not dry_run:
            _put(path, texts.get(name))
    for note in (*notes(settings, program), *closed_folders(settings, program)):
        print(f"note: {note}")
    if not settings.training.collections:
        print(f"note: {NO_COLLECTIONS}")
    if not dry_run and prefix == Path("/"):
        timer = (ENABLE_TIMER,) if settings.training.collections else ()
        print("\nNow, as root:", *AFTER_INSTALL, *timer, sep="\n  ")


@install_app.command()
def uninstall(dry_run: DryRun = False, prefix: Prefix = Path("/")) -> None:
    """Remove the files that `install` wrote; photographs, the ledger and the user stay."""
    _refuse_strangers(prefix)
    units = prefix / UNIT.parent
    enabled = [name for name in BOOTED if any(units.glob(f"*.wants/{name}"))]
    found = [path for path in (prefix / name for name in FILES) if path.exists()]
    for path in found:
        print(f"{'would remove' if dry_run else 'removed'} {path}")
        if not dry_run:
            _put(path, None)
    if not found:
        print(f"nothing of photochrom is installed below {prefix}")
    elif not dry_run and prefix == Path("/"):
        disable = [" ".join(("systemctl disable", *enabled))] if enabled else []
        left = ("systemctl stop 'photochrom*'", *disable, "systemctl daemon-reload")
        print("\nNow, as root:", *left, sep="\n  ")


AFTER_INSTALL = (
    "systemd-sysusers photochrom.conf",
    "systemd-tmpfiles --create photochrom.conf",
    "systemctl daemon-reload",
    "systemctl enable --now photochrom",
)
ENABLE_TIMER = "systemctl enable --now photochrom-train.timer"
NO_COLLECTIONS = (
    "photochrom-train.timer is not to be enabled: training.collections names no photographs"
)
BOOTED = (UNIT.name, TIMER.name)  # what `systemctl enable` may have linked to


def this_program(config: Path) -> Program:
    """Find the photochrom that runs now, to be started by the service, too.

    Raises:
        DeviceError: its environment has no command of that name.
    """
    environment = Path(sys.prefix)
    command = environment / "bin" / "photochrom"
    if not command.is_file():
        raise DeviceError(f"there is no {command}; install photochrom into this environment")
    packages = (Path(str(package.__file__)).parent for package in (service, worker))
    parts = (environment, Path(sys.base_prefix), *packages)
    return Program(command, parts, config.absolute())


def closed_folders(config: Config, program: Program) -> Iterator[str]:
    """Yield, in words for people, which folders above those it needs the service cannot enter."""
    paths = (*config.folders.values(), program.config, *program.parts)
    above = dict.fromkeys(parent for path in paths for parent in reversed(path.parents))
    for folder in above:
        if folder.is_dir() and not folder.stat().st_mode & 0o001:
            yield f"{folder} is closed to others; the user photochrom must be let in (chmod o+x)"


def _refuse_strangers(prefix: Path) -> None:
    """Raise where a file has our name and was not written by us; nothing was changed then."""
    for path in (prefix / name for name in FILES):
        if path.exists() and OURS not in path.read_text(errors="replace"):
            raise DeviceError(f"{path} was not written by `photochrom install`; move it away first")


def _put(path: Path, text: str | None) -> None:
    """Write a file in one step, or remove it where there is no text."""
    if text is None:
        path.unlink(missing_ok=True)
        return
    make_folder(path.parent)
    write_durably(path, text, mode=0o644)
