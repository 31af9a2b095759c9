"""A contact sheet of what training sees: photographs beside degraded versions of them."""

from pathlib import Path

import numpy as np

from worker.color import cielab
from worker.color.cielab import Floats, Pixels
from worker.training.data.collection import Collection
from worker.training.data.degradation import degrade
from worker.training.evaluation.contact_sheet import contact_sheet, save_sheet

PHOTOS = 12
VERSIONS = 3  # degraded, of each
SEED = 3  # fixed: the same collection gives the same sheet


def write_preview(collection: Collection, path: Path) -> None:
    """Write a contact sheet of some photographs, each with three degraded versions.

    Args:
        collection: to choose from; the choice is always the same.
        path: a .jpg or .png file; replaced if it exists.

    Raises:
        OSError: the disk is full or failed.
    """
    rng = np.random.default_rng(SEED)
    everyone = np.concatenate([collection.training, collection.validation])
    rows = []
    for index in rng.permutation(everyone)[:PHOTOS]:
        photo = np.asarray(collection.photos[index])
        rows.append([photo, *(_as_rgb(degrade(photo, rng)) for _ in range(VERSIONS))])
    save_sheet(path, contact_sheet(rows, ["photograph", *["as training sees it"] * VERSIONS]))


def _as_rgb(light: Floats) -> Pixels:
    """Convert lightness (H, W) in 0..1 to gray RGB (H, W, 3) uint8."""
    codes = np.arange(256, dtype=np.uint8)
    gray = np.rint(np.interp(light, cielab.lightness(codes), codes)).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=-1)
