"""Reads the licenses of photographs from tables that lie beside them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from worker.errors import ScanError

TABLES = ("licenses.tsv", "index.tsv")
NOT_STATED = "not stated"


class Terms(NamedTuple):
    """The license and source of a photograph, as its table states them."""

    license: str = NOT_STATED
    source: str = NOT_STATED


def read_terms(folders: Sequence[Path]) -> dict[Path, Terms]:
    """Read the tables in each folder and in the one above it.

    A table is tab-separated UTF-8 whose header names `path`, `license` and, optionally, `source`.
    Paths are relative to the table's folder or the one above. If several tables name a photograph,
    the nearest one counts.

    Args:
        folders: absolute.

    Returns:
        terms by absolute path; photographs in no table are missing.

    Raises:
        ScanError: a licenses.tsv lacks these columns. (An index.tsv without them is ignored.)
        OSError: the disk failed.
    """
    terms: dict[Path, Terms] = {}
    for folder in folders:
        for table in (home / name for home in (folder, folder.parent) for name in TABLES):
            for name, stated in _rows(table) if table.is_file() else ():
                for base in (table.parent, table.parent.parent):
                    terms.setdefault(base / name, stated)
    return terms


def _rows(table: Path) -> list[tuple[str, Terms]]:
    # surrogateescape, as Python decodes file names that are not UTF-8
    with table.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if not {"path", "license"} <= set(rows.fieldnames or ()):
            if table.name == "index.tsv":
                return []
            raise ScanError(
                f"{table} is not a license table: its first line must name the columns path and "
                "license (and source, if known), separated by tabs"
            )
        return [
            (row["path"], Terms(row["license"] or NOT_STATED, row.get("source") or NOT_STATED))
            for row in rows
            if row["path"]
        ]
