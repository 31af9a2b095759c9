"""HEIC and HEIF, read only, with the extra `heif`: results are JPEG. Refuses HDR and bursts.

pi-heif (libheif and libde265, LGPL) decodes in a separate process. It rotates the image as the file
says, so the EXIF orientation is ignored (ISO/IEC 23008-12 clause A.2.3).
"""

import base64
import errno
import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from worker.color import cielab, icc
from worker.color.cielab import Pixels
from worker.errors import DamagedError, DeviceError, ScanError
from worker.formats import heic_items
from worker.formats.full_image import decoded_whole, scaled
from worker.formats.image import DecodedImage, Encoding, check_size
from worker.metadata import exif_tags
from worker.metadata.block import Metadata
from worker.settings import ReadSettings

MODES = {  # samples, opacity, bits
    "L": (1, False, 8),
    "LA": (1, True, 8),
    "RGB": (3, False, 8),
    "RGBA": (3, True, 8),
    "I;16": (1, False, 16),
    "I;16L": (1, False, 16),
    "LA;16": (1, True, 16),
    "RGB;16": (3, False, 16),
    "RGBA;16": (3, True, 16),
}
HDR = {16, 18}  # transfer characteristics: PQ and HLG (ITU-T H.273)
P3 = 12  # primaries of Display P3
LONGEST = 120  # seconds
OUT_OF_MEMORY = {errno.ENOMEM, -signal.SIGKILL}  # exit codes of the decoder
DECODER = Path(__file__).with_name("heic_process.py")


def read(file: BinaryIO, settings: ReadSettings) -> list[DecodedImage]:
    """Read a HEIC's header; see `ImageFormat.read`.

    Raises:
        DeviceError: the machine cannot start the decoder's process.
        MemoryError: the decoder ran out of memory, or was killed, as the system does then.
    """
    if importlib.util.find_spec("pi_heif") is None:
        raise ScanError(
            "reading HEIC needs the extra heif: pip install 'photochrom[heif]', then drop it again"
        )
    told = json.loads(_answer(file, "header"))
    heic_items.check_ends(file)
    if told["count"] != 1:
        raise ScanError(f"the HEIC holds {told['count']} images; save each as a separate file")
    width, height = told["size"]
    check_size(width, height, settings)
    if told["mode"] not in MODES:
        raise ScanError(f"the HEIC's pixels are {told['mode']}; photochrom reads gray and RGB")
    samples, alpha, bits = MODES[told["mode"]]
    depth = told["bits"] if bits == 16 else 8

    def decode() -> Pixels:
        codes = np.frombuffer(_answer(file, "pixels"), "u1" if bits == 8 else "<u2")
        # Deep samples come shifted up to 16 bits, so that white is below 65535.
        return scaled(codes >> (bits - depth), 2**depth - 1)

    exif, iptc = exif_tags.without_iptc(base64.b64decode(told["exif"]))
    metadata = Metadata(
        exif=exif,
        iptc=iptc,
        xmp=base64.b64decode(told["xmp"]),
        profile=base64.b64decode(told["icc_profile"]) or _profile(told["nclx"]),
        dpi=exif_tags.resolution(exif),
        lost=tuple(told["beside"]),
    )
    size = (width, height, samples, alpha)
    return decoded_whole(decode, size, Encoding(bits=bits, lossless=False), metadata)


def _answer(file: BinaryIO, question: str) -> bytes:
    """Run the decoder's process; a crash means a damaged file, unless memory ran out."""
    file.seek(0)
    data = file.read()
    try:
        done = subprocess.run(  # noqa: S603 - our own script, no shell
            [sys.executable, "-I", str(DECODER), question],
            input=data,
            capture_output=True,
            check=False,
            timeout=LONGEST,
        )
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError from error
        raise DeviceError(
            f"the process that decodes HEIC cannot be started: {error.strerror}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise DamagedError(f"decoding took longer than {LONGEST} seconds") from error
    if done.returncode in OUT_OF_MEMORY or b"bad_alloc" in done.stderr:
        raise MemoryError
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise ValueError(words[-1] if words else f"its decoder crashed ({-done.returncode})")
    return done.stdout


def _profile(nclx: dict[str, Any]) -> bytes:
    """Return the profile of a color space given by code points; b"" for sRGB."""
    if nclx.get("transfer_characteristics") in HDR:
        raise ScanError("the HEIC is HDR (PQ or HLG); export it as a standard (SDR) image")
    return icc.output_profile(cielab.DISPLAY_P3) if nclx.get("color_primaries") == P3 else b""
