"""Chooses the directories of a TIFF that are photographs; names the others as lost.

A page's photograph is the largest image in its directory or SubIFDs, because cameras and scanners
put a thumbnail first. Reduced copies, masks and infrared images are not pages.
Source: TIFF 6.0 (NewSubfileType), Adobe's TIFF technical note 1 (SubIFDs), DNG 1.6.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from worker.errors import IncompleteError, ScanError
from worker.formats.tiff import directory
from worker.formats.tiff.directory import Page
from worker.formats.tiff.page_metadata import STRUCTURAL
from worker.metadata.ifd import Field, Form

SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, PHOTOMETRIC, BITS = 254, 255, 256, 257, 262, 258
REDUCED, MASK, DEPTH_MAP = 1, 4, 8  # bits of SUBFILE
OLD_REDUCED = 2
EMPTY = 0  # tag of a row of zeros: of a directory that is being written
ORIENTATION, RESOLUTION = 274, {282, 283, 296}
MASK_COLORS = 4  # of PHOTOMETRIC
COPY_AREA = 4  # times that a page is smaller than another where all say they are copies
THUMBNAIL_TIMES, THUMBNAIL_SIDE = 4, 256  # a thumbnail without a flag; Exif's has 160 pixels
STEPS = 3  # pages that are a pyramid, at the least
MOST_SIZES = 16  # of pages that others may be thumbnails of
MOST_NAMED = 5  # sizes of smaller copies


@dataclass(frozen=True)
class Photograph:
    """A directory that is a page of the result.

    Attributes:
        page: the directory.
        outer: the directory of the main chain that it stands in or below.
        lost: what stays behind, in plain words.
    """

    page: Page
    outer: Page
    lost: tuple[str, ...]

    @property
    def fields(self) -> dict[int, Field]:
        """Its own fields, and those of the outer directory that describe the photograph."""
        own, outer = self.page.fields, self.outer.fields
        if self.page is self.outer:
            return own
        apart = STRUCTURAL | RESOLUTION
        said = {tag: field for tag, field in outer.items() if tag not in apart}
        if ORIENTATION in outer:
            said[ORIENTATION] = outer[ORIENTATION]
        if not RESOLUTION & own.keys():
            said |= {tag: outer[tag] for tag in RESOLUTION & outer.keys()}
        return said | own


@dataclass(frozen=True)
class _Picture:
    page: Page
    outer: Page
    width: int
    height: int
    kind: int  # bits of SUBFILE
    bits: int

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def is_whole(self) -> bool:
        return not self.kind & (REDUCED | MASK | DEPTH_MAP)

    def is_small_copy(self, width: int, height: int) -> bool:
        """Tell whether it has a larger image's proportions, up to rounding."""
        times = max(width / self.width, height / self.height)
        exact = width / times, height / times
        near = abs(exact[0] - self.width) <= 1 and abs(exact[1] - self.height) <= 1
        return near and times >= THUMBNAIL_TIMES

    def is_half_of(self, other: "_Picture") -> bool:
        """Tell whether its sides are half of another's, rounded up or down."""
        sides = ((self.width, other.width), (self.height, other.height))
        return all(mine in {its // 2, (its + 1) // 2} for mine, its in sides)

    @property
    def name(self) -> str:
        place = f"page {self.outer.number + 1}"
        return place if self.page is self.outer else f"the picture below {place}"

    def __str__(self) -> str:
        return f"{self.width} x {self.height}"


def photographs(file: BinaryIO, form: Form, chain: list[Page]) -> list[Photograph]:
    """Choose the directories that are photographs, in the order of their pages.

    Args:
        file: the TIFF.
        form: how it counts.
        chain: its directories.

    Raises:
        IncompleteError: there is none, or one that a thumbnail points to cannot be read.
    """
    pictures = [
        _picture(file, form, one, outer) for outer in chain for one in (outer, *outer.below)
    ]
    sized = [one for one in pictures if one.area]
    whole = list(_largest([one for one in sized if one.is_whole]))
    chosen = _without_thumbnails(_without_steps(whole))
    if not chosen:  # some scanner programs call their only page a smaller copy
        plain = list(_largest([one for one in sized if not one.kind & (MASK | DEPTH_MAP)]))
        most = max((one.area for one in plain), default=0)
        chosen = [one for one in plain if one.area * COPY_AREA > most]
    chosen = chosen or sized[:1] or pictures[:1]  # and some their only page a mask
    if not chosen or any(EMPTY in one.page.fields and not one.is_whole for one in chosen):
        raise IncompleteError("the TIFF has no page: it is damaged or incomplete")
    _check_below(file, pictures, chosen)
    return list(_with_lost(pictures, chosen))


def _picture(file: BinaryIO, form: Form, page: Page, outer: Page) -> _Picture:
    def number(tag: int) -> int:
        return directory.whole_number(file, page.fields.get(tag), form) or 0

    kind = number(SUBFILE)
    kind |= REDUCED if number(OLD_SUBFILE) == OLD_REDUCED else 0
    kind |= MASK if number(PHOTOMETRIC) == MASK_COLORS else 0
    return _Picture(page, outer, number(WIDTH), number(HEIGHT), kind, number(BITS) or 1)


def _largest(pictures: list[_Picture]) -> Iterator[_Picture]:
    """Yield each page's largest image, the first of several."""
    best: dict[int, _Picture] = {}
    for one in pictures:
        number = one.outer.number
        if number not in best or one.area > best[number].area:
            best[number] = one
    yield from (best[number] for number in sorted(best))


def _without_steps(pictures: list[_Picture]) -> list[_Picture]:
    """Drop the levels of an unflagged pyramid: pages that halve down to a thumbnail."""
    kept: list[_Picture] = []
    at = 0
    while at < len(pictures):
        end = at + 1
        while end < len(pictures) and pictures[end].is_half_of(pictures[end - 1]):
            end += 1
        last = pictures[end - 1]
        is_pyramid = end - at >= STEPS and max(last.width, last.height) <= THUMBNAIL_SIDE
        kept.extend(pictures[at : at + 1] if is_pyramid else pictures[at:end])
        at = end
    return kept


def _without_thumbnails(pictures: list[_Picture]) -> list[_Picture]:
    """Drop pages that are unflagged thumbnails of others, as cameras write them."""
    sizes = sorted({(one.area, one.width, one.height) for one in pictures}, reverse=True)
    large = [(width, height) for _, width, height in sizes[:MOST_SIZES]]
    return [
        one
        for one in pictures
        if max(one.width, one.height) > THUMBNAIL_SIDE
        or not any(one.is_small_copy(width, height) for width, height in large)
    ]


def _check_below(file: BinaryIO, pictures: list[_Picture], chosen: list[_Picture]) -> None:
    """Refuse a page that may be only the thumbnail of an unreadable one."""
    whole = {one.outer.number for one in chosen if one.is_whole}
    for one in pictures:
        page, number = one.page, one.outer.number
        for at in page.broken:
            # Beyond the end, or still zeros: it may yet be written. Otherwise some program copied
            # a tag whose offset is stale.
            is_empty = not directory.bytes_at(file, at, 8).strip(b"\0")
            if is_empty or number not in whole:
                raise IncompleteError(
                    f"the TIFF's page {number + 1} points to a subimage at byte {at:,}, "
                    "which cannot be read: the file is damaged or cut short"
                )
        if page is not one.outer and EMPTY in page.fields:
            raise IncompleteError(
                f"the subimage of page {number + 1} of the TIFF has a directory with empty rows: "
                "it is incomplete"
            )
        if page is not one.outer and one.is_whole and not one.area and number not in whole:
            raise ScanError(
                f"page {number + 1} of the TIFF is only a reduced copy, and the image below it "
                "states no size; save the photograph as a page of its own"
            )


def _with_lost(pictures: list[_Picture], chosen: list[_Picture]) -> Iterator[Photograph]:
    """Yield each photograph with the names of what belongs to it and is not a page."""
    behind: dict[int, list[_Picture]] = {}
    numbers = [one.outer.number for one in chosen]
    places = {one.page.at for one in chosen}
    for one in pictures:
        if one.page.at not in places:
            before = bisect_right(numbers, one.outer.number) - 1
            behind.setdefault(numbers[max(0, before)], []).append(one)
    for one in chosen:
        lost = list(_names(one, behind.get(one.outer.number, [])))
        if one.outer.broken:
            lost.append(f"what page {one.outer.number + 1} points to and cannot be read")
        yield Photograph(one.page, one.outer, tuple(lost))


def _names(photograph: _Picture, pictures: list[_Picture]) -> Iterator[str]:
    """Name what a photograph loses."""
    copies = [
        one
        for one in pictures
        if one.kind & REDUCED or (one.is_whole and one.area < photograph.area)
    ]
    if copies:
        sizes = ", ".join(
            str(one) if one.area else "of no stated size" for one in copies[:MOST_NAMED]
        )
        more = f" and {len(copies) - MOST_NAMED} more" if len(copies) > MOST_NAMED else ""
        yield f"smaller copies of the photograph ({sizes}{more})"
    named = {one.page.at for one in copies}
    for one in pictures:
        if one.page.at in named:
            continue
        if one.kind & MASK:
            what = "a mask" if one.bits == 1 else "an infrared image or mask"
        else:
            what = "a depth map" if one.kind & DEPTH_MAP else "another picture"
        yield f"{one.name} of the TIFF: {what} ({one})"
