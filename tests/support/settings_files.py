"""Settings files in an inbox, as tests write them."""

import os
from pathlib import Path, PurePosixPath

from service.watch.settings_file import NAME

SCAN = PurePosixPath("album/may/0042.tif")
YES, NO = b"even_if_colored: true\n", b"even_if_colored: false\n"
AGES_AGO = 1_000_000_000  # seconds since 1970


def write(inbox: Path, folder: str, text: bytes, *, old: bool = True) -> Path:
    """Write a settings file, a while ago."""
    path = inbox / folder / NAME
    path.write_bytes(text)
    if old:
        os.utime(path, (AGES_AGO, AGES_AGO))
    return path
