"""Writes colored photographs: in the scan's format and depth, with metadata, label and watermark.

Signs the file last, if configured; a result that cannot be signed says so.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np

from worker.color import cielab, icc, watermark
from worker.color.cielab import Floats, Pixels
from worker.formats.image import OutputPage
from worker.formats.registry import FORMATS, ImageFormat, result_format
from worker.metadata import credentials
from worker.metadata import result as metadata
from worker.metadata.credentials import CredentialSettings, MediaTypes
from worker.metadata.provenance import Origin, PageRecord, Record
from worker.metadata.xmp import DIGITAL_SOURCE_TYPE
from worker.scan import Page, Scan
from worker.settings import WriteSettings
from worker.untoning import add_samples


def write(
    scan: Scan,
    chromas: Sequence[Floats],
    origin: Origin,
    settings: WriteSettings,
    file: BinaryIO,
    signer: CredentialSettings | None = None,
) -> Record:
    """Combine chroma with the scan's lightness, at full size and depth, and encode the result.

    Args:
        scan: the photographs.
        chromas: for each page (s, t, 2) float32, CIE units.
        origin: where the result comes from, for its label.
        settings: format, color space, label and watermark.
        file: open for reading and writing, seekable, empty.
        signer: who signs the result; None for nobody.

    Returns:
        What was written.

    Raises:
        ScanError: the format cannot hold it.
        DeviceError: signing is configured and fails.
        OSError: the disk fails.
    """
    scan_format = FORMATS[scan.kind]
    image_format = result_format(scan_format, settings.format)
    results = [
        _Result(page, chroma, origin, settings, image_format)
        for page, chroma in zip(scan.pages, chromas, strict=True)
    ]
    if signer is None:
        image_format.write(file, [result.page for result in results])
        return _record(image_format, results, settings, file)
    # Beside the result, where there is room; unnamed, so that a crash leaves nothing behind.
    with tempfile.TemporaryFile(dir=Path(file.name).parent) as unsigned:
        image_format.write(unsigned, [result.page for result in results])
        record = _record(image_format, results, settings, unsigned)
        unsignable = _why_unsigned(image_format, scan)
        if scan.path is None or unsignable:
            unsigned.seek(0)
            shutil.copyfileobj(unsigned, file)
            return replace(record, lost=(*record.lost, unsignable))
        types = MediaTypes(scan_format.mime, image_format.mime)
        lost = credentials.sign(unsigned, file, scan.path, types, origin, record, signer)
    return replace(record, lost=record.lost + lost)


def _why_unsigned(image_format: ImageFormat, scan: Scan) -> str:
    """Say why a scan's result cannot be signed; "" if it can."""
    if scan.path is None:
        return "no content credentials: they name the scan's file, and this scan has none"
    if not image_format.signable:
        return f"no content credentials: {image_format.title} cannot hold them"
    if len(scan.pages) > 1:
        # C2PA 2.4, A.3.4: the manifest is alone in the last directory, which libtiff takes for a
        # page without a size (c2pa-rs issue 1894); of a single page it stands in the page's own.
        return (
            f"no content credentials: they would make a {image_format.title} of several pages "
            "unreadable to many programs"
        )
    return ""


class _Result:
    """A page being colored."""

    def __init__(
        self,
        scan: Page,
        chroma: Floats,
        origin: Origin,
        settings: WriteSettings,
        image_format: ImageFormat,
    ) -> None:
        space = cielab.SPACES[settings.space]
        height, width = scan.gray.shape
        profile = icc.output_profile(space)
        carried = metadata.for_result(
            metadata.fitting(
                scan.metadata, held=image_format.texts, photoshop_held=image_format.photoshop
            ),
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
        # Of the written samples; a lossy file is decoded for them.
        self.digest = None if image_format.lossy(scan.encoding) else hashlib.sha256()
        self._painted = watermark.draw(colored, height, width, settings.mark)
        self.page = OutputPage(
            height,
            width,
            cielab.bit_depth(scan.gray),
            scan.alpha is not None,
            self._strips,
            scan.encoding,
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
    image_format: ImageFormat,
    results: Sequence[_Result],
    settings: WriteSettings,
    file: BinaryIO,
) -> Record:
    digests = [result.digest.hexdigest() for result in results if result.digest]
    if len(digests) < len(results):
        digests = _decoded(image_format, file)
    pages = (
        PageRecord(
            width=result.page.width,
            height=result.page.height,
            scan_bits=result.page.encoding.bits,
            bits=image_format.bits(result.page.depth, result.page.encoding),
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
    return Record(image_format.name, tuple(pages), said, DIGITAL_SOURCE_TYPE, tuple(lost), beside)


def _decoded(image_format: ImageFormat, file: BinaryIO) -> list[str]:
    """Hash the decoded samples of a lossy file, which differ from those written."""
    digests = []
    for bands in image_format.reread(file):
        digest = hashlib.sha256()
        for band in bands:
            add_samples(digest, band)
        digests.append(digest.hexdigest())
    return digests
