"""Color photographs to training batches: a cache on disk, and on each visit another old camera.

Memory does not grow with the collection: photos lie decoded in one memory-mapped file, named by the
digest of what is in it.
"""

import hashlib
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from worker import color, scan
from worker.color import Floats, Pixels
from worker.errors import ScanError
from worker.formats import KIND_OF_SUFFIX
from worker.generator import BIN_STEP, CHROMA_STRIDE, color_grid
from worker.settings import ReadSettings

CACHE_SIDE = (
    256  # photos are stretched to this square, as serving stretches scans to the render size
)
SMALLEST_SIDE = 96  # pixels; below it a photo has nothing to teach
AXIS_START, AXIS_BINS = -110, 23  # of the color grid's square
READERS = 2  # threads that decode and augment
PRIOR_PHOTOS = 1000  # enough to know how common each color is
RAREST = 0.005  # probability added to each color; taking less off rare ones keeps blotches away
AHEAD = 4  # batches made ready before they are asked for


class Batch(NamedTuple):
    """What one training step sees.

    Attributes:
        lightness: (N, S, S, 1) float32 in 0..1, as an old camera would have recorded it.
        ab: (N, S/4, S/4, 2) float32, true chroma in CIE units.
        label: (N, S/4, S/4) int32, index into `color_grid()`; `ab` rounded at random so that its
            mean is exact.
    """

    lightness: Floats
    ab: Floats
    label: NDArray[Any]


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


def log_prior(collection: Collection) -> Floats:
    """Measure how likely each color of the grid is, on a fixed sample of the training photos.

    Returns:
        (K,) float32 log-probabilities, each color counted as a little commoner than it is.
    """
    rng = np.random.default_rng(0)
    side = CACHE_SIDE // 8
    count = np.zeros(len(color_grid()))
    for index in rng.permutation(collection.training)[:PRIOR_PHOTOS]:
        photo = cv2.resize(collection.photos[index], (side, side), interpolation=cv2.INTER_AREA)
        lab = color.lab_of_rgb(np.asarray(photo))
        count += np.bincount(label_of(lab[..., 1:], rng).ravel(), minlength=len(count))
    return np.log(count / count.sum() + RAREST).astype(np.float32)


def batches(
    collection: Collection, crop: int, size: int, seed: int, first_step: int
) -> Iterator[Batch]:
    """Yield training batches for ever; batch k depends on `seed` and k alone, so runs can resume.

    Args:
        collection: the photographs.
        crop: side S of the squares, pixels.
        size: photos in a batch, N.
        seed: of the whole training.
        first_step: number of the first batch to yield.
    """
    with ThreadPoolExecutor(READERS) as workers:
        waiting: deque[Future[Batch]] = deque()
        step = first_step
        try:
            while True:
                while len(waiting) < AHEAD:
                    waiting.append(workers.submit(make_batch, collection, crop, size, seed, step))
                    step += 1
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def make_batch(collection: Collection, crop: int, size: int, seed: int, step: int) -> Batch:
    """Make the batch of one step: shuffled anew each epoch, cropped and filmed at random."""
    rng = np.random.default_rng([seed, step])
    count = len(collection.training)
    places = np.arange(step * size, (step + 1) * size)
    orders = {
        epoch: np.random.default_rng([seed, epoch, 1]).permutation(count)
        for epoch in np.unique(places // count)
    }
    chosen = [collection.training[orders[place // count][place % count]] for place in places]
    samples = [_sample(collection.photos[index], crop, rng) for index in chosen]
    return Batch(*(np.stack(parts) for parts in zip(*samples, strict=True)))


def _sample(
    photo: Pixels, crop: int, rng: np.random.Generator
) -> tuple[Floats, Floats, NDArray[Any]]:
    rgb = _random_square(photo, crop, rng)
    lab = color.lab_of_rgb(rgb)
    side = crop // CHROMA_STRIDE
    ab = np.asarray(cv2.resize(lab[..., 1:], (side, side), interpolation=cv2.INTER_AREA))
    return old_camera(rgb, rng)[..., None], ab, label_of(ab, rng)


def _random_square(photo: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """Cut a random rectangle, 60 to 100 % of each side, as a square; mirror it half the time."""
    height, width = (rng.uniform(0.6, 1.0, 2) * photo.shape[:2]).astype(int)
    top, left = rng.integers(0, (photo.shape[0] - height + 1, photo.shape[1] - width + 1))
    part = np.ascontiguousarray(photo[top : top + height, left : left + width])
    method = cv2.INTER_AREA if side < height else cv2.INTER_LINEAR
    square = np.asarray(cv2.resize(part, (side, side), interpolation=method))
    return square[:, ::-1] if rng.random() < 0.5 else square


def old_camera(rgb: Pixels, rng: np.random.Generator) -> Floats:
    """Photograph `rgb` (S, S, 3) with an old camera: lightness (S, S) float32 in 0..1.

    Half the time with true luminance; else through a random emulsion: panchromatic (any mix),
    orthochromatic (blind to red) or
    blue-sensitive. Then a tone curve, fading, and at random blur and grain.
    """
    weights = color.LUMINANCE
    if rng.random() < 0.5:
        red = rng.choice([rng.uniform(0.1, 0.5), rng.uniform(0.0, 0.08)], p=[0.7, 0.3])
        blue = rng.uniform(0.05, 0.35) if red > 0.08 else rng.uniform(0.2, 0.9)
        weights = np.array([red, (1 - red) * (1 - blue), (1 - red) * blue])
    gray = color.encode(color.linear_of_codes(rgb) @ weights.astype(np.float32), 16)
    light = color.lightness(gray)
    light = light ** np.float32(np.exp(rng.normal(0, 0.18)))
    black, white = rng.uniform(0, 0.08), 1 - rng.uniform(0, 0.08)
    light = black + (white - black) * light
    if rng.random() < 0.25:
        light = np.asarray(cv2.GaussianBlur(light, (0, 0), rng.uniform(0.4, 1.4)))
    if rng.random() < 0.5:
        grain = rng.standard_normal(light.shape, np.float32) * np.float32(rng.uniform(0.005, 0.04))
        light = light + (grain if rng.random() < 0.5 else cv2.GaussianBlur(grain, (0, 0), 0.8) * 2)
    return np.clip(light, 0, 1, dtype=np.float32)


def label_of(ab: Floats, rng: np.random.Generator) -> NDArray[Any]:
    """Round chroma to the color grid, up or down at random, so that the mean is the true color.

    Args:
        ab: (..., 2) float32 CIE units.
        rng: the dice.

    Returns:
        (...) int32 index into `color_grid()`.
    """
    place = np.floor(
        (ab - AXIS_START) / np.float32(BIN_STEP) + rng.random(ab.shape, np.float32)
    ).astype(np.intp)
    place = np.clip(place, 0, AXIS_BINS - 1)
    return np.asarray(_nearest_bin()[place[..., 0], place[..., 1]])


@cache
def _nearest_bin() -> NDArray[Any]:
    axis = AXIS_START + BIN_STEP * np.arange(AXIS_BINS)
    square = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)[:, :, None]
    return np.asarray(((square - color_grid()) ** 2).sum(axis=-1).argmin(axis=-1).astype(np.int32))
