"""What licenses photographs are under, from tables that lie beside them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from worker.errors import ScanError

TABLES = ("licenses.tsv", "index.tsv")
NOT_STATED = "not stated"


class Terms(NamedTuple):
    """Where a photograph came from, in the words of its table."""

    license: str = NOT_STATED
    source: str = NOT_STATED


def read_terms(folders: Sequence[Path]) -> dict[Path, Terms]:
    """Read the tables in each folder, and those beside it.

    A table is tab-separated UTF-8 with a header that names `path` and `license`, and perhaps
    `source`. A path is relative to the folder of its table or to the folder above. Where several
    tables name a photo, the one nearest to it counts.

    Args:
        folders: absolute.

    Returns:
        terms by absolute path; photos in no table are not in it.

    Raises:
        ScanError: a licenses.tsv without these columns. (Any other index.tsv is somebody else's.)
        OSError: the disk fails.
    """
    terms: dict[Path, Terms] = {}
    for folder in folders:
        for table in (home / name for home in (folder, folder.parent) for name in TABLES):
            for name, stated in _rows(table) if table.is_file() else ():
                for base in (table.parent, table.parent.parent):
                    terms.setdefault(base / name, stated)
    return terms


def _rows(table: Path) -> list[tuple[str, Terms]]:
    # surrogateescape, as Python reads names of files that are not UTF-8
    with table.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if not {"path", "license"} <= set(rows.fieldnames or ()):
            if table.name == "index.tsv":
                return []
            raise ScanError(
                f"{table} is no table of licenses: its first line must name the columns path and "
                "license (and source, if known), with tabs between"
            )
        return [
            (row["path"], Terms(row["license"] or NOT_STATED, row.get("source") or NOT_STATED))
            for row in rows
            if row["path"]
        ]
