"""What training will look at: photographs beside what old cameras make of them."""

from pathlib import Path

import numpy as np

from worker.color import cielab
from worker.color.cielab import Floats, Pixels
from worker.training.data.collection import Collection
from worker.training.data.degradation import degrade
from worker.training.evaluation.contact_sheet import contact_sheet, save_sheet

PHOTOS = 12
CAMERAS = 3
SEED = 3  # the same collection gives the same sheet


def write_preview(collection: Collection, path: Path) -> None:
    """Write a contact sheet of some photographs, each with three of its old cameras.

    Args:
        collection: photos to choose from; always the same ones of the same collection.
        path: a .jpg or .png; replaced if it is there.

    Raises:
        OSError: when the disk is full or fails.
    """
    rng = np.random.default_rng(SEED)
    everyone = np.concatenate([collection.training, collection.validation])
    rows = []
    for index in rng.permutation(everyone)[:PHOTOS]:
        photo = np.asarray(collection.photos[index])
        rows.append([photo, *(_print_of(degrade(photo, rng)) for _ in range(CAMERAS))])
    save_sheet(path, contact_sheet(rows, ["the photograph", *["an old camera"] * CAMERAS]))


def _print_of(light: Floats) -> Pixels:
    """Show lightness (H, W) in 0..1 as gray RGB (H, W, 3) uint8."""
    codes = np.arange(256, dtype=np.uint8)
    gray = np.rint(np.interp(light, cielab.lightness(codes), codes)).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=-1)
