"""Reads a level-0 pyramid as a viewer would: which files info.json promises, and the whole page."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.support.synthetic_photos import Array


def promised(info: dict[str, Any]) -> set[str]:
    """Return the paths that info.json promises, by the text of Image API 3.0, beside it."""
    width, height = info["width"], info["height"]
    found = {f"full/{size['width']},{size['height']}" for size in info["sizes"]} | {"full/max"}
    (tiles,) = info["tiles"]
    for factor in tiles["scaleFactors"]:
        step = tiles["width"] * factor
        for x in range(0, width, step):
            for y in range(0, height, step):
                w, h = min(step, width - x), min(step, height - y)
                size = f"{math.ceil(w / factor)},{math.ceil(h / factor)}"
                whole = (w, h) == (width, height)
                found.add(f"full/{size}" if whole else f"{x},{y},{w},{h}/{size}")
    return {f"{one}/0/default.jpg" for one in found}


def present(folder: Path) -> set[str]:
    """Return the paths of the files in a folder but info.json."""
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return files - {"info.json"}


def read_info(folder: Path) -> dict[str, Any]:
    """Return what info.json says."""
    said: dict[str, Any] = json.loads((folder / "info.json").read_text())
    return said


def read_jpeg(source: Path | bytes) -> Array:
    """Return a JPEG's pixels, (H, W) or (H, W, 3)."""
    with Image.open(source if isinstance(source, Path) else io.BytesIO(source)) as image:
        assert image.format == "JPEG"
        return np.asarray(image)


def assembled(folder: Path, factor: int = 1) -> Array:
    """Put the tiles of a level together: (H, W) or (H, W, 3)."""
    info = read_info(folder)
    width, height = math.ceil(info["width"] / factor), math.ceil(info["height"] / factor)
    page: Array | None = None
    for path in promised(info):
        region, size = path.split("/")[:2]
        if region == "full" and (size == "max" or size != f"{width},{height}"):
            continue
        x, y, w, _h = (0, 0, info["width"], 0) if region == "full" else map(int, region.split(","))
        columns, rows = map(int, size.split(","))
        if math.ceil(w / factor) != columns:
            continue
        tile = read_jpeg(folder / path)
        assert tile.shape[:2] == (rows, columns)
        if page is None:
            page = np.full((height, width, *tile.shape[2:]), 7, np.uint8)
        page[y // factor : y // factor + rows, x // factor : x // factor + columns] = tile
    assert page is not None
    return page
