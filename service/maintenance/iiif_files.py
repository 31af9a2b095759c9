"""The pictures and files of a IIIF export: made and copied where they are not there yet.

All are named after their content, so what is there is right.
"""

import io
import itertools
import json
import os
import shutil
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from service.config.loader import Config
from service.filesystem.durable import fitting_name, make_folder, part_path, write_text
from service.filesystem.safe_open import digest as digest_of_file
from service.filesystem.safe_open import open_beneath
from service.ledger.jobs import Decision, Job
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.maintenance import iiif_manifest
from service.maintenance.iiif_manifest import FileLink, Photograph, Picture, Words
from service.maintenance.pyramid_maker import PyramidMaker, ViewError
from service.storage.sidecar import Sidecar, SidecarError, parse_sidecar, sidecar_name
from service.storage.viewed import Side, digest_of_side, open_side
from service.terminal import printable
from worker.atomic import CHUNK, replacing
from worker.errors import DeviceError, PhotochromError, ScanError
from worker.formats.registry import format_of

IMAGES, FILES = "images", "files"
INFO = "info.json"
KEY = 32  # digits of a digest in a name
WIDTHS = (90, 200)  # of the thumbnails that Universal Viewer asks for, whatever there is
LARGEST_SIDECAR = 1 << 26  # bytes
SIDECAR: Words = {
    "en": ["What it was made from, by what, and when"],
    "zh": ["来源、上色模型与时间"],
}

Names = list[tuple[PurePosixPath, str]]  # that a photograph uses, and what is counted


class ExportedFiles:
    """The pictures and files in the folder of an export; methods may be called by several threads.

    Args:
        config: photochrom's folders.
        folder: of the export, absolute.
        base_url: where it will lie.
        maker: of pictures.
        with_files: whether scans and results are copied.

    Attributes:
        used: names in the folder to which something leads.
        counts: what was made, kept and removed.
    """

    def __init__(
        self, config: Config, folder: Path, base_url: str, maker: PyramidMaker, *, with_files: bool
    ) -> None:
        """Nothing is in use yet."""
        self._config = config
        self._folder = folder
        self._base_url = base_url
        self._maker = maker
        self._with_files = with_files
        self._lock = threading.Lock()
        self.used: set[PurePosixPath] = set()
        self.counts: Counter[str] = Counter()

    def url(self, name: PurePosixPath) -> str:
        """Return the URL of a name in the folder."""
        return f"{self._base_url}/{quote(str(name), safe='/')}"

    def use(self, name: PurePosixPath, what: str = "") -> Path:
        """Note that a name is in use, and what is counted; return its path."""
        with self._lock:
            self.used.add(name)
            self.counts.update([what] if what else [])
        return self._folder / name

    def photograph(self, job: Job, place: PurePosixPath) -> Photograph | PhotochromError:
        """Make what a photograph needs and is not there; or return why that is impossible.

        Args:
            job: of the photograph.
            place: name of the folder of its manifest.

        Raises:
            DeviceError: the machine failed.
            OSError: the disk is full or failed.
        """
        names: Names = []
        try:
            sidecar, link = self._sidecar(job, names)
            pages = len(sidecar.pages) if sidecar else None
            scans = self._pictures(job, "scan", pages, names)
            colored = self._pictures(job, "colored", len(scans), names)
            files = self._files(job, names) if self._with_files else ()
        except ViewError as error:
            if error.fault == "machine":
                raise DeviceError(str(error)) from error
            return error
        except (ScanError, SidecarError) as error:
            return error
        for name, what in names:
            self.use(name, what)
        return Photograph(
            printable(job.path.name),
            f"{self.url(place)}/{quote(os.fsencode(job.output.name), safe='')}",
            scans,
            colored,
            job.model,
            job.colored_at,
            job.decision is Decision.APPROVED,
            link,
            files,
        )

    def _pictures(
        self, job: Job, side: Side, pages: int | None, names: Names
    ) -> tuple[Picture, ...]:
        """Return the pictures of all pages, and make those that are not there.

        With pages of unknown number, they end where the file has no more.
        """
        digest = str(digest_of_side(job, side))
        found: list[Picture] = []
        with ExitStack() as opened:
            file: io.FileIO | None = None
            for page in itertools.count() if pages is None else range(pages):
                name = PurePosixPath(IMAGES, digest[:2], f"{digest[:KEY]}-{page}")
                target, what = self._folder / name, "kept"
                if not (target / INFO).is_file():
                    file = file or opened.enter_context(self._open(job, side))
                    make_folder(target.parent)
                    try:
                        self._pyramid(file, target, self.url(name), page)
                    except ViewError as error:
                        if error.fault == "page" and pages is None and found:
                            break
                        raise
                    what = "made"
                names.append((name, what))
                found.append(_picture(target / INFO, self.url(name)))
        return tuple(found)

    def _pyramid(self, file: io.FileIO, target: Path, url: str, page: int) -> None:
        path = Path(str(file.name))
        self._maker.pyramid(file, path, target, url, page, widths=WIDTHS, durable=True)

    def _open(self, job: Job, side: Side) -> io.FileIO:
        with LedgerQueries.open(self._config.state / LEDGER_FILE) as ledger:
            return open_side(job, side, self._config, ledger.rejected_of)

    def _files(self, job: Job, names: Names) -> tuple[FileLink, ...]:
        """Copy scan and result, unless they are there."""
        links = []
        sides: list[tuple[Side, PurePosixPath, Words]] = [
            ("scan", job.path, iiif_manifest.SCAN),
            ("colored", job.output, iiif_manifest.colored_label(job.model)),
        ]
        for side, path, label in sides:
            digest = str(digest_of_side(job, side))
            name = _name_of_file(digest, path)
            target = self._folder / name
            names.append((name, ""))
            if not target.exists():
                with self._open(job, side) as file:
                    _copy(file, target, digest)
            image = format_of(path)
            mime = image.mime if image else "application/octet-stream"
            links.append(FileLink(self.url(name), mime, label))
        return tuple(links)

    def _sidecar(self, job: Job, names: Names) -> tuple[Sidecar | None, FileLink | None]:
        """Read and copy a sidecar; if it was carried away with its result, use the copy.

        Raises:
            ScanError: it is missing, or of another result.
            SidecarError: it is damaged.
        """
        if job.event is None:
            return None, None
        inside = sidecar_name(job.output)
        name = _name_of_file(str(job.output_digest), inside)
        target = self._folder / name
        names.append((name, ""))
        try:
            with open_beneath(self._config.outbox, inside) as file:
                text = file.read(LARGEST_SIDECAR)
        except FileNotFoundError as error:
            if not target.exists():
                raise ScanError("its sidecar is missing from the outbox") from error
            text = target.read_bytes()
        sidecar = parse_sidecar(text, self._config.outbox / inside)
        if sidecar.output.sha256 != job.output_digest:
            raise ScanError("its sidecar is of another result; try again later")
        write_if_new(target, text)
        return sidecar, FileLink(self.url(name), "application/json", SIDECAR)


def _name_of_file(digest: str, path: PurePosixPath) -> PurePosixPath:
    name = printable(path.name)
    return PurePosixPath(FILES, digest[:KEY], fitting_name(Path(name).stem, Path(name).suffix))


def _picture(info: Path, url: str) -> Picture:
    """Read what a pyramid says of itself; correct its URL if it lies elsewhere now."""
    said = json.loads(info.read_bytes())
    if said["id"] != url:
        said["id"] = url
        write_text(info, json.dumps(said, indent=1) + "\n")
    sizes = tuple((size["width"], size["height"]) for size in said["sizes"])
    return Picture(url, said["width"], said["height"], sizes)


def write_if_new(target: Path, text: bytes) -> None:
    """Write a file durably and atomically, unless it has this text."""
    if not (target.is_file() and target.read_bytes() == text):
        make_folder(target.parent)
        with replacing(target, durable=True, part=part_path(target.parent)) as file:
            file.write(text)


def _copy(source: io.FileIO, target: Path, digest: str) -> None:
    """Copy an open file under a new name, durably; errors as for `open_side`."""
    make_folder(target.parent)
    part = part_path(target.parent)
    with replacing(target, durable=True, part=part) as copy:
        shutil.copyfileobj(source, copy, CHUNK)
        copy.flush()
        if digest_of_file(part) != digest:
            raise ScanError(f"{source.name!s} was changed while it was copied")
