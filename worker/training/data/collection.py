"""A collection: the color photographs under some folders that are fit for training.

They are decoded into a memory-mapped file, so memory does not grow with their number.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker import scan
from worker.color.cielab import Pixels
from worker.errors import ScanError
from worker.settings import ReadSettings
from worker.training.data import manifest
from worker.training.data.cache import SIDE, DecodeCache, Facts
from worker.training.data.duplicates import KEPT, divide, perceptual_hash
from worker.training.data.files import find_photos
from worker.training.data.licenses import Terms, read_terms
from worker.training.data.manifest import Kept, LeftOut, Side
from worker.training.data.photographs import reject_reason

READERS = min(8, os.cpu_count() or 2)  # threads that decode
COMMIT_EVERY = 256  # photographs; a kill loses at most so many


@dataclass(frozen=True)
class Collection:
    """Photographs ready for training.

    Attributes:
        photos: (P, 256, 256, 3) uint8 sRGB, memory-mapped; it may hold other collections too.
        training: indices into `photos` to learn from, in the order of digests.
        validation: indices into `photos` never to learn from; `duplicates` has the guarantees.
        left_out: number of files left out, by reason.
        digest: SHA-256 over the digests of all photographs that are kept.
        licenses: number of photographs by license.
        sources: number of photographs by source.
        manifest_digest: SHA-256 over the manifest's entries without their paths.
        manifest: the file that lists each photograph that is kept, or left out and why.
        draw_weights: for each of `training` how often it is drawn, relative to the others; None:
            all equally often.
    """

    photos: Pixels
    training: NDArray[np.intp]
    validation: NDArray[np.intp]
    left_out: dict[str, int]
    digest: str
    licenses: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    manifest_digest: str = ""
    manifest: Path = Path()
    draw_weights: NDArray[np.float64] | None = None


class _Decoded(NamedTuple):
    """A file: its digest, and facts and square if it is new; or why it cannot be read."""

    digest: str = ""
    facts: Facts | None = None
    square: Pixels | None = None
    fault: str = ""


def prepare(
    folders: Sequence[Path],
    cache_folder: Path,
    validation_share: float,
    settings: ReadSettings,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Collection:
    """Decode the photographs under `folders` into a cache, or find them there.

    Args:
        folders: of color photographs, searched recursively.
        cache_folder: for decoded photographs; safe to delete.
        validation_share: 0..1 of the photographs, for validation.
        settings: which photographs are accepted.
        progress: called with files read so far and files in all.

    Raises:
        ScanError: no photograph is fit for training, or a licenses.tsv is malformed.
        DeviceError: the cache is damaged.
        OSError: the disk is full or failed; what was decoded stays in the cache.
    """
    folders = [folder.resolve() for folder in folders]
    terms = read_terms(folders)
    with DecodeCache(cache_folder) as squares:
        paths, left_out = _fill(squares, find_photos(folders), settings, progress)
        kept, twins = _divided(squares, paths, terms, validation_share)
        written = manifest.write(cache_folder / "manifests", kept, left_out + twins)
        _check(folders, kept, written)
        rows = np.array([squares.row(one.digest) for one in kept], np.intp)
        held_back = np.array([one.side == "validation" for one in kept])
        return Collection(
            squares.photos(),
            rows[~held_back],
            rows[held_back],
            written.left_out,
            hashlib.sha256("".join(one.digest for one in kept).encode()).hexdigest(),
            dict(Counter(one.license for one in kept).most_common()),
            dict(Counter(one.source for one in kept).most_common()),
            written.digest,
            written.path,
        )


def _fill(
    squares: DecodeCache,
    paths: list[Path],
    settings: ReadSettings,
    progress: Callable[[int, int], None],
) -> tuple[dict[str, Path], list[LeftOut]]:
    """Decode what is not in the cache; return the path of each digest, and what is left out."""
    path_of: dict[str, Path] = {}
    left_out: list[LeftOut] = []
    with ThreadPoolExecutor(READERS) as readers:
        for start in range(0, len(paths), COMMIT_EVERY):
            some = paths[start : start + COMMIT_EVERY]
            decoded = readers.map(lambda path: _decode(path, squares, settings), some)
            for number, (path, file) in enumerate(zip(some, decoded, strict=True), start + 1):
                if file.fault:
                    left_out.append(LeftOut(str(path), "unreadable", file.fault))
                elif file.digest in path_of:
                    why = f"identical to {path_of[file.digest]}"
                    left_out.append(LeftOut(str(path), "same content", why))
                else:
                    path_of[file.digest] = path
                    if file.facts and file.square is not None:
                        squares.add(file.facts, file.square)
                    reason = squares.known[file.digest].unfit
                    if reason:
                        left_out.append(LeftOut(str(path), reason))
                progress(number, len(paths))
            squares.commit()
    return path_of, left_out


def _decode(path: Path, squares: DecodeCache, settings: ReadSettings) -> _Decoded:
    """Decode a file unless its content is in the cache.

    Unreadable files are not recorded there: the cause may be a name or permissions.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest in squares.known:
            return _Decoded(digest)
        rgb = scan.read_color(path, settings)
    except ScanError as error:
        return _Decoded(fault=str(error))
    except (PermissionError, FileNotFoundError) as error:
        return _Decoded(fault=error.strerror or str(error))
    height, width = rgb.shape[:2]
    facts = Facts(digest, width, height, f"{perceptual_hash(rgb):016x}", reject_reason(rgb))
    square = cv2.resize(rgb, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return _Decoded(digest, facts, np.asarray(square))


def _divided(
    squares: DecodeCache, paths: dict[str, Path], terms: dict[Path, Terms], validation_share: float
) -> tuple[list[Kept], list[LeftOut]]:
    """Assign each fit photograph to training or validation, and leave near-duplicates out."""
    fit = [facts for digest in sorted(paths) if (facts := squares.known[digest]).unfit is None]
    division = divide(
        [facts.digest for facts in fit],
        np.array([int(facts.perceptual_hash, 16) for facts in fit], np.uint64),
        np.array([facts.width * facts.height for facts in fit], np.int64),
        validation_share,
    )
    kept: list[Kept] = []
    twins: list[LeftOut] = []
    for facts, held_back, twin in zip(fit, division.held_back, division.twin, strict=True):
        path = paths[facts.digest]
        if twin == KEPT:
            side: Side = "validation" if held_back else "training"
            kept.append(Kept.of(facts, path, side, terms.get(path, Terms())))
        else:
            why = f"of {paths[fit[twin].digest]}"
            twins.append(LeftOut(str(path), "near-duplicate", why))
    return kept, twins


def _check(folders: list[Path], kept: list[Kept], written: manifest.Written) -> None:
    """Refuse a collection without training photographs."""
    if not kept:
        names = ", ".join(map(str, folders))
        reasons = ", ".join(f"{count} {reason}" for reason, count in written.left_out.items())
        raise ScanError(
            f"no photograph in {names} is fit for training: {reasons or 'no photograph found'} "
            f"(listed in {written.path})"
        )
    if all(one.side == "validation" for one in kept):
        raise ScanError(
            f"all {len(kept)} photographs were held back for validation; add photographs or "
            "lower training.validation_share"
        )
