"""The command `photochrom iiif`: scans and results as static files that IIIF viewers take.

Everything has a name of its content, so what did not change is kept, an interrupted export goes on
where it was, and viewers never meet a half: pictures first, then manifests, the collection last;
only then what nothing names any more is removed.
"""

import fcntl
import itertools
import json
import os
import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import urlsplit

from rich.console import Console

from service.config.loader import Config
from service.filesystem.durable import fitting_name, make_folder, numbered_names
from service.ledger.jobs import Decision, Job
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.maintenance import iiif_manifest
from service.maintenance.iiif_files import FILES, IMAGES, ExportedFiles, write_if_new
from service.maintenance.iiif_manifest import First, Form, Photograph, Words
from service.maintenance.pyramid_maker import PyramidMaker
from service.terminal import Report, printable
from worker.errors import DeviceError

MARKER = ".photochrom-iiif"  # a file that says a folder is ours to change
FOLDERS, MANIFEST, COLLECTION = "folders", "manifest.json", PurePosixPath("collection.json")

Places = dict[PurePosixPath, PurePosixPath]  # of folders of the inbox: their names in the export


class Request(NamedTuple):
    """What to export.

    Attributes:
        folder: to export into; new, empty, or an earlier export, which is brought up to date.
        base_url: where the folder will lie; without a slash at its end.
        within: only photographs in this sub-folder of the inbox.
        approved: only those that a person approved.
        with_files: also copies of scans and results.
        form: see `iiif_manifest.manifest`.
        first: likewise.
    """

    folder: Path
    base_url: str
    within: PurePosixPath | None = None
    approved: bool = False
    with_files: bool = False
    form: Form = "choice"
    first: First = "scan"


class Exported(NamedTuple):
    """What an export did.

    Attributes:
        collection: URL of the collection.
        photographs: the number in it.
        manifests: in it, one for each folder.
        made: pictures that were made.
        kept: pictures that were there already.
        removed: pictures and files that were removed because nothing leads to them any more.
        left_out: the number of others, by reason.
        failed: name and reason of each photograph that could not be exported.
    """

    collection: str
    photographs: int
    manifests: int
    made: int
    kept: int
    removed: int
    left_out: dict[str, int]
    failed: list[tuple[str, str]]


def checked_url(text: str) -> str:
    """Return a base URL without the slash at its end.

    Raises:
        ValueError: it is no http(s) URL, or has a query or fragment.
    """
    parts = urlsplit(text)
    plain = text.isascii() and text.isprintable() and " " not in text
    if parts.scheme not in {"http", "https"} or not parts.hostname or not plain:
        message = "it must begin with http:// or https:// and a host, percent-encoded"
        raise ValueError(message)
    if parts.query or parts.fragment or text.endswith(("?", "#")):
        message = "it must have no query and no fragment"
        raise ValueError(message)
    return text.rstrip("/")


def export(config: Config, request: Request, report: Report) -> Exported:
    """Write pictures, manifests and the collection.

    Args:
        config: the folders.
        request: what to export, and where to.
        report: called after each photograph.

    Raises:
        DeviceError: the folder is unsuitable, there is nothing to export, or the machine failed.
        OSError: the disk is full or failed. What was there before still stands.
    """
    left_out: Counter[str] = Counter()
    jobs = [job for job in _jobs(config, request.within) if _is_asked_for(job, request, left_out)]
    if not jobs:
        raise DeviceError("there are no photographs to export")
    folder = request.folder.absolute()
    failed: list[tuple[str, str]] = []
    with _claimed(folder, config), PyramidMaker(config.limits.megapixels) as maker:
        files = ExportedFiles(
            config, folder, request.base_url, maker, with_files=request.with_files
        )
        places = _distinct({job.path.parent for job in jobs})
        found = _photographs(jobs, files, places, failed, report)
        _write_manifests(found, files, places, request)
        _remove_others(folder, files)
    counts = files.counts
    return Exported(
        files.url(COLLECTION),
        len(found),
        counts["manifests"],
        counts["made"],
        counts["kept"],
        counts["removed"],
        dict(left_out),
        failed,
    )


def print_exported(done: Exported, console: Console) -> None:
    """Print what was exported, where, and what was not."""
    photographs = f"{done.photographs} photograph{'s' * (done.photographs != 1)}"
    manifests = f"{done.manifests} manifest{'s' * (done.manifests != 1)}"
    pictures = f"pictures: {done.made} made, {done.kept} kept; {done.removed} files removed"
    lines = [f"{photographs} in {manifests}", pictures]
    lines += [f"{count} left out ({why})" for why, count in sorted(done.left_out.items())]
    lines += [f"not exported: {name}: {why}" for name, why in done.failed]
    lines.append(f"open in a viewer: {done.collection}")
    console.print(*map(printable, lines), sep="\n", highlight=False, markup=False, soft_wrap=True)


def _jobs(config: Config, within: PurePosixPath | None) -> list[Job]:
    """List the photographs with a result that no other took over, by folder and name."""
    path = config.state / LEDGER_FILE
    if not path.exists():
        return []
    with LedgerQueries.open(path) as ledger:
        if ledger.outdated:
            raise DeviceError(
                f"the ledger {path} is from an older photochrom; start this one to upgrade it"
            )
        jobs = ledger.colored()
    inside = (job for job in jobs if within is None or job.path.is_relative_to(within))
    return sorted(inside, key=lambda job: (job.path.parent, job.path.name, job.id))


def _is_asked_for(job: Job, request: Request, left_out: Counter[str]) -> bool:
    """Tell whether a photograph is to be exported; if not, count why."""
    why = ""
    if job.held:
        why = "held until a person approves them"
    elif job.decision is Decision.REJECTED:
        why = "rejected by a person"
    elif request.approved and job.decision is not Decision.APPROVED:
        why = "not approved"
    elif job.output_digest is None:
        why = "delivered by an early photochrom that recorded no digest"
    left_out.update([why] if why else [])
    return not why


@contextmanager
def _claimed(folder: Path, config: Config) -> Iterator[None]:
    """Make or take over the folder of an export, for this process alone.

    Raises:
        DeviceError: it has other contents, is in one of photochrom's folders, or is in use.
    """
    real = Path(os.path.realpath(folder))
    for name, used in config.folders.items():
        if real.is_relative_to(os.path.realpath(used)):
            raise DeviceError(f"{folder} is inside the folder `{name}`; choose another place")
    marker = folder / MARKER
    if os.path.lexists(folder) and not marker.is_file() and any(folder.iterdir()):
        raise DeviceError(f"{folder} is not empty and no export of `photochrom iiif`")
    make_folder(folder)
    with marker.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DeviceError(f"another `photochrom iiif` is writing into {folder}") from error
        yield


def _photographs(
    jobs: list[Job],
    files: ExportedFiles,
    places: Places,
    failed: list[tuple[str, str]],
    report: Report,
) -> list[tuple[Job, Photograph]]:
    """Make what photographs need, several at a time; note those for which that failed.

    Raises:
        DeviceError: the machine failed, or every photograph did.
    """
    found = []
    names = [PurePosixPath(FOLDERS, places[job.path.parent]) for job in jobs]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        try:
            made = zip(jobs, threads.map(files.photograph, jobs, names), strict=True)
            for done, (job, outcome) in enumerate(made, 1):
                if isinstance(outcome, Photograph):
                    found.append((job, outcome))
                else:
                    failed.append((str(job.path), str(outcome)))
                report(done, len(jobs), "")
        except BaseException:  # even Ctrl-C ends what is not begun yet
            threads.shutdown(cancel_futures=True)
            raise
    if not found:
        name, why = failed[0]
        raise DeviceError(f"no photograph could be exported; {name}: {why}")
    return found


def _write_manifests(
    found: list[tuple[Job, Photograph]], files: ExportedFiles, places: Places, request: Request
) -> None:
    """Write a manifest for each folder, then the collection."""
    collection = files.url(COLLECTION)
    listed = []
    for folder, group in itertools.groupby(found, key=lambda one: one[0].path.parent):
        name = PurePosixPath(FOLDERS, places[folder], MANIFEST)
        label: Words = {"none": [printable(str(folder))]}
        made = iiif_manifest.manifest(
            files.url(name),
            label if folder.parts else iiif_manifest.TOP_FOLDER,
            [photograph for _, photograph in group],
            collection,
            request.form,
            request.first,
        )
        write_if_new(files.use(name, "manifests"), _text(made))
        listed.append((made["id"], made["label"], made["thumbnail"]))
    write_if_new(files.use(COLLECTION), _text(iiif_manifest.collection(collection, listed)))


def _remove_others(folder: Path, files: ExportedFiles) -> None:
    """Remove what nothing leads to any more, and what an interrupted export left."""
    patterns = (
        f"{IMAGES}/*/*",
        f"{FILES}/*/*",
        f"{FOLDERS}/**/{MANIFEST}",
        f"{FOLDERS}/**/.*.part",
    )
    for path in [path for pattern in patterns for path in folder.glob(pattern)]:
        name = PurePosixPath(path.relative_to(folder))
        if name in files.used or not os.path.lexists(path):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        files.counts["removed"] += 1
    folders = [
        *folder.glob(f"{IMAGES}/*"),
        *folder.glob(f"{FILES}/*"),
        *folder.glob(f"{FOLDERS}/**"),
    ]
    for one in sorted(folders, reverse=True):  # a folder after what is in it
        with suppress(OSError):  # it is not empty
            one.rmdir()


def _distinct(folders: Iterable[PurePosixPath]) -> Places:
    """Name folders so that every system can hold them: UTF-8, and not alike but for case."""
    top = PurePosixPath()
    places = {top: top}
    taken = set()
    for folder in sorted(set(folders) - {top}):
        plain = Path(*(fitting_name(printable(part), "") for part in folder.parts))
        for name in numbered_names(plain):
            key = unicodedata.normalize("NFC", str(name)).casefold()
            if key not in taken:
                taken.add(key)
                places[folder] = PurePosixPath(name)
                break
    return places


def _text(made: iiif_manifest.Json) -> bytes:
    return (json.dumps(made, ensure_ascii=False, indent=1) + "\n").encode()
