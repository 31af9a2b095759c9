"""How every benchmark tells its figures: Markdown tables, and under which conditions they hold.

Rows are printed as they come. With `--write` they also take the place of what docs/benchmarks.md
has between `<!-- NAME: begin -->` and `<!-- NAME: end -->`; the words around it are people's.
"""

import argparse
import os
import shlex
import sys
import textwrap
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from types import TracebackType
from typing import Self

from tests.benchmarks import processor

PAGE = Path(__file__).parents[2] / "docs/benchmarks.md"
WIDTH = 120  # columns of the page
TITLES = {"tensorflow": "TensorFlow", "keras": "Keras", "ray": "Ray"}


def options(description: str | None) -> argparse.ArgumentParser:
    """Make the parser of a benchmark's options, with the one that all have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="put the tables into the page, too")
    return parser


class Report:
    """The tables of one run, a block of the page each; written when its block ends without error.

    Args:
        blocks: names of the tables that this run will begin.
        packages: whose versions matter.
        write: whether to put them into the page.
        page: with the blocks.

    Raises:
        SystemExit: the page is to be written and lacks one of the blocks. It says which.
    """

    def __init__(
        self,
        *blocks: str,
        packages: Sequence[str] = (),
        write: bool = False,
        page: Path = PAGE,
    ) -> None:
        """Look for the blocks before anything is measured, and note how busy the machine is."""
        self._page = page if write else None
        if self._page:
            for name in blocks:
                with_block(self._page, name, "")
        self._tables: dict[str, list[str]] = {name: [] for name in blocks}
        self._current = ""
        self._formats: list[str] = []
        self._packages = packages
        self._load = os.getloadavg()[0]
        self._began = time.monotonic()
        self._others = _work_of_others()

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell the conditions; write the page if that is wanted and all went well."""
        if kind:
            return
        conditions = self._conditions()
        print(f"\n{conditions}")
        if self._page:
            for name, lines in self._tables.items():
                table = "\n".join(lines)
                self._page.write_text(with_block(self._page, name, f"{table}\n\n{conditions}"))

    def begin(self, block: str, columns: Mapping[str, str]) -> None:
        """Begin a table.

        Args:
            block: one of those announced.
            columns: headings, each with the format of its cells, such as ".2f".
        """
        if self._current:
            print()
        self._current, self._formats = block, list(columns.values())
        self._print(f"| {' | '.join(columns)} |")
        self._print("|---" * len(columns) + "|")

    def add(self, *cells: object) -> None:
        """Add a row to the table begun last; a cell that is None has no figure.

        Raises:
            ValueError: there are more or fewer cells than columns.
        """
        filled = zip(cells, self._formats, strict=True)
        row = ["-" if cell is None else format(cell, kind) for cell, kind in filled]
        self._print(f"| {' | '.join(row)} |")

    def _print(self, line: str) -> None:
        self._tables[self._current].append(line)
        print(line, flush=True)

    def _conditions(self) -> str:
        """Say when, on what, by which command, and what else the machine did."""
        now = datetime.now(UTC)
        seconds = time.monotonic() - self._began
        others = max(0.0, _work_of_others() - self._others) / seconds
        versions = [f"Python {python_version()}"]
        versions += [f"{TITLES.get(name, name)} {version(name)}" for name in self._packages]
        said = (
            f"{now.day} {now:%B %Y}, {processor.model()}, {os.cpu_count()} cores,"
            f" {', '.join(versions)}; load {self._load:.1f} at the start, other programs on"
            f" {others:.2f} cores meanwhile: `{shlex.join(['python', *sys.orig_argv[1:]])}`"
        )
        return textwrap.fill(said, WIDTH, break_long_words=False, break_on_hyphens=False)


def with_block(page: Path, name: str, content: str) -> str:
    """Return a page's text with other content in a block, all else as it was.

    Raises:
        SystemExit: the page does not have just one such block.
    """
    text = page.read_text()
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, _begin, rest = text.partition(begin)
    _old, closed, after = rest.partition(end)
    if text.count(begin) != 1 or text.count(end) != 1 or not closed:
        raise SystemExit(
            f"{page} has no place for this table: it needs the lines {begin.strip()!r} and"
            f" {end.strip()!r}, once each and in this order"
        )
    return f"{before}{begin}\n{content}\n\n{end}{after}"


def _work_of_others() -> float:
    """Return the processor seconds of all programs but this one and those it has waited for."""
    return processor.seconds_of_machine() - processor.seconds_of_own()
