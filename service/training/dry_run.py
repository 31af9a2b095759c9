"""The command `photochrom train --dry-run`: shows what a collection holds."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.config.loader import Config
from service.terminal import progress_bar
from worker.training.data.cache import SQUARE_BYTES
from worker.training.data.collection import Collection, prepare
from worker.training.preview import write_preview

SHEET = "dry-run.jpg"


def print_dry_run(config: Config, folders: Sequence[Path], console: Console) -> None:
    """Print which photographs are fit for training, and draw some as training will see them.

    Decoded photographs stay in the cache for a training to use.

    Args:
        config: where the state is, and the validation share.
        folders: of color photographs.
        console: to print on.

    Raises:
        ScanError: no photograph is fit for training.
        DeviceError: the cache is damaged.
        OSError: the disk is full or failed.
    """
    home = config.state / "training"
    cache = home / "photographs"
    home.mkdir(parents=True, exist_ok=True)
    with progress_bar("photos") as report:
        collection = prepare(
            folders,
            cache,
            config.train_settings.validation_share,
            config.read_settings,
            lambda done, of: report(done, of, "reading photographs"),
        )
    sheet = home / SHEET
    write_preview(collection, sheet)
    manifest = json.loads(collection.manifest.read_text())
    for table in (
        _counts(collection, manifest["left_out"]),
        _licenses(collection),
        _space(collection, cache),
    ):
        console.print(table)
        console.print()
    for what, path in (("List of photographs", collection.manifest), ("Contact sheet", sheet)):
        console.print(f"{what}: {path}", highlight=False, markup=False, soft_wrap=True)
    console.print("Nothing was trained. The decoded photographs are kept for training.")


def _counts(collection: Collection, left_out: list[dict[str, str]]) -> Table:
    table = _table("photographs", "", "example")
    table.add_row("for training", f"{len(collection.training):,}")
    table.add_row("for validation", f"{len(collection.validation):,}")
    for reason, count in collection.left_out.items():
        example = next(one for one in left_out if one["reason"] == reason)
        words = " ".join(filter(None, (example["path"], example["why"])))
        table.add_row(f"left out: {reason}", f"{count:,}", _shown(words))
    return table


def _licenses(collection: Collection) -> Table:
    table = _table("licenses", "")
    for name, count in collection.licenses.items():
        table.add_row(_shown(name), f"{count:,}")
    return table


def _space(collection: Collection, cache: Path) -> Table:
    count = len(collection.training) + len(collection.validation)
    held = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file())
    free = os.statvfs(cache)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    table = _table("space", "MB")
    for what, size in (
        ("disk: these photographs, decoded", count * SQUARE_BYTES),
        ("disk: cache of all collections", held),
        ("disk: free", free.f_bavail * free.f_frsize),
        ("memory (photographs are mapped from disk)", memory),
    ):
        table.add_row(what, f"{size / 1e6:,.0f}")
    return table


def _table(first: str, second: str, *more: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    table.add_column(second, justify="right")
    for title in more:
        table.add_column(title, overflow="fold")
    return table


def _shown(text: str) -> Text:
    """Protect rich from markup in a name, and the terminal from names that are not UTF-8."""
    return Text(text.encode(errors="replace").decode())
