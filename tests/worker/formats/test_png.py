"""PNG in and out: every kind of pixel, all that its chunks tell, and files that are damaged."""

import io
import struct
import subprocess
import zlib
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tests.support import output_pages, synthetic_photos
from tests.support.segments_and_chunks import chunk, small_png
from tests.support.synthetic_photos import Array
from worker.color import icc
from worker.errors import ScanError
from worker.formats import png, png_writer
from worker.formats.image import DecodedImage
from worker.metadata import exif, exif_tags
from worker.metadata.block import Metadata

PALETTE = (np.arange(48, dtype=np.uint8) * 5).reshape(16, 3)


def read(data: bytes) -> DecodedImage:
    """Read a PNG."""
    return output_pages.picture(png.read, data)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_channel_comes_as_stored(depth: int, channels: int) -> None:
    """Gray and color, with and without opacity, of 8 and 16 bits: equal codes, honest words."""
    stored = np.stack(
        [synthetic_photos.gray_scene(9, 13, depth, seed) for seed in range(channels)], -1
    )
    found = read(imagecodecs.png_encode(stored))

    assert (9, 13) == (found.height, found.width)
    assert (1 if channels < 3 else 3, channels in {2, 4}) == (found.samples, found.alpha)
    assert (depth, True) == (found.encoding.bits, found.encoding.lossless)
    np.testing.assert_array_equal(stored, output_pages.pixels(found))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_stretched_to_white(bits: int) -> None:
    """Codes of 1, 2 and 4 bits become codes of 8, their white 255."""
    codes = np.arange(8, dtype=np.uint8) % 2**bits
    packed = np.packbits(np.unpackbits(codes[:, None], axis=1)[:, 8 - bits :].reshape(-1))
    header = struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0)
    data = png.SIGNATURE + chunk(b"IHDR", header)
    data += chunk(b"IDAT", zlib.compress(b"\0" + packed.tobytes())) + chunk(b"IEND", b"")
    found = read(data)

    assert bits == found.encoding.bits
    np.testing.assert_array_equal(
        codes * (255 // (2**bits - 1)), output_pages.pixels(found).reshape(-1)
    )


@pytest.mark.parametrize("transparent", [None, 3])
def test_palettes_become_colors(transparent: int | None) -> None:
    """A palette's colors come as RGB; its transparent entry as opacity."""
    index = np.arange(16, dtype=np.uint8).reshape(4, 4)
    image = Image.fromarray(index).convert("P")
    image.putpalette(PALETTE.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **({} if transparent is None else {"transparency": transparent}))
    found = read(buffer.getvalue())
    got = output_pages.pixels(found)

    assert (3, transparent is not None, 8) == (found.samples, found.alpha, found.encoding.bits)
    np.testing.assert_array_equal(PALETTE[index], got[..., :3])
    if transparent is not None:
        np.testing.assert_array_equal(np.where(index == 3, 0, 255), got[..., 3])


def test_interlaced_ones_are_read() -> None:
    """Adam7 is undone."""
    # One pixel of each pass of an 8 x 8 picture, each pass a row filter byte and its pixels.
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    passes.append((1, 0, 2, 1))
    scene = synthetic_photos.gray_scene(8, 8)
    rows = b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in scene[y::dy, x::dx])
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)
    data = png.SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))

    np.testing.assert_array_equal(
        scene[..., None], output_pages.pixels(read(data + chunk(b"IEND", b"")))
    )


def test_bands_may_be_asked_for_twice() -> None:
    """The second time gives the same pixels."""
    found = read(imagecodecs.png_encode(synthetic_photos.gray_scene(5, 6)))

    np.testing.assert_array_equal(output_pages.pixels(found), output_pages.pixels(found))


def test_nothing_is_decoded_before_bands() -> None:
    """Header and size are told even where the pixels are broken; the bands then raise."""
    found = read(small_png(rows=b"\0"))

    assert (2, 1) == (found.width, found.height)
    with pytest.raises(RuntimeError):
        output_pages.pixels(found)


@pytest.mark.parametrize("sixteenth", range(16))
def test_a_cut_file_is_never_read(sixteenth: int) -> None:
    """Cut anywhere, it raises instead of giving half a picture."""
    whole = imagecodecs.png_encode(synthetic_photos.gray_scene(30, 40))
    with pytest.raises((ValueError, RuntimeError, struct.error)):
        output_pages.pixels(read(whole[: len(whole) * sixteenth // 16 + (sixteenth == 15) * 8]))


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    """A header that claims more than limits.megapixels names the limit."""
    with pytest.raises(ScanError, match=r"limits\.megapixels"):
        read(synthetic_photos.png_bomb(100_000, 100_000))


def test_animations_are_refused() -> None:
    """Several frames are no photograph; one frame in an animation's clothes is."""
    assert 2 == read(small_png(chunk(b"acTL", struct.pack(">II", 1, 0)))).width
    with pytest.raises(ScanError, match="animated"):
        read(small_png(chunk(b"acTL", struct.pack(">II", 2, 0))))


def test_a_profile_that_unpacks_to_a_bomb_is_left_behind() -> None:
    """A profile of gigabytes is not unpacked, said, and does not cost the photo."""
    packed = zlib.compressobj()
    bomb = b"".join(packed.compress(bytes(1 << 20)) for _ in range(70)) + packed.flush()
    found = read(small_png(chunk(b"iCCP", b"bomb\0\0" + bomb)))

    assert b"" == found.metadata.profile
    assert "iCCP" in found.metadata.lost[0]


def test_a_damaged_chunk_does_not_cost_the_photo() -> None:
    """A chunk of metadata with a wrong checksum is left behind and named."""
    good = chunk(b"tEXt", b"Author\0A. Nonymous")
    found = read(small_png(good[:-1] + bytes([good[-1] ^ 1])))

    assert ("the chunk tEXt: the chunk tEXt is damaged",) == found.metadata.lost
    assert [[[16], [240]]] == output_pages.pixels(found).tolist()


@pytest.mark.parametrize(
    ("per_meter", "dpi"), [(11811, 300.0), (23622, 600.0), (2835, 72.0), (5000, 127.0), (1, 0.0254)]
)
def test_the_resolution_is_what_was_meant(per_meter: int, dpi: float) -> None:
    """Whole dots per inch that were rounded to whole dots per meter come back whole."""
    found = read(small_png(chunk(b"pHYs", struct.pack(">IIB", per_meter, per_meter, 1))))

    assert pytest.approx((dpi, dpi)) == found.metadata.dpi


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ((chunk(b"gAMA", struct.pack(">I", 45455)),), None),
        ((chunk(b"gAMA", struct.pack(">I", 100000)),), 1.0),
        ((chunk(b"gAMA", struct.pack(">I", 55556)),), 1.8),
        ((chunk(b"gAMA", struct.pack(">I", 100000)), chunk(b"sRGB", b"\0")), None),
    ],
    ids=["45455 is sRGB", "linear", "1.8", "sRGB overrules"],
)
@pytest.mark.parametrize("color_type", [0, 2])
def test_a_gamma_becomes_a_profile(
    chunks: tuple[bytes, ...], expected: float | None, color_type: int
) -> None:
    """A picture with gAMA and no profile has the light that gAMA says."""
    rows = b"\0" + bytes(2 if color_type == 0 else 6)
    profile = read(small_png(*chunks, color_type=color_type, rows=rows)).metadata.profile

    if expected is None:
        assert b"" == profile
    else:
        tone = icc.neutral_tone(profile, 8).luminance
        np.testing.assert_allclose((np.arange(256) / 255) ** expected, tone, atol=2e-4)


def test_primaries_become_a_profile() -> None:
    """CHRM tells an RGB picture's primaries: the reddest red of a wide space is redder."""
    wide = (31270, 32900, 73470, 26530, 15960, 84040, 3660, 10)
    told = chunk(b"gAMA", struct.pack(">I", 45455)), chunk(b"cHRM", struct.pack(">8I", *wide))
    profile = read(small_png(*told, color_type=2, rows=b"\0" + bytes(6))).metadata.profile

    assert "rgb" == icc.color_model(profile)
    dark_red = np.array([[[128, 20, 20]]], np.uint8)
    assert icc.to_srgb(dark_red, profile)[0, 0, 0] > 140


def test_texts_move_to_where_exif_has_them() -> None:
    """Author, copyright, description, title, software go to EXIF; other texts stay texts."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Author", "Zoë")
    texts.add_text("Copyright", "City archive", zip=True)
    texts.add_itxt("Description", "Straße, 1931", zip=True)
    texts.add_itxt("Title", "Harbor")
    texts.add_text("Comment", "from the attic")
    texts.add_text("Software", "scanner")
    buffer = io.BytesIO()
    Image.fromarray(synthetic_photos.gray_scene(4, 4)).save(buffer, "PNG", pnginfo=texts)
    metadata = read(buffer.getvalue()).metadata
    held = exif_tags.texts(metadata.exif)

    assert (("Comment", b"from the attic"),) == metadata.texts
    assert () == metadata.lost
    assert "scanner" == held[exif_tags.SOFTWARE]
    assert "Zoë" == held[exif_tags.ARTIST]
    assert "City archive" == held[exif_tags.COPYRIGHT]
    assert "Straße, 1931" == held[exif_tags.DESCRIPTION]
    assert "Harbor" == held[exif_tags.DOCUMENT_NAME]


def test_exif_is_right_where_a_text_differs() -> None:
    """An artist in EXIF is kept, and the other one stays a text."""
    told = chunk(b"eXIf", output_pages.exif_block("Ann")[6:]), chunk(b"tEXt", b"Author\0Ben")
    metadata = read(small_png(*told)).metadata

    assert "Ann" == exif_tags.texts(metadata.exif)[exif_tags.ARTIST]
    assert (("Author", b"Ben"),) == metadata.texts


@pytest.mark.parametrize("kind", ["iptc", "8bim", "exif", "APP1", "xmp"])
def test_raw_profiles_are_found(kind: str) -> None:
    """What ImageMagick hides as hexadecimal texts is read."""
    inside = {
        "iptc": b"8BIM\x04\x04\0\0"
        + struct.pack(">I", len(output_pages.iptc()))
        + output_pages.iptc(),
        "8bim": b"8BIM\x04\x04\0\0"
        + struct.pack(">I", len(output_pages.iptc()))
        + output_pages.iptc(),
        "exif": output_pages.exif_block(orientation=6),
        "APP1": output_pages.exif_block(orientation=6),
        "xmp": output_pages.xmp(),
    }[kind]
    text = f"Raw profile type {kind}\0\n{kind}\n{len(inside):8d}\n{inside.hex()}\n".encode()
    found = read(small_png(chunk(b"tEXt", text)))
    metadata = found.metadata

    assert (output_pages.iptc() if kind in {"iptc", "8bim"} else b"") == metadata.iptc
    assert (
        output_pages.exif_block(orientation=6) if kind in {"exif", "APP1"} else b""
    ) == metadata.exif
    assert (6 if kind in {"exif", "APP1"} else 1) == found.orientation
    assert (output_pages.xmp() if kind == "xmp" else b"") == metadata.xmp


@output_pages.needs_exiftool
def test_what_exiftool_writes_is_read(tmp_path: Path) -> None:
    """EXIF, IPTC and XMP from another hand arrive."""
    path = synthetic_photos.save(tmp_path / "scan.png", synthetic_photos.gray_scene(4, 4))
    said = ["-EXIF:Artist=Ann", "-IPTC:By-line=Ben", "-XMP-dc:Creator=Cay"]
    subprocess.run(["exiftool", "-q", "-overwrite_original", *said, path], check=True, timeout=60)
    metadata = read(path.read_bytes()).metadata

    assert "Ann" == exif.text_of(exif.read(metadata.exif).main[exif_tags.ARTIST])
    assert b"\x1c\x02\x50\0\3Ben" in metadata.iptc
    assert b"Cay" in metadata.xmp
    assert () == metadata.lost


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [3, 4])
def test_what_is_written_another_reader_reads(depth: int, channels: int) -> None:
    """OpenCV reads every code as it was given, whatever the strips."""
    rgb = np.stack(
        [synthetic_photos.gray_scene(50, 31, depth, seed) for seed in range(channels)], -1
    )
    data = output_pages.stored(png_writer.write, output_pages.page(rgb, rows=3))
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)

    assert bgr is not None
    order = [2, 1, 0, 3][:channels]
    np.testing.assert_array_equal(rgb[..., order], bgr)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    rows=st.integers(1, 50),
    depth=st.sampled_from([8, 16]),
    seed=st.integers(0, 99),
)
def test_any_strips_make_a_sound_file(
    height: int, width: int, rows: int, depth: int, seed: int
) -> None:
    """Pillow finds all checksums right, and our reader the same codes."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 2**depth, (height, width, 3), synthetic_photos.dtype_of(depth))
    data = output_pages.stored(png_writer.write, output_pages.page(rgb, rows=rows))
    with Image.open(io.BytesIO(data)) as image:
        image.verify()

    np.testing.assert_array_equal(rgb, output_pages.pixels(read(data)))


def test_a_large_one_is_written_in_many_pieces() -> None:
    """Strips longer than deflate's window refer back to each other and are read whole."""
    rgb = synthetic_photos.as_rgb(synthetic_photos.gray_scene(300, 700))
    rgb[..., 1] //= 2
    data = output_pages.stored(png_writer.write, output_pages.page(rgb, rows=40))
    alone = len(imagecodecs.png_encode(rgb, level=6))

    np.testing.assert_array_equal(rgb, np.asarray(Image.open(io.BytesIO(data))))
    assert data.count(b"IDAT") >= 300 // 40
    assert len(data) < 1.1 * alone


@output_pages.needs_exiftool
def test_all_metadata_is_read_back_by_exiftool(tmp_path: Path) -> None:
    """Label, EXIF, IPTC, profile and resolution are where others look for them."""
    path = tmp_path / "result.png"
    path.write_bytes(
        output_pages.stored(
            png_writer.write, output_pages.page(output_pages.smooth(8, 9), output_pages.rich())
        )
    )

    output_pages.assert_rich(path)
    told = output_pages.exiftool(path)
    assert (11811, 11811) == (told["PNG:PixelsPerUnitX"], told["PNG:PixelsPerUnitY"])


def test_metadata_goes_round() -> None:
    """What was written is what is read."""
    metadata = output_pages.rich()
    data = output_pages.stored(
        png_writer.write, output_pages.page(output_pages.smooth(8, 9), metadata)
    )

    assert metadata == read(data).metadata


def test_strips_that_do_not_fill_the_page_are_an_error() -> None:
    """Too few rows never become a file that looks whole."""
    whole: Array = output_pages.smooth(8, 9)
    page = output_pages.page(whole)
    short = type(page)(**{**page.__dict__, "strips": lambda: iter([whole[:5]])})
    with pytest.raises(ValueError, match="5 rows of 8"):
        output_pages.stored(png_writer.write, short)


def test_several_pages_are_refused_in_words() -> None:
    """The reason names the setting that helps."""
    page = output_pages.page(output_pages.smooth(3, 3))
    with pytest.raises(ScanError, match=r"2; set output\.format to tiff"):
        output_pages.stored(png_writer.write, page, page)


def test_defaults_are_quiet() -> None:
    """A page without metadata gives a file without any."""
    data = output_pages.stored(png_writer.write, output_pages.page(output_pages.smooth(3, 3)))

    assert Metadata() == read(data).metadata
