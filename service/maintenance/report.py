"""The command `photochrom report`: a contact sheet to file with the collection.

A folder of HTML pages with small pictures beside them, and a table for spreadsheets. Nothing in it
is loaded from elsewhere or runs; it appears complete or not at all. Files are only read: each once
to compare it with its digest, and, if the review page has kept no small picture of it, once to make
that, by processes of their own.
"""

import codecs
import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

from rich.console import Console

from service.config.loader import Config
from service.ledger.gallery import GalleryFilter
from service.ledger.jobs import TAKEN_AWAY, Job
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.maintenance.fixity import is_fetched
from service.maintenance.packing import Package, new_package, refuse_folder
from service.maintenance.picture_cache import FOLDER, PictureCache
from service.maintenance.pyramid_maker import MOST_AT_ONCE, PyramidMaker, ViewError, Wanted
from service.maintenance.report_entries import Entry, Picture, Scope, Summary
from service.maintenance.report_pages import TABLE, index_page, sheet_page
from service.maintenance.report_table import COLUMNS, row, row_of
from service.storage.held import home
from service.storage.sidecar import Sidecar, SidecarError, read_sidecar, sidecar_name
from service.storage.viewed import Side, digest_of_side, open_side
from service.terminal import Report, printable
from worker.errors import DeviceError, ScanError

ON_A_SHEET = 200  # photographs
THREADS = 2  # that have pictures made
AT_ONCE = MOST_AT_ONCE // 2  # photographs, of two pictures each
SMALL = 240  # pixels of a picture's long side
CACHED = (SMALL, 2 * SMALL)  # as the review page makes them

T = TypeVar("T")


class ReportResult(NamedTuple):
    """What was written.

    Attributes:
        folder: the report.
        summary: what it tells.
    """

    folder: Path
    summary: Summary


def make_report(config: Config, folder: Path, scope: Scope, report: Report) -> ReportResult:
    """Write a report.

    Args:
        config: the folders.
        folder: the report; it must not exist, or be empty.
        scope: which photographs.
        report: called after each photograph.

    Raises:
        DeviceError: the folder is unsuitable, the ledger cannot be used, or there is nothing to
            tell.
        OSError: the disk is full or failed. Nothing is left.
    """
    folder = folder.absolute()
    refuse_folder(folder, config)
    path = config.state / LEDGER_FILE
    if not path.exists():
        raise DeviceError("nothing was colored or rejected yet")
    with LedgerQueries.open(path) as ledger:
        if ledger.outdated:
            raise DeviceError(
                f"the ledger {path} is from an older photochrom; start this one to upgrade it"
            )
        colored, rejected = _colored(ledger, scope), _rejected(ledger, scope)
        if not colored and not rejected:
            raise DeviceError("nothing was colored or rejected in this folder and time")
        with (
            new_package(folder, config) as package,
            PyramidMaker(config.limits.megapixels) as maker,
        ):
            writer = _Writer(config, ledger, package, maker, report, len(colored) + len(rejected))
            summary = writer.write(scope, colored, rejected)
    return ReportResult(folder, summary)


def moment(text: str, *, end: bool) -> float:
    """Return the seconds since 1970 of a date or time, local unless it says otherwise.

    Args:
        text: as 2026-12-31 or 2026-12-31T14:00.
        end: of a date, the end of the day.

    Raises:
        ValueError: it is neither.
    """
    local = datetime.fromisoformat(text)
    whole_day = len(text) <= len("2026-12-31")  # which may have 23 or 25 hours
    return (local + timedelta(days=1 if end and whole_day else 0)).astimezone().timestamp()


def print_report_result(made: ReportResult, console: Console) -> None:
    """Print where to begin, and what is in it."""
    summary = made.summary
    colored = f"{summary.colored} photograph{'s' * (summary.colored != 1)} colored"
    rejected = f"{summary.rejected} scan{'s' * (summary.rejected != 1)} rejected"
    lines = [str(made.folder / "index.html"), f"{colored}, {rejected}"]
    if summary.without_picture:
        lines.append(f"{summary.without_picture} without a picture of scan or result; it says why")
    console.print(*map(printable, lines), sep="\n", highlight=False, markup=False, soft_wrap=True)


def _colored(ledger: LedgerQueries, scope: Scope) -> list[int]:
    """List the jobs with a result, by their paths."""
    which = GalleryFilter(folder=scope.folder, since=scope.since, until=scope.until)
    paths = ((_sortable(job), job.id) for job in ledger.by_ids(ledger.gallery.ids(which)))
    return [number for _, number in sorted(paths)]


def _sortable(job: Job) -> tuple[str, str]:
    path = str(job.path)
    return path.casefold(), path


def _rejected(ledger: LedgerQueries, scope: Scope) -> list[int]:
    """List the jobs of rejected scans, by their paths."""
    found = [
        (_sortable(job), job.id)
        for job in ledger.failed()
        if not job.recolor
        and job.reason != TAKEN_AWAY
        and (scope.folder is None or job.path.is_relative_to(scope.folder))
        and (scope.since is None or (job.finished_at or 0) >= scope.since)
        and (scope.until is None or (job.finished_at or 0) < scope.until)
    ]
    return [number for _, number in sorted(found)]


class _Writer:
    """Writes the pages of one report into a package."""

    def __init__(
        self,
        config: Config,
        ledger: LedgerQueries,
        package: Package,
        maker: PyramidMaker,
        report: Report,
        total: int,
    ) -> None:
        """Nothing is written yet."""
        self._config = config
        self._ledger = ledger
        self._package = package
        self._maker = maker
        self._cache = PictureCache(config.state / FOLDER, config.web.cache)
        self._report = report
        self._total = total
        self._done = 0

    def write(self, scope: Scope, colored: Sequence[int], rejected: Sequence[int]) -> Summary:
        """Write the sheets, the table and the first page."""
        summary = Summary(scope)
        sheets = [("sheet", one) for one in _portions(colored, ON_A_SHEET)]
        sheets += [("rejected", one) for one in _portions(rejected, ON_A_SHEET)]
        names = [f"{kind}-{n:04}.html" for n, (kind, _) in enumerate(sheets, 1)]
        rows = [row(COLUMNS)]
        for n, (kind, numbers) in enumerate(sheets):
            entries = self._entries(numbers, f"images/{n + 1:04}", rejected=kind == "rejected")
            for entry in entries:
                summary.add(entry)
            around = tuple(names[at] if 0 <= at < len(names) else None for at in (n - 1, n + 1))
            page = sheet_page(entries, n + 1, len(sheets), around, rejected=kind == "rejected")
            self._package.write(PurePosixPath(names[n]), page.encode())
            summary.sheets.append((names[n], entries[0].path, entries[-1].path, len(entries)))
            rows += map(row_of, entries)
        self._package.write(PurePosixPath(TABLE), codecs.BOM_UTF8, rows)
        self._package.write(PurePosixPath("index.html"), index_page(summary).encode())
        return summary

    def _entries(self, numbers: Sequence[int], folder: str, *, rejected: bool) -> list[Entry]:
        """Describe the photographs of a sheet in their order, with pictures in a folder."""
        (self._package.root / folder).mkdir(parents=True)
        found = {job.id: job for job in self._ledger.by_ids(numbers)}
        jobs = [found[number] for number in numbers if number in found]
        sides: tuple[Side, ...] = ("scan",) if rejected else ("scan", "colored")
        entries = []
        with ThreadPoolExecutor(THREADS, "report") as threads:
            futures = [
                (portion, threads.submit(self._pictures, portion, sides, folder))
                for portion in _portions(jobs, AT_ONCE)
            ]
            for portion, future in futures:
                for job, pictures in zip(portion, future.result(), strict=True):
                    entries.append(self._entry(job, pictures))
                    self._done += 1
                    self._report(self._done, self._total, "")
        return entries

    def _entry(self, job: Job, pictures: tuple[Picture, Picture]) -> Entry:
        records = self._ledger.gallery.decisions_of(job.id)
        stand = tuple(one for one in records if one.undone_at is None and one.event == job.event)
        fetched = is_fetched(job, self._config)
        return Entry(job, *pictures, self._sidecar(job), stand, fetched)

    def _sidecar(self, job: Job) -> Sidecar | None:
        if job.event is None:
            return None
        try:
            return read_sidecar(home(job, self._config) / sidecar_name(job.output))
        except (SidecarError, OSError):  # fetched, say; verify tells of those that are damaged
            return None

    def _pictures(
        self, jobs: Sequence[Job], sides: Sequence[Side], folder: str
    ) -> list[tuple[Picture, Picture]]:
        """Make small pictures of scans and results, or say why there are none.

        Raises:
            DeviceError: the machine failed.
            OSError: the disk is full or failed.
        """
        pictures: dict[tuple[int, Side], Picture] = {}
        wanted: dict[tuple[int, Side], Wanted] = {}
        with ExitStack() as files:
            for job, side in itertools.product(jobs, sides):
                key, name = (job.id, side), f"{folder}/{job.id}-{side}.jpg"
                pictures[key] = Picture(name, "")
                try:
                    file = files.enter_context(open_side(job, side, self._config, _only(job)))
                except ScanError as error:
                    pictures[key] = Picture(None, str(error))
                    continue
                target = self._package.root / name
                digest = str(digest_of_side(job, side))  # there is one, as the file was compared
                if not self._cache.copy_thumbnail(digest, 0, CACHED, target):
                    wanted[key] = Wanted(file, PurePosixPath(str(file.name)), target, side=SMALL)
            made = self._maker.thumbnails(list(wanted.values()))
        for key, result in zip(wanted, made, strict=True):
            if isinstance(result, ViewError):
                if result.fault == "machine":
                    raise DeviceError(str(result)) from result
                pictures[key] = Picture(None, str(result))
        none = Picture(None, "")
        return [(pictures[job.id, "scan"], pictures.get((job.id, "colored"), none)) for job in jobs]


def _only(job: Job) -> Callable[[PurePosixPath], Sequence[Job]]:
    return lambda _path: [job]


def _portions(all_of_them: Sequence[T], count: int) -> Iterator[Sequence[T]]:
    for at in range(0, len(all_of_them), count):
        yield all_of_them[at : at + count]
