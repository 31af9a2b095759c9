"""Colored photographs to files: the scan's container, depth and metadata, the label and the mark.

With a signer, the file is signed last; nothing is delivered unsigned in silence.
"""

import hashlib
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from worker.color import cielab, icc, watermark
from worker.color.cielab import Floats, Pixels
from worker.formats import jpeg, jpeg2000, png_writer, webp
from worker.formats.image import Encoding, OutputPage
from worker.formats.kinds import Kind, result_kind
from worker.formats.open_image import READERS
from worker.formats.tiff import writer
from worker.metadata import credentials
from worker.metadata import result as metadata
from worker.metadata.credentials import CredentialSettings
from worker.metadata.provenance import Origin, PageRecord, Record
from worker.metadata.xmp import DIGITAL_SOURCE_TYPE
from worker.scan import Page, Scan
from worker.settings import ReadSettings, WriteSettings
from worker.untoning import add_samples

WRITERS: dict[Kind, Callable[[BinaryIO, Sequence[OutputPage]], None]] = {
    "tiff": writer.write,
    "jpeg": jpeg.write,
    "png": png_writer.write,
    "webp": webp.write,
    "jp2": jpeg2000.write,
}
_EIGHT_BITS: set[Kind] = {"jpeg", "webp"}  # have no more
FLOAT_BITS = 32


def write(
    scan: Scan,
    chromas: Sequence[Floats],
    origin: Origin,
    settings: WriteSettings,
    file: BinaryIO,
    signer: CredentialSettings | None = None,
) -> Record:
    """Lay chroma over the scan's own lightness, at full size and depth, and encode the result.

    Args:
        scan: the photographs.
        chromas: for each page (s, t, 2) float32, CIE units.
        origin: where the result comes from, for its label.
        settings: container, color space, label and mark.
        file: open for reading and writing, seekable, empty.
        signer: who signs the scan's result; None for nobody.

    Returns:
        What was written.

    Raises:
        ScanError: the container cannot hold it.
        DeviceError: it cannot be signed, though that is set.
        OSError: when the disk fails.
    """
    kind = result_kind(scan.kind, settings.format)
    results = [
        _Result(page, chroma, origin, settings, kind)
        for page, chroma in zip(scan.pages, chromas, strict=True)
    ]
    if signer is None:
        _encode(kind, results, file)
        return _record(kind, results, settings, file)
    # Beside the result, where there is room for it; without a name, so no crash leaves it behind.
    with tempfile.TemporaryFile(dir=Path(file.name).parent) as unsigned:
        _encode(kind, results, unsigned)
        record = _record(kind, results, settings, unsigned)
        unsignable = credentials.why_unsigned(kind, len(results))
        if scan.path is None:
            unsignable = "content credentials name the scan's file, and this scan has none"
        if scan.path is None or unsignable:
            unsigned.seek(0)
            shutil.copyfileobj(unsigned, file)
            return replace(record, lost=(*record.lost, unsignable))
        lost = credentials.sign(unsigned, file, scan.path, scan.kind, origin, record, signer)
    return replace(record, lost=record.lost + lost)


def _encode(kind: Kind, results: Sequence["_Result"], file: BinaryIO) -> None:
    WRITERS[kind](file, [result.page for result in results])


class _Result:
    """A page on its way to color."""

    def __init__(
        self, scan: Page, chroma: Floats, origin: Origin, settings: WriteSettings, kind: Kind
    ) -> None:
        space = cielab.SPACES[settings.space]
        height, width = scan.gray.shape
        profile = icc.output_profile(space)
        carried = metadata.for_result(
            metadata.fitting(scan.metadata, kind),
            origin=origin,
            width=width,
            height=height,
            profile=profile,
            settings=settings,
            turned=scan.turned,
        )
        colored = cielab.merge_strips(scan.gray, chroma, scan.tone, space, scan.small)
        self.scan = scan
        self.profile = icc.describe(profile)
        # Of the samples as they are written; a lossy file's are others.
        self.digest = None if _is_lossy(kind, scan.coding) else hashlib.sha256()
        self._painted = watermark.draw(colored, height, width, settings.mark)
        self.page = OutputPage(
            height,
            width,
            cielab.bit_depth(scan.gray),
            scan.alpha is not None,
            self._strips,
            scan.coding,
            carried,
        )

    def _strips(self) -> Iterator[Pixels]:
        top = 0
        for strip in self._painted:
            whole = strip
            if self.scan.alpha is not None:
                opacity = self.scan.alpha[top : top + len(strip)]
                whole = np.concatenate([strip, opacity[..., None]], axis=-1)
            top += len(strip)
            if self.digest:
                add_samples(self.digest, whole)
            yield whole


def _record(
    kind: Kind, results: Sequence[_Result], settings: WriteSettings, file: BinaryIO
) -> Record:
    digests = [result.digest.hexdigest() for result in results if result.digest]
    if len(digests) < len(results):
        digests = _decoded(kind, file)
    pages = (
        PageRecord(
            width=result.page.width,
            height=result.page.height,
            scan_bits=result.page.coding.bits,
            bits=_bits(kind, result.page),
            scan_profile=result.scan.profile,
            profile=result.profile,
            scan_pixels_sha256=result.scan.sha256,
            pixels_sha256=sha256,
            replaced_color=result.scan.replaced,
        )
        for result, sha256 in zip(results, digests, strict=True)
    )
    said: dict[str, str | int | float | bool] = {
        "format": settings.format,
        "profile": settings.space,
        "label": settings.label,
        "credit": settings.credit,
        "mark": settings.mark.corner,
    }
    if settings.mark.corner != "none":
        said |= {"mark_size": settings.mark.size, "mark_opacity": settings.mark.opacity}
    lost = dict.fromkeys(what for result in results for what in result.page.metadata.lost)
    beside = tuple(file for result in results for file in result.scan.xmp_files)
    return Record(kind, tuple(pages), said, DIGITAL_SOURCE_TYPE, tuple(lost), beside)


def _is_lossy(kind: Kind, scan: Encoding) -> bool:
    if kind == "tiff":
        return scan.compression == "jpeg"
    return kind == "jpeg" or (kind in {"webp", "jp2"} and not scan.lossless)


def _bits(kind: Kind, page: OutputPage) -> int:
    if kind == "tiff" and page.coding.floating:
        return FLOAT_BITS
    return 8 if kind in _EIGHT_BITS else page.depth


def _decoded(kind: Kind, file: BinaryIO) -> list[str]:
    """Decode what was written; a lossy file's samples are not those that went in."""
    file.seek(0)
    digests = []
    for picture in READERS[kind](file, ReadSettings(megapixels=math.inf)):
        digest = hashlib.sha256()
        for band in picture.bands():
            add_samples(digest, band)
        digests.append(digest.hexdigest())
    return digests
