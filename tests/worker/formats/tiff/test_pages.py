"""Which directories of a TIFF are photographs: no thumbnail; and what stays behind is named."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.support import synthetic_photos, tiff_files
from tests.support.tiff_files import codes_of, gray_fields, pages_of, plain
from worker.errors import IncompleteError, ScanError
from worker.formats.image import DecodedImage
from worker.formats.open_image import DECODER_ERRORS
from worker.metadata import exif, ifd

G8, G16 = synthetic_photos.gray_scene(67, 83), synthetic_photos.gray_scene(67, 83, 16)
RGB8 = synthetic_photos.color_scene(67, 83)
THUMB, MIDDLE = G8[::4, ::4], G8[::2, ::2]
COPY, MASK = 1, 4  # NewSubfileType
Written = tuple[synthetic_photos.Array, dict[str, Any]]


def tree(*pages: tuple[Written, list[Written]], **form: Any) -> bytes:
    """Write pages with pictures below each (SubIFDs); options are tifffile's."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, **form) as writer:
        for (pixels, options), below in pages:
            writer.write(pixels, metadata=None, subifds=len(below), **named(pixels), **options)
            for lower, its in below:
                writer.write(lower, metadata=None, **named(lower), **its)
    return file.getvalue()


def named(pixels: synthetic_photos.Array) -> dict[str, str]:
    """Return the color model of pixels as tifffile calls it."""
    return {"photometric": "minisblack" if pixels.ndim == 2 else "rgb"}


def shown(data: bytes) -> list[synthetic_photos.Array]:
    """Read all pages of a TIFF: their codes, gray ones without a last axis."""
    return [codes_of(page).squeeze() for page in pages_of(data)]


def lost(data: bytes) -> list[tuple[str, ...]]:
    """Return what is named as left behind, for each page."""
    return [page.metadata.lost for page in pages_of(data)]


@pytest.mark.parametrize("thumb", [THUMB, RGB8[::4, ::4]], ids=["gray", "color"])
@pytest.mark.parametrize("full", [G8, G16], ids=["8", "16"])
@pytest.mark.parametrize("flag", [0, COPY])
@pytest.mark.parametrize(
    "form", [{}, {"byteorder": ">"}, {"bigtiff": True}, {"bigtiff": True, "byteorder": ">"}]
)
def test_the_photograph_below_a_thumbnail_is_the_page(
    thumb: synthetic_photos.Array, full: synthetic_photos.Array, flag: int, form: dict[str, Any]
) -> None:
    """Whatever the thumbnail looks like and says of itself; and it is named as left behind."""
    data = tree(((thumb, {"subfiletype": flag}), [(full, {"compression": "lzw"})]), **form)

    assert [True] == [np.array_equal(full, found) for found in shown(data)]
    assert "21 x 17" in lost(data)[0][0]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_several_pictures_below_the_largest_is_the_page(place: int) -> None:
    """Wherever it stands among them; the others are named with their sizes."""
    below: list[Written] = [(MIDDLE, {"subfiletype": COPY}), (THUMB, {"subfiletype": COPY})]
    below.insert(place, (G16, {}))
    data = tree(((THUMB, {"subfiletype": COPY}), below))

    assert np.array_equal(G16, shown(data)[0])
    assert [("smaller copies of the photograph (21 x 17, 42 x 34, 21 x 17)",)] == lost(data)


def test_each_page_of_thumbnails_gives_its_photograph() -> None:
    """Two thumbnails, each with its photograph below: two pages, in order."""
    other = np.ascontiguousarray(G8[::-1])
    thumb: Written = (THUMB, {"subfiletype": COPY})

    first, second = shown(tree((thumb, [(G8, {})]), (thumb, [(other, {})])))

    assert np.array_equal(G8, first)
    assert np.array_equal(other, second)


@pytest.mark.parametrize("flag", [0, COPY])
def test_a_pyramid_is_its_full_page(flag: int) -> None:
    """Smaller copies below a page never win, flagged or not."""
    data = tree(((G8, {}), [(MIDDLE, {"subfiletype": flag}), (THUMB, {"subfiletype": flag})]))

    assert [True] == [np.array_equal(G8, found) for found in shown(data)]
    assert "42 x 34" in str(lost(data)[0])


def test_a_photograph_two_levels_below_or_chained_below_is_found() -> None:
    """SubIFDs may point to more, and may be followed by more."""
    strips = [THUMB.tobytes(), MIDDLE.tobytes(), G8.tobytes()]
    for nested in (False, True):
        data = bytearray(b"II*\0\0\0\0\0") + b"".join(strips)
        places = []
        starts = [8, 8 + len(strips[0]), 8 + len(strips[0]) + len(strips[1])]
        following = 0
        for pixels, start in zip((G8, MIDDLE, THUMB), starts[::-1], strict=True):
            fields = {
                tag: (kind, value)
                for tag, kind, value in gray_fields(pixels.shape[1], pixels.shape[0], 8)
            }
            fields |= {254: (4, int(pixels is not G8)), 273: (4, start), 279: (4, pixels.size)}
            if places and (nested or pixels is THUMB):
                fields[330] = (4, places[-1])
            data += bytes(len(data) % 2)
            places.append(len(data))
            following = 0 if nested or pixels is not MIDDLE else places[0]
            data += tiff_files.directory(fields, len(data), following=following)
        data[4:8] = struct.pack("<I", places[-1])

        assert [True] == [np.array_equal(G8, found) for found in shown(bytes(data))]


def test_previews_masks_and_infrared_pages_are_named() -> None:
    """As SilverFast HDRi writes them: page, preview, infrared page of full size; and a mask."""
    data = tree(
        ((G16, {}), []),
        ((THUMB, {"subfiletype": COPY}), []),
        ((G16, {"subfiletype": COPY}), []),  # tifffile knows no mask of 16 bits
        ((G8 > 128, {"subfiletype": MASK}), []),
    )
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages[2].tags[254].valueoffset  # type: ignore[union-attr]
    data = data[:at] + bytes([MASK]) + data[at + 1 :]

    assert [True] == [np.array_equal(G16, found) for found in shown(data)]
    assert [
        (
            "smaller copies of the photograph (21 x 17)",
            "page 3 of the TIFF: an infrared image or mask (83 x 67)",
            "page 4 of the TIFF: a mask (83 x 67)",
        )
    ] == lost(data)


def test_what_stands_between_pages_is_named_with_the_page_before() -> None:
    """Two pages, each followed by its thumbnail."""
    copy: Written = (THUMB, {"subfiletype": COPY})

    first, second = lost(tree(((G8, {}), []), (copy, []), ((G16, {}), []), (copy, [])))

    assert ("smaller copies of the photograph (21 x 17)",) == first == second


def test_where_all_pages_say_they_are_copies_the_thumbnail_stays_behind() -> None:
    """Some scanner programs flag everything; what is far smaller than another is the thumbnail."""
    flagged = {"subfiletype": COPY}
    data = tree(((THUMB, flagged), []), ((G8, flagged), []), ((G8[:60], flagged), []))

    assert [(67, 83), (60, 83)] == [found.shape for found in shown(data)]


@pytest.mark.parametrize("thumb", [RGB8[::5, ::5], G8[:65:5, :80:5]], ids=["color", "gray"])
@pytest.mark.parametrize("first", [True, False])
def test_a_page_that_is_a_small_copy_of_another_is_a_thumbnail_without_a_flag(
    thumb: synthetic_photos.Array, *, first: bool
) -> None:
    """As cameras write them (Exif): small, of the same shape, and no photograph of its own."""
    pages: list[tuple[Written, list[Written]]] = [((G16, {}), []), ((thumb, {}), [])]
    data = tree(*(pages[::-1] if first else pages))

    assert [True] == [np.array_equal(G16, found) for found in shown(data)]
    size = f"{thumb.shape[1]} x {thumb.shape[0]}"
    assert [(f"smaller copies of the photograph ({size})",)] == lost(data)


@pytest.mark.parametrize("size", [(67, 83), (64, 80)])
def test_pages_that_halve_down_to_a_thumbnail_are_a_pyramid(size: tuple[int, int]) -> None:
    """As ImageMagick writes one, without a flag; a photograph of its own may follow."""
    full, other = synthetic_photos.gray_scene(*size), synthetic_photos.gray_scene(90, 100)
    steps = [full[::2, ::2], full[::4, ::4], full[::8, ::8]]
    data = tree(*(((one, {"subfiletype": 2}), []) for one in (full, *steps, other)))

    first, second = shown(data)

    assert np.array_equal(full, first)
    assert np.array_equal(other, second)
    assert "smaller copies of the photograph" in lost(data)[0][0]


def test_two_pages_one_of_half_the_size_are_two_pages() -> None:
    """As of one print scanned at two resolutions."""
    assert 2 == len(shown(tree(((G8, {}), []), ((MIDDLE, {}), []))))


def test_a_second_picture_of_the_same_size_below_is_named() -> None:
    """The first one is the photograph."""
    data = tree(((THUMB, {"subfiletype": COPY}), [(G8, {}), (G16, {})]))

    assert [True] == [np.array_equal(G8, found) for found in shown(data)]
    assert "the picture below page 1 of the TIFF: another picture (83 x 67)" in lost(data)[0]


def test_small_photographs_of_other_shapes_are_pages() -> None:
    """An album holds prints of several sizes."""
    small = G8[:20, :20]
    data = tree(((G16, {}), []), ((small, {}), []), ((MIDDLE, {}), []))

    assert [G16.shape, small.shape, MIDDLE.shape] == [found.shape for found in shown(data)]


def test_a_photograph_below_that_is_refused_is_named() -> None:
    """A camera's raw data is no photograph yet; its thumbnail is not delivered in its place."""
    cfa = tree(((THUMB, {"subfiletype": COPY}), [(G16, {})]))
    with tifffile.TiffFile(io.BytesIO(cfa)) as file:
        at = file.pages.first.pages[0].tags[262].valueoffset
    raw = bytearray(cfa)
    raw[at : at + 2] = struct.pack("<H", 32803)

    with pytest.raises(ScanError, match=r"^the photograph below page 1 of the TIFF: .*camera"):
        pages_of(bytes(raw))


@pytest.mark.parametrize("flag", [0, COPY])
@pytest.mark.parametrize("beyond", [True, False])
def test_a_thumbnail_whose_photograph_cannot_be_read_is_never_the_page(
    flag: int, *, beyond: bool
) -> None:
    """The place of the photograph is beyond the end of a file cut short, or holds no directory."""
    data = tree(((THUMB, {"subfiletype": flag}), [(G8, {})]))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages.first.tags[330].valueoffset
    place = len(data) + 4 if beyond else 9
    spoiled = data[:at] + struct.pack("<I", place) + data[at + 4 :]
    if flag or beyond:
        with pytest.raises(IncompleteError, match="points to a subimage"):
            pages_of(spoiled)
    else:  # as programs leave it that copy a tag whose place means nothing any more
        assert "points to" in str(lost(spoiled))


def test_a_thumbnail_whose_photograph_states_no_size_is_never_the_page() -> None:
    """As of a camera's JPEG without size: refused, with what to do."""
    data = tree(((THUMB, {"subfiletype": COPY}), [(G8, {})]))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        below = file.pages.first.pages[0]
        rows = [below.tags[256].offset, below.tags[257].offset]
    spoiled = bytearray(data)
    for row in rows:
        spoiled[row : row + 2] = struct.pack("<H", 258)

    with pytest.raises(ScanError, match="states no size"):
        pages_of(bytes(spoiled))


def test_what_the_outer_page_says_is_said_of_the_photograph() -> None:
    """Artist, orientation, resolution and profile stand with the thumbnail in many files."""
    profile = b"a profile" * 20
    outer = {
        "subfiletype": COPY,
        "resolution": (300, 300),
        "resolutionunit": 2,
        "iccprofile": profile,
        "extratags": [(315, 2, 4, "J.P.", True), (274, 3, 1, 6, True)],
    }
    (page,) = pages_of(tree(((THUMB, outer), [(G8, {"extratags": [(282, 5, 1, (7, 1), True)]})])))

    assert {315: ifd.Value(2, b"J.P.\0")} == _without_software(page)
    assert (6, profile) == (page.orientation, page.metadata.profile)
    (page,) = pages_of(tree(((THUMB, outer), [(G8, {"resolution": (600, 600)})])))

    assert (600.0, 600.0) == page.metadata.dpi


def _without_software(page: DecodedImage) -> ifd.Directory:
    main = exif.read(page.metadata.exif).main
    return {tag: value for tag, value in main.items() if tag != 305}


@pytest.mark.parametrize("kind", [3, 4, 9, 13])
def test_a_pointer_of_any_whole_number_is_followed(kind: int) -> None:
    """Short, long, signed, or the type of its own."""
    data = bytearray(tree(((THUMB, {"subfiletype": COPY}), [(G8, {})])))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages.first.tags[330].offset
    data[at + 2 : at + 4] = struct.pack("<H", kind)

    assert [True] == [np.array_equal(G8, found) for found in shown(bytes(data))]


@pytest.mark.parametrize("kind", [2, 7, 99])
def test_a_pointer_of_no_whole_number_costs_a_thumbnail(kind: int) -> None:
    """What it points to may be the photograph, so the thumbnail is not delivered in its place."""
    data = bytearray(tree(((THUMB, {"subfiletype": COPY}), [(G8, {})])))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages.first.tags[330].offset
    data[at + 2 : at + 4] = struct.pack("<H", kind)

    with pytest.raises(IncompleteError, match=r"points to a subimage|tag 330"):
        pages_of(bytes(data))


@pytest.mark.parametrize("flag", [0, COPY])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_directory_half_written_is_never_taken_for_a_thumbnails(order: str, flag: int) -> None:
    """Its size was set first and zeros stand where its end will be: refused as incomplete."""
    data = tree(((THUMB, {"subfiletype": flag}), [(G16, {"compression": "zlib"})]), byteorder=order)
    # Without a flag, half of the thumbnail's own directory is that of a page.
    for end in range(1 if flag else 224, len(data), 3):
        try:
            found = shown(data[:end].ljust(len(data), b"\0"))
        except (IncompleteError, *DECODER_ERRORS):
            continue

        assert [True] == [np.array_equal(G16, one) for one in found], end


def test_a_circle_below_a_page_is_left() -> None:
    """A SubIFD that points to its own page ends nowhere, and costs nothing."""
    data = bytearray(plain([*gray_fields(4, 4, 8), (330, 4, 1)], [bytes(range(16))]))
    at = data.index(struct.pack("<HH", 330, 4))
    data[at + 8 : at + 12] = data[4:8]

    assert [(4, 4)] == [found.shape for found in shown(bytes(data))]
