"""Files of any kind become upright gray pages; all else is refused."""

import io
import itertools
import logging
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from tests.support.synthetic_photos import (
    Array,
    as_rgb,
    color_scene,
    encoded,
    exif_block,
    gray_scene,
    in_each_kind,
    one_page,
    plain_tiff,
    png_bomb,
    save,
    sepia,
    turned,
)
from worker import scan
from worker.color import cielab, icc
from worker.color.cielab import Pixels
from worker.errors import ScanError
from worker.formats import png
from worker.formats.image import DecodedImage
from worker.formats.registry import BY_SUFFIX
from worker.scan import Page, Scan
from worker.settings import ReadSettings

SETTINGS = ReadSettings()
SIZE = (61, 83)
GRAY, GRAY16 = gray_scene(*SIZE), gray_scene(*SIZE, 16)
FILES = {8: in_each_kind(GRAY), 16: in_each_kind(GRAY16)}
DEEP = {".tif", ".png", ".jp2", ".pgm", ".jxl"}  # hold 16 bits
GAMMA = imagecodecs.cms_profile("gray", gamma=2.2)
ADOBE = icc.output_profile(cielab.ADOBE_RGB)


def stored(folder: Path, data: bytes, name: str) -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(data)
    return path


def only_page(path: Path, settings: ReadSettings = SETTINGS) -> Page:
    """Read a file of one page."""
    (page,) = scan.read(path, settings).pages
    return page


def jp2_with(profile: bytes, pixels: Array) -> bytes:
    """Return a JPEG 2000 whose color box holds a profile in place of a color space's number."""
    data = bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="jp2", reversible=True))
    head, at = data.index(b"jp2h") - 4, data.index(b"colr") - 4
    (whole,), (length,) = (struct.unpack_from(">I", data, place) for place in (head, at))
    box = struct.pack(">I4s3B", 11 + len(profile), b"colr", 2, 0, 0) + profile
    longer = struct.pack(">I", whole + len(box) - length)
    return data[:head] + longer + data[head + 4 : at] + box + data[at + length :]


def tiff_of(path: Path, *pages: tuple[Array, dict[str, Any]]) -> Path:
    """Write a TIFF of several pages, each with options of its own."""
    with tifffile.TiffWriter(path) as writer:
        for pixels, options in pages:
            kind = "rgb" if pixels.ndim == 3 and pixels.shape[2] > 2 else "minisblack"
            writer.write(pixels, metadata=None, **{"photometric": kind, **options})
    return path


class TestKinds:
    """Each kind of file gives the photograph it holds."""

    @pytest.mark.parametrize("depth", [8, 16])
    @pytest.mark.parametrize("suffix", [suffix for suffix in FILES[8] if suffix != ".jpg"])
    def test_lossless_kinds_give_their_codes(self, tmp_path: Path, suffix: str, depth: int) -> None:
        """Every code as stored, at its own depth; the scan knows its file and its kind."""
        expected = GRAY if depth == 8 else GRAY16
        if suffix not in DEEP:
            expected = cielab.to_8_bit(expected)
        path = stored(tmp_path, FILES[depth][suffix], f"a{suffix}")
        read = scan.read(path, SETTINGS)
        (page,) = read.pages

        assert (path, BY_SUFFIX[suffix].name) == (read.path, read.kind)
        assert expected.dtype == page.gray.dtype
        assert np.array_equal(expected, page.gray)
        assert page.gray.flags.c_contiguous
        assert page.encoding.lossless
        assert 8 * expected.itemsize == page.encoding.bits
        assert (False, None) == (page.turned, page.alpha)
        assert expected.size == read.size

    @pytest.mark.parametrize(
        ("suffix", "data"),
        [
            (".jpg", encoded("JPEG", GRAY, quality=95)),
            (".jpeg", encoded("JPEG", as_rgb(GRAY), quality=95)),
            (".JPG", encoded("JPEG", GRAY, quality=95, progressive=True)),
            (".webp", encoded("WEBP", as_rgb(GRAY), quality=95)),
            (".jp2", bytes(imagecodecs.jpeg2k_encode(GRAY, 40, codecformat="jp2"))),
            (".tif", encoded("TIFF", GRAY, compression="jpeg")),
        ],
    )
    def test_lossy_kinds_come_nearly(self, tmp_path: Path, suffix: str, data: bytes) -> None:
        """A lossy file gives gray near the original's and is known to be lossy."""
        page = only_page(stored(tmp_path, data, f"a{suffix}"))

        assert (GRAY.shape, np.uint8) == (page.gray.shape, page.gray.dtype)
        assert np.abs(GRAY.astype(int) - page.gray).mean() < 6
        assert not page.encoding.lossless

    def test_sixteen_bits_are_kept_not_clipped(self, tmp_path: Path) -> None:
        """A 16-bit ramp stays a ramp: as many different codes as were stored."""
        ramp = np.linspace(0, 65535, 4096).astype(np.uint16).reshape(64, 64)
        for suffix, data in in_each_kind(ramp).items():
            page = only_page(stored(tmp_path, data, f"a{suffix}"))

            assert (4096 if suffix in DEEP else 256) == len(np.unique(page.gray))

    def test_read_color_gives_what_was_stored(self, tmp_path: Path) -> None:
        """A color photograph comes upright, in 8-bit sRGB; gray has equal channels."""
        photo = color_scene(40, 50)
        wide = save(tmp_path / "wide.tif", photo.astype(np.uint16) * np.uint16(257))
        lying = save(tmp_path / "lying.png", turned(photo, 6), exif=exif_block(6))
        gray = save(tmp_path / "gray.png", GRAY)

        assert np.array_equal(photo, scan.read_color(wide, SETTINGS))
        assert np.array_equal(photo, scan.read_color(lying, SETTINGS))
        assert np.array_equal(as_rgb(GRAY), scan.read_color(gray, SETTINGS))

    def test_read_color_honors_profiles(self, tmp_path: Path) -> None:
        """Adobe RGB and gamma 2.2 come as the sRGB codes that LittleCMS gives."""
        photo = color_scene(40, 50)
        bright = np.linspace(30, 255, 2000).astype(np.uint8).reshape(40, 50)
        rgb = save(tmp_path / "a.tif", photo, iccprofile=ADOBE)
        gray = save(tmp_path / "b.tif", bright, iccprofile=GAMMA)
        expected = np.asarray(
            ImageCms.profileToProfile(
                Image.fromarray(photo), io.BytesIO(ADOBE), ImageCms.createProfile("sRGB"), 1
            )
        )
        by_gamma = np.rint(255 * srgb_codes((bright / 255) ** 2.2))

        assert np.abs(expected.astype(int) - scan.read_color(rgb, SETTINGS)).max() <= 1
        assert np.abs(as_rgb(by_gamma) - scan.read_color(gray, SETTINGS)).max() <= 1

    def test_read_color_refuses_holes(self, tmp_path: Path) -> None:
        """Nothing is learned from what is not there; an opaque alpha is no hole."""
        pixels = np.dstack([color_scene(40, 50), np.full((40, 50), 255, np.uint8)])
        opaque = stored(tmp_path, bytes(imagecodecs.png_encode(pixels)), "a.png")
        pixels[5, 5, 3] = 254
        holed = stored(tmp_path, bytes(imagecodecs.png_encode(pixels)), "b.png")

        assert np.array_equal(pixels[..., :3], scan.read_color(opaque, SETTINGS))
        with pytest.raises(ScanError, match=r"transparent parts; flatten"):
            scan.read_color(holed, SETTINGS)


class TestPages:
    """A file's pages are photographs each of its own."""

    def test_each_page_has_its_own_form(self, tmp_path: Path) -> None:
        """Size, depth, orientation, opacity and profile are those of the page, in order."""
        upright = gray_scene(40, 56)
        holes = np.dstack([gray_scene(30, 20, 16), gray_scene(30, 20, 16, seed=4)])
        path = tiff_of(
            tmp_path / "album.tif",
            (GRAY16, {"iccprofile": GAMMA, "compression": "zlib"}),
            (turned(upright, 6), {"extratags": [(274, 3, 1, 6, True)], "compression": "lzw"}),
            (holes, {"extrasamples": ["unassalpha"], "planarconfig": "contig"}),
        )
        read = scan.read(path, SETTINGS)
        first, second, third = read.pages

        assert np.array_equal(GRAY16, first.gray)
        assert first.tone is icc.neutral_tone(GAMMA, 16)
        assert (icc.describe(GAMMA), "") == (first.profile, second.profile)
        assert np.array_equal(upright, second.gray)
        assert [False, True, False] == [page.turned for page in read.pages]
        assert np.array_equal(holes[..., 0], third.gray)
        assert third.alpha is not None
        assert np.array_equal(holes[..., 1], third.alpha)
        assert ["deflate", "lzw", "none"] == [page.encoding.compression for page in read.pages]
        assert GRAY16.size + upright.size + 600 == read.size
        assert 3 == len({page.sha256 for page in read.pages})

    def test_a_page_in_color_names_itself(self, tmp_path: Path) -> None:
        """Of an album with one colored page the archivist learns which."""
        gray, colored = (gray_scene(40, 50), {}), (color_scene(40, 50), {})

        with pytest.raises(ScanError, match=r"^page 2 of 3: the photograph is in color already"):
            scan.read(tiff_of(tmp_path / "a.tif", gray, colored, gray), SETTINGS)
        with pytest.raises(ScanError, match=r"^the photograph is in color already"):
            scan.read(tiff_of(tmp_path / "b.tif", colored), SETTINGS)

    def test_a_damaged_page_costs_the_file_and_names_itself(self, tmp_path: Path) -> None:
        """Half an album is no album."""
        path = tiff_of(
            tmp_path / "a.tif", (GRAY, {}), (GRAY16, {"compression": "zlib", "rowsperstrip": 61})
        )
        with tifffile.TiffFile(path) as tiff:
            start, size = tiff.pages[1].dataoffsets[0], tiff.pages[1].databytecounts[0]
        data = bytearray(path.read_bytes())
        data[start + size // 2 : start + size // 2 + 40] = bytes(40)
        path.write_bytes(data)

        with pytest.raises(ScanError, match=r"^page 2 of 2: .*damaged"):
            scan.read(path, SETTINGS)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_every_orientation_is_turned_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    """However the camera was held, the scan stands upright, its sides swapped or not."""
    upright = np.zeros((40, 56), np.uint8)
    upright[:16, :24] = 250  # top left
    upright[24:, :8] = 120
    lying = turned(upright, orientation)
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        save(path, lying, extratags=[(274, 3, 1, orientation, True)])
    else:
        options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
        if suffix == ".jpg":
            options = {"quality": 100}
        save(path, as_rgb(lying), exif=exif_block(orientation), **options)
    page = only_page(path)

    assert upright.shape == page.gray.shape
    assert np.abs(upright.astype(int) - page.gray).max() <= 4
    assert (lying.shape != upright.shape) == page.turned
    assert page.gray.flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
def test_opacity_is_turned_with_its_photo(tmp_path: Path, orientation: int) -> None:
    """Holes stay where they are in the photo, however it lay."""
    upright = np.dstack([gray_scene(30, 44, 16), gray_scene(30, 44, 16, seed=2)])
    path = tiff_of(
        tmp_path / "a.tif",
        (
            turned(upright, orientation),
            {
                "extrasamples": ["unassalpha"],
                "planarconfig": "contig",
                "extratags": [(274, 3, 1, orientation, True)],
            },
        ),
    )
    page = only_page(path)

    assert np.array_equal(upright[..., 0], page.gray)
    assert page.alpha is not None
    assert np.array_equal(upright[..., 1], page.alpha)
    assert page.alpha.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp", ".jp2", ".jxl"])
def test_a_color_photo_is_refused(tmp_path: Path, suffix: str) -> None:
    """A photograph in color is not colored again, whatever the kind of file."""
    photo = color_scene(90, 120)
    if suffix in {".jp2", ".jxl"}:
        encode = imagecodecs.jpeg2k_encode if suffix == ".jp2" else imagecodecs.jpegxl_encode
        path = stored(tmp_path, bytes(encode(photo)), f"a{suffix}")
    else:
        path = save(tmp_path / f"a{suffix}", photo)

    with pytest.raises(ScanError, match="in color already"):
        scan.read(path, SETTINGS)


@pytest.mark.parametrize(
    ("suffix", "model"),
    [
        *itertools.product([".tif", ".jpg", ".png", ".jp2"], ["gray", "rgb"]),
        (".webp", "rgb"),  # has no gray
    ],
)
def test_a_profile_is_honored_in_every_kind(tmp_path: Path, suffix: str, model: str) -> None:
    """Codes come as they are stored, turned by no decoder, and the tone is the profile's."""
    profile = GAMMA if model == "gray" else ADOBE
    pixels = GRAY if model == "gray" else as_rgb(GRAY)
    path = tmp_path / f"a{suffix}"
    if suffix == ".jp2":
        path.write_bytes(jp2_with(profile, pixels))
    else:
        options = {".webp": {"lossless": True}, ".jpg": {"quality": 100, "subsampling": 0}}
        Image.fromarray(pixels).save(path, icc_profile=profile, **options.get(suffix, {}))
    page = only_page(path)

    assert np.abs(GRAY.astype(int) - page.gray).max() <= (2 if suffix == ".jpg" else 0)
    assert icc.neutral_tone(profile, 8) is page.tone
    assert icc.describe(profile) == page.profile
    assert () == page.metadata.lost


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("depth", [8, 16])
def test_sepia_keeps_its_lightness(tmp_path: Path, suffix: str, depth: int) -> None:
    """A toned print is accepted; the scan has the print's depth, and its L* at every pixel."""
    toned = sepia(gray_scene(*SIZE, depth))
    page = only_page(save(tmp_path / f"a{suffix}", toned))
    linear = cielab.srgb_to_linear(toned / np.iinfo(toned.dtype).max)
    expected = cielab.lightness_of_luminance(linear @ cielab.LUMINANCE)

    assert toned.dtype == page.gray.dtype
    assert expected == pytest.approx(
        100 * page.tone.lightness[page.gray], abs=0.5 if depth == 8 else 0.02
    )


def test_sepia_jpeg_is_accepted(tmp_path: Path) -> None:
    """A toned print survives the coarse color of an ordinary JPEG."""
    assert SIZE == only_page(save(tmp_path / "a.jpg", sepia(GRAY), quality=75)).gray.shape


class TestSmall:
    """What the generator sees of a page."""

    @pytest.mark.parametrize(
        ("size", "expected"),
        [((1000, 700), (512, 358)), ((60, 80), (60, 80)), ((1, 4000), (1, 512))],
    )
    def test_it_keeps_the_proportions(self, size: tuple[int, int], expected: Any) -> None:
        """A long side of at most 512 pixels, the page's depth and its mean."""
        gray = gray_scene(*size, 16)
        small = Page.of(gray).small

        assert (expected, gray.dtype) == (small.shape, small.dtype)
        assert gray.mean() == pytest.approx(small.mean(), rel=0.01)

    @pytest.mark.parametrize("depth", [8, 16])
    def test_it_is_in_srgb_whatever_the_profile(self, tmp_path: Path, depth: int) -> None:
        """Codes of gamma 2.2 are shown to the generator as the sRGB codes of the same light."""
        gray = gray_scene(*SIZE, depth)
        page = only_page(save(tmp_path / "a.tif", gray, iccprofile=GAMMA))
        top = np.iinfo(gray.dtype).max
        expected = srgb_codes((gray / top) ** 2.2) * top

        assert gray.dtype == page.small.dtype
        assert np.abs(expected - page.small).max() <= (1 if depth == 8 else 40)


WHOLE = {
    **{f"{suffix} {depth}": data for depth in FILES for suffix, data in FILES[depth].items()},
    ".jpg progressive": encoded("JPEG", GRAY, progressive=True),
    ".webp lossy": encoded("WEBP", as_rgb(GRAY)),
    ".tif plain": encoded("TIFF", GRAY),
    ".tif lzw": encoded("TIFF", GRAY, compression="tiff_lzw"),
}


@pytest.mark.parametrize("share", [0.004, 0.05, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", WHOLE)
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, share: float) -> None:
    """Wherever a file was cut, it is refused in words; half a photo is not a photo."""
    data = WHOLE[name]
    path = stored(tmp_path, data[: max(1, int(len(data) * share))], "a" + name.partition(" ")[0])

    with pytest.raises(ScanError, match=r"damaged|not an image|cut short"):
        scan.read(path, SETTINGS)


@pytest.mark.parametrize("name", WHOLE)
def test_flipped_bytes_never_crash(tmp_path: Path, name: str) -> None:
    """Whatever single bytes are wrong, the answer is a scan or a ScanError, nothing else."""
    data = WHOLE[name]
    rng = np.random.default_rng(0)
    small = ReadSettings(megapixels=1)
    answers = []
    for _ in range(40):
        spoiled = bytearray(data)
        for place in rng.integers(0, min(len(data), 400), 3):
            spoiled[place] = rng.integers(256)
        path = stored(tmp_path, bytes(spoiled), "a" + name.partition(" ")[0])
        try:
            answers.append(scan.read(path, small).size > 0)
        except ScanError as error:
            answers.append(bool(str(error)))

    assert [True] * 40 == answers


def test_a_refusal_says_nothing_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A decoder's own complaints do not add to photochrom's log beside the ScanError."""
    for name, data in WHOLE.items():
        path = stored(tmp_path, data[: len(data) // 2], "a" + name.partition(" ")[0])
        with caplog.at_level(logging.DEBUG), pytest.raises(ScanError):
            scan.read(path, SETTINGS)

    assert [] == [
        record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR
    ]


BOMBS = {
    ".png": png_bomb(60_000, 60_000),
    ".tif": plain_tiff(60_000, 60_000, 8, 1, bytes(1000)),
    ".tiff": plain_tiff(60_000, 60_000, 16, 1, bytes(1000)),
    ".jpg": FILES[8][".jpg"].replace(
        struct.pack(">HH", *SIZE), struct.pack(">HH", 60_000, 60_000), 1
    ),
    ".jp2": FILES[8][".jp2"].replace(
        struct.pack(">II", SIZE[1], SIZE[0]), struct.pack(">II", 60_000, 60_000)
    ),
    ".pgm": b"P5 60000 60000 255\n" + bytes(1000),
    ".bmp": FILES[8][".bmp"].replace(
        struct.pack("<II", SIZE[1], SIZE[0]), struct.pack("<II", 60_000, 60_000), 1
    ),
}


@pytest.mark.parametrize("suffix", BOMBS)
def test_a_decompression_bomb_is_refused_at_once(tmp_path: Path, suffix: str) -> None:
    """Absurd dimensions are refused from the header, with the numbers and the knob, at once."""
    path = stored(tmp_path, BOMBS[suffix], f"a{suffix}")
    start = time.perf_counter()

    with pytest.raises(
        ScanError, match=r"60000 x 60000.*3600 megapixels.*limits\.megapixels allows 500"
    ):
        scan.read(path, SETTINGS)

    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("suffix", FILES[8])
def test_the_limit_counts_pixels(tmp_path: Path, suffix: str) -> None:
    """A photo at the limit is read, one above is not; in every kind."""
    path = stored(tmp_path, FILES[8][suffix], f"a{suffix}")

    assert SIZE == only_page(path, ReadSettings(megapixels=GRAY.size / 1e6)).gray.shape
    with pytest.raises(ScanError, match=r"limits\.megapixels"):
        scan.read(path, ReadSettings(megapixels=(GRAY.size - 1) / 1e6))


def test_a_16_bit_page_is_read_in_the_memory_of_its_codes(tmp_path: Path) -> None:
    """Codes and the file's bands are held, no copy in floating point or in another depth."""
    gray = np.tile(gray_scene(256, 4096, 16), (16, 1))
    path = save(tmp_path / "a.tif", gray, compression="zlib", rowsperstrip=32, iccprofile=GAMMA)
    only_page(save(tmp_path / "b.tif", GRAY16, iccprofile=GAMMA))  # tables and threads, once
    tracemalloc.start()
    page = only_page(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert np.array_equal(gray, page.gray)
    assert peak < 1.9 * gray.nbytes, f"{peak / 1e6:.0f} MB for {gray.nbytes / 1e6:.0f}"


class TestLargeScans:
    """Their memory never adds."""

    @pytest.mark.parametrize("large", [False, True])
    def test_they_are_decoded_one_at_a_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, large: bool
    ) -> None:
        """Two small scans are decoded side by side; of two large ones the second waits."""
        both_inside = threading.Barrier(2)
        met: list[bool] = []

        def bands() -> Iterator[Pixels]:
            try:
                both_inside.wait(0.3 if large else 20)
                met.append(True)
            except threading.BrokenBarrierError:
                met.append(False)
            yield GRAY[..., None]

        def read(_file: BinaryIO, _settings: ReadSettings) -> list[DecodedImage]:
            return [DecodedImage(*SIZE, 1, alpha=False, bands=bands)]

        monkeypatch.setattr(png, "read", read)
        monkeypatch.setattr(scan, "LARGE", GRAY.size - large)
        path = stored(tmp_path, FILES[8][".png"], "a.png")
        threads = [threading.Thread(target=scan.read, args=(path, SETTINGS)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        assert [not large] * 2 == met

    def test_a_large_scan_that_is_refused_lets_the_next_one_in(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither damage nor color holds up what comes after."""
        monkeypatch.setattr(scan, "LARGE", 100)
        data = FILES[8][".tif"]
        cut = stored(tmp_path, data[: len(data) * 3 // 4], "cut.tif")
        colored = save(tmp_path / "color.tif", color_scene(*SIZE))
        for path in (cut, colored):
            with pytest.raises(ScanError):
                scan.read(path, SETTINGS)

        assert np.array_equal(GRAY, only_page(stored(tmp_path, data, "a.tif")).gray)


class TestPredictScans:
    """The generator sees pages; scans get them back."""

    def test_each_scan_gets_its_own_pages_back(self) -> None:
        """In their order, however many pages each has; the generator is asked once."""
        scans = [album(2, 0), album(1, 2), album(3, 3)]
        asked = []

        def predict(pages: Sequence[Page]) -> list[Array | ScanError]:
            asked.append(len(pages))
            return [np.full((4, 4, 2), page.gray[0, 0], np.float32) for page in pages]

        together = scan.predict_scans(predict, scans)
        firsts = [[int(page[0, 0, 0]) for page in pages] for pages in together if list(pages)]

        assert [6] == asked
        assert [[0, 1], [2], [3, 4, 5]] == firsts
        assert [] == scan.predict_scans(predict, [])

    def test_a_page_without_color_costs_its_scan_only(self) -> None:
        """The first reason is the scan's; its neighbors keep their chroma."""
        scans = [album(1, 0), album(3, 1), album(1, 4)]

        def predict(pages: Sequence[Page]) -> list[Array | ScanError]:
            ab = np.zeros((4, 4, 2), np.float32)
            return [
                ScanError(f"page {page.gray[0, 0]}") if page.gray[0, 0] in {2, 3} else ab
                for page in pages
            ]

        first, second, third = scan.predict_scans(predict, scans)

        assert isinstance(second, ScanError)
        assert "page 2" == str(second)
        assert not isinstance(first, ScanError)
        assert not isinstance(third, ScanError)
        assert [1, 1] == [len(first), len(third)]


def album(pages: int, first: int) -> Scan:
    """Make a scan of plain pages, numbered from `first` by their gray."""
    made = [one_page(np.full((8, 8), first + n, np.uint8)).pages[0] for n in range(pages)]
    return Scan(tuple(made), "tiff")


def srgb_codes(linear: Array) -> Array:
    """Apply sRGB's curve (IEC 61966-2-1); 0..1."""
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
