"""HEIC in: decoded upright, with its metadata; damage and a missing extra are told in words."""

import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support import output_pages
from tests.support.heic_files import LYING, TEN_BITS, data_of, slope
from worker.errors import DeviceError, ScanError
from worker.formats import heic
from worker.formats.image import DecodedImage


def read(data: bytes) -> DecodedImage:
    """Read a HEIC."""
    pytest.importorskip("pi_heif", reason="the extra heif is not installed")
    return output_pages.picture(heic.read, data)


def test_it_is_read_upright_with_its_metadata() -> None:
    """A picture that lies on its side is turned once: as stored it is upright already."""
    found = read(data_of(LYING))

    assert (48, 32, 1, False) == (found.height, found.width, found.samples, found.alpha)
    assert (8, False, 1) == (found.encoding.bits, found.encoding.lossless, found.orientation)
    assert b"A. Nonymous" in found.metadata.exif
    assert b"xmpmeta" in found.metadata.xmp
    np.testing.assert_allclose(np.rot90(slope(), -1)[..., None], output_pages.pixels(found), atol=3)


def test_ten_bits_keep_their_white() -> None:
    """Codes of 10 bits are stretched to all of 16."""
    found = read(data_of(TEN_BITS))
    got = output_pages.pixels(found)

    assert 16 == found.encoding.bits
    np.testing.assert_allclose(slope()[..., None] * 257, got, atol=3 * 257)
    np.testing.assert_array_equal(got, output_pages.pixels(found))


@pytest.mark.parametrize("sixteenth", range(16))
def test_a_cut_file_is_never_read(sixteenth: int) -> None:
    """Cut anywhere, it raises instead of giving half a picture."""
    whole = data_of(TEN_BITS)
    with pytest.raises(ValueError):  # noqa: PT011 - words differ
        output_pages.pixels(read(whole[: len(whole) * sixteenth // 16]))


def test_a_file_that_crashes_the_decoder_is_only_damaged() -> None:
    """A kind of metadata that is no text ends pi-heif 1.4's process, and not this one."""
    with pytest.raises(ValueError, match=r"crashed|utf-8"):
        read(data_of(LYING).replace(b"Exif\0", b"Ex\xd2f\0", 1))


def test_what_is_too_large_is_refused_before_it_is_decoded() -> None:
    """The limit is named."""
    pytest.importorskip("pi_heif", reason="the extra heif is not installed")
    with pytest.raises(ScanError, match=r"limits\.megapixels"):
        output_pages.picture(heic.read, data_of(LYING), megapixels=0.001)


def test_a_missing_extra_is_told_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pi-heif the reason says what to install."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ScanError, match=r"photochrom\[heif\]"):
        heic.read(io.BytesIO(data_of(LYING)), output_pages.ReadSettings())


def test_a_machine_without_room_is_not_the_files_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be started the photo waits instead of being rejected."""
    pytest.importorskip("pi_heif", reason="the extra heif is not installed")
    monkeypatch.setattr(heic.sys, "executable", "/nowhere/python")
    with pytest.raises(DeviceError, match="cannot be started"):
        read(data_of(LYING))


# Stand in for the decoder's program; the second leaves it 1 MB more for a file of 20.
KILLED = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
LIMITED = """
import resource, runpy, sys
import pi_heif
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 1_000_000,) * 2)
runpy.run_path({program!r}, run_name="__main__")
"""


@pytest.mark.parametrize("program", [KILLED, LIMITED], ids=["killed", "limited"])
def test_a_decoder_that_got_too_little_memory_says_nothing_of_the_file(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the system killed it, as it does when memory runs out, or refused it more."""
    stand_in = tmp_path / "decoder.py"
    stand_in.write_text(program.format(program=str(heic.DECODER)))
    monkeypatch.setattr(heic, "DECODER", stand_in)
    with pytest.raises(MemoryError):
        read(data_of(LYING) + bytes(20_000_000))


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_refused_in_words(transfer: int) -> None:
    """Light of PQ or HLG is no photograph's lightness."""
    with pytest.raises(ScanError, match="HDR"):
        heic._profile({"transfer_characteristics": transfer})


def test_the_decoders_process_cannot_write_a_file(tmp_path: Path) -> None:
    """Whatever a hostile HEIC makes of it; its answer goes through a pipe."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import heic_process; heic_process.limit();"
        "print('answer', flush=True); open(sys.argv[2], 'wb', buffering=0).write(b'evil')"
    )
    command = [sys.executable, "-c", program, str(heic.DECODER.parent), str(tmp_path / "a")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert "answer\n" == done.stdout
    assert "File too large" in done.stderr
    assert b"" == (tmp_path / "a").read_bytes()
