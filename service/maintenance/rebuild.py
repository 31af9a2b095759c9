"""The command `photochrom rebuild-ledger`: recreates a lost ledger from the files.

`service.maintenance.restoring` finds the jobs. Only the ledger is written, atomically.
"""

import time
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from service.config.loader import Config
from service.filesystem.durable import make_folder
from service.filesystem.lock import StateLock
from service.filesystem.ownership import MARKER
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.maintenance.restoring import Rebuilt, Restorer
from service.storage import deliveries, held
from service.terminal import Report, printable
from worker.atomic import sync_folder
from worker.errors import DeviceError

PART = "ledger.rebuilding"  # until complete
LOG_ENDINGS = ("", "-wal", "-shm")  # of a ledger's files


def rebuild(config: Config, report: Report, *, move_aside: bool = False) -> Rebuilt:
    """Recreate the ledger.

    Args:
        config: the folders.
        report: called after each file.
        move_aside: rename an existing ledger, instead of failing.

    Raises:
        DeviceError: a daemon uses the state folder, a ledger exists, or a folder is unavailable.
        OSError: the state folder cannot be written.
    """
    path = config.state / LEDGER_FILE
    for key in {"outbox", "originals.folder", "rejected"} & config.folders.keys():
        _refuse_unless_marked(key, config.folders[key])
    if held.is_used(config):
        _refuse_unless_marked(held.KEY, config.review.folder)
    make_folder(config.state)
    with StateLock(config.state):
        if path.exists() and not move_aside:
            raise DeviceError(
                f"the ledger {path} exists; if it is damaged, --move-aside renames it and makes a"
                " new one"
            )
        part = config.state / PART
        _remove(part)
        with Ledger(part) as ledger:
            restorer = Restorer(config, ledger, report)
            restorer.run()
        aside = _set_aside(path) if path.exists() else None
        deliveries.discard(config.state)
        part.replace(path)
        sync_folder(config.state)
    found = restorer.found._replace(unplaced=tuple(restorer.unplaced))
    return found._replace(aside=None if aside is None else str(aside))


def print_rebuilt(found: Rebuilt, console: Console) -> None:
    """Print what the new ledger contains, and what could not be placed."""
    lines = [f"not placed: {one.path}: {one.words}" for one in found.unplaced]
    lines += [
        f"{words}: {count}"
        for words, count in (
            ("finished, with a sidecar", found.finished),
            ("finished, without a sidecar", found.without_sidecar),
            ("held for approval", found.held),
            ("original not found", found.without_original),
            ("rejected", found.rejected),
            ("additional copies of originals", found.copies),
            ("not placed", len(found.unplaced)),
        )
        if count or words in {"finished, with a sidecar", "not placed"}
    ]
    if found.aside:
        lines.append(f"old ledger: {found.aside}")
    lines.append("The jobs have new numbers. To check all files, run: photochrom verify")
    console.print(*map(printable, lines), sep="\n", highlight=False, markup=False, soft_wrap=True)


def _refuse_unless_marked(key: str, folder: Path) -> None:
    """Raise DeviceError for an unmounted share, where all photos would seem lost."""
    if not (folder / MARKER).exists():
        raise DeviceError(
            f"{key}: {folder} looks like an unmounted share (marker {MARKER} missing). Mount it; if"
            f" {folder} is right, run: touch {folder / MARKER}"
        )


def _remove(ledger: Path) -> None:
    for ending in LOG_ENDINGS:
        ledger.with_name(ledger.name + ending).unlink(missing_ok=True)


def _set_aside(ledger: Path) -> Path:
    """Rename an existing ledger with its log files."""
    aside = ledger.with_name(f"{ledger.name}.{time.strftime('%Y%m%dT%H%M%S')}")
    for ending in reversed(LOG_ENDINGS):
        with suppress(FileNotFoundError):
            ledger.with_name(ledger.name + ending).rename(aside.with_name(aside.name + ending))
    return aside
