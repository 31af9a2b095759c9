"""The commands `photochrom install` and `uninstall`: the systemd unit files, and what to run next.

They run no systemctl themselves; they print what to run.
"""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import DEFAULT_CONFIG, SETUP, ConfigFile
from service.config.loader import load_config
from service.systemd.files import (
    closed_folders,
    enabled_units,
    installed_files,
    refuse_foreign_files,
    this_program,
    write_file,
)
from service.systemd.units import FILES, notes, render

AFTER_INSTALL = (
    "systemd-sysusers photochrom.conf",
    "systemd-tmpfiles --create photochrom.conf",
    "systemctl daemon-reload",
    "systemctl enable --now photochrom",
)
ENABLE_TIMER = "systemctl enable --now photochrom-train.timer"
ENABLE_WEB = "systemctl enable --now photochrom-web"
NO_COLLECTIONS = (
    "training.collections is empty, so monthly training (photochrom-train.timer) stays off"
)

install_app = typer.Typer()

Prefix = Annotated[
    Path, typer.Option(help="Write below this folder instead of /, as when building a package.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only show what would change; change nothing.")
]


@install_app.command(rich_help_panel=SETUP)
def install(
    gpu: Annotated[
        bool, typer.Option("--gpu", help="Give the service access to NVIDIA GPUs.")
    ] = False,
    dry_run: DryRun = False,
    prefix: Prefix = Path("/"),
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Set up photochrom as a systemd service with this configuration.

    Writes the unit files and prints the commands to run next. Run it again
    after changing folders, permissions, credentials, metrics, web or stop.within.
    """
    settings = load_config(config)
    program = this_program(config)
    texts = render(settings, program, gpu=gpu)
    refuse_foreign_files(prefix)
    for name in FILES:
        path = prefix / name
        if name in texts:
            print(f"{'would write' if dry_run else 'wrote'} {path}")
            if dry_run:
                print(texts[name])
            else:
                write_file(path, texts[name])
        elif path.exists():  # from an earlier installation with other options
            _remove(path, dry_run=dry_run)
    for note in (*notes(settings, program), *closed_folders(settings, program)):
        print(f"note: {note}")
    if not settings.training.collections:
        print(f"note: {NO_COLLECTIONS}")
    if not dry_run and prefix == Path("/"):
        timer = (ENABLE_TIMER,) if settings.training.collections else ()
        web = (ENABLE_WEB,) if settings.web.listen else ()
        print("\nNow run as root:", *AFTER_INSTALL, *web, *timer, sep="\n  ")


@install_app.command(rich_help_panel=SETUP)
def uninstall(dry_run: DryRun = False, prefix: Prefix = Path("/")) -> None:
    """Remove the unit files that install wrote.

    Photographs, the ledger and the user photochrom stay.
    """
    refuse_foreign_files(prefix)
    enabled = enabled_units(prefix)
    found = installed_files(prefix)
    for path in found:
        _remove(path, dry_run=dry_run)
    if not found:
        print(f"photochrom is not installed below {prefix}")
    elif not dry_run and prefix == Path("/"):
        disable = [" ".join(("systemctl disable", *enabled))] if enabled else []
        left = ("systemctl stop 'photochrom*'", *disable, "systemctl daemon-reload")
        print("\nNow run as root:", *left, sep="\n  ")


def _remove(path: Path, *, dry_run: bool) -> None:
    print(f"{'would remove' if dry_run else 'removed'} {path}")
    if not dry_run:
        path.unlink(missing_ok=True)
