"""Promises of worker.encoding.write: same container, size and depth, metadata, and the AI label."""

import io
import re
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from tests.images import Array, as_rgb, dtype_of, exif_block, gray_scene, save, sepia
from worker import color, encoding, formats, scan
from worker.settings import OutputFormat, ReadSettings, WriteSettings

READ = ReadSettings()
LABEL = b"compositeWithTrainedAlgorithmicMedia"
SIZE = (61, 83)


def a_scan(kind: formats.Kind = "png", depth: int = 8, **carried: Any) -> scan.Scan:
    """Return a scan in memory as if it had come from a file of `kind`."""
    return scan.Scan(gray_scene(*SIZE, depth), kind, **carried)


def photo_of(gray: Array) -> Array:
    """Color a gray picture with smooth chroma."""
    ab = np.random.default_rng(0).uniform(-30, 30, (6, 6, 2)).astype(np.float32)
    return color.merge(gray, ab)


def written(
    rgb: Array, of: scan.Scan, output: OutputFormat = "same", *, label: bool = True
) -> bytes:
    """Return the bytes of the file that `write` makes."""
    file = io.BytesIO()
    encoding.write(rgb, of, WriteSettings(output, label), file)
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    """Open a file with Pillow and load it."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


FORMATS = {"jpeg": "JPEG", "png": "PNG", "tiff": "TIFF", "webp": "WEBP"}


@pytest.mark.parametrize("kind", FORMATS)
def test_the_container_and_size_stay(kind: formats.Kind) -> None:
    """Each kind comes back as itself, at its size, in RGB, readable by Pillow."""
    source = a_scan(kind)
    image = opened(written(photo_of(source.gray), source))

    assert (FORMATS[kind], SIZE[::-1], "RGB") == (image.format, image.size, image.mode)


@pytest.mark.parametrize("output", ["jpeg", "png", "tiff"])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("depth", [8, 16])
def test_another_container_can_be_chosen(
    kind: formats.Kind, output: OutputFormat, depth: int
) -> None:
    """The chosen format decides over the scan's own kind, whatever that carries."""
    source = a_scan(kind, depth, exif=exif_block(1), dpi=(300.0, 300.0), texts={270: "Harbor"})
    data = written(photo_of(source.gray), source, output)

    assert SIZE[::-1] == Image.open(io.BytesIO(data)).size
    assert FORMATS[output] == Image.open(io.BytesIO(data)).format


@pytest.mark.parametrize("depth", [8, 16])
def test_png_keeps_every_code(depth: int) -> None:
    """PNG holds the photo exactly, at its depth (read by OpenCV and, at 8 bits, by Pillow)."""
    source = a_scan("png", depth)
    rgb = photo_of(source.gray)
    data = written(rgb, source)
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]

    assert rgb.dtype == by_opencv.dtype
    assert np.array_equal(rgb, by_opencv)
    if depth == 8:
        assert np.array_equal(rgb, np.asarray(opened(data)))


@pytest.mark.parametrize("depth", [8, 16])
def test_tiff_keeps_every_code(depth: int) -> None:
    """TIFF holds the photo exactly, at its depth (read by OpenCV and, at 8 bits, by Pillow)."""
    source = a_scan("tiff", depth)
    rgb = photo_of(source.gray)
    data = written(rgb, source)
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]

    assert rgb.dtype == by_opencv.dtype
    assert np.array_equal(rgb, by_opencv)
    if depth == 8:
        assert np.array_equal(rgb, np.asarray(opened(data)))


def test_lossy_kinds_stay_near() -> None:
    """JPEG and lossy WebP stay near the photo; lossless WebP is exact."""
    smooth = cv2.GaussianBlur(gray_scene(*SIZE), (0, 0), 3)
    rgb = photo_of(smooth)
    for kind in ("jpeg", "webp"):
        data = written(rgb, scan.Scan(smooth, kind, lossless=False))

        assert np.abs(rgb.astype(int) - np.asarray(opened(data))).mean() < 4
    exact = written(rgb, scan.Scan(smooth, "webp", lossless=True))

    assert np.array_equal(rgb, np.asarray(opened(exact)))


@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff"])
def test_resolution_is_kept(kind: formats.Kind) -> None:
    """Dots per inch are those of the scan, also where the two sides differ."""
    source = a_scan(kind, dpi=(600.0, 300.0))
    image = opened(written(photo_of(source.gray), source))

    assert (600, 300) == pytest.approx(image.info["dpi"], abs=0.1)


@pytest.mark.parametrize("kind", FORMATS)
def test_no_resolution_is_made_up(kind: formats.Kind) -> None:
    """A scan that states no resolution gives a photo that states none."""
    source = a_scan(kind)
    image = opened(written(photo_of(source.gray), source))

    assert image.info.get("dpi") in {None, (1, 1)}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_exif_is_kept_upright(tmp_path: Path, suffix: str) -> None:
    """Artist and date come along; the orientation, already applied, does not."""
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", as_rgb(gray_scene(*SIZE)), exif=exif_block(6), **options)
    source = scan.read(path, READ)
    image = opened(written(photo_of(source.gray), source))
    exif = image.getexif()

    assert SIZE == image.size  # turned: width and height changed places
    assert exif[0x013B] == "A. Nonymous"
    assert exif.get_ifd(0x8769)[0x9003] == "1931:05:17 12:00:00"
    assert exif.get(0x0112) in {None, 1}


@pytest.mark.parametrize("text", ["Harbor, 1931", "Hafen in Köln, Möwen", "Łódź — 港"])
def test_tiff_texts_are_kept(tmp_path: Path, text: str) -> None:
    """Description, artist and copyright come along in any language, and so does the date."""
    path = save(
        tmp_path / "a.tif", gray_scene(*SIZE), metadata=None,
        extratags=[(tag, 2, 0, text.encode() + b"\0", True) for tag in (270, 315, 33432)],
        datetime="1931:05:17 12:00:00",
    )  # fmt: skip
    source = scan.read(path, READ)
    data = written(photo_of(source.gray), source)
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        tags = tiff.pages.first.tags
        found = {tag: tags[tag].value for tag in (270, 306, 315, 33432) if tag in tags}

    assert {270: text, 306: "1931:05:17 12:00:00", 315: text, 33432: text} == found


@pytest.mark.parametrize("kind", FORMATS)
def test_the_color_space_is_stated(kind: formats.Kind) -> None:
    """Each photo says that it is sRGB, in a profile that a color engine takes."""
    source = a_scan(kind)
    profile = opened(written(photo_of(source.gray), source)).info["icc_profile"]

    assert (
        "srgb"
        in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).lower()
    )


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("label", [True, False])
def test_the_label_is_there_unless_switched_off(kind: formats.Kind, *, label: bool) -> None:
    """XMP says DigitalSourceType where it belongs; without the label there is no trace of it."""
    source = a_scan(kind, exif=exif_block(1))
    data = written(photo_of(source.gray), source, label=label)
    image = opened(data)
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    if kind == "tiff":
        xmp = image.tag_v2.get(700, b"")
    xmp = xmp.encode() if isinstance(xmp, str) else bytes(xmp)

    assert label == (LABEL in xmp)
    assert label == (b"DigitalSourceType" in xmp)
    assert label == (LABEL in data)


def test_the_label_is_sound_xmp() -> None:
    """The label is one well-formed packet of UTF-8 with the IPTC term's full address."""
    text = encoding.XMP_LABEL.decode()

    assert re.match(r'<\?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"\?>', text)
    assert "http://cv.iptc.org/newscodes/digitalsourcetype/" in text
    assert text.count("<rdf:Description") == 1
    for prefix in re.findall(r"([A-Za-z0-9]+):[A-Za-z]+=", text):
        assert prefix == "xmlns" or f"xmlns:{prefix}=" in text


@pytest.mark.parametrize("kind", FORMATS)
def test_photochrom_reads_what_it_wrote(tmp_path: Path, kind: formats.Kind) -> None:
    """What comes out is a sound image of its kind, which photochrom's own reader takes."""
    source = a_scan(kind)
    suffix = next(suffix for suffix, named in formats.KIND_OF_SUFFIX.items() if named == kind)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(written(photo_of(source.gray), source))

    assert (*SIZE, 3) == scan.read_color(path, READ).shape


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("depth", [8, 16])
def test_any_size_is_written(kind: formats.Kind, depth: int, size: tuple[int, int]) -> None:
    """Slivers are photos too."""
    gray = gray_scene(*size, depth)
    data = written(photo_of(gray), scan.Scan(gray, kind))

    assert size[::-1] == Image.open(io.BytesIO(data)).size


class FullDisk(io.BytesIO):
    """A file on a disk that is full."""

    def write(self, _data: Any, /) -> int:
        """Refuse every byte."""
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_is_an_os_error(kind: formats.Kind) -> None:
    """A disk that takes no more bytes is the machine's fault, whatever the encoder."""
    source = a_scan(kind)

    with pytest.raises(OSError, match="No space left"):
        encoding.write(photo_of(source.gray), source, WriteSettings(), FullDisk())


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
    """From file to PNG file, with any chroma, L* of each pixel is the scan's within 1.0."""
    folder = tmp_path_factory.mktemp("road")
    gray = gray_scene(height, width, 8 if kind == "jpeg" else depth, seed % 997)
    name, pixels = {
        "png gray": ("a.png", gray),
        "png sepia": ("a.png", sepia(gray)),
        "tiff gray": ("a.tif", gray),
        "jpeg": ("a.jpg", gray),
    }[kind]
    source = scan.read(save(folder / name, pixels), READ)
    stored = pixels if kind != "jpeg" else np.asarray(Image.open(folder / name))
    ab = np.random.default_rng(seed).uniform(-110, 110, (4, 4, 2)).astype(np.float32)
    photo = imagecodecs.png_decode(written(color.merge(source.gray, ab), source, "png"))
    linear_in = color.srgb_to_linear(
        (stored if stored.ndim == 3 else as_rgb(stored)) / np.iinfo(stored.dtype).max
    )
    linear_out = color.srgb_to_linear(photo / np.iinfo(photo.dtype).max)
    expected = color.lightness_of_luminance(linear_in @ color.LUMINANCE)

    assert dtype_of(gray.dtype.itemsize * 8) == photo.dtype
    assert expected == pytest.approx(
        color.lightness_of_luminance(linear_out @ color.LUMINANCE), abs=1.0
    )
