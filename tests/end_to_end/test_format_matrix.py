"""A scan of every kind, colored by the real command and looked at with other eyes.

`format_matrix.py` makes the scans; `independent_decoders.py` says which library decodes which
result; both are in `tests/support/`.
"""

import hashlib
import io
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
import pytest
from PIL import ImageCms

from service.filesystem.availability import MARKER
from tests.support import icc_profiles, independent_decoders
from tests.support.color_formulas import ADOBE, P3, SRGB, Light
from tests.support.command import Home
from tests.support.format_matrix import all_cases
from tests.support.format_matrix_cases import Case
from tests.support.output_pages import SOURCE_TYPE, needs_exiftool
from tests.support.synthetic_photos import Array

pytestmark = pytest.mark.slow

CONFIG = """
watch: {settle: 0.3, rescan: 1.0, incomplete_timeout: 0}
batch: {size: 16, longest_wait: 0.2}
model: {render_size: 64}
"""
CASES = {case.name: case for case in all_cases()}
HALF = 0.51  # of a code, and what floating point adds
each = pytest.mark.parametrize("name", CASES)
HANDFUL = [
    "tiff-16-zlib-mm.tif",
    "icc-gamma22-16.tif",
    "icc-sepia-adobe.tif",
    "tiff-8-lzw-ii.tif",
    "png-16.png",
    "jpeg-rgb.jpg",
    "webp-lossless.webp",
]


class Other(NamedTuple):
    """A run with other settings than the usual ones."""

    format: str
    suffix: str
    space: str
    light: Light
    title: str
    outbox: Path = Path()


OTHERS = {
    "tiff": Other("tiff", ".tif", "adobe-rgb", ADOBE, "Adobe RGB (compatible)"),
    "png": Other("png", ".png", "display-p3", P3, "Display P3"),
    "jpeg": Other("jpeg", ".jpg", "adobe-rgb", ADOBE, "Adobe RGB (compatible)"),
}


@dataclass
class Done:
    """What a run left, and what of its log is no plain news."""

    home: Home
    code: int
    complaints: list[dict[str, Any]]

    def result(self, name: str) -> Path:
        """Return the colored photograph of a scan."""
        return self.home.outbox / CASES[name].result


def run(home: Home, cases: list[Case]) -> Done:
    """Color scans."""
    for case in cases:
        (home.inbox / case.name).write_bytes(case.data)
    with home.start("run", "--once") as command:
        code = command.exit_code()
        return Done(home, code, [one for one in command.events() if one["level"] != "info"])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Color all scans in one run."""
    return run(Home(tmp_path_factory.mktemp("matrix"), CONFIG), list(CASES.values()))


@pytest.fixture(scope="module")
def told(done: Done) -> dict[str, dict[str, Any]]:
    """Ask exiftool about all photographs at once; by name of the photograph."""
    names = [case.result for case in CASES.values()]
    answer = subprocess.run(
        ["exiftool", "-j", "-G", "-n", *names],
        cwd=done.home.outbox,
        capture_output=True,
        check=False,  # it says of each file what is wrong
        timeout=120,
    )
    return {entry["SourceFile"]: entry for entry in json.loads(answer.stdout)}


def test_all_scans_are_colored(done: Done) -> None:
    """At least 80; the command ends well; the outbox holds results and sidecars, nothing else."""
    names = [case.result for case in CASES.values()]
    found = sorted(path.name for path in done.home.outbox.iterdir() if path.name != MARKER)

    assert len(CASES) >= 80
    assert 0 == done.code, done.complaints
    assert sorted(names + [f"{name}.json" for name in names]) == found


@each
def test_a_photograph_is_stored_as_its_scan_was(done: Done, name: str) -> None:
    """Pages, sizes, bits, opacity, loss; a TIFF's compression and offsets; a JPEG at 4:4:4, 95."""
    case, path = CASES[name], done.result(name)
    found = independent_decoders.pages(path)
    shapes = [
        (*case.lightness(number).shape, 3 if case.alpha is None else 4)
        for number in range(len(case.pages))
    ]

    assert shapes == [page.shape for page in found]
    assert types(case) == [page.dtype for page in found]
    assert (not case.lossy and path.suffix != ".jpg") == independent_decoders.is_lossless(path)
    if case.alpha is not None:
        assert np.array_equal(case.alpha, found[0][..., 3])
    if path.suffix in {".tif", ".tiff"}:
        bits = tuple(page.itemsize * 8 for page in types(case))
        stored = case.stored
        form = (bits, (stored.compression,) * len(bits), stored.order, stored.big)
        assert form == independent_decoders.tiff_form(path)
    if path.suffix.lower() in {".jpg", ".jpeg"}:
        assert (0, independent_decoders.tables_of_quality(95)) == independent_decoders.jpeg_form(
            path
        )


def types(case: Case) -> list[np.dtype[Any]]:
    """Return the type that each page of a result must have."""
    if case.real:
        return [np.dtype(np.float32)]
    coarse = case.result.lower().endswith((".jpg", ".jpeg", ".webp"))
    return [np.dtype(np.uint8) if coarse else page.dtype for page in case.pages]


@each
def test_the_scans_own_lightness_stays(done: Done, name: str) -> None:
    """L* within 0.1 at 16 bits; within half a code at 8 bits; near it where storing costs some."""
    assert_lightness_stays(CASES[name], done.result(name), SRGB)


def assert_lightness_stays(case: Case, path: Path, light: Light) -> None:
    """Hold each page against its scan; a toned print of 8 bits was rounded once before."""
    for number, page in enumerate(independent_decoders.pages(path)):
        expected, rgb = case.lightness(number), page[..., :3]
        difference = np.abs(light.lightness(rgb) - expected)
        if not independent_decoders.is_lossless(path):
            assert difference.mean() < 0.8
            assert difference.max() < 5.0  # quality 95 on grain: a few pixels are that far off
        elif page.dtype == np.uint8:
            low, high = bounds(rgb, light, 2 * HALF if case.toned else HALF)
            assert (low <= expected).all()
            assert (expected <= high).all()
        else:
            assert difference.max() < 0.1


def bounds(rgb: Array, light: Light, codes: float) -> tuple[Array, Array]:
    """Return L* of 8-bit pixels that are darker and lighter by so many codes in each channel."""
    return light.lightness((rgb - codes) / 255), light.lightness((rgb + codes) / 255)


@each
def test_a_photograph_is_in_color_and_its_profile_is_srgb(done: Done, name: str) -> None:
    """Each page; and LittleCMS finds by that profile the lightness that sRGB's formula gives."""
    assert_in_color(CASES[name], done.result(name), SRGB, "sRGB")


def assert_in_color(case: Case, path: Path, light: Light, title: str) -> None:
    """Look at each page's colors and profile."""
    found = independent_decoders.color_profiles(path)

    assert len(case.pages) == len(found)
    for page, profile in zip(independent_decoders.pages(path), found, strict=True):
        rgb = page[..., :3] if page.dtype.kind == "f" else page[..., :3] / np.iinfo(page.dtype).max
        assert case.tones == bool(np.ptp(rgb, axis=-1).max() > 0.02)  # five codes of 255
        assert title == profile_name(profile)
        assert np.abs(light.lightness(rgb) - seen(rgb, profile)).max() < 0.02


def profile_name(profile: bytes) -> str:
    """Return what a profile calls itself."""
    return str(ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.profile_description)


def seen(rgb: Array, profile: bytes) -> Array:
    """Give L* as a viewer does that honors the profile: (H, W) of (H, W, 3) in 0..1."""
    xyz = imagecodecs.cms_transform(
        np.ascontiguousarray(rgb, np.float64),
        profile,
        imagecodecs.cms_profile("xyz"),
        colorspace="rgb",
        outcolorspace="xyz",
        outdtype=np.float64,
        intent=1,
    )
    back = icc_profiles.adapted(icc_profiles.D50, icc_profiles.xyz_of_place(icc_profiles.D65_PLACE))
    return Light(b"", lambda y: y).lightness(np.asarray(xyz @ back[1]))


@needs_exiftool
@each
def test_exiftool_reads_the_label(told: dict[str, dict[str, Any]], name: str) -> None:
    """That a model made the colors; from which scan; and it has nothing to complain of."""
    case = CASES[name]
    said = told[case.result]

    assert SOURCE_TYPE == said["XMP:DigitalSourceType"]
    assert hashlib.sha256(case.data).hexdigest() in said["XMP:DerivedFromHasMessageDigest"]
    assert "sRGB" == said["ICC_Profile:ProfileDescription"]
    assert 1 == said.get("EXIF:Orientation", 1)
    assert "ExifTool:Warning" not in said, said["ExifTool:Warning"]
    assert "ExifTool:Error" not in said, said["ExifTool:Error"]


@each
def test_the_sidecar_tells_of_what_lies_there(done: Done, name: str) -> None:
    """Digests of both files and of the pixels in them, found here anew; names of both profiles."""
    case, path = CASES[name], done.result(name)
    sidecar = json.loads(path.with_name(f"{path.name}.json").read_text())
    found = sidecar["pages"]

    assert hashlib.sha256(case.data).hexdigest() == sidecar["source"]["sha256"]
    assert case.data == (done.home.originals / name).read_bytes()
    assert digest(path.read_bytes()) == sidecar["output"]["sha256"]
    assert SOURCE_TYPE == sidecar["digital_source_type"]
    assert len(case.pages) == len(found)
    for scan, page, entry in zip(case.pages, independent_decoders.pages(path), found, strict=True):
        assert page.shape[:2] == (entry["height"], entry["width"])
        assert page.itemsize * 8 == entry["bits"]
        assert "sRGB" == entry["profile"]
        assert (case.light is not SRGB) == bool(entry["scan_profile"])
        if case.exact and not case.lossy:
            whole = scan if case.alpha is None else np.dstack([scan, case.alpha])
            assert digest(whole) == entry["scan_pixels_sha256"]
        if not case.lossy:  # those are decoded a bit otherwise by another library
            assert digest(codes_of(page)) == entry["pixels_sha256"]


def codes_of(page: Array) -> Array:
    """Return samples, floating point as the 16-bit codes that are hashed in its place."""
    return np.rint(page * 65535).astype(np.uint16) if page.dtype.kind == "f" else page


def digest(data: bytes | Array) -> str:
    """Return the SHA-256 of bytes, or of samples in rows from the top, little-endian."""
    if not isinstance(data, bytes):
        data = data.astype(data.dtype.newbyteorder("<")).tobytes()
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(scope="module", params=OTHERS)
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Other:
    """Color a handful of scans into another container and color space."""
    setting = OTHERS[request.param]
    config = f"{CONFIG}output: {{format: {setting.format}, profile: {setting.space}}}\n"
    home = Home(tmp_path_factory.mktemp(setting.format), config)
    done = run(home, [CASES[name] for name in HANDFUL])

    assert 0 == done.code, done.complaints
    return setting._replace(outbox=home.outbox)


@pytest.mark.parametrize("name", HANDFUL)
def test_another_container_and_space_can_be_set(other: Other, name: str) -> None:
    """Under a name that no other scan's result has, at the scan's depth where there is one."""
    case = CASES[name]
    kept = name.endswith(other.suffix)
    path = other.outbox / (name if kept else name + other.suffix)
    depth = 8 if other.suffix == ".jpg" else case.pages[0].itemsize * 8

    assert [depth] == [page.itemsize * 8 for page in independent_decoders.pages(path)]
    assert (other.suffix != ".jpg") == independent_decoders.is_lossless(path)
    assert_lightness_stays(case, path, other.light)
    assert_in_color(case, path, other.light, other.title)
