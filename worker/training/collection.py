"""A collection: the color photographs under some folders that are fit for training.

Memory does not grow with it: photos lie decoded in one memory-mapped file, named by the digest of
what is in it.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from worker import scan
from worker.color import Pixels
from worker.errors import ScanError
from worker.formats import KIND_OF_SUFFIX
from worker.settings import ReadSettings

CACHE_SIDE = (
    256  # photos are stretched to this square, as serving stretches scans to the render size
)
SMALLEST_SIDE = 96  # pixels; below it a photo has nothing to teach
READERS = 2  # threads that decode


@dataclass(frozen=True)
class Collection:
    """Photographs ready for training.

    Attributes:
        photos: (P, 256, 256, 3) uint8 sRGB, memory-mapped.
        training: indices into `photos` to learn from.
        validation: indices into `photos` never learned from; chosen by content, so a photo stays on
            its side for ever.
        left_out: how many files were unfit, by reason.
        digest: SHA-256 over the content of all photos; names the manifest.
    """

    photos: Pixels
    training: NDArray[np.intp]
    validation: NDArray[np.intp]
    left_out: dict[str, int]
    digest: str


def find_photos(folders: Sequence[Path]) -> list[Path]:
    """List every file under `folders` whose name says that photochrom can read it, sorted."""
    return sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix.lower() in KIND_OF_SUFFIX
        and not path.name.startswith(".")
        and path.is_file()
    )


def prepare(
    folders: Sequence[Path],
    cache_folder: Path,
    validation_share: float,
    settings: ReadSettings,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Collection:
    """Decode the photographs under `folders` into a cache, or find them there.

    Args:
        folders: any folders of color photographs, searched to their depths.
        cache_folder: where decoded photos are kept; safe to delete.
        validation_share: 0..1 of the photos to keep for validation.
        settings: what a photo may be.
        progress: called with photos done and photos in all.

    Raises:
        ScanError: when no photo is fit for training.
        OSError: when the disk fails.
    """
    paths = find_photos(folders)
    with ThreadPoolExecutor(READERS) as readers:
        digests = list(readers.map(_digest, paths))
        unique = dict(zip(digests, paths, strict=True))  # the same content twice is one photo
        identity = hashlib.sha256("".join([f"{CACHE_SIDE}", *sorted(unique)]).encode()).hexdigest()
        home = cache_folder / identity[:16]
        if not (home / "manifest.json").exists():
            _fill_cache(home, unique, settings, readers, progress)
    manifest = json.loads((home / "manifest.json").read_text())
    kept: list[str] = manifest["photos"]
    if not kept:
        names = ", ".join(map(str, folders))
        raise ScanError(f"no photograph in {names} is fit for training: {manifest['left_out']}")
    held_back = np.array([int(digest[:8], 16) / 2**32 < validation_share for digest in kept])
    if held_back.all():
        raise ScanError(
            f"validation took all {len(kept)} photographs; give more of them, "
            "or lower training.validation_share"
        )
    return Collection(
        np.load(home / "photos.npy", mmap_mode="r")[: len(kept)],
        np.flatnonzero(~held_back),
        np.flatnonzero(held_back),
        manifest["left_out"],
        identity,
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fill_cache(
    home: Path,
    unique: dict[str, Path],
    settings: ReadSettings,
    readers: ThreadPoolExecutor,
    progress: Callable[[int, int], None],
) -> None:
    home.mkdir(parents=True, exist_ok=True)
    shape = (max(1, len(unique)), CACHE_SIDE, CACHE_SIDE, 3)
    photos = np.lib.format.open_memmap(home / "photos.npy", mode="w+", dtype=np.uint8, shape=shape)
    kept: list[str] = []
    left_out: Counter[str] = Counter()
    results = readers.map(lambda path: _square_or_reason(path, settings), unique.values())
    for done, (digest, result) in enumerate(zip(unique, results, strict=True), start=1):
        if isinstance(result, str):
            left_out[result] += 1
        else:
            photos[len(kept)] = result
            kept.append(digest)
        progress(done, len(unique))
    photos.flush()
    temporary = home / f".manifest.{os.getpid()}"
    temporary.write_text(json.dumps({"photos": kept, "left_out": dict(left_out)}, indent=1))
    temporary.replace(home / "manifest.json")  # last: a cache without a manifest is not one


def _square_or_reason(path: Path, settings: ReadSettings) -> Pixels | str:
    try:
        rgb = scan.read_color(path, settings)
    except ScanError:
        return "unreadable"
    if min(rgb.shape[:2]) < SMALLEST_SIDE:
        return "too small"
    if scan.tone_spread(rgb) <= scan.TONE_LIMIT:
        return "without color (gray or one tone)"
    return np.asarray(cv2.resize(rgb, (CACHE_SIDE, CACHE_SIDE), interpolation=cv2.INTER_AREA))
