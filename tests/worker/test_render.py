"""The scan's container, depth and pages, and a true record."""

import hashlib
import io
import json
import tracemalloc
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import c2pa
import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from tests.support import output_pages as made
from tests.support.certificates import make_signer
from tests.support.synthetic_photos import (
    Array,
    as_rgb,
    dtype_of,
    exif_block,
    gray_scene,
    in_each_kind,
    one_page,
    origin,
    save,
    sepia,
    turned,
)
from worker import render, scan
from worker.color import cielab, icc
from worker.errors import DeviceError, ScanError
from worker.formats.image import Encoding
from worker.formats.registry import FORMATS
from worker.metadata.block import Metadata
from worker.metadata.credentials import CredentialSettings
from worker.metadata.provenance import Origin, Record
from worker.metadata.xmp import DIGITAL_SOURCE_TYPE
from worker.scan import Scan
from worker.settings import (
    MarkSettings,
    OutputSpace,
    ReadSettings,
    WriteSettings,
)

READ = ReadSettings()
SAME = WriteSettings()
LABEL = b"compositeWithTrainedAlgorithmicMedia"
SIZE = (61, 83)
NAMES = {"jpeg": "JPEG", "png": "PNG", "tiff": "TIFF", "webp": "WEBP", "jp2": "JPEG2000"}
LOSSLESS: list[tuple[str, int]] = [
    ("png", 8), ("png", 16), ("tiff", 8), ("tiff", 16), ("jp2", 8), ("jp2", 16), ("webp", 8),
]  # fmt: skip
GAMMA = imagecodecs.cms_profile("gray", gamma=2.2)
# What each channel gives to the luminance: the spaces' standards.
WEIGHTS = {
    "srgb": (0.2126, 0.7152, 0.0722),
    "adobe-rgb": (0.29734, 0.62736, 0.07529),
    "display-p3": (0.22897, 0.69174, 0.07929),
}


def origin_of(source: Scan) -> Origin:
    """Tell of a scan's file, if it has one."""
    if source.path is None:
        return origin()
    return replace(origin(), sha256=hashlib.sha256(source.path.read_bytes()).hexdigest())


def chroma(seed: int = 0, reach: float = 30) -> Array:
    """Make up smooth chroma (6, 6, 2)."""
    return np.random.default_rng(seed).uniform(-reach, reach, (6, 6, 2)).astype(np.float32)


def write(source: Scan, how: WriteSettings = SAME, **options: Any) -> tuple[bytes, Record]:
    """Color a scan with made-up chroma, or `chromas`; return the file's bytes and the record."""
    chromas: Sequence[Array] = options.get("chromas", [chroma(n) for n in range(len(source.pages))])
    file = io.BytesIO()
    record = render.write(source, chromas, origin_of(source), how, file)
    return file.getvalue(), record


def opened(data: bytes) -> Image.Image:
    """Open a file with Pillow and load it."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def decoded(kind: str, data: bytes) -> list[Array]:
    """Decode each page by tifffile, OpenCV, OpenJPEG or Pillow; (H, W, 3 or 4), as it is stored."""
    if kind == "tiff":
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            return [page.asarray() for page in tiff.pages]
    if kind == "jp2":  # its codestream alone: with the profile, imagecodecs would turn it to sRGB
        return [np.asarray(imagecodecs.jpeg2k_decode(data[data.index(b"\xff\x4f\xff\x51") :]))]
    if kind == "png":
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return [bgr[..., [2, 1, 0, 3][: bgr.shape[2]]]]
    return [np.asarray(opened(data))]


def painted(source: Scan, page: int = 0, space: cielab.Space = cielab.SRGB) -> Array:
    """Color a page in memory, with the chroma that `write` takes."""
    one = source.pages[page]
    strips = cielab.merge_strips(one.gray, chroma(page), one.tone, space, one.small)
    return np.concatenate(list(strips))


def digest(samples: Array) -> str:
    """Hash samples, rows from the top, little-endian."""
    little = samples.astype(samples.dtype.newbyteorder("<"))
    return hashlib.sha256(little.tobytes()).hexdigest()


def lightness(rgb: Array, space: str = "srgb") -> Array:
    """Give L* of codes (H, W, 3) of an output space, by its standard's formulas."""
    codes = rgb[..., :3] / (np.iinfo(rgb.dtype).max if rgb.dtype.kind == "u" else 1)
    if space == "adobe-rgb":
        linear = codes ** (563 / 256)
    else:
        linear = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    return np.asarray(cielab.lightness_of_luminance(linear @ WEIGHTS[space]))


class TestContainers:
    """The result comes back as the scan came."""

    @pytest.mark.parametrize("kind", NAMES)
    def test_the_container_and_size_stay(self, kind: str) -> None:
        """Each kind comes back as itself, at its size, in RGB, readable by Pillow."""
        data, record = write(one_page(gray_scene(*SIZE), kind))
        image = opened(data)

        assert (NAMES[kind], SIZE[::-1], "RGB") == (image.format, image.size, image.mode)
        assert kind == record.kind

    @pytest.mark.parametrize("output", ["jpeg", "png", "tiff"])
    @pytest.mark.parametrize("suffix", in_each_kind(gray_scene(8, 8)))
    @pytest.mark.parametrize("depth", [8, 16])
    def test_another_container_can_be_chosen(
        self, tmp_path: Path, suffix: str, output: str, depth: int
    ) -> None:
        """The chosen format decides over the scan's own kind."""
        path = tmp_path / f"a{suffix}"
        path.write_bytes(in_each_kind(gray_scene(*SIZE, depth))[suffix])
        data, record = write(scan.read(path, READ), WriteSettings(output))

        assert output == record.kind
        assert (NAMES[output], SIZE[::-1]) == (
            Image.open(io.BytesIO(data)).format,
            Image.open(io.BytesIO(data)).size,
        )

    @pytest.mark.parametrize(("kind", "depth"), LOSSLESS)
    def test_lossless_kinds_keep_every_code(self, kind: str, depth: int) -> None:
        """The photo is held exactly, at its depth, as another program reads it."""
        source = one_page(gray_scene(*SIZE, depth), kind)
        (pixels,) = decoded(kind, write(source)[0])

        assert dtype_of(depth) == pixels.dtype
        assert np.array_equal(painted(source), pixels)

    @pytest.mark.parametrize("kind", ["jpeg", "webp", "jp2", "tiff"])
    def test_lossy_kinds_stay_near(self, kind: str) -> None:
        """What was lossy comes back lossy, and near the photo."""
        smooth = cv2.GaussianBlur(gray_scene(*SIZE), (0, 0), 3)
        source = one_page(smooth, kind, encoding=Encoding(lossless=False, compression="jpeg"))
        (pixels,) = decoded(kind, write(source)[0])

        assert not np.array_equal(painted(source), pixels)
        assert np.abs(painted(source).astype(int) - pixels).mean() < 4

    @pytest.mark.parametrize("kind", NAMES)
    def test_photochrom_reads_what_it_wrote(self, tmp_path: Path, kind: str) -> None:
        """What comes out is a sound image of its kind, which photochrom's own reader takes."""
        path = tmp_path / f"a{FORMATS[kind].suffixes[0]}"
        path.write_bytes(write(one_page(gray_scene(*SIZE), kind))[0])

        assert (*SIZE, 3) == scan.read_color(path, READ).shape
        with pytest.raises(ScanError, match="in color already"):
            scan.read(path, READ)

    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
    @pytest.mark.parametrize("kind", NAMES)
    @pytest.mark.parametrize("depth", [8, 16])
    def test_any_size_is_written(self, kind: str, depth: int, size: tuple[int, int]) -> None:
        """Slivers are photos too."""
        data, record = write(one_page(gray_scene(*size, depth), kind))

        assert size == decoded(kind, data)[0].shape[:2]
        assert size == (record.pages[0].height, record.pages[0].width)


class TestDepth:
    """16 bits stay 16 bits wherever the container can hold them."""

    @pytest.mark.parametrize("space", cielab.SPACES)
    @pytest.mark.parametrize("profile", [b"", GAMMA], ids=["none", "gamma 2.2"])
    def test_a_16_bit_scan_keeps_its_lightness(
        self, tmp_path: Path, space: OutputSpace, profile: bytes
    ) -> None:
        """From file to file L* stays within 0.1 over all 65,536 codes, by the scan's profile.

        And no banding: 99 % of the levels can still be told apart.
        """
        ramp = np.arange(65536).reshape(256, 256).astype(np.uint16)
        path = save(tmp_path / "a.tif", ramp, **({"iccprofile": profile} if profile else {}))
        source = scan.read(path, READ)
        data, record = write(source, WriteSettings(space=space), chromas=[chroma(reach=12)])
        (pixels,) = decoded("tiff", data)
        codes = ramp / 65535
        linear = codes**2.2 if profile else cielab.srgb_to_linear(codes)
        found = lightness(pixels, space)

        assert np.abs(cielab.lightness_of_luminance(linear) - found).max() < 0.1
        assert len(np.unique(found)) >= 0.99 * 65536
        assert (16, 16) == (record.pages[0].scan_bits, record.pages[0].bits)
        assert bool(profile) == bool(record.pages[0].scan_profile)

    def test_jpeg_scales_16_bits_and_clips_none(self) -> None:
        """A deep ramp becomes a ramp of 8 bits, from black to white."""
        ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (64, 1))
        source = one_page(ramp, "tiff", encoding=Encoding(bits=16))
        gray = np.zeros((2, 2, 2), np.float32)
        data, record = write(source, WriteSettings("jpeg"), chromas=[gray])
        (pixels,) = decoded("jpeg", data)

        assert np.abs(pixels.mean(axis=(0, 2)) - np.arange(256)).max() < 2
        assert (16, 8) == (record.pages[0].scan_bits, record.pages[0].bits)

    def test_floating_point_comes_back_as_such(self, tmp_path: Path) -> None:
        """A TIFF of 32-bit floats gives one of floats in 0..1, with the scan's lightness."""
        real = gray_scene(*SIZE, 16).astype(np.float32) / np.float32(65535)
        source = scan.read(save(tmp_path / "a.tif", real), READ)
        data, record = write(source)
        (pixels,) = decoded("tiff", data)

        assert np.float32 == pixels.dtype
        assert 0 <= pixels.min() <= pixels.max() <= 1
        assert lightness(as_rgb(real)) == pytest.approx(lightness(pixels), abs=0.1)
        assert (32, 32) == (record.pages[0].scan_bits, record.pages[0].bits)

    @pytest.mark.parametrize(
        ("kind", "depth", "encoding", "output", "bits"),
        [
            ("tiff", 16, Encoding(bits=16), "same", 16),
            ("tiff", 16, Encoding(bits=32, floating=True), "same", 32),
            ("tiff", 16, Encoding(bits=32, floating=True), "png", 16),
            ("tiff", 16, Encoding(bits=32, floating=True), "jpeg", 8),
            ("tiff", 8, Encoding(bits=1), "same", 8),
            ("tiff", 8, Encoding(lossless=False, compression="jpeg"), "same", 8),
            ("tiff", 16, Encoding(bits=16, lossless=False, compression="jpeg"), "same", 16),
            ("png", 16, Encoding(bits=16), "same", 16),
            ("png", 16, Encoding(bits=16), "tiff", 16),
            ("pnm", 16, Encoding(bits=16), "same", 16),
            ("jp2", 16, Encoding(bits=16), "same", 16),
            ("jpeg", 16, Encoding(bits=16, lossless=False), "same", 8),
            ("jpeg", 16, Encoding(bits=16, lossless=False), "tiff", 16),
            ("heic", 16, Encoding(bits=16, lossless=False), "same", 8),
            ("jxl", 16, Encoding(bits=16), "same", 16),
            ("webp", 8, Encoding(), "same", 8),
        ],
    )
    def test_the_record_tells_the_bits(
        self, kind: str, depth: int, encoding: Encoding, output: str, bits: int
    ) -> None:
        """Of scan and result, as the result's samples really are."""
        data, record = write(
            one_page(gray_scene(*SIZE, depth), kind, encoding=encoding), WriteSettings(output)
        )
        (page,) = record.pages
        (pixels,) = decoded(record.kind, data)

        assert (encoding.bits, bits) == (page.scan_bits, page.bits)
        assert bits == 8 * pixels.itemsize


class TestColor:
    """In which space the result is."""

    @pytest.mark.parametrize("space", cielab.SPACES)
    @pytest.mark.parametrize("kind", NAMES)
    def test_the_color_space_is_stated(self, kind: str, space: OutputSpace) -> None:
        """Each photo has its space's profile, which a color engine takes; so has the record."""
        data, record = write(one_page(gray_scene(*SIZE), kind), WriteSettings(space=space))
        if kind == "jp2":  # Pillow does not tell
            expected = icc.output_profile(cielab.SPACES[space])

            assert expected in data
            assert icc.describe(expected) == record.pages[0].profile
            return
        profile = ImageCms.ImageCmsProfile(io.BytesIO(opened(data).info["icc_profile"]))

        assert {"srgb": "sRGB", "adobe-rgb": "Adobe RGB", "display-p3": "Display P3"}[space] in (
            ImageCms.getProfileDescription(profile)
        )
        assert ImageCms.getProfileDescription(profile).strip() == record.pages[0].profile

    @pytest.mark.parametrize("space", cielab.SPACES)
    def test_the_codes_are_of_that_space(self, space: OutputSpace) -> None:
        """Not sRGB's codes under another name: every code is the space's."""
        source = one_page(gray_scene(*SIZE, 16), "tiff", encoding=Encoding(bits=16))
        data, _ = write(source, WriteSettings(space=space))

        assert np.array_equal(painted(source, space=cielab.SPACES[space]), decoded("tiff", data)[0])

    def test_a_profile_that_cannot_be_honored_is_told(self, tmp_path: Path) -> None:
        """The record says what stayed behind; the lightness is that of sRGB."""
        gray = gray_scene(*SIZE, 16)
        path = save(tmp_path / "a.tif", gray, iccprofile=b"no profile at all" * 20)
        data, record = write(scan.read(path, READ))
        (pixels,) = decoded("tiff", data)

        assert ["the color profile: it is not an ICC profile; sRGB was taken instead"] == [
            *record.lost
        ]
        assert "" == record.pages[0].scan_profile
        assert np.abs(lightness(as_rgb(gray)) - lightness(pixels)).max() < 0.1


class TestOpacity:
    """Holes in the scan are holes in the result."""

    @pytest.mark.parametrize(("kind", "depth"), LOSSLESS)
    def test_it_is_kept_beside_the_color(self, kind: str, depth: int) -> None:
        """Every code of it, and of the colors under it, also where nothing is to be seen."""
        alpha = gray_scene(*SIZE, depth, seed=6)
        alpha[:9] = 0
        source = one_page(gray_scene(*SIZE, depth), kind, alpha=alpha)
        data, record = write(source)
        (pixels,) = decoded(kind, data)

        assert np.array_equal(np.dstack([painted(source), alpha]), pixels)
        assert digest(pixels) == record.pages[0].pixels_sha256

    def test_a_jpeg_shows_white_behind_it(self) -> None:
        """A container without opacity gets what a viewer on white shows."""
        gray = np.full(SIZE, 60, np.uint8)
        alpha = np.full(SIZE, 255, np.uint8)
        alpha[:32] = 0
        data, _ = write(one_page(gray, "png", alpha=alpha), WriteSettings("jpeg"))
        (pixels,) = decoded("jpeg", data)

        assert pixels[:24].min() >= 252
        assert 60 == pytest.approx(pixels[40:].mean(), abs=12)

    @pytest.mark.parametrize("orientation", [1, 3, 6])
    def test_it_goes_the_whole_road(self, tmp_path: Path, orientation: int) -> None:
        """From a PNG that lay on its side to one that stands upright."""
        upright = np.dstack([gray_scene(*SIZE), gray_scene(*SIZE, seed=6)])
        path = tmp_path / "a.png"
        Image.fromarray(turned(upright, orientation), "LA").save(path, exif=exif_block(orientation))
        (pixels,) = decoded("png", write(scan.read(path, READ))[0])

        assert np.array_equal(upright[..., 1], pixels[..., 3])
        assert np.abs(lightness(as_rgb(upright[..., 0])) - lightness(pixels)).max() < 1


class TestPages:
    """All pages of a scan come back in one file."""

    def test_each_page_is_colored_as_itself(self) -> None:
        """With its own size, depth, opacity, compression and chroma, in order; other readers agree.

        The record has an entry for each.
        """
        alpha = gray_scene(30, 20, seed=2)
        grays = [gray_scene(40, 50), gray_scene(*SIZE, 16), gray_scene(30, 20)]
        parts: list[dict[str, Any]] = [
            {"encoding": Encoding(compression="lzw")},
            {"encoding": Encoding(bits=16, compression="zstd"), "profile": "Gamma 2.2"},
            {"alpha": alpha, "encoding": Encoding(compression="none")},
        ]
        pages = [one_page(*one[:1], **one[1]).pages[0] for one in zip(grays, parts, strict=True)]
        source = Scan(tuple(pages), "tiff")
        data, record = write(source)
        results = decoded("tiff", data)
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            compressions = [page.compression.name for page in tiff.pages]

        assert np.array_equal(painted(source, 0), results[0])
        assert np.array_equal(painted(source, 1), results[1])
        assert np.array_equal(np.dstack([painted(source, 2), alpha]), results[2])
        assert ["LZW", "ZSTD", "NONE"] == compressions
        assert 3 == Image.open(io.BytesIO(data)).n_frames
        assert [(50, 40, 8), (83, 61, 16), (20, 30, 8)] == [
            (page.width, page.height, page.bits) for page in record.pages
        ]
        assert [digest(pixels) for pixels in results] == [
            page.pixels_sha256 for page in record.pages
        ]
        assert ["", "Gamma 2.2", ""] == [page.scan_profile for page in record.pages]

    @pytest.mark.parametrize("output", ["jpeg", "png"])
    def test_what_a_container_cannot_hold_is_refused_with_advice(self, output: str) -> None:
        """Three pages are not one; the reason names the setting that helps."""
        pages = one_page(gray_scene(8, 8)).pages * 3

        with pytest.raises(ScanError, match=r"one page, but this scan has 3; set output\.format"):
            write(Scan(pages, "tiff"), WriteSettings(output))

    def test_a_side_too_long_is_refused_with_advice(self) -> None:
        """A panorama wider than JPEG can hold is not cut and not shrunk."""
        panorama = one_page(np.zeros((1, 65_501), np.uint8), "tiff")

        with pytest.raises(ScanError, match=r"65501 x 1 .* set output\.format to tiff"):
            write(panorama, WriteSettings("jpeg"))

    def test_every_page_needs_its_chroma(self) -> None:
        """No page is left gray in silence."""
        source = Scan(one_page(gray_scene(8, 8)).pages * 2, "tiff")

        with pytest.raises(ValueError, match=r"shorter|longer"):
            write(source, chromas=[chroma()])


class TestRecord:
    """What is said of the result is true."""

    @pytest.mark.parametrize("kind", NAMES)
    @pytest.mark.parametrize("lossless", [True, False])
    def test_the_results_digest_is_that_of_its_samples(self, kind: str, *, lossless: bool) -> None:
        """Anyone who decodes the file finds it, whether the file keeps every code or not."""
        encoding = Encoding(lossless=lossless, compression="deflate" if lossless else "jpeg")
        data, record = write(one_page(gray_scene(*SIZE), kind, encoding=encoding))

        assert [digest(pixels) for pixels in decoded(kind, data)] == [
            page.pixels_sha256 for page in record.pages
        ]

    @pytest.mark.parametrize("suffix", in_each_kind(gray_scene(8, 8)))
    def test_the_scans_digest_is_that_of_its_samples(self, tmp_path: Path, suffix: str) -> None:
        """Of all channels as they are stored: not upright, not untoned."""
        data = in_each_kind(gray_scene(*SIZE))[suffix]
        path = tmp_path / f"a{suffix}"
        path.write_bytes(data)
        if suffix == ".jxl":
            stored = imagecodecs.jpegxl_decode(data)
        else:
            stored = tifffile.imread(path) if suffix == ".tif" else np.asarray(Image.open(path))

        assert digest(stored) == write(scan.read(path, READ))[1].pages[0].scan_pixels_sha256

    def test_a_toned_scan_on_its_side_is_told_as_stored(self, tmp_path: Path) -> None:
        """The digest is of the sepia samples as they lay, 16 bits, in a big-endian file."""
        lying = turned(sepia(gray_scene(*SIZE, 16)), 6)
        path = save(tmp_path / "a.tif", lying, byteorder=">", extratags=[(274, 3, 1, 6, True)])
        data, record = write(scan.read(path, READ))
        (page,) = record.pages

        assert digest(lying) == page.scan_pixels_sha256
        assert (SIZE[1], SIZE[0]) == (page.width, page.height)
        assert b"MM" == data[:2]
        assert digest(tifffile.imread(io.BytesIO(data))) == page.pixels_sha256

    def test_the_settings_stand_in_it_by_name(self) -> None:
        """How it was written, and what IPTC calls it."""
        source = one_page(gray_scene(*SIZE))
        plain = write(source)[1]
        mark = MarkSettings("top-left", 0.1, 0.5)
        told = write(
            source, WriteSettings("tiff", label=False, credit="Us", space="adobe-rgb", mark=mark)
        )[1]

        assert {
            "format": "same",
            "profile": "srgb",
            "label": True,
            "credit": "",
            "mark": "none",
        } == plain.settings
        assert {
            "format": "tiff",
            "profile": "adobe-rgb",
            "label": False,
            "credit": "Us",
            "mark": "top-left",
            "mark_size": 0.1,
            "mark_opacity": 0.5,
        } == told.settings
        assert DIGITAL_SOURCE_TYPE == told.digital_source_type
        assert LABEL.decode() in told.digital_source_type

    def test_what_stays_behind_is_said_once(self) -> None:
        """Two pages with the same damage are one line in the record."""
        lame = Metadata(exif=b"Exif\0\0garbage that is no TIFF", lost=("a comment",))
        page = one_page(gray_scene(8, 8), metadata=lame).pages[0]
        _, record = write(Scan((page, page), "tiff"))

        assert "a comment" == record.lost[0]
        assert 2 == len(record.lost)
        assert "EXIF" in record.lost[1]


class TestMark:
    """The visible mark."""

    @pytest.mark.parametrize("depth", [8, 16])
    def test_it_is_drawn_where_it_is_set_and_nowhere_else(self, depth: int) -> None:
        """Every other pixel is as without it; the digest is that of the marked photo."""
        source = one_page(gray_scene(160, 200, depth), "tiff")
        plain = decoded("tiff", write(source)[0])[0]
        data, record = write(source, WriteSettings(mark=MarkSettings("bottom-right", 0.08, 0.6)))
        marked = decoded("tiff", data)[0]
        rows, columns = np.nonzero((plain != marked).any(axis=2))

        assert len(rows) > 100
        assert rows.min() > 120
        assert columns.min() > 100
        assert digest(marked) == record.pages[0].pixels_sha256

    def test_it_is_on_every_page(self) -> None:
        """None of an album's pages goes without."""
        source = Scan(one_page(gray_scene(160, 200), "tiff").pages * 2, "tiff")
        how = WriteSettings(mark=MarkSettings("top-left", 0.08, 1.0))
        pairs = zip(
            decoded("tiff", write(source)[0]), decoded("tiff", write(source, how)[0]), strict=True
        )

        assert [True, True] == [bool((plain != marked).any()) for plain, marked in pairs]


class TestMetadata:
    """What traveled with the scan is in the result's file; metadata.result has the details."""

    @pytest.mark.parametrize("kind", NAMES)
    @made.needs_exiftool
    def test_all_of_it_arrives(self, tmp_path: Path, kind: str) -> None:
        """EXIF, IPTC, XMP and resolution, with the label and the true profile; by exiftool."""
        source = one_page(gray_scene(*SIZE), kind, metadata=replace(made.rich(), xmp=b""))
        path = tmp_path / f"a{FORMATS[kind].suffixes[0]}"
        path.write_bytes(write(source)[0])
        told = made.exiftool(path)

        assert "Zoë Straße" == told["EXIF:Artist"]
        assert "Zoë" == told["IPTC:By-line"]
        assert made.SOURCE_TYPE == told["XMP:DigitalSourceType"]
        assert "sRGB" in told["ICC_Profile:ProfileDescription"]
        assert 300 == told["EXIF:XResolution"]
        assert "ExifTool:Warning" not in told

    @pytest.mark.parametrize("kind", NAMES)
    @pytest.mark.parametrize("label", [True, False])
    def test_the_label_is_there_unless_switched_off(self, kind: str, *, label: bool) -> None:
        """Without it there is no trace of it in the file's bytes."""
        source = one_page(gray_scene(*SIZE), kind, metadata=Metadata(exif=exif_block(1)))
        data, _ = write(source, WriteSettings(label=label))

        assert label == (LABEL in data)
        assert label == (b"DigitalSourceType" in data)

    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
    def test_exif_is_kept_upright(self, tmp_path: Path, suffix: str) -> None:
        """Artist and date come along; the orientation, already applied, does not count again.

        Dots per inch change places with the sides.
        """
        options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {"dpi": (600, 300)}
        path = tmp_path / f"a{suffix}"
        Image.fromarray(gray_scene(*SIZE)).save(path, exif=exif_block(6), **options)
        image = opened(write(scan.read(path, READ))[0])
        exif = image.getexif()

        assert SIZE == image.size  # turned: width and height changed places
        assert exif[0x013B] == "A. Nonymous"
        assert exif.get_ifd(0x8769)[0x9003] == "1931:05:17 12:00:00"
        assert exif.get(0x0112) == 1
        if suffix != ".webp":
            assert (300, 600) == pytest.approx(image.info["dpi"], abs=0.1)

    @pytest.mark.parametrize("kind", NAMES)
    def test_no_resolution_is_made_up(self, kind: str) -> None:
        """A scan that states no resolution gives a photo that states none."""
        image = opened(write(one_page(gray_scene(*SIZE), kind))[0])
        exif = image.getexif()
        if kind == "tiff":  # must have the fields: one dot in no unit
            assert (1, 1, 1) == (exif[0x011A], exif[0x011B], exif[0x0128])
            return

        assert 0x011A not in exif
        assert 0 == image.info.get("jfif_unit", 0)
        assert kind == "jpeg" or "dpi" not in image.info

    @pytest.mark.parametrize("text", ["Harbor, 1931", "Hafen in Köln, Möwen", "Łódź — 港"])
    def test_tiff_texts_are_kept(self, tmp_path: Path, text: str) -> None:
        """Description, artist and copyright come along in any language, and so does the date."""
        path = save(
            tmp_path / "a.tif", gray_scene(*SIZE), metadata=None,
            extratags=[(tag, 2, 0, text.encode() + b"\0", True) for tag in (270, 315, 33432)],
            datetime="1931:05:17 12:00:00",
        )  # fmt: skip
        data, _ = write(scan.read(path, READ))
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            tags = tiff.pages.first.tags
            found = {tag: tags[tag].value for tag in (270, 306, 315, 33432) if tag in tags}

        assert {270: text, 306: "1931:05:17 12:00:00", 315: text, 33432: text} == found


class TestCredentials:
    """With a signer set, the file is signed last."""

    @pytest.fixture
    def signer(self, tmp_path: Path) -> CredentialSettings:
        """Make a signer."""
        made_up = make_signer(tmp_path)
        return CredentialSettings(made_up.certificate, made_up.key)

    @pytest.fixture
    def source(self, tmp_path: Path) -> Scan:
        """Read a scan from its file."""
        return scan.read(save(tmp_path / "scan.tif", gray_scene(*SIZE, 16)), READ)

    def signed(
        self, source: Scan, folder: Path, signer: CredentialSettings, how: WriteSettings = SAME
    ) -> tuple[bytes, Record]:
        """Color a scan into a new folder, and sign it."""
        folder.mkdir()
        chromas = [chroma(n) for n in range(len(source.pages))]
        with (folder / "photo").open("w+b") as file:
            record = render.write(source, chromas, origin_of(source), how, file, signer)
        return (folder / "photo").read_bytes(), record

    @pytest.mark.parametrize("output", ["same", "png", "jpeg"])
    def test_a_signed_photo_is_the_unsigned_one_with_credentials(
        self, tmp_path: Path, source: Scan, signer: CredentialSettings, output: str
    ) -> None:
        """C2PA's reader finds them whole; pixels and record are as without; no other file stays."""
        how = WriteSettings(output)
        plain, expected = write(source, how)
        data, record = self.signed(source, tmp_path / "out", signer, how)
        with c2pa.Reader(FORMATS[record.kind].mime, io.BytesIO(data)) as reader:
            failures = json.loads(reader.json())["validation_results"]["activeManifest"]["failure"]

        assert {"signingCredential.untrusted"} >= {failure["code"] for failure in failures}
        assert expected == record
        assert np.array_equal(decoded(record.kind, plain)[0], decoded(record.kind, data)[0])
        assert ["photo"] == [path.name for path in (tmp_path / "out").iterdir()]

    @pytest.mark.parametrize(
        ("pages", "kind", "reason"),
        [(2, "tiff", "TIFF of several pages"), (1, "jp2", "JPEG 2000 cannot hold them")],
    )
    def test_what_cannot_be_signed_comes_unsigned_and_says_so(
        self,
        tmp_path: Path,
        source: Scan,
        signer: CredentialSettings,
        pages: int,
        kind: str,
        reason: str,
    ) -> None:
        """The file is the same as without a signer; the record says why."""
        unsignable = Scan(source.pages * pages, kind, source.path)
        plain, expected = write(unsignable)
        data, record = self.signed(unsignable, tmp_path / "out", signer)

        assert plain == data
        assert expected == replace(record, lost=())
        assert 1 == len(record.lost)
        assert reason in record.lost[0]

    def test_a_signer_that_cannot_sign_is_the_machines_fault(
        self, tmp_path: Path, source: Scan, signer: CredentialSettings
    ) -> None:
        """A certificate that is gone makes photos wait; none is given unsigned."""
        signer.certificate.unlink()

        with pytest.raises(DeviceError, match=r"cannot sign.*No such file"):
            self.signed(source, tmp_path / "out", signer)

        assert 0 == (tmp_path / "out" / "photo").stat().st_size

    def test_a_scan_without_a_file_is_not_passed_off_as_signed(
        self, tmp_path: Path, source: Scan, signer: CredentialSettings
    ) -> None:
        """Credentials name the scan's file; where there is none the record says so."""
        _, record = self.signed(replace(source, path=None), tmp_path / "out", signer)

        assert "this scan has none" in record.lost[0]


class FullDisk(io.BytesIO):
    """A file on a disk that is full after some bytes."""

    room = 0

    def write(self, data: Any, /) -> int:
        """Take what fits."""
        if self.tell() + len(data) > self.room:
            raise OSError(28, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("room", [0, 3000])
@pytest.mark.parametrize("kind", NAMES)
def test_a_full_disk_is_an_os_error(kind: str, room: int) -> None:
    """A disk that takes no more bytes is the machine's fault, whatever the encoder."""
    file = FullDisk()
    file.room = room

    with pytest.raises(OSError, match="No space left"):
        render.write(one_page(gray_scene(*SIZE), kind), [chroma()], origin(), SAME, file)


def test_a_16_bit_page_is_colored_in_the_memory_of_its_codes(tmp_path: Path) -> None:
    """Strips are colored and stored one by one: neither the photo nor its light is ever whole."""
    source = one_page(np.tile(gray_scene(256, 4096, 16), (8, 1)), "tiff")
    write(one_page(gray_scene(*SIZE, 16), "tiff"))  # tables and threads, once
    tracemalloc.start()
    with (tmp_path / "a.tif").open("w+b") as file:
        render.write(source, [chroma()], origin(), SAME, file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    codes = source.pages[0].gray.nbytes

    assert peak < 1.8 * codes, f"{peak / 1e6:.0f} MB for {codes / 1e6:.0f}"


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    depth=st.sampled_from([8, 16]),
    kind=st.sampled_from(["png gray", "png sepia", "tiff gray", "jpeg"]),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=60, deadline=None)
def test_lightness_survives_the_whole_road(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    height: int,
    width: int,
    depth: int,
    kind: str,
    seed: int,
) -> None:
    """From file to PNG file, with any chroma, L* is the scan's: within 1.0, of 16 bits 0.1."""
    folder = tmp_path_factory.mktemp("road")
    gray = gray_scene(height, width, 8 if kind == "jpeg" else depth, seed % 997)
    name, pixels = {
        "png gray": ("a.png", gray),
        "png sepia": ("a.png", sepia(gray)),
        "tiff gray": ("a.tif", gray),
        "jpeg": ("a.jpg", gray),
    }[kind]
    path = save(folder / name, pixels)
    stored = pixels if kind != "jpeg" else np.asarray(Image.open(path))
    data, _ = write(scan.read(path, READ), WriteSettings("png"), chromas=[chroma(seed, reach=110)])
    photo = imagecodecs.png_decode(data)
    expected = lightness(stored if stored.ndim == 3 else as_rgb(stored))

    assert gray.dtype == photo.dtype
    assert expected == pytest.approx(lightness(photo), abs=1.0 if gray.dtype == np.uint8 else 0.1)
