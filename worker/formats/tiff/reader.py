"""Reads TIFF: every full-size page, in bands, with its metadata.

Thumbnails, reduced copies and masks are not pages. One unreadable page costs the file.
"""

import logging
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import BinaryIO, NamedTuple

import numpy as np
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage

from worker.color import icc
from worker.errors import IncompleteError, ScanError
from worker.formats.image import DecodedImage, Encoding, check_size
from worker.formats.tiff import directory, jpeg_in_tiff, page_metadata, pages, samples
from worker.formats.tiff import pixels as tiff_pixels
from worker.formats.tiff.color_models import LABS
from worker.formats.tiff.directory import Page
from worker.formats.tiff.pages import EMPTY, Photograph
from worker.formats.tiff.samples import MOST_SAMPLES
from worker.metadata.block import Metadata
from worker.metadata.ifd import LONG, LONG8, SHORT, Form
from worker.settings import ReadSettings

ORIENTATION, SAMPLE_FORMAT = 274, 339
# One whole number each: size, compression, color model, order of bits, samples, rows of a strip,
# planes, predictor, tile size, number of slices, inks.
SINGLE = (256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323, 32997, 32998, 332)
MOST_METADATA = 1 << 29  # bytes, of all pages together
# Bits, and places and sizes of strips and tiles; extra samples and formats of samples.
SEVERAL = (258, 273, 279, 324, 325, 338, 339)
WHOLE = {SHORT, LONG, LONG8}

# Whatever tifffile would log is raised here in plain words.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


class _Source(NamedTuple):
    """An open TIFF, and the lock of its file position, as several threads read pages."""

    file: BinaryIO
    form: Form
    tiff: TiffFile
    lock: Lock


def read(file: BinaryIO, settings: ReadSettings) -> list[DecodedImage]:
    """Read a TIFF's pages; see `ImageFormat.read`."""
    form, chain = directory.walk(file)
    for page in chain:
        for one in (page, *page.below):
            _check_tags(one)
            _check_formats(file, one)
    chosen = pages.photographs(file, form, chain)
    file.seek(0)
    tiff = TiffFile(file, is_lsm=False, is_scanimage=False, is_ndpi=False)  # no microscopes
    source = _Source(file, form, tiff, Lock())
    images: list[DecodedImage] = []
    pixels = held = 0
    for photograph in chosen:
        try:
            image = _picture(source, photograph, settings, pixels)
        except ScanError as error:
            if EMPTY in photograph.page.fields:
                raise IncompleteError(
                    "the TIFF's directory holds empty rows: it is incomplete"
                ) from error
            if photograph.page is photograph.outer:
                raise
            name = f"the photograph below page {photograph.page.number + 1} of the TIFF"
            raise type(error)(f"{name}: {error}") from error
        pixels += image.width * image.height
        carried = image.metadata
        held += len(carried.exif) + len(carried.iptc) + len(carried.xmp) + len(carried.profile)
        if held > MOST_METADATA:
            raise ScanError(
                f"the TIFF's pages carry more than {MOST_METADATA >> 20} MB of metadata"
            )
        images.append(image)
    return images


def _check_tags(page: Page) -> None:
    """Refuse fractions, texts and lists where a whole number, or several, must be."""
    for tag in (*SINGLE, *SEVERAL):
        field = page.fields.get(tag)
        if field is None:
            continue
        least, most = 1, 1 if tag in SINGLE else field.values
        if field.kind not in WHOLE or not least <= field.values <= most:
            expected = "one whole number" if tag in SINGLE else "whole numbers"
            raise IncompleteError(
                f"the TIFF's tag {tag} is not {expected} but {field.values:,} of type "
                f"{field.kind}; the file is damaged"
            )


def _check_formats(file: BinaryIO, page: Page) -> None:
    """Refuse pixels whose samples differ in format."""
    field = page.fields.get(SAMPLE_FORMAT)
    if field is None or not 1 < field.values <= MOST_SAMPLES:
        return
    size = field.size // field.values
    data = directory.bytes_at(file, field.at, field.size)
    if len({data[at : at + size] for at in range(0, len(data), size)}) > 1:
        raise ScanError("the TIFF's samples are of several formats; convert it to gray or RGB")


def _picture(
    source: _Source, photograph: Photograph, settings: ReadSettings, others: int
) -> DecodedImage:
    file, form = source.file, source.form
    file.seek(photograph.page.at)
    loaded = TiffPage(source.tiff, index=photograph.page.number)
    check_size(loaded.imagewidth, loaded.imagelength, settings, others)
    tiff_pixels.estimate_sizes(loaded, loaded.parent.filehandle.size)
    tables = None
    if loaded.compression == COMPRESSION.OJPEG:
        tables = jpeg_in_tiff.settle(loaded, partial(directory.bytes_at, file))
    samples.check(loaded)
    tiff_pixels.check(loaded, loaded.parent.filehandle.size)
    fields = photograph.fields
    metadata = page_metadata.read(file, form, fields)
    alpha = samples.alpha_sample(loaded)
    dropped = loaded.samplesperpixel - samples.colors_stored(loaded)
    lost = photograph.lost + samples.lost(loaded)
    if dropped - (alpha is not None):
        lost = (*lost, "extra samples of each pixel that are no opacity")
    metadata = replace(metadata, lost=metadata.lost + lost)
    inks = None
    if loaded.photometric == PHOTOMETRIC.SEPARATED:
        inks, metadata = _inks(metadata)
    orientation = directory.whole_number(file, fields.get(ORIENTATION), form)
    if loaded.photometric in LABS:
        metadata = _without_profile(metadata)
    paletted = loaded.photometric == PHOTOMETRIC.PALETTE and samples.depth(loaded) == 16
    return DecodedImage(
        height=loaded.imagelength,
        width=loaded.imagewidth,
        samples=samples.colors(loaded),
        alpha=alpha is not None,
        bands=partial(tiff_pixels.bands, loaded, file, source.lock, inks, tables),
        orientation=orientation if orientation and 1 <= orientation <= 8 else 1,
        encoding=Encoding(
            bits=16 if paletted else loaded.bitspersample,
            floating=samples.is_real(loaded),
            lossless=loaded.compression not in samples.LOSSY,
            compression=samples.COMPRESSIONS[loaded.compression],
            big_endian=form.order == ">",
            big_tiff=form.big,
        ),
        metadata=metadata,
    )


def _without_profile(metadata: Metadata) -> Metadata:
    """Drop a profile, which is meaningless for L*a*b*."""
    if not metadata.profile:
        return metadata
    return _without(replace(metadata, profile=b""), "the color profile: the colors are L*a*b*")


def _inks(metadata: Metadata) -> tuple[bytes | None, Metadata]:
    """Return the CMYK profile if it is usable, and the metadata of the sRGB result."""
    profile = metadata.profile or None
    metadata = replace(metadata, profile=b"")
    try:
        icc.cmyk_to_srgb(np.zeros((1, 1, 4), np.uint8), profile)
    except icc.ProfileError as error:
        return None, _without(metadata, f"the profile of its inks ({error})")
    return profile, metadata


def _without(metadata: Metadata, what: str) -> Metadata:
    return replace(metadata, lost=(*metadata.lost, what))
