"""JPEG inside TIFF: old-style in all its ways, padding behind the end, and what is cut short."""

import io
import itertools
import random
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tests.support import synthetic_photos
from tests.support.old_style_jpeg import in_tags, parts_of
from tests.support.tiff_files import codes_of, gray_fields, only, pages_of, plain
from worker.errors import IncompleteError, ScanError
from worker.formats.tiff import jpeg_in_tiff

G8 = synthetic_photos.gray_scene(64, 80)
RGB8 = synthetic_photos.color_scene(64, 80)
STEPS = {(1, 1): 0, (2, 1): 1, (2, 2): 2}  # Pillow's numbers of subsampling
TABLES, FRAME, SCAN, APP = (0xDB, 0xC4), (0xC0,), (0xDA,), (0xE0,)


def stream_of(pixels: synthetic_photos.Array, **options: object) -> bytes:
    """Return a baseline JPEG with the usual tables, so that all of one quality share them."""
    return synthetic_photos.encoded("JPEG", pixels, quality=90, **options)


def segment(code: int, body: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def shown(stream: bytes) -> synthetic_photos.Array:
    """Decode a JPEG by another way than photochrom's: (H, W, samples)."""
    pixels = np.asarray(Image.open(io.BytesIO(stream)))
    return pixels.reshape(*pixels.shape[:2], -1)


@pytest.mark.parametrize("gray", [True, False])
@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("kind", ["header", "inside", "whole", "unsized", "only"])
def test_old_style_jpeg_with_a_stream_is_read(kind: str, *, ended: bool, gray: bool) -> None:
    """Strips of codes inside a stream, behind its header, the whole, of no stated length, none."""
    stream = stream_of(G8 if gray else RGB8)
    start = len(stream) - len(parts_of(stream)[1]) - 2
    strip = (8 + start, len(stream) - start - (0 if ended else 2))
    if kind == "whole":
        strip = (8, len(stream))
    length = {"header": start, "unsized": 0}.get(kind, len(stream))
    fields = gray_fields(80, 64, 8, t259=6, t262=1 if gray else 6, t277=1 if gray else 3)
    fields += [(513, 4, 8), *([(514, 4, length)] if length else [])]
    fields += [(273, 4, strip[0]), (279, 4, strip[1])]
    if kind == "only":
        fields = [field for field in fields if field[0] not in {273, 279}]

    page, codes = only(plain(fields, [stream]))

    assert np.array_equal(shown(stream), codes)
    assert ("jpeg", False) == (page.encoding.compression, page.encoding.lossless)


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize("rows", [64, 16])
def test_gray_old_style_jpeg_with_tables_in_tags_is_read(rows: int, *, ended: bool) -> None:
    """One strip or several, each with codes of its own, with or without an end marker."""
    streams = [stream_of(G8[top : top + rows]) for top in range(0, 64, rows)]

    codes = only(in_tags(streams, rows, ended=ended, gray=True))[1]

    assert np.array_equal(np.concatenate([shown(stream) for stream in streams]), codes)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("rows", [64, 16])
def test_old_style_jpeg_in_color_is_read(rows: int, steps: tuple[int, int]) -> None:
    """YCbCr of each usual subsampling becomes RGB."""
    streams = [
        stream_of(RGB8[top : top + rows], subsampling=STEPS[steps]) for top in range(0, 64, rows)
    ]

    page, codes = only(in_tags(streams, rows, ended=True, gray=False, t530=list(steps)))

    assert np.array_equal(np.concatenate([shown(stream) for stream in streams]), codes)
    assert 3 == page.samples


def test_restart_markers_that_count_on_are_read() -> None:
    """Strips cut from one stream at its restarts: each begins with a marker, of any number."""
    stream = stream_of(G8, restart_marker_rows=1)
    segments, codes = parts_of(stream)
    pieces = jpeg_in_tiff.RESTARTS.split(codes)
    marked = [
        b"".join(bytes([0xFF, 0xD0 + (at + n) % 8]) + pieces[at + n] for n in range(2))
        for at in range(0, 8, 2)
    ]
    head = b"\xff\xd8" + b"".join(segment(*one) for one in segments)
    starts = list(itertools.accumulate([8 + len(head), *map(len, marked[:-1])]))
    fields = gray_fields(80, 64, 8, t259=6, t278=16)
    fields += [(513, 4, 8), (514, 4, len(head)), (273, 4, starts)]
    fields += [(279, 4, [len(one) for one in marked])]

    assert np.array_equal(shown(stream), only(plain(fields, [head, *marked]))[1])


def test_a_stream_of_tables_alone_is_enough() -> None:
    """Frame and scan are made from the TIFF's own tags where the stream has none."""
    stream = stream_of(RGB8, subsampling=2)
    segments, codes = parts_of(stream)
    head = b"\xff\xd8" + b"".join(segment(*one) for one in segments if one[0] in TABLES)
    fields = gray_fields(80, 64, 8, t259=6, t262=6, t277=3)
    fields += [(513, 4, 8), (514, 4, len(head)), (273, 4, 8 + len(head)), (279, 4, len(codes))]

    assert np.array_equal(shown(stream), only(plain(fields, [head, codes]))[1])


@pytest.mark.parametrize("part", range(2, 16))
def test_codes_that_are_cut_short_are_damage(part: int) -> None:
    """Without an end marker, libjpeg would draw what is missing in gray."""
    stream = stream_of(G8)
    codes = parts_of(stream)[1]
    cut = stream[: -2 - len(codes)] + codes[: len(codes) * part // 16] + b"\xff\xd9"
    (page,) = pages_of(in_tags([cut], 64, ended=False, gray=True))

    with pytest.raises(IncompleteError, match="old-style JPEG is cut short"):
        codes_of(page)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ([(512, 3, 14)], r"old-style lossless JPEG, .*convert it with .*tiffcp"),
        ([], r"old-style JPEG without its tables; convert it with"),
        ([(513, 4, 1 << 30)], r"old-style JPEG without its tables; convert it with"),
        ([(519, 4, [8] * 9), (520, 4, 8), (521, 4, 8)], "without its tables"),
        ([(322, 4, 16), (323, 4, 16), (324, 4, 8), (325, 4, 9)], "old-style JPEG in tiles"),
    ],
)
def test_old_style_jpeg_that_cannot_be_read_says_what_to_do(
    tags: list[tuple[int, int, object]], reason: str
) -> None:
    """In the field's words, before anything is decoded."""
    data = plain([*gray_fields(16, 16, 8, t259=6), *tags], [bytes(300)])

    with pytest.raises(ScanError, match=reason):
        pages_of(data)


@pytest.mark.parametrize("compression", [6, 7])
@pytest.mark.parametrize(
    "padding",
    [
        b"",
        bytes(1),
        bytes(60),
        bytes(70),
        bytes(4096),
        b"\xff" * 99,
        random.Random(1).randbytes(500),  # noqa: S311 - the same each time
    ],
    ids=lambda padding: str(len(padding)),
)
@pytest.mark.parametrize("tiled", [False, True])
def test_what_follows_the_end_of_a_jpeg_is_padding(
    padding: bytes, compression: int, *, tiled: bool
) -> None:
    """Zeros or rubbish behind the end marker of a strip or tile cost nothing."""
    stream = stream_of(G8)
    fields = gray_fields(80, 64, 8, t259=compression)
    if tiled and compression == 7:
        stored = [
            stream_of(np.ascontiguousarray(G8[:, left : left + 16])) for left in range(0, 80, 16)
        ]
        places = list(itertools.accumulate([8, *(len(one) + len(padding) for one in stored[:-1])]))
        sizes = [len(one) + len(padding) for one in stored]
        fields = [field for field in fields if field[0] != 278]
        fields += [(322, 4, 16), (323, 4, 64), (324, 4, places), (325, 4, sizes)]
        expected = np.concatenate([shown(one) for one in stored], axis=1)
    else:
        stored, expected = [stream], shown(stream)

    data = plain(fields, [one + padding for one in stored])

    assert np.array_equal(expected, only(data)[1])


@pytest.mark.parametrize("tail", [b"", bytes(100), b"\xff\xd9"[:1]])
@pytest.mark.parametrize("end", [30, 200, 700, -3])
def test_a_jpeg_that_ends_before_its_end_is_cut_short(end: int, tail: bytes) -> None:
    """Also where its header holds the end marker of a thumbnail."""
    thumbnail = segment(0xE1, b"Exif\0\0" + stream_of(G8[:8, :8]))
    stream = stream_of(G8)
    cut = stream[:2] + thumbnail + stream[2:end]
    (page,) = pages_of(plain(gray_fields(80, 64, 8, t259=7), [cut + tail]))

    with pytest.raises(IncompleteError, match="cut short"):
        codes_of(page)


def test_a_strip_that_is_no_jpeg_is_damage() -> None:
    """Its reason is in words."""
    (page,) = pages_of(plain(gray_fields(80, 64, 8, t259=7), [bytes(500)]))

    with pytest.raises(IncompleteError, match="does not start with a JPEG marker"):
        codes_of(page)


def test_twelve_bits_are_told_by_the_frame() -> None:
    """What a JPEG says of its picture."""
    stream = bytes(imagecodecs.jpeg8_encode(G8.astype(np.uint16) << 4, 90, bitspersample=12))

    found = jpeg_in_tiff.frame(stream + bytes(9))

    assert (80, 64, 1, 12, len(stream)) == (
        found.width,
        found.height,
        found.samples,
        found.bits,
        found.end,
    )
