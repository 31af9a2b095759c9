"""TIFF in: every full-size page of a file, by bands, with what it carries.

Thumbnails, smaller copies and masks are no pages. A page that cannot be read costs the file.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import BinaryIO

import numpy as np
from tifffile import PHOTOMETRIC, TiffFile, TiffPage

from worker import profiles
from worker.containers import tiff_directory, tiff_metadata, tiff_pixels, tiff_samples
from worker.containers.picture import Coding, Metadata, Picture, check_size
from worker.containers.tiff_directory import Form, Page
from worker.errors import IncompleteError, ScanError
from worker.settings import ReadSettings

SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, ORIENTATION = 254, 255, 256, 257, 274
REDUCED, MASK = 1, 4  # bits of SUBFILE
OLD_REDUCED = 2
# One whole number each: size, compression, color model, order of bits, samples, rows of a strip,
# planes, predictor, tile size, number of slices, inks.
SINGLE = (256, 257, 259, 262, 266, 277, 278, 284, 317, 322, 323, 32997, 32998, 332)
MOST_METADATA = 1 << 29  # bytes, of all pages together
# Bits, and places and sizes of strips and tiles; extra samples and formats of samples.
SEVERAL = (258, 273, 279, 324, 325, 338, 339)
WHOLE = {tiff_directory.SHORT, tiff_directory.LONG, tiff_directory.LONG8}

# What it would say is raised here, in words for the archivist.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def read(file: BinaryIO, settings: ReadSettings) -> list[Picture]:
    """Read a TIFF's pages.

    Args:
        file: open for reading, seekable; stays open while `bands` are read.
        settings: the limits.

    Raises:
        IncompleteError: it is cut short or damaged.
        ScanError: with the reason, when it is refused.
        OSError, ValueError, RuntimeError...: as the decoders have it, on damaged data.
    """
    form, chain = tiff_directory.walk(file)
    for page in chain:
        _check_tags(page)
    file.seek(0)
    tiff = TiffFile(file, is_lsm=False, is_scanimage=False, is_ndpi=False)  # no microscopes
    lock = Lock()
    pictures: list[Picture] = []
    pixels = held = 0
    for page in _photographs(file, form, chain):
        loaded = tiff.pages[page.number]
        if not isinstance(loaded, TiffPage) or loaded.offset != page.at:
            raise IncompleteError(
                f"the TIFF's page {page.number + 1} cannot be read; it is damaged"
            )
        check_size(loaded.imagewidth, loaded.imagelength, settings, pixels)
        picture = _picture(loaded, file, form, page, lock)
        pixels += picture.width * picture.height
        carried = picture.metadata
        held += len(carried.exif) + len(carried.iptc) + len(carried.xmp) + len(carried.profile)
        if held > MOST_METADATA:
            raise ScanError(f"the TIFF's pages carry more than {MOST_METADATA >> 20} MB of texts")
        pictures.append(picture)
    return pictures


def _photographs(file: BinaryIO, form: Form, chain: list[Page]) -> Iterator[Page]:
    """Choose the directories that are pages: neither smaller copies nor masks nor thumbnails."""
    if not chain:
        raise IncompleteError("the TIFF has no page: it is damaged or was not written to its end")
    flags: dict[int, int] = {}
    for page in chain:
        flag = tiff_directory.whole_number(file, page.fields.get(SUBFILE), form) or 0
        old = tiff_directory.whole_number(file, page.fields.get(OLD_SUBFILE), form)
        flags[page.number] = flag | (REDUCED if old == OLD_REDUCED else 0)
    # A camera's thumbnail has a JPEG stream in place of a size (Exif 3.0, section 4.5.4).
    sized = [p for p in chain if {WIDTH, HEIGHT} & p.fields.keys() or p.number == 0]
    full = [p for p in sized if not flags[p.number] & (REDUCED | MASK)]
    # Some scanner programs call their only page a smaller copy.
    yield from full or [p for p in sized if not flags[p.number] & MASK] or chain[:1]


def _check_tags(page: Page) -> None:
    """Refuse fractions, texts and lists where all readers expect whole numbers, or one."""
    for tag in (*SINGLE, *SEVERAL):
        field = page.fields.get(tag)
        if field and (field.kind not in WHOLE or (field.values != 1 and tag in SINGLE)):
            expected = "one whole number" if tag in SINGLE else "whole numbers"
            raise IncompleteError(
                f"the TIFF's tag {tag} is not {expected} but {field.values:,} of type "
                f"{field.kind}; the file is damaged"
            )


def _picture(loaded: TiffPage, file: BinaryIO, form: Form, page: Page, lock: Lock) -> Picture:
    tiff_samples.check(loaded)
    tiff_pixels.check(loaded, loaded.parent.filehandle.size)
    metadata = tiff_metadata.read(file, form, page)
    alpha = tiff_samples.alpha_sample(loaded)
    dropped = loaded.samplesperpixel - tiff_samples.COLORS[PHOTOMETRIC(loaded.photometric)]
    if dropped - (alpha is not None):
        metadata = _without(metadata, "extra samples of each pixel that are no opacity")
    inks = None
    if loaded.photometric == PHOTOMETRIC.SEPARATED:
        inks, metadata = _inks(metadata)
    orientation = tiff_directory.whole_number(file, page.fields.get(ORIENTATION), form)
    bits = 32 if loaded.bitspersample == 32 else tiff_samples.depth(loaded)
    return Picture(
        height=loaded.imagelength,
        width=loaded.imagewidth,
        samples=tiff_samples.colors(loaded),
        alpha=alpha is not None,
        bands=partial(tiff_pixels.bands, loaded, file, lock, inks),
        orientation=orientation if orientation and 1 <= orientation <= 8 else 1,
        coding=Coding(
            bits=loaded.bitspersample if bits == 8 and loaded.bitspersample < 8 else bits,
            lossless=loaded.compression not in tiff_samples.LOSSY,
            compression=tiff_samples.COMPRESSIONS[loaded.compression],
            big_endian=form.order == ">",
            big_tiff=form.big,
        ),
        metadata=metadata,
    )


def _inks(metadata: Metadata) -> tuple[bytes | None, Metadata]:
    """Return the profile of inks, if it is of use; and the metadata of what they become, sRGB."""
    profile = metadata.profile or None
    metadata = replace(metadata, profile=b"")
    try:
        profiles.cmyk_to_srgb(np.zeros((1, 1, 4), np.uint8), profile)
    except profiles.ProfileError as error:
        return None, _without(metadata, f"the profile of its inks ({error})")
    return profile, metadata


def _without(metadata: Metadata, what: str) -> Metadata:
    return replace(metadata, lost=(*metadata.lost, what))
