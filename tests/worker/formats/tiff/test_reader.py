"""Reading TIFFs: pixels as other programs see them, by bands, and nothing that is not a page."""

import io
import itertools
import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support import synthetic_photos, tiff_files
from tests.support.tiff_files import codes_of, gray_fields, only, pages_of, plain, written
from worker.errors import ScanError
from worker.formats.open_image import DECODER_ERRORS
from worker.formats.tiff import pixels as tiff_pixels
from worker.formats.tiff import reader
from worker.settings import ReadSettings

REFUSED = (ScanError, *DECODER_ERRORS)
G8, G16 = synthetic_photos.gray_scene(67, 83), synthetic_photos.gray_scene(67, 83, 16)
RGB8 = synthetic_photos.color_scene(67, 83)
RGB16 = RGB8.astype(np.uint16) * 257 - 3
LAYOUTS = {"strip": {}, "strips": {"rowsperstrip": 7}, "tiles": {"tile": (32, 48)}}
CLASSES = {"none": None, "deflate": "zlib", "lzw": "lzw", "packbits": "packbits", "zstd": "zstd"}
PREDICTED = {"deflate", "lzw", "zstd"}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", CLASSES)
@pytest.mark.parametrize("name", ["g8", "g16", "rgb8", "rgb16"])
def test_every_way_of_storing_gives_the_pixels(
    name: str, compression: str, order: str, layout: str
) -> None:
    """Depth, compression, byte order, strips or tiles, predictor, BigTIFF: the same codes."""
    pixels = {"g8": G8, "g16": G16, "rgb8": RGB8, "rgb16": RGB16}[name]
    for predictor, big in itertools.product({False, compression in PREDICTED}, (False, True)):
        options = {"compression": CLASSES[compression], "predictor": predictor, "bigtiff": big}

        picture, codes = only(written(pixels, byteorder=order, **options, **LAYOUTS[layout]))

        assert np.array_equal(pixels.reshape(67, 83, -1), codes)
        assert pixels.dtype == codes.dtype
        assert (8 * pixels.itemsize, compression, order == ">", big, True) == (
            picture.encoding.bits,
            picture.encoding.compression,
            picture.encoding.big_endian,
            picture.encoding.big_tiff,
            picture.encoding.lossless,
        )


@pytest.mark.parametrize("compression", CLASSES)
@pytest.mark.parametrize("pixels", [G8, G16])
def test_white_is_high_also_where_zero_is_white(
    pixels: synthetic_photos.Array, compression: str
) -> None:
    """MinIsWhite comes out inverted, at 16 bits too, where Pillow gives a negative."""
    data = written(~pixels, photometric="miniswhite", compression=CLASSES[compression])

    assert np.array_equal(pixels, only(data)[1][..., 0])


@pytest.mark.parametrize("compression", [None, "group3", "group4", "tiff_ccitt", "packbits"])
@pytest.mark.parametrize("photometric", [0, 1])
def test_black_and_white_pages_of_libtiff_are_read(
    compression: str | None, photometric: int
) -> None:
    """One bit, CCITT or not, zero white or black: as Pillow reads it."""
    data = tiff_files.pillows(
        Image.fromarray(G8 > 128), compression=compression, tiffinfo={262: photometric}
    )
    with Image.open(io.BytesIO(data)) as picture:
        expected = np.asarray(picture.convert("L"))

    page, codes = only(data)

    assert np.array_equal(expected, codes[..., 0])
    assert page.encoding.bits == 1
    assert page.encoding.compression in {"none", "packbits", "deflate"}


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("fill_order", [1, 2])
def test_few_bits_are_stretched_to_all_of_a_byte(bits: int, fill_order: int) -> None:
    """1, 2 and 4 bits, rows padded to bytes, bits in either order: black is 0 and white is 255."""
    samples = (np.arange(5 * 21).reshape(5, 21) * 7 % (1 << bits)).astype(np.uint8)
    strip = bytes(imagecodecs.packints_encode(samples, bits, runlen=21))
    if fill_order == 2:
        strip = bytes(imagecodecs.bitorder_encode(strip))
    expected = samples * (255 // ((1 << bits) - 1))

    page, codes = only(plain(gray_fields(21, 5, bits, t266=fill_order), [strip]))

    assert np.array_equal(expected, codes[..., 0])
    assert bits == page.encoding.bits


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True}])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_floating_point_becomes_16_bits(
    order: str, photometric: str, options: dict[str, object]
) -> None:
    """0 to 1 in floating point is 0 to 65535, rounded; white high."""
    real = G16.astype(np.float32) / np.float32(65535)
    data = written(real, photometric=photometric, byteorder=order, **options)

    page, codes = only(data)

    assert np.array_equal(G16 if photometric == "minisblack" else ~G16, codes[..., 0])
    assert page.encoding.bits == 32


@pytest.mark.parametrize(("bad", "named"), [(1.5, "1.5"), (-0.25, "-0.25"), (np.nan, "nan")])
def test_floating_point_beyond_white_is_refused_by_its_range(bad: float, named: str) -> None:
    """Samples that are no shade between black and white are refused, and the range is said."""
    real = np.full((9, 9), 0.5, np.float32)
    real[4, 4] = bad
    (page,) = pages_of(written(real))

    with pytest.raises(ScanError, match=f"from .*{named}|to {named}"):
        list(page.bands())


def test_colors_of_a_palette_are_looked_up() -> None:
    """8-bit palettes give 8 bits, also where a program wrote bytes for words; finer ones 16."""
    table = np.random.default_rng(3).integers(0, 256, (3, 256), dtype=np.uint16)
    fine = table * 257 + 5
    for stored, expected in (
        (table * 257, table),
        (table * 256, table),
        (table, table),
        (fine, fine),
    ):
        page, codes = only(written(G8, photometric="palette", colormap=stored))

        assert np.array_equal(expected.T[G8], codes)
        assert (page.samples, 8 * codes.itemsize) == (3, page.encoding.bits)


@pytest.mark.parametrize("pixels", [RGB8, RGB16])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planes_one_after_another_are_put_together(
    pixels: synthetic_photos.Array, layout: str, compression: str | None
) -> None:
    """Separate planes give the same codes as pixel by pixel."""
    planes = np.moveaxis(pixels, -1, 0)
    data = written(planes, planarconfig="separate", compression=compression, **LAYOUTS[layout])

    assert np.array_equal(pixels, only(data)[1])


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2)])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 16}, {"tile": (32, 48)}, {}])
def test_jpeg_inside_is_rgb(subsampling: tuple[int, int], layout: dict[str, object]) -> None:
    """YCbCr JPEG in strips and tiles decodes as tifffile decodes it, and counts as lossy."""
    data = written(RGB8, compression="jpeg", subsampling=subsampling, **layout)

    page, codes = only(data)

    assert np.array_equal(tifffile.imread(io.BytesIO(data)), codes)
    assert ("jpeg", False) == (page.encoding.compression, page.encoding.lossless)


def test_old_style_jpeg_is_read() -> None:
    """Compression 6 with one whole JPEG stream, as cameras and Wang Imaging wrote it."""
    stream = synthetic_photos.encoded("JPEG", G8)
    fields = [*gray_fields(83, 67, 8, t259=6), (513, 4, 8), (514, 4, len(stream))]

    page, codes = only(plain(fields, [stream]))

    assert np.array_equal(np.asarray(Image.open(io.BytesIO(stream))), codes[..., 0])
    assert not page.encoding.lossless


@pytest.mark.parametrize("pixels", [G8, G16, RGB8, RGB16])
def test_opacity_is_kept(pixels: synthetic_photos.Array) -> None:
    """Unassociated alpha comes beside the colors as it is."""
    top = np.iinfo(pixels.dtype).max
    alpha = np.linspace(0, top, 83).astype(pixels.dtype) * np.ones((67, 1), pixels.dtype)
    both = np.dstack([pixels, alpha])
    kind = "minisblack" if pixels.ndim == 2 else "rgb"

    page, codes = only(
        written(both, photometric=kind, extrasamples=["unassalpha"], planarconfig="contig")
    )

    assert page.alpha
    assert np.array_equal(both, codes)


def test_colors_multiplied_by_opacity_are_divided_again() -> None:
    """Associated alpha is undone to within what its rounding lost."""
    alpha = np.full_like(G16, 40000)
    multiplied = (G16.astype(np.float64) * alpha / 65535).round().astype(np.uint16)
    both = np.dstack([multiplied, alpha])

    page, codes = only(
        written(both, photometric="minisblack", extrasamples=["assocalpha"], planarconfig="contig")
    )

    assert page.alpha
    assert np.abs(codes[..., 0].astype(int) - G16).max() <= 1


def test_other_extra_samples_are_dropped_and_said() -> None:
    """A fourth sample of no stated meaning is not taken for opacity."""
    four = np.dstack([RGB8, G8])

    page, codes = only(written(four, extrasamples=["unspecified"]))

    assert not page.alpha
    assert np.array_equal(RGB8, codes)
    assert any("extra samples" in lost for lost in page.metadata.lost)


def test_inks_become_colors() -> None:
    """CMYK without a profile: no ink is white, black is black, and a broken profile is said."""
    inks = np.zeros((4, 4, 4), np.uint8)
    inks[0, 0, 3] = 255
    inks[1, 1, 0] = 255

    page, codes = only(written(inks, photometric="separated", iccprofile=b"no profile" * 20))

    assert [0, 0, 0] == codes[0, 0].tolist()
    assert [0, 255, 255] == codes[1, 1].tolist()
    assert [255, 255, 255] == codes[3, 3].tolist()
    assert page.metadata.profile == b""
    assert any("inks" in lost for lost in page.metadata.lost)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (plain(gray_fields(4, 4, 8, t259=34676), [bytes(16)]), "SGILOG"),
        (plain(gray_fields(4, 4, 8, t259=12345), [bytes(16)]), "number 12345"),
        (plain(gray_fields(4, 4, 8, t277=500), [bytes(8000)]), "500 samples"),
        (plain(gray_fields(0, 4, 8), [b"x"]), "no pixels"),
        (plain(gray_fields(4, 4, 8, t262=3), [bytes(16)]), "palette is missing"),
        (plain(gray_fields(4, 4, 8, t273=0), [bytes(16)]), "missing"),
        (plain(gray_fields(4, 4, 8), [bytes(16)])[:20], "directory"),
        (plain([f for f in gray_fields(4, 4, 8) if f[0] != 262], [bytes(16)]), "black or white"),
        (plain(gray_fields(4, 4000, 8, t278=1), [bytes(4)] * 3), "lists 3 offsets"),
        (b"II*\0" + bytes(12), "no page"),
    ],
)
def test_what_is_no_photograph_is_refused_in_words(data: bytes, reason: str) -> None:
    """Each refusal says what was found, before anything is decoded."""
    with pytest.raises(ScanError, match=reason):
        pages_of(data)


def test_bands_stay_small_however_the_page_is_stored() -> None:
    """Strips, tiles and one huge plain strip are read in bands; memory holds a few of them."""
    pixels = np.tile(synthetic_photos.gray_scene(500, 4000, 16), (12, 1))  # 48 MB
    for options in ({}, {"compression": "zlib"}, {"tile": (256, 256), "compression": "zlib"}):
        file = io.BytesIO(written(pixels, **options))
        tracemalloc.start()
        (page,) = reader.read(file, ReadSettings())
        largest, top = 0, 0
        for band in page.bands():
            assert np.array_equal(pixels[top : top + len(band)], band[..., 0])
            largest, top = max(largest, band.size), top + len(band)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

        assert len(pixels) == top
        assert largest <= tiff_pixels.BAND_PIXELS + 256 * 4000
        assert peak < 30e6, f"{options} took {peak / 1e6:.0f} MB for a page of 48 MB"


@pytest.mark.parametrize("order", ["<", ">"])
def test_strips_may_stand_anywhere(order: str) -> None:
    """Plain strips in another order than their rows', with gaps between, are put in theirs."""
    rows = [bytes([10 * row + column for column in range(4)]) for row in range(4)]
    places = [28, 20, 24, 8]
    body = bytearray(24)
    for place, row in zip(places, rows, strict=True):
        body[place - 8 : place - 4] = row
    fields = [*gray_fields(4, 4, 8, t278=1), (273, 4, places), (279, 4, [4] * 4)]

    codes = only(plain(fields, [bytes(body)], order=order))[1]

    assert b"".join(rows) == codes.tobytes()


def test_bands_may_be_taken_again_and_side_by_side() -> None:
    """Two readings of one page, and of two pages, do not disturb each other."""
    data = _two_pages(G16, ~G16)
    first, second = pages_of(data)

    for a, b, again in zip(first.bands(), second.bands(), first.bands(), strict=True):
        assert np.array_equal(~a, b)
        assert np.array_equal(a, again)


@pytest.mark.parametrize("compression", [*CLASSES, "jpeg", "group4"])
def test_a_file_cut_short_is_never_taken_for_whole(compression: str) -> None:
    """Cut at each sixteenth, strips first and last: refused, or the pixels are all there."""
    if compression == "group4":
        whole = tiff_files.pillows(Image.fromarray(G8 > 128), compression="group4")
    else:
        whole = written(G8, compression=CLASSES.get(compression, compression), rowsperstrip=16)
    expected = only(whole)[1]
    for part in range(1, 16):
        try:
            found = only(whole[: len(whole) * part // 16])[1]
        except REFUSED:
            continue

        assert np.array_equal(expected, found), part


def test_a_file_cut_short_is_refused_before_it_is_decoded() -> None:
    """Where the directory stands first, the strips that are missing are seen at once."""
    whole = written(G16, compression="zlib", rowsperstrip=5)

    with pytest.raises(ScanError, match=r"cut short: strip .* of 14 ends at byte"):
        pages_of(whole[: len(whole) // 2])


def test_a_strip_said_to_be_huge_is_not_read_whole() -> None:
    """A strip's size may be anything; no more is read than its pixels can need."""
    strip = zlib.compress(bytes(16)) + bytes(20_000_000)
    file = io.BytesIO(plain(gray_fields(4, 4, 8, t259=8), [strip]))
    tracemalloc.start()
    (page,) = reader.read(file, ReadSettings())
    pixels = codes_of(page)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert not pixels.any()
    assert peak < 5e6


def test_pages_of_one_form_may_have_other_fax_options() -> None:
    """Two pages alike but for T.4's options are each decoded with their own."""
    strips, options = [], []
    for two_dimensional in (0, 1):
        data = tiff_files.pillows(
            Image.fromarray(G8 > 128),
            compression="group3",
            tiffinfo={278: 67, 262: 0, 292: two_dimensional},
        )
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages.first
            start, size = page.dataoffsets[0], page.databytecounts[0]
            strips.append(data[start : start + size])
            options.append(page.tags.valueof(292))
    body = b"".join(strips)
    at = 8 + len(body) + len(body) % 2
    album = b"II*\0" + struct.pack("<I", at) + body + bytes(len(body) % 2)
    places = (8, 8 + len(strips[0]))
    for place, strip, option in zip(places, strips, options, strict=True):
        fields = {tag: (kind, value) for tag, kind, value in gray_fields(83, 67, 1, t259=3, t262=0)}
        fields |= {273: (4, place), 279: (4, len(strip)), 292: (4, option)}
        end = len(album) + len(tiff_files.directory(fields, 0))
        album += tiff_files.directory(fields, len(album), following=end if place == 8 else 0)

    first, second = pages_of(album)

    assert [0, 1] == options
    assert np.array_equal(codes_of(first), codes_of(second))


@pytest.mark.parametrize("compression", ["deflate", "lzw", "packbits", "zstd", "jpeg", "none"])
def test_a_strip_cut_short_is_damage(compression: str) -> None:
    """A strip that says it is shorter than it must be gives no zeros."""
    name = CLASSES.get(compression, compression)
    data = bytearray(
        written(synthetic_photos.gray_scene(64, 64), compression=name, rowsperstrip=64)
    )
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        tag = file.pages.first.tags[279]
        size = int(file.pages.first.databytecounts[0])
    shorter = size * 2 // 3
    data[tag.valueoffset : tag.valueoffset + 4] = struct.pack("<I", shorter)
    (page,) = pages_of(bytes(data))
    if compression == "none":  # such a strip's size is known, whatever is said of it
        assert np.array_equal(synthetic_photos.gray_scene(64, 64), codes_of(page)[..., 0])
        return

    with pytest.raises(REFUSED):
        list(page.bands())


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
@pytest.mark.parametrize("white", [9, 10, 73, 84, 143])
def test_sound_fax_codes_are_read(compression: str, white: int) -> None:
    """Also where the last code of a strip ends in a byte of zeros, which is no hole."""
    page = np.zeros((4, 400), np.bool_)
    page[:, 395 - white : 400 - white] = True
    tags = {278: 4, 262: 0}
    data = tiff_files.pillows(Image.fromarray(page), compression=compression, tiffinfo=tags)

    assert np.array_equal(page, only(data)[1][..., 0] > 0)


def test_damage_anywhere_ends_in_pages_or_a_refusal() -> None:
    """Bytes changed at random (fixed seed) crash nothing; what is read has its promised form."""
    rng = random.Random(4)  # noqa: S311
    wholes = [
        written(G8, compression="zlib", rowsperstrip=9, predictor=True),
        written(RGB8, compression="jpeg", rowsperstrip=16),
        written(G16, compression="lzw", tile=(32, 32), bigtiff=True),
        tiff_files.pillows(Image.fromarray(G8 > 128), compression="group3"),
        _two_pages(G16, G16),
    ]
    read = 0
    for whole, _ in itertools.product(wholes, range(40)):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 12)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            pages = pages_of(bytes(data), ReadSettings(megapixels=1))
            for page in pages:
                assert page.height == len(codes_of(page))
                read += 1
        except REFUSED:
            continue

    assert read > 10


def test_a_picture_inside_that_is_larger_than_its_strip_is_refused() -> None:
    """A JPEG of 400 megapixels in a strip of 64 rows is not decoded."""
    stream = bytearray(synthetic_photos.encoded("JPEG", G8[:64, :64]))
    at = stream.index(b"\xff\xc0")
    stream[at + 5 : at + 9] = struct.pack(">HH", 20000, 20000)
    (page,) = pages_of(plain(gray_fields(64, 64, 8, t259=7), [bytes(stream)]))

    with pytest.raises(ScanError, match="20000 x 20000"):
        list(page.bands())


def test_every_full_size_page_is_a_picture() -> None:
    """Pages come in order; smaller copies, masks and thumbnails in a subdirectory do not."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(G8, subifds=1)
        writer.write(G8[::2, ::2], subfiletype=1)
        writer.write(G8[::4, ::4], subfiletype=1)
        writer.write(G8 > 128, subfiletype=4)
        writer.write(G16, compression="zlib", subfiletype=2)

    first, second = pages_of(file.getvalue())

    assert np.array_equal(G8, codes_of(first)[..., 0])
    assert np.array_equal(G16, codes_of(second)[..., 0])
    assert (8, 16) == (first.encoding.bits, second.encoding.bits)


def test_an_only_page_that_calls_itself_a_copy_is_read() -> None:
    """Some scanner programs mark the one page they write as a smaller copy."""
    assert np.array_equal(G8, only(written(G8, subfiletype=1))[1][..., 0])


def test_the_limit_counts_all_pages() -> None:
    """Pages that pass one by one are refused when together they are too large."""
    data = _two_pages(G8, G8)

    with pytest.raises(ScanError, match=r"with the pages before it.*limits\.megapixels allows"):
        pages_of(data, ReadSettings(megapixels=67 * 83 * 1.5 / 1e6))


@pytest.mark.parametrize("length", [1, 2, 150])
def test_pages_in_a_circle_are_refused(length: int) -> None:
    """A chain of directories that comes back on itself is named so, at once."""
    data = bytearray(b"II*\0" + struct.pack("<I", 8))
    size = len(tiff_files.directory({256: (4, 1)}, 8))
    for number in range(length):
        following = 8 + size * ((number + 1) % length)
        data += tiff_files.directory({256: (4, 1)}, 8 + size * number, following=following)

    with pytest.raises(ScanError, match=f"loop after page {length}"):
        pages_of(bytes(data))


def test_a_million_pages_are_refused() -> None:
    """More pages than any album has are counted, not loaded."""
    size = len(tiff_files.directory({256: (4, 1)}, 8))
    row = bytearray(tiff_files.directory({256: (4, 1)}, 8))
    data = bytearray(b"II*\0" + struct.pack("<I", 8))
    for number in range(10_002):
        row[-4:] = struct.pack("<I", 8 + size * (number + 1))
        data += row

    with pytest.raises(ScanError, match="more than 10,000 pages"):
        pages_of(bytes(data))


def test_a_directory_of_a_billion_strips_is_refused() -> None:
    """A number of strips that would fill the memory is refused before it is read."""
    fields = [f for f in gray_fields(4, 4, 8) if f[0] != 273]
    data = bytearray(plain(fields, [bytes(16)]))
    at = data.index(struct.pack("<HH", 273, 4))
    data[at + 4 : at + 8] = struct.pack("<I", 1_000_000_000)

    with pytest.raises(ScanError, match="more than any photograph needs"):
        pages_of(bytes(data))


def test_tiles_far_larger_than_the_page_are_refused() -> None:
    """A tile of 4 gigapixels for a page of 16 pixels is not given memory."""
    fields = [f for f in gray_fields(4, 4, 8, t259=8) if f[0] != 278]
    fields += [(322, 4, 65536), (323, 4, 65536), (324, 4, 8), (325, 4, 16)]

    with pytest.raises(ScanError, match="larger than its page"):
        pages_of(plain(fields, [bytes(16)]))


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    rows=st.integers(1, 80),
    deep=st.booleans(),
    compression=st.sampled_from(list(CLASSES.values())),
    band=st.integers(1, 2000),
)
def test_any_size_and_any_strips(
    height: int, width: int, rows: int, compression: str | None, band: int, *, deep: bool
) -> None:
    """Whatever the page's size, its strips and the size of a band, the rows come once, in order."""
    pixels = synthetic_photos.gray_scene(height, width, 16 if deep else 8)
    data = written(pixels, rowsperstrip=rows, compression=compression)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiff_pixels, "BAND_PIXELS", band)

        assert np.array_equal(pixels, only(data)[1][..., 0])


def test_a_file_on_disk_reads_as_one_in_memory(tmp_path: Path) -> None:
    """Bands read from an open file are the same, and the file stays open."""
    path = tmp_path / "scan.tif"
    path.write_bytes(written(G16, compression="zlib", rowsperstrip=5))
    with path.open("rb") as file:
        (page,) = reader.read(file, ReadSettings())

        assert np.array_equal(G16, codes_of(page)[..., 0])
        assert not file.closed


def _two_pages(first: synthetic_photos.Array, second: synthetic_photos.Array) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for pixels in (first, second):
            writer.write(pixels, photometric="minisblack", compression="zlib", metadata=None)
    return file.getvalue()


@pytest.mark.parametrize("compression", ["lzw", "deflate", "packbits"])
@pytest.mark.parametrize("padding", [bytes(1), bytes(70), bytes(4096), b"\xff" * 30, b"\x80" * 9])
def test_what_follows_the_codes_of_a_strip_is_padding(compression: str, padding: bytes) -> None:
    """Zeros or anything behind a strip that is whole cost nothing."""
    encode = {
        "lzw": imagecodecs.lzw_encode,
        "deflate": imagecodecs.zlib_encode,
        "packbits": imagecodecs.packbits_encode,
    }
    number = {"lzw": 5, "deflate": 8, "packbits": 32773}[compression]
    strips = [bytes(encode[compression](G8[top : top + 30].tobytes())) for top in (0, 30, 60)]
    fields = gray_fields(83, 67, 8, t259=number, t278=30)

    assert np.array_equal(G8, only(plain(fields, [one + padding for one in strips]))[1][..., 0])


@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits", "jpeg"])
def test_strips_whose_sizes_are_not_told_reach_to_the_next(compression: str) -> None:
    """Or to the file's end, as of scanner programs that leave StripByteCounts out."""
    whole = written(G8, compression=CLASSES.get(compression, compression), rowsperstrip=16)
    expected = only(whole)[1]
    with tifffile.TiffFile(io.BytesIO(whole)) as file:
        at = file.pages.first.tags[279].offset
    unsized = bytearray(whole)
    unsized[at : at + 2] = struct.pack("<H", 65001)

    assert np.array_equal(expected, only(bytes(unsized))[1])
