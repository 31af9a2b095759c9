"""Tells how often each training photograph is drawn: the more it looks like an archive's scans.

Photographs are compared in gray, by the features of an ImageNet classifier, so what counts is what
they show: groups of people, streets, ships.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from worker import scan
from worker.color import cielab
from worker.color.cielab import Floats, Pixels
from worker.errors import ScanError
from worker.settings import ReadSettings
from worker.training.data.collection import Collection
from worker.training.data.photographs import in_fixed_order
from worker.training.evaluation.features import see

MOST_SCANS = 300  # a fixed sample of the folder; more tell nothing new
NEIGHBORS = 5  # scans that a photograph is compared with: those most like it
MOST_OFTEN = 4.0  # times as often as the photograph that is least like them
CHUNK = 256  # photographs in memory at once


def draw_weights(collection: Collection, scans: Sequence[Pixels]) -> NDArray[np.float64]:
    """Compare training photographs with scans.

    Args:
        collection: of color photographs.
        scans: (H, W) uint8 gray codes, at least one.

    Returns:
        for each of `collection.training` how often it is to be drawn: 1 for the one least like the
        scans, 4 for the one most like them, between by rank.
    """
    wanted = _features(scans)
    count = len(collection.training)
    features = np.concatenate(
        [
            _features([cielab.gray_of_rgb(collection.photos[index]) for index in some])
            for some in np.array_split(collection.training, max(1, count // CHUNK))
        ]
    )
    middle = features.mean(axis=0)
    likeness = _directions(features - middle) @ _directions(wanted - middle).T  # (T, scans)
    most_like = np.sort(likeness, axis=1)[:, -NEIGHBORS:].mean(axis=1)
    rank = most_like.argsort().argsort() / max(count - 1, 1)
    return np.asarray(MOST_OFTEN**rank, np.float64)


def read_scans(folder: Path, settings: ReadSettings) -> list[Pixels]:
    """Read a sample of the scans under a folder, always the same one.

    Returns:
        the first page of each, (H, W) uint8 gray codes, downsampled; files that are no
        black-and-white photographs are passed over.

    Raises:
        ScanError: there is none.
        OSError: the disk failed.
    """
    found: list[Pixels] = []
    for path in in_fixed_order(folder):
        if len(found) == MOST_SCANS:
            break
        try:
            small = scan.read(path, settings).pages[0].small
        except ScanError:
            continue  # the daemon rejects it in words; here others stand for it
        found.append(np.asarray(small if small.dtype == np.uint8 else small >> 8, np.uint8))
    if not found:
        raise ScanError(f"no black-and-white photograph in {folder} (training.scans)")
    return found


def _features(grays: Sequence[Pixels]) -> Floats:
    return see([np.repeat(gray[..., None], 3, axis=-1) for gray in grays]).features


def _directions(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))
