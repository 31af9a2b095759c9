"""The command `photochrom report`: a contact sheet to file with the collection.

A folder of HTML pages with small pictures beside them, and a table for spreadsheets. Nothing in it
is loaded from elsewhere or runs; it appears complete or not at all. Files are only read, each once
to compare it with its digest and once to be made small, by a process of its own.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from rich.console import Console

from service.config.loader import Config
from service.ledger.gallery import GalleryFilter
from service.ledger.jobs import TAKEN_AWAY, Job
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.maintenance.fixity import is_fetched
from service.maintenance.packing import Package, new_package, refuse_folder
from service.maintenance.pyramid_maker import PyramidMaker, ViewError
from service.maintenance.report_entries import Entry, Picture, Scope, Summary
from service.maintenance.report_pages import index_page, sheet_page
from service.maintenance.report_table import table
from service.storage.held import home
from service.storage.sidecar import Sidecar, SidecarError, read_sidecar, sidecar_name
from service.storage.viewed import Side, open_side
from service.terminal import Report, printable
from worker.errors import DeviceError, ScanError

ON_A_SHEET = 200  # photographs
THREADS = 2  # that decode
SMALL = 240  # pixels of the long side, as `worker.viewing` makes thumbnails


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
        self._report = report
        self._total = total
        self._done = 0

    def write(self, scope: Scope, colored: Sequence[int], rejected: Sequence[int]) -> Summary:
        """Write the sheets, the table and the first page."""
        summary = Summary(scope)
        sheets = [("sheet", one) for one in _portions(colored)]
        sheets += [("rejected", one) for one in _portions(rejected)]
        names = [f"{kind}-{n:04}.html" for n, (kind, _) in enumerate(sheets, 1)]
        rows: list[Entry] = []
        for n, (kind, numbers) in enumerate(sheets):
            entries = self._entries(numbers, f"images/{n + 1:04}", rejected=kind == "rejected")
            for entry in entries:
                summary.add(entry)
            around = tuple(names[at] if 0 <= at < len(names) else None for at in (n - 1, n + 1))
            page = sheet_page(entries, n + 1, len(sheets), around, rejected=kind == "rejected")
            self._package.write(PurePosixPath(names[n]), page.encode())
            summary.sheets.append((names[n], entries[0].path, entries[-1].path, len(entries)))
            rows += entries
        self._package.write(PurePosixPath("photographs.csv"), table(rows).encode("utf-8-sig"))
        self._package.write(PurePosixPath("index.html"), index_page(summary).encode())
        return summary

    def _entries(self, numbers: Sequence[int], folder: str, *, rejected: bool) -> list[Entry]:
        """Describe the photographs of a sheet in their order, with pictures in a folder."""
        (self._package.root / folder).mkdir(parents=True)
        jobs = {job.id: job for job in self._ledger.by_ids(numbers)}
        entries = []
        with ThreadPoolExecutor(THREADS, "report") as threads:
            present = [jobs[number] for number in numbers if number in jobs]
            futures = [
                (job, threads.submit(self._pictures, job, folder, rejected=rejected))
                for job in present
            ]
            for job, future in futures:
                entries.append(self._entry(job, future.result()))
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

    def _pictures(self, job: Job, folder: str, *, rejected: bool) -> tuple[Picture, Picture]:
        """Make the small pictures of scan and result."""
        scan = self._picture(job, "scan", f"{folder}/{job.id}-scan.jpg")
        if rejected:
            return scan, Picture(None, 0, 0, "")
        return scan, self._picture(job, "colored", f"{folder}/{job.id}-colored.jpg")

    def _picture(self, job: Job, side: Side, name: str) -> Picture:
        """Make a small picture, or say why there is none; a fault of the machine is raised."""
        try:
            with open_side(job, side, self._config, lambda _path: [job]) as file:
                made = self._maker.thumbnail(
                    file, PurePosixPath(str(file.name)), self._package.root / name
                )
        except ViewError as error:
            if error.fault == "machine":
                raise DeviceError(str(error)) from error
            return Picture(None, 0, 0, str(error))
        except ScanError as error:
            return Picture(None, 0, 0, str(error))
        scale = min(1.0, SMALL / max(made.width, made.height))
        width, height = (max(1, round(side * scale)) for side in (made.width, made.height))
        return Picture(name, width, height, "")


def _portions(numbers: Sequence[int]) -> Iterator[Sequence[int]]:
    for at in range(0, len(numbers), ON_A_SHEET):
        yield numbers[at : at + ON_A_SHEET]
