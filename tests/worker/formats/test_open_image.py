"""What is no sound image is named; a bad disk is no damage."""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import imagecodecs
import numpy as np
import pytest

from tests.support.synthetic_photos import encoded, gray_scene, in_each_kind
from tests.support.tiff_files import gray_fields, plain
from worker.color.cielab import Pixels
from worker.errors import DeviceError, IncompleteError, ScanError
from worker.formats import open_image, png
from worker.formats.image import DecodedImage
from worker.formats.open_image import opened
from worker.formats.registry import BY_SUFFIX
from worker.settings import ReadSettings

SETTINGS = ReadSettings()
GRAY = gray_scene(61, 83)
FILES = in_each_kind(GRAY)


def read_all(path: Path) -> list[Pixels]:
    """Open a file and decode all its pictures."""
    with opened(path, SETTINGS) as (_format, pictures):
        return [np.concatenate(list(one.bands())) for one in pictures]


def stored(folder: Path, data: bytes, name: str) -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", FILES)
@pytest.mark.parametrize("bent", [str, str.upper])
def test_every_kind_is_opened(tmp_path: Path, suffix: str, bent: Callable[[str], str]) -> None:
    """By its suffix in either case; its picture can be decoded while it is open."""
    path = stored(tmp_path, FILES[suffix], f"a{bent(suffix)}")
    with opened(path, SETTINGS) as (image_format, pictures):
        (picture,) = pictures
        codes = np.concatenate(list(picture.bands()))

    assert BY_SUFFIX[suffix] is image_format
    assert GRAY.shape == codes.shape[:2]
    assert np.abs(codes[..., 0].astype(int) - GRAY).mean() < 2


def test_codestreams_without_a_box_are_opened(tmp_path: Path) -> None:
    """Bare JPEG 2000 is known by its content, as `.j2k`."""
    data = bytes(imagecodecs.jpeg2k_encode(GRAY, codecformat="j2k", reversible=True))

    assert np.array_equal(GRAY, read_all(stored(tmp_path, data, "a.j2k"))[0][..., 0])


@pytest.mark.parametrize("suffix", BY_SUFFIX)
def test_an_empty_file_is_called_empty(tmp_path: Path, suffix: str) -> None:
    """Zero bytes are refused as that, whatever the name."""
    path = stored(tmp_path, b"", f"a{suffix}")

    with pytest.raises(IncompleteError, match="empty"), opened(path, SETTINGS):
        pass


@pytest.mark.parametrize("suffix", FILES)
def test_a_file_that_is_still_being_written_is_incomplete(tmp_path: Path, suffix: str) -> None:
    """Cut anywhere, or with its size set first and zeros where its end will be: never refused."""
    whole = FILES[suffix]
    ends = [len(whole) * part // 16 for part in range(1, 16)]
    for end, size in [(1, 1), (7, 7), *((n, n) for n in ends), *((n, len(whole)) for n in ends)]:
        path = stored(tmp_path, whole[:end].ljust(size, b"\0"), f"a{suffix}")
        try:
            found = read_all(path)
        except IncompleteError:
            continue

        assert [len(GRAY)] == [len(one) for one in found], end
    path = stored(tmp_path, bytes(len(whole)), f"a{suffix}")

    with pytest.raises(IncompleteError, match="nothing but zeros"):
        read_all(path)


def test_a_sound_file_that_is_refused_is_not_incomplete(tmp_path: Path) -> None:
    """Waiting would not help: another kind, text, or more pixels than allowed."""
    for data, name in ((FILES[".png"], "a.tif"), (b"Dear archivist,\n" * 9, "a.png")):
        with pytest.raises(ScanError) as caught:
            read_all(stored(tmp_path, data, name))

        assert type(caught.value) is ScanError
    path = stored(tmp_path, FILES[".tif"], "large.tif")
    with pytest.raises(ScanError) as caught, opened(path, ReadSettings(megapixels=0.001)):
        pass

    assert type(caught.value) is ScanError


@pytest.mark.parametrize("suffix", BY_SUFFIX)
def test_text_under_an_images_name_is_refused(tmp_path: Path, suffix: str) -> None:
    """It is not an image, and the reason says so."""
    path = stored(tmp_path, b"this is not a photograph\n" * 100, f"a{suffix}")

    with pytest.raises(ScanError, match="not an image"), opened(path, SETTINGS):
        pass


@pytest.mark.parametrize("named", FILES)
@pytest.mark.parametrize("content", FILES)
def test_a_wrong_suffix_is_refused_by_both_names(tmp_path: Path, named: str, content: str) -> None:
    """The reason says what the name says, what the file is, and what to do."""
    path = stored(tmp_path, FILES[content], f"a{named}")
    says, is_one = BY_SUFFIX[named].title, BY_SUFFIX[content].title
    if named == content:
        assert read_all(path)
        return

    with pytest.raises(ScanError, match=f"says {says} .* is {is_one}; rename"):
        read_all(path)


@pytest.mark.parametrize(
    ("start", "name"),
    [(b"GIF89a", "GIF"), (b"%PDF-1.7", "PDF"), (b"\0\0\0\x1cftypavif", "AVIF")],
)
def test_what_is_often_confused_is_called_by_its_name(
    tmp_path: Path, start: bytes, name: str
) -> None:
    """A GIF, PDF or AVIF under another suffix is named, though none of them is read."""
    path = stored(tmp_path, start + bytes(100), "a.jpg")

    with pytest.raises(ScanError, match=f"says JPEG but the content is {name}"):
        read_all(path)


@pytest.mark.parametrize("name", ["a.psd", "a", "a.txt", "a.gif"])
def test_a_foreign_suffix_is_refused_unread(tmp_path: Path, name: str) -> None:
    """A name photochrom does not know is refused by that name; the file need not even exist."""
    with pytest.raises(ScanError, match="photochrom does not read"):
        read_all(tmp_path / name)


def test_a_file_that_is_gone_is_reported_as_gone(tmp_path: Path) -> None:
    """A vanished file is neither damaged nor a scan."""
    with pytest.raises(FileNotFoundError):
        read_all(tmp_path / "a.png")


def test_denied_permission_is_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that may not be read is refused with that reason; root's tests need a shim for it."""

    def deny(_path: Path, **_: object) -> io.FileIO:
        raise PermissionError(13, "Permission denied")

    path = stored(tmp_path, FILES[".png"], "a.png")
    if os.geteuid() == 0:
        monkeypatch.setattr(open_image, "_Disk", deny)
    else:
        path.chmod(0)

    with pytest.raises(IncompleteError, match="no permission"):
        read_all(path)


class WornDisk(io.FileIO):
    """A file on a disk that fails at one of its reads.

    Attributes:
        good: how many reads succeed before the failing one.
        reads: how many there were.
    """

    good = 0
    reads = 0

    def readinto(self, buffer: Any, /) -> int | None:
        """Read, or fail."""
        self._wear()
        return super().readinto(buffer)

    def readall(self) -> bytes:
        """Read, or fail."""
        self._wear()
        return super().readall()

    def _wear(self) -> None:
        WornDisk.reads += 1
        if WornDisk.reads > WornDisk.good:
            raise OSError(5, "Input/output error")


class Worn(open_image._Disk, WornDisk):
    """The product's own file, whose base is worn."""


@pytest.mark.parametrize("suffix", FILES)
def test_a_failing_disk_is_never_the_files_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """At whichever read it fails, no decoder takes it for damage; file and fault are named."""
    noise = np.random.default_rng(0).integers(0, 256, (160, 200), np.uint8)
    path = stored(tmp_path, in_each_kind(noise)[suffix], f"a{suffix}")
    monkeypatch.setattr(open_image, "_Disk", Worn)
    good = 0
    reasons = set()
    while True:
        monkeypatch.setattr(WornDisk, "good", good)
        monkeypatch.setattr(WornDisk, "reads", 0)
        try:
            read_all(path)
        except DeviceError as error:
            reasons.add(str(error))
            good += 1
        else:
            break

    assert good >= 2
    assert {f"{path} cannot be read: Input/output error"} == reasons


DAMAGE = [
    *(error("of no use") for error in open_image.DECODER_ERRORS),
    imagecodecs.PngError("of no use"),
    UnicodeDecodeError("utf-8", b"", 0, 1, "of no use"),
]


@pytest.mark.parametrize("place", ["header", "bands"])
@pytest.mark.parametrize("error", DAMAGE, ids=lambda error: type(error).__name__)
def test_whatever_decoders_raise_is_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, place: str
) -> None:
    """From the header or in the middle of the pixels: damage, and no word of the decoder's."""

    def bands() -> Iterator[Pixels]:
        yield GRAY[:9, :, None]
        raise error

    def read(_file: BinaryIO, _settings: ReadSettings) -> list[DecodedImage]:
        if place == "header":
            raise error
        return [DecodedImage(61, 83, 1, alpha=False, bands=bands)]

    monkeypatch.setattr(png, "read", read)
    path = stored(tmp_path, FILES[".png"], "a.png")

    with pytest.raises(IncompleteError) as caught:
        read_all(path)

    assert "the PNG is damaged or cut short and cannot be decoded" == str(caught.value)


@pytest.mark.parametrize("error", [DeviceError("the disk"), MemoryError(), ScanError("in color")])
def test_other_faults_pass_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A reader's own refusal and the machine's faults are not called damage."""

    def read(_file: BinaryIO, _settings: ReadSettings) -> list[DecodedImage]:
        raise error

    monkeypatch.setattr(png, "read", read)
    path = stored(tmp_path, FILES[".png"], "a.png")

    with pytest.raises(type(error)) as caught:
        read_all(path)

    assert error is caught.value


def test_no_limit_but_ours_is_in_force(tmp_path: Path) -> None:
    """A JPEG of 400 megapixels in a TIFF is refused in plain words, not by Pillow's alarm."""
    stream = bytearray(encoded("JPEG", gray_scene(64, 64)))
    at = stream.index(b"\xff\xc0")
    stream[at + 5 : at + 9] = struct.pack(">HH", 20000, 20000)
    path = stored(tmp_path, plain(gray_fields(64, 64, 8, t259=7), [bytes(stream)]), "a.tif")

    with pytest.raises(ScanError, match="20000 x 20000; the file is damaged"):
        read_all(path)


def test_a_comment_that_inflates_to_a_bomb_does_not_fill_the_memory(tmp_path: Path) -> None:
    """A PNG whose comment inflates to 100 megabytes is refused, or read without it."""
    bomb = b"Comment\0\0" + zlib.compress(bytes(100_000_000), 9)
    chunk = struct.pack(">I", len(bomb)) + b"zTXt" + bomb
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + bomb))
    whole = FILES[".png"]
    path = stored(tmp_path, whole[:33] + chunk + whole[33:], "a.png")
    with opened(path, SETTINGS) as (_format, (picture,)):
        metadata = picture.metadata

    assert len(metadata.exif) < 1_000_000
    assert any("Comment" in lost or "zTXt" in lost for lost in metadata.lost)
