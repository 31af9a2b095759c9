"""Decodes one HEIC in a separate process: `python heic_process.py header|pixels < file`.

pi-heif 1.4 crashes on some damaged files (those whose metadata type is no text), which must not
take the daemon down. Imports nothing of photochrom, to start fast.
"""

import base64
import errno
import json
import resource
import sys
from typing import Any

import pi_heif


def header_of(image: Any, count: int) -> dict[str, Any]:
    """Return what the header says; bytes as base64."""
    info = image.info
    told = {name: info.get(name) or b"" for name in ("exif", "xmp", "icc_profile")}
    return {
        "count": count,
        "size": image.size,
        "mode": image.mode,
        "bits": info["bit_depth"],
        "nclx": info.get("nclx_profile") or {},
        "beside": beside(info),
        **{name: base64.b64encode(data).decode() for name, data in told.items()},
    }


def beside(info: dict[str, Any]) -> list[str]:
    """Name whatever else the file holds, in plain words."""
    named = []
    for what, found in (
        ("a thumbnail", info.get("thumbnails")),
        ("a picture of depths", info.get("depth_images")),
    ):
        named += [what] * bool(found)
    for kind in info.get("aux") or {}:
        named.append(f"an auxiliary picture ({kind})")
    for block in info.get("metadata") or []:
        kind = block.get("content_type") or block.get("type") or "unknown"
        named.append(f"a block of metadata ({kind}), {len(block.get('data') or b''):,} bytes")
    return named


def limit() -> None:
    """Disable core dumps and writing to files (pipes still work)."""
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(kind, (0, 0))


def main() -> None:
    """Write JSON or samples to standard output."""
    limit()
    opened = pi_heif.open_heif(sys.stdin.buffer.read(), convert_hdr_to_8bit=False)
    image = opened[opened.primary_index]
    if sys.argv[1] == "header":
        sys.stdout.write(json.dumps(header_of(image, len(opened))))
    else:
        sys.stdout.buffer.write(image.data)


if __name__ == "__main__":
    try:
        main()
    except MemoryError:
        sys.exit(errno.ENOMEM)
    except (OSError, ValueError, EOFError, SyntaxError, RuntimeError, LookupError) as error:
        sys.exit(str(error))
