"""BMP and PBM, PGM, PPM: every kind is read as it was stored, damage is never read."""

import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support import output_pages, synthetic_photos
from tests.support.synthetic_photos import Array
from worker.color import cielab, icc
from worker.errors import ScanError
from worker.formats import bmp_pnm
from worker.formats.image import DecodedImage


def pnm(data: bytes) -> DecodedImage:
    """Read a PBM, PGM or PPM."""
    return output_pages.picture(bmp_pnm.read_pnm, data)


def bmp(data: bytes) -> DecodedImage:
    """Read a BMP."""
    return output_pages.picture(bmp_pnm.read_bmp, data)


def raw(kind: int, codes: Array, white: int) -> bytes:
    """Write a raw PGM (5) or PPM (6)."""
    height, width = codes.shape[:2]
    stored = codes.astype(">u1" if white < 256 else ">u2").tobytes()
    return f"P{kind} {width}\n{height} {white}\n".encode() + stored


def plain(kind: int, codes: Array, white: int) -> bytes:
    """Write a PGM (2) or PPM (3) in digits, with comments."""
    height, width = codes.shape[:2]
    digits = "\n".join(" ".join(map(str, row.reshape(-1))) for row in codes)
    return f"P{kind}\n# made by hand\n{width} # wide\n{height}\n{white}\n{digits}\n".encode()


@pytest.mark.parametrize("white", [1, 15, 255, 256, 1023, 4095, 65534, 65535])
@pytest.mark.parametrize("kind", [2, 3, 5, 6])
def test_white_is_white_at_every_depth(kind: int, white: int) -> None:
    """Gray and color, raw and in digits, whatever the code of white: stretched exactly."""
    samples = 3 if kind in {3, 6} else 1
    codes = np.random.default_rng(kind).integers(0, white + 1, (11, 7, samples))
    codes[0, :2] = [[0], [white]]
    found = pnm((plain if kind < 4 else raw)(kind, codes, white))
    top = 255 if white < 256 else 65535
    got = output_pages.pixels(found)

    assert (11, 7, samples, False) == (found.height, found.width, found.samples, found.alpha)
    assert (8 if white < 256 else 16) == found.encoding.bits
    np.testing.assert_array_equal(np.floor(codes / white * top + 0.5), got)


@pytest.mark.parametrize("width", [1, 7, 8, 13])
@pytest.mark.parametrize("style", ["raw", "spaced", "dense"])
def test_bits_are_read(style: str, width: int) -> None:
    """PBM's 1 is black, in packed bits and in digits with and without spaces."""
    black = np.random.default_rng(width).integers(0, 2, (5, width), np.uint8)
    if style == "raw":
        data = f"P4\n{width} 5\n".encode() + np.packbits(black, axis=1).tobytes()
    else:
        between = " " if style == "spaced" else ""
        digits = "\n".join(between.join(map(str, row)) for row in black)
        data = f"P1\n{width} 5\n{digits}\n".encode()
    found = pnm(data)

    assert 1 == found.encoding.bits
    np.testing.assert_array_equal(255 * (1 - black)[..., None], output_pages.pixels(found))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("suffix", [".pgm", ".ppm"])
def test_what_opencv_writes_is_read(suffix: str, depth: int) -> None:
    """Files of another hand are read, code for code."""
    gray = synthetic_photos.gray_scene(12, 17, depth)
    done, data = cv2.imencode(suffix, gray if suffix == ".pgm" else synthetic_photos.as_rgb(gray))

    assert done
    expected = gray[..., None] if suffix == ".pgm" else synthetic_photos.as_rgb(gray)
    np.testing.assert_array_equal(expected, output_pages.pixels(pnm(data.tobytes())))


def test_large_ones_come_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Raw rows are read some at a time, and twice the same."""
    monkeypatch.setattr(bmp_pnm, "BAND_BYTES", 100)
    gray = synthetic_photos.gray_scene(31, 20)
    found = pnm(raw(5, gray, 255))

    assert [5, 5, 5, 5, 5, 5, 1] == [len(band) for band in found.bands()]
    np.testing.assert_array_equal(gray[..., None], output_pages.pixels(found))


def test_digits_may_be_cut_anywhere_in_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """A number that lies across two pieces of the text is one number."""
    monkeypatch.setattr(bmp_pnm, "CHUNK", 7)
    gray = synthetic_photos.gray_scene(9, 9)

    np.testing.assert_array_equal(gray[..., None], output_pages.pixels(pnm(plain(2, gray, 255))))


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("sixteenth", range(16))
def test_a_cut_file_is_never_read(sixteenth: int, kind: int) -> None:
    """Cut anywhere, it raises instead of giving half a picture."""
    codes = np.full((16, 16, 3 if kind in {3, 6} else 1), 200)
    if kind in {1, 4}:
        body = b"1" * 256 if kind == 1 else bytes(32)
        whole = f"P{kind} 16 16\n".encode() + body
    else:
        whole = (plain if kind < 4 else raw)(kind, codes, 255)
    with pytest.raises(ValueError):  # noqa: PT011 - words differ
        output_pages.pixels(pnm(whole[: len(whole) * sixteenth // 16]))


@pytest.mark.parametrize(
    "data",
    [
        b"P2 2 1 9\n1 10\n",
        b"P2 2 1 9\n1 -1\n",
        b"P2 2 1 9\n1 x\n",
        b"P1 2 1\n0 2\n",
        b"P5 2 1 9\n\x01\x0a",
        b"P5 2 1 0\n\x01\x0a",
        b"P5 2 1 65536\n" + bytes(4),
        b"P2 2 1 9\n" + b"7" * 5000,
        b"P2 2 1 9\n99999999999999999999999 1\n",
    ],
)
def test_impossible_codes_are_damage(data: bytes) -> None:
    """A code beyond white, or what is no number, is never taken for a gray."""
    with pytest.raises((ValueError, OverflowError)):
        output_pages.pixels(pnm(data))


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """A header that claims more than limits.megapixels names the limit."""
    with pytest.raises(ScanError, match=r"limits\.megapixels"):
        pnm(b"P5 100000 100000 255\n")
    data = bytearray(synthetic_photos.encoded("BMP", synthetic_photos.gray_scene(4, 4)))
    data[18:26] = struct.pack("<ii", 100_000, 100_000)
    with pytest.raises(ScanError, match=r"limits\.megapixels"):
        bmp(bytes(data))


@given(data=st.binary(max_size=60))
def test_noise_is_damage(data: bytes) -> None:
    """What only begins as a PNM does raises what means damage or a reason, or is a tiny one."""
    try:
        found = pnm(b"P" + data)
        output_pages.pixels(found)
    except (ValueError, ArithmeticError, ScanError):
        return

    assert found.width * found.height <= 60 * 8


@pytest.mark.parametrize(
    ("mode", "samples", "bits"), [("1", 1, 1), ("L", 1, 8), ("RGB", 3, 8), ("P", 3, 8)]
)
def test_bmp_is_read(mode: str, samples: int, bits: int) -> None:
    """Bits, gray, color and palettes, with the resolution, as Pillow wrote them."""
    image = Image.fromarray(synthetic_photos.color_scene(9, 14)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "BMP", dpi=(300, 300))
    found = bmp(buffer.getvalue())

    assert (9, 14, samples, False) == (found.height, found.width, found.samples, found.alpha)
    assert bits == found.encoding.bits
    assert pytest.approx((300, 300), abs=0.01) == found.metadata.dpi
    expected = np.asarray(image.convert("L" if samples == 1 else "RGB")).reshape(9, 14, samples)
    np.testing.assert_array_equal(expected, output_pages.pixels(found))


def test_bmp_with_opacity_keeps_it() -> None:
    """32-bit pixels with a mask for opacity come with it."""
    rgba = np.stack([synthetic_photos.gray_scene(6, 5, 8, seed) for seed in range(4)], -1)
    done, data = cv2.imencode(".bmp", rgba[..., [2, 1, 0, 3]])
    found = bmp(data.tobytes())

    assert done
    assert (3, True) == (found.samples, found.alpha)
    np.testing.assert_array_equal(rgba, output_pages.pixels(found))


def test_the_profile_of_a_bmp_is_found() -> None:
    """Version 5 holds a profile behind the pixels."""
    profile = icc.output_profile(cielab.ADOBE_RGB)
    pixels = bytes(range(24))  # 4 x 2, rows padded to four bytes
    header = struct.pack("<IiiHHIIiiII", 124, 4, 2, 1, 24, 0, 24, 0, 0, 0, 0)
    header += bytes(16) + b"DEBM" + bytes(48) + struct.pack("<IIII", 4, 124 + 24, len(profile), 0)
    head = b"BM" + struct.pack("<IHHI", 14 + 124 + 24 + len(profile), 0, 0, 14 + 124)
    found = bmp(head + header + pixels + profile)

    assert 124 == len(header)
    assert profile == found.metadata.profile
    assert [14, 13, 12] == output_pages.pixels(found)[0, 0].tolist()


@pytest.mark.parametrize("sixteenth", range(16))
def test_a_cut_bmp_is_never_read(sixteenth: int) -> None:
    """Cut anywhere, it raises instead of giving half a picture."""
    whole = synthetic_photos.encoded("BMP", synthetic_photos.color_scene(20, 20))
    with pytest.raises((OSError, SyntaxError, ValueError, struct.error, LookupError)):
        output_pages.pixels(bmp(whole[: len(whole) * sixteenth // 16]))


def in_run_lengths(gray: Array) -> bytes:
    """Write a BMP of 8 bits in run lengths (Microsoft's BI_RLE8)."""
    runs = b""
    for row in gray[::-1]:
        ends = [*np.flatnonzero(np.diff(row)) + 1, len(row)]
        starts = [0, *ends[:-1]]
        runs += b"".join(bytes([end - at, row[at]]) for at, end in zip(starts, ends, strict=True))
        runs += b"\0\0"
    runs += b"\0\1"
    palette = b"".join(bytes([code, code, code, 0]) for code in range(256))
    height, width = gray.shape
    size = len(runs)
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, size, 2835, 2835, 256, 0)
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + size, 0, 0, start) + head + palette + runs


def test_run_lengths_are_read_to_their_end() -> None:
    """Cut, or with zeros where the rest will be, which would mean black rows: damage."""
    gray = synthetic_photos.gray_scene(40, 48) // 16 * 16
    whole = in_run_lengths(gray)
    np.testing.assert_array_equal(gray, output_pages.pixels(bmp(whole))[..., 0])
    np.testing.assert_array_equal(gray, output_pages.pixels(bmp(whole + bytes(99)))[..., 0])

    for end in range(1100, len(whole) - 2, 9):
        for data in (whole[:end], whole[:end].ljust(max(len(whole), end + 9), b"\0")):
            with pytest.raises(ValueError):  # noqa: PT011 - words differ
                output_pages.pixels(bmp(data))
