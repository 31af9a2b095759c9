"""Scans colored without a daemon and without a generator."""

from pathlib import Path

import numpy as np

from tests.support.synthetic_photos import origin
from worker import render, scan
from worker.metadata.provenance import Record
from worker.settings import ReadSettings, WriteSettings


def colored(
    folder: Path, name: str, data: bytes, settings: WriteSettings | None = None
) -> tuple[Path, Record]:
    """Color a scan as the daemon does but for the generator; return the result and its record."""
    path = folder / name
    path.write_bytes(data)
    found = scan.read(path, ReadSettings())
    result = folder / f"colored-{name}"
    chroma = [np.full((8, 8, 2), 20, np.float32) for _ in found.pages]
    with result.open("w+b") as file:
        record = render.write(found, chroma, origin(name), settings or WriteSettings(), file)
    return result, record
