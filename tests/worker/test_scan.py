"""Promises of worker.scan.read: honest files read back right, others are refused in words."""

import io
import logging
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.images import (
    Array,
    as_rgb,
    color_scene,
    encoded,
    exif_block,
    gray_scene,
    plain_tiff,
    png_bomb,
    save,
    sepia,
    turned,
)
from worker import color, formats, scan
from worker.errors import ScanError
from worker.settings import ReadSettings

SETTINGS = ReadSettings()
SIZE = (61, 83)
GRAY = gray_scene(*SIZE)
GRAY16 = gray_scene(*SIZE, 16)
BITS = gray_scene(*SIZE) > 127


def scan_or_reason(path: Path, settings: ReadSettings = SETTINGS) -> scan.Scan | str:
    """Read a file; return the scan, or the reason why it was refused."""
    try:
        return scan.read(path, settings)
    except ScanError as error:
        return str(error)


def lightness_gap(expected: Array, actual: Array) -> float:
    """Return the largest difference in L* between two gray pictures of any depth."""
    return float(100 * np.abs(color.lightness(expected) - color.lightness(actual)).max())


LOSSLESS: dict[
    str, tuple[str, Array, dict[str, Any], Array]
] = {  # suffix, stored, options, expected
    "png 8": (".png", GRAY, {}, GRAY),
    "png 16": (".png", GRAY16, {}, GRAY16),
    "png 1": (".png", BITS, {}, BITS * np.uint8(255)),
    "png gray as rgb": (".png", as_rgb(GRAY), {}, GRAY),
    "png 16 gray as rgb": (".png", as_rgb(GRAY16), {}, GRAY16),
    "webp lossless": (".webp", as_rgb(GRAY), {"lossless": True}, GRAY),
    "tiff 8": (".tif", GRAY, {}, GRAY),
    "tiff 16": (".tiff", GRAY16, {}, GRAY16),
    "tiff 16 big-endian": (".tif", GRAY16, {"byteorder": ">"}, GRAY16),
    "tiff big": (".tif", GRAY16, {"bigtiff": True}, GRAY16),
    "tiff 8 white is zero": (".tif", ~GRAY, {"photometric": "miniswhite"}, GRAY),
    "tiff 16 white is zero": (".tif", ~GRAY16, {"photometric": "miniswhite"}, GRAY16),
    "tiff 1": (".tif", BITS, {}, BITS * np.uint8(255)),
    "tiff 1 white is zero": (".tif", ~BITS, {"photometric": "miniswhite"}, BITS * np.uint8(255)),
    "tiff gray as rgb": (".tif", as_rgb(GRAY), {}, GRAY),
    "tiff 16 gray as rgb": (".tif", as_rgb(GRAY16), {}, GRAY16),
    "tiff planar": (".tif", as_rgb(GRAY16), {"planarconfig": "separate"}, GRAY16),
    "tiff deflate": (".tif", GRAY16, {"compression": "zlib", "predictor": True}, GRAY16),
    "tiff lzw": (".tif", GRAY, {"compression": "lzw"}, GRAY),
    "tiff packbits": (".tif", GRAY, {"compression": "packbits"}, GRAY),
    "tiff tiled": (".tif", GRAY16, {"tile": (32, 32), "compression": "zlib"}, GRAY16),
    "tiff strips": (".tif", GRAY, {"rowsperstrip": 7, "compression": "lzw"}, GRAY),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_every_kind_and_depth_reads_back_right(tmp_path: Path, name: str) -> None:
    """A lossless file gives its own codes, at its own depth."""
    suffix, stored, options, expected = LOSSLESS[name]
    if options.get("planarconfig"):
        stored = np.moveaxis(stored, -1, 0)
    read = scan.read(save(tmp_path / f"a{suffix}", stored, **options), SETTINGS)

    assert expected.dtype == read.gray.dtype
    assert np.array_equal(expected, read.gray)
    assert read.lossless
    assert read.gray.flags.c_contiguous


@pytest.mark.parametrize(
    ("suffix", "stored", "options"),
    [
        (".jpg", GRAY, {"quality": 95}),
        (".jpeg", as_rgb(GRAY), {"quality": 95}),
        (".JPG", GRAY, {"quality": 95, "progressive": True}),
        (".webp", as_rgb(GRAY), {"quality": 95}),
        (".tif", GRAY, {"compression": "jpeg"}),
    ],
)
def test_lossy_kinds_read_back_nearly(
    tmp_path: Path, suffix: str, stored: Array, options: dict[str, Any]
) -> None:
    """A lossy file gives gray near the original's and is known to be lossy."""
    read = scan.read(save(tmp_path / f"a{suffix}", stored, **options), SETTINGS)

    assert (GRAY.shape, np.uint8) == (read.gray.shape, read.gray.dtype)
    assert np.abs(GRAY.astype(int) - read.gray).mean() < 6
    assert not read.lossless


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_palettes_are_looked_up(tmp_path: Path, suffix: str) -> None:
    """A gray picture stored through a shuffled palette gives its gray."""
    path = tmp_path / f"a{suffix}"
    shuffle = np.random.default_rng(0).permutation(256).astype(np.uint8)
    indices = shuffle[GRAY]
    colors = np.empty((256, 3), np.uint8)
    colors[shuffle] = np.arange(256, dtype=np.uint8)[:, None]
    if suffix == ".png":
        image = Image.frombytes("P", SIZE[::-1], indices.tobytes())
        image.putpalette(colors.tobytes())
        image.save(path)
    else:
        save(path, indices, photometric="palette", colormap=colors.T.astype(np.uint16) * 257)
    read = scan.read(path, SETTINGS)

    assert lightness_gap(GRAY, read.gray) < 0.01


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    """A 16-bit ramp stays a ramp: as many different codes as were stored, in TIFF and PNG."""
    ramp = np.linspace(0, 65535, 4096).astype(np.uint16).reshape(64, 64)
    for name in ("a.tif", "a.png"):
        read = scan.read(save(tmp_path / name, ramp), SETTINGS)

        assert np.array_equal(ramp, read.gray)
    eight = scan.to_8_bit(ramp)

    assert (0, 255) == (eight.min(), eight.max())
    assert np.abs(ramp / 257 - eight).max() <= 0.5


@pytest.mark.parametrize(
    ("photometric", "bits", "strip"),
    [(1, 4, bytes([0x0F, 0x84])), (0, 4, bytes([0xF0, 0x7B])), (1, 2, bytes([0b00111001, 0]))],
)
def test_few_bits_are_scaled_or_refused(
    tmp_path: Path, photometric: int, bits: int, strip: bytes
) -> None:
    """TIFF samples of 2 or 4 bits span black to white or are refused, never nearly black."""
    path = tmp_path / "a.tif"
    path.write_bytes(plain_tiff(4, 1, bits, photometric, strip))
    read = scan_or_reason(path)

    if isinstance(read, str):
        assert "bits" in read
    else:
        assert [0, 255] == read.gray[0, :2].tolist()


@pytest.mark.parametrize("photometric", [5, 6, 8])
def test_unknown_color_models_are_refused(tmp_path: Path, photometric: int) -> None:
    """A CMYK, YCbCr or Lab TIFF is refused; its samples are not taken for red, green and blue."""
    samples = 4 if photometric == 5 else 3
    lab = np.zeros((8, 8, samples), np.uint8)
    lab[..., 0] = 200
    path = tmp_path / "a.tif"
    path.write_bytes(plain_tiff(8, 8, 8, photometric, lab.tobytes(), samples=samples))
    read = scan_or_reason(path)

    assert isinstance(read, str)
    assert "transparent" not in read
    assert "in color already" not in read


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_every_orientation_is_turned_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    """However the camera was held, the scan stands upright."""
    upright = np.zeros((40, 56), np.uint8)
    upright[:16, :24] = 250  # top left
    upright[24:, :8] = 120
    stored = turned(upright, orientation)
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        save(path, stored, extratags=[(274, 3, 1, orientation, True)])
    else:
        options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
        if suffix == ".jpg":
            options = {"quality": 100}
        save(path, as_rgb(stored), exif=exif_block(orientation), **options)
    read = scan.read(path, SETTINGS)

    assert upright.shape == read.gray.shape
    assert np.abs(upright.astype(int) - read.gray).max() <= 4


def test_orientation_leaves_the_exif_block(tmp_path: Path) -> None:
    """What is carried over says nothing about orientation any more, and keeps the rest."""
    read = scan.read(save(tmp_path / "a.jpg", GRAY, exif=exif_block(6)), SETTINGS)
    exif = Image.Exif()
    exif.load(read.exif)

    assert exif.get(0x0112) in {None, 1}
    assert exif[0x013B] == "A. Nonymous"
    assert exif.get_ifd(0x8769)[0x9003] == "1931:05:17 12:00:00"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_broken_exif_block_does_not_cost_the_photo(tmp_path: Path, suffix: str) -> None:
    """Metadata that cannot be read is left behind; the picture is still read."""
    path = save(
        tmp_path / f"a{suffix}", as_rgb(GRAY), exif=b"Exif\0\0garbage that is not a TIFF header"
    )

    assert GRAY.shape == scan.read(path, SETTINGS).gray.shape


def test_resolution_and_texts_are_read(tmp_path: Path) -> None:
    """Dots per inch come from each kind, also from centimeters; TIFF texts come along."""
    jpeg = save(tmp_path / "a.jpg", GRAY, dpi=(300, 300))
    png = save(tmp_path / "a.png", GRAY, dpi=(600, 600))
    inch = save(
        tmp_path / "a.tif",
        GRAY,
        resolution=(1200, 600),
        resolutionunit="INCH",
        description="Harbor",
        metadata=None,
    )
    centimeter = save(tmp_path / "b.tif", GRAY, resolution=(100, 100), resolutionunit="CENTIMETER")

    assert (300, 300) == pytest.approx(scan.read(jpeg, SETTINGS).dpi)
    assert (600, 600) == pytest.approx(scan.read(png, SETTINGS).dpi, abs=0.1)
    assert (1200, 600) == pytest.approx(scan.read(inch, SETTINGS).dpi)
    assert (254, 254) == pytest.approx(scan.read(centimeter, SETTINGS).dpi)
    assert scan.read(inch, SETTINGS).texts[270] == "Harbor"
    assert scan.read(save(tmp_path / "c.png", GRAY), SETTINGS).dpi is None


def test_lossless_webp_is_known_behind_a_profile(tmp_path: Path) -> None:
    """A lossless WebP stays lossless also where a color profile stands before the picture."""
    path = save(tmp_path / "a.webp", as_rgb(GRAY), lossless=True, icc_profile=bytes(500))

    assert scan.read(path, SETTINGS).lossless


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_a_color_photo_is_refused(tmp_path: Path, suffix: str) -> None:
    """A photograph in color is not colored again."""
    path = save(tmp_path / f"a{suffix}", color_scene(90, 120))

    with pytest.raises(ScanError, match="in color already"):
        scan.read(path, SETTINGS)


@pytest.mark.parametrize("seed", range(4))
def test_color_is_told_from_tone(seed: int) -> None:
    """Color scenes lie well above the limit, toned and gray ones well below, at any depth."""
    gray = gray_scene(120, 160, seed=seed)

    assert scan.tone_spread(color_scene(120, 160, seed)) > 3 * scan.TONE_LIMIT
    assert scan.tone_spread(as_rgb(gray)) < 0.3 * scan.TONE_LIMIT
    assert scan.tone_spread(sepia(gray)) < 0.5 * scan.TONE_LIMIT


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_sepia_keeps_its_lightness(tmp_path: Path, suffix: str, depth: int) -> None:
    """A toned print is accepted; the scan has the print's depth, and its L* at every pixel."""
    toned = sepia(gray_scene(*SIZE, depth))
    read = scan.read(save(tmp_path / f"a{suffix}", toned), SETTINGS)
    linear = color.srgb_to_linear(toned / np.iinfo(toned.dtype).max)
    expected = color.lightness_of_luminance(linear @ color.LUMINANCE)

    assert toned.dtype == read.gray.dtype
    assert expected == pytest.approx(100 * color.lightness(read.gray), abs=0.5)


def test_sepia_jpeg_is_accepted(tmp_path: Path) -> None:
    """A toned print survives the coarse color of an ordinary JPEG."""
    read = scan.read(save(tmp_path / "a.jpg", sepia(GRAY), quality=75), SETTINGS)

    assert SIZE == read.gray.shape


@pytest.mark.parametrize(
    ("size", "expected"), [((1000, 700), (512, 358)), ((60, 80), (60, 80)), ((1, 4000), (1, 512))]
)
def test_the_small_copy_keeps_the_proportions(size: tuple[int, int], expected: Any) -> None:
    """A scan's small copy has a long side of at most 512 pixels, the scan's depth and its mean."""
    gray = gray_scene(*size, 16)
    small = scan.Scan(gray, "tiff").small

    assert (expected, gray.dtype) == (small.shape, small.dtype)
    assert gray.mean() == pytest.approx(small.mean(), rel=0.01)


def test_zero_bytes_are_refused(tmp_path: Path) -> None:
    """An empty file is called empty."""
    for suffix in formats.KIND_OF_SUFFIX:
        path = tmp_path / f"a{suffix}"
        path.write_bytes(b"")

        with pytest.raises(ScanError, match="empty"):
            scan.read(path, SETTINGS)


def noisy(depth: int = 8) -> Array:
    """Return a picture that does not compress, so that cutting a file cuts pixels."""
    return (
        np.random.default_rng(0)
        .integers(0, 2**depth, (80, 90))
        .astype(np.uint8 if depth == 8 else np.uint16)
    )


WHOLE: dict[str, tuple[str, bytes]] = {
    "jpeg": (".jpg", encoded("JPEG", noisy())),
    "progressive jpeg": (".jpg", encoded("JPEG", noisy(), progressive=True)),
    "png": (".png", encoded("PNG", noisy())),
    "png 16": (".png", bytes(imagecodecs.png_encode(noisy(16)))),
    "webp": (".webp", encoded("WEBP", as_rgb(noisy()))),
    "webp lossless": (".webp", encoded("WEBP", as_rgb(noisy()), lossless=True)),
}
for _compression in (None, "lzw", "zlib", "packbits"):
    _buffer = io.BytesIO()
    tifffile.imwrite(_buffer, noisy(), compression=_compression, rowsperstrip=16)
    WHOLE[f"tiff {_compression}"] = (".tif", _buffer.getvalue())


@pytest.mark.parametrize("share", [0.004, 0.05, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    """Wherever a file was cut, it is refused as damaged; half a photo is not a photo."""
    suffix, data = WHOLE[name]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data[: max(1, int(len(data) * share))])

    with pytest.raises(ScanError, match=r"damaged|not an image|no pixels"):
        scan.read(path, SETTINGS)


@pytest.mark.parametrize("name", ["png", "png 16", "tiff zlib", "webp lossless"])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL.*")
def test_flipped_bytes_never_crash(tmp_path: Path, name: str) -> None:
    """Whatever single bytes are wrong, the answer is a scan or a ScanError, nothing else."""
    suffix, data = WHOLE[name]
    rng = np.random.default_rng(0)
    path = tmp_path / f"a{suffix}"
    small = ReadSettings(megapixels=1)
    for _ in range(60):
        spoiled = bytearray(data)
        for place in rng.integers(0, min(len(data), 400), 3):
            spoiled[place] = rng.integers(256)
        path.write_bytes(spoiled)
        read = scan_or_reason(path, small)

        assert read if isinstance(read, str) else read.gray.ndim == 2


def test_text_named_jpg_is_refused(tmp_path: Path) -> None:
    """Text under an image's name is not an image, and says so."""
    path = tmp_path / "a.jpg"
    path.write_text("this is not a photograph\n" * 100)

    with pytest.raises(ScanError, match="not an image"):
        scan.read(path, SETTINGS)


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp", ".jpeg"])
def test_a_wrong_suffix_is_refused_by_both_names(tmp_path: Path, suffix: str) -> None:
    """A PNG under another suffix is refused; the reason names what it says and what it is."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(encoded("PNG", GRAY))

    with pytest.raises(ScanError, match=rf"{formats.KIND_OF_SUFFIX[suffix].upper()}.*PNG.*rename"):
        scan.read(path, SETTINGS)


@pytest.mark.parametrize("name", ["a.psd", "a", "a.txt"])
def test_a_foreign_suffix_is_refused(tmp_path: Path, name: str) -> None:
    """A name photochrom does not know is refused by that name, unread."""
    with pytest.raises(ScanError, match="not a kind of image"):
        scan.read(tmp_path / name, SETTINGS)


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".png", png_bomb(60_000, 60_000)),
        (".tif", plain_tiff(60_000, 60_000, 8, 1, bytes(1000))),
        (".tif", plain_tiff(60_000, 60_000, 16, 1, bytes(1000))),
        (
            ".jpg",
            encoded("JPEG", GRAY).replace(
                struct.pack(">HH", *SIZE), struct.pack(">HH", 60_000, 60_000), 1
            ),
        ),
    ],
    ids=["png", "tiff", "tiff 16", "jpeg"],
)
def test_a_decompression_bomb_is_refused_at_once(tmp_path: Path, suffix: str, data: bytes) -> None:
    """Absurd dimensions are refused from the header, with the numbers and the knob, at once."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    start = time.perf_counter()

    with pytest.raises(
        ScanError, match=r"60000 x 60000.*3600 megapixels.*limits\.megapixels allows 500"
    ):
        scan.read(path, SETTINGS)

    assert time.perf_counter() - start < 1


def test_the_limit_counts_pixels(tmp_path: Path) -> None:
    """A photo at the limit is read, one above is not."""
    path = save(tmp_path / "a.png", gray_scene(100, 100))

    assert (100, 100) == scan.read(path, ReadSettings(megapixels=0.01)).gray.shape
    with pytest.raises(ScanError, match="megapixels"):
        scan.read(path, ReadSettings(megapixels=0.0099))


def test_no_pixels_are_refused(tmp_path: Path) -> None:
    """A header without width is refused."""
    path = tmp_path / "a.tif"
    path.write_bytes(plain_tiff(0, 10, 8, 1, b""))

    with pytest.raises(ScanError, match=r"no pixels|damaged"):
        scan.read(path, SETTINGS)


def test_denied_permission_is_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may not be read is refused with that reason; this holds for root's tests too."""

    def deny(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    path = save(tmp_path / "a.png", GRAY)
    monkeypatch.setattr(Path, "read_bytes", deny)

    with pytest.raises(ScanError, match="permissions"):
        scan.read(path, SETTINGS)


def test_a_failing_disk_is_not_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An I/O error while reading stays an OSError, so that the job is tried again."""

    def fail(_path: Path) -> bytes:
        raise OSError(5, "Input/output error")

    path = save(tmp_path / "a.png", GRAY)
    monkeypatch.setattr(Path, "read_bytes", fail)

    with pytest.raises(OSError, match="Input/output error"):
        scan.read(path, SETTINGS)


def test_a_file_that_is_gone_is_reported_as_gone(tmp_path: Path) -> None:
    """A vanished file is neither damaged nor a scan."""
    with pytest.raises(FileNotFoundError):
        scan.read(tmp_path / "a.png", SETTINGS)


def test_several_pages_are_refused(tmp_path: Path) -> None:
    """A TIFF of several pages is refused with their number."""
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as writer:
        for _ in range(3):
            writer.write(GRAY)

    with pytest.raises(ScanError, match="3 pages"):
        scan.read(path, SETTINGS)


@pytest.mark.parametrize("dtype", [np.float32, np.uint32, np.int16])
def test_odd_samples_are_refused(tmp_path: Path, dtype: type[np.generic]) -> None:
    """TIFF samples that are not 1, 8 or 16 unsigned bits are refused by their name."""
    path = save(tmp_path / "a.tif", GRAY.astype(dtype))

    with pytest.raises(ScanError, match=rf"samples are {np.dtype(dtype).name}.*1, 8 and 16 bits"):
        scan.read(path, SETTINGS)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("channels", [2, 4])
def test_transparency_is_refused(tmp_path: Path, depth: int, channels: int) -> None:
    """A picture with holes has no gray there; it is refused with advice."""
    pixels = np.repeat(gray_scene(*SIZE, depth)[..., None], channels, axis=-1)
    pixels[..., -1] = np.iinfo(pixels.dtype).max
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(pixels))

    assert np.array_equal(pixels[..., 0], scan.read(path, SETTINGS).gray)  # opaque: welcome
    pixels[5, 5, -1] = 0
    path.write_bytes(imagecodecs.png_encode(pixels))

    with pytest.raises(ScanError, match=r"transparent.*flatten"):
        scan.read(path, SETTINGS)


def test_animation_is_refused_or_its_first_picture_taken(tmp_path: Path) -> None:
    """A moving WebP does not crash the reader."""
    path = tmp_path / "a.webp"
    frames = [Image.fromarray(as_rgb(gray_scene(40, 40, seed=seed))) for seed in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    read = scan_or_reason(path)

    assert read if isinstance(read, str) else (40, 40) == read.gray.shape


def test_reading_says_nothing_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A decoder's own complaints do not add to photochrom's log beside the ScanError."""
    suffix, data = WHOLE["tiff lzw"]
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.DEBUG), pytest.raises(ScanError):
        scan.read(path, SETTINGS)

    assert [] == [
        record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR
    ]


def test_read_color_gives_what_was_stored(tmp_path: Path) -> None:
    """A color photograph comes upright, in 8-bit RGB; gray has equal channels."""
    photo = color_scene(40, 50)
    wide = save(tmp_path / "wide.tif", photo.astype(np.uint16) * np.uint16(257))
    lying = save(tmp_path / "lying.png", turned(photo, 6), exif=exif_block(6))
    gray = save(tmp_path / "gray.png", GRAY)

    assert np.array_equal(photo, scan.read_color(wide, SETTINGS))
    assert np.array_equal(photo, scan.read_color(lying, SETTINGS))
    assert np.array_equal(as_rgb(GRAY), scan.read_color(gray, SETTINGS))


def test_the_text_chunk_bomb_is_refused(tmp_path: Path) -> None:
    """A PNG whose comment inflates to 100 megabytes is refused or its comment left unread."""
    path = tmp_path / "a.png"
    bomb = b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9)
    chunk = (
        struct.pack(">I", len(bomb))
        + b"zTXt"
        + bomb
        + struct.pack(">I", zlib.crc32(b"zTXt" + bomb))
    )
    data = encoded("PNG", GRAY)
    path.write_bytes(data[:33] + chunk + data[33:])
    read = scan_or_reason(path)

    assert read if isinstance(read, str) else np.array_equal(GRAY, read.gray)
