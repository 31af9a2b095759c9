"""Promises of worker.training.dataset."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.images import as_rgb, color_scene, gray_scene, save, sepia
from worker import color, scan
from worker.errors import ScanError
from worker.generator import color_grid
from worker.settings import ReadSettings
from worker.training import dataset
from worker.training.dataset import (
    Collection,
    batches,
    label_of,
    log_prior,
    make_batch,
    old_camera,
    prepare,
)

READ = ReadSettings()
PHOTOS = 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of color photographs and of what is unfit for training; to be read only."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "deep" / "er").mkdir(parents=True)
    for number in range(PHOTOS):
        home = folder / "deep" / "er" if number % 2 else folder
        save(home / f"{number:02d}.png", color_scene(110, 130 + number, number))
    shutil.copy(folder / "00.png", folder / "the same.png")
    save(folder / "gray.png", gray_scene(120, 120))
    save(folder / "gray rgb.png", as_rgb(gray_scene(120, 121)))
    save(folder / "sepia.jpg", sepia(gray_scene(120, 122)))
    save(folder / "tiny.png", color_scene(40, 200))
    (folder / "text.jpg").write_text("no photograph")
    (folder / "empty.png").write_bytes(b"")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no photograph")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder for the cache of this module."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def collection(folder: Path, cache: Path) -> Collection:
    """Prepare the folder, half of it held back."""
    return prepare([folder], cache, 0.5, READ)


def held_back(collection: Collection) -> set[bytes]:
    """Return the validation photos by content."""
    return {collection.photos[index].tobytes() for index in collection.validation}


def test_every_fit_photo_is_there_once(collection: Collection) -> None:
    """Photos of all sub-folders are squares of one size; a copy under another name is one."""
    assert (PHOTOS, 256, 256, 3) == collection.photos.shape
    assert PHOTOS == len({photo.tobytes() for photo in collection.photos})
    assert sorted(range(PHOTOS)) == sorted([*collection.training, *collection.validation])


def test_the_unfit_are_counted_with_their_reason(collection: Collection) -> None:
    """Gray, toned, small and unreadable files are left out, and it is said how many and why."""
    expected = {"without color (gray or one tone)": 3, "too small": 1, "unreadable": 2}

    assert expected == collection.left_out


def test_photos_do_not_fill_the_memory(collection: Collection) -> None:
    """The cache is memory-mapped, read only."""
    base: object = collection.photos
    while not isinstance(base, np.memmap):
        assert isinstance(base, np.ndarray)
        base = base.base

    assert not base.flags.writeable


def test_the_cache_is_used_again(
    folder: Path, cache: Path, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time nothing is decoded, whatever the share of validation."""

    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(scan, "read_color", refuse)
    again = prepare([folder], cache, 0.25, READ)

    assert collection.digest == again.digest
    assert np.array_equal(collection.photos, again.photos)
    assert set(again.validation) <= set(collection.validation)


def test_a_half_filled_cache_is_not_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A preparation that was killed or met a full disk is begun anew, not believed."""
    read_color: Callable[..., np.ndarray] = scan.read_color
    calls: list[Path] = []

    def fail_late(path: Path, settings: ReadSettings) -> np.ndarray:
        calls.append(path)
        if len(calls) == 6:
            raise OSError(5, "Input/output error")
        return read_color(path, settings)

    with monkeypatch.context() as failing:
        failing.setattr(scan, "read_color", fail_late)
        with pytest.raises(OSError, match="Input/output"):
            prepare([folder], tmp_path, 0.5, READ)
    whole = prepare([folder], tmp_path, 0.5, READ)

    assert PHOTOS == len(whole.photos)
    assert whole.photos.reshape(PHOTOS, -1).max(axis=1).min() > 0


def test_a_photo_stays_on_its_side(folder: Path, tmp_path: Path, collection: Collection) -> None:
    """When photos are added or moved, of the old ones the same are held back as before."""
    larger = tmp_path / "larger"
    shutil.copytree(folder, larger / "moved")
    for number in range(8):
        save(larger / f"new{number}.png", color_scene(100, 100, 100 + number))
    grown = prepare([larger], tmp_path / "cache", 0.5, READ)
    old = {photo.tobytes() for photo in collection.photos}

    assert PHOTOS + 8 == len(grown.photos)
    assert held_back(collection) == held_back(grown) & old


def test_progress_is_told(folder: Path, tmp_path: Path) -> None:
    """Preparing tells of each file, up to all of them."""
    told: list[tuple[int, int]] = []
    prepare([folder], tmp_path, 0.5, READ, lambda done, everything: told.append((done, everything)))

    assert [(n, told[-1][1]) for n in range(1, told[-1][1] + 1)] == told


def test_nothing_fit_is_a_scan_error(tmp_path: Path) -> None:
    """Without one photo to learn from it is said why, also when asked again."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for _ in range(2):
        with pytest.raises(ScanError, match=r"no photograph in .* is fit for training"):
            prepare([photos], tmp_path / "cache", 0.1, READ)
    save(photos / "gray.png", gray_scene(120, 120))
    for _ in range(2):
        with pytest.raises(ScanError, match=r"no photograph.*without color"):
            prepare([photos], tmp_path / "cache", 0.1, READ)


def test_holding_everything_back_is_a_scan_error(folder: Path, cache: Path) -> None:
    """Where validation took every photo, nothing is left to learn from, and that is said."""
    with pytest.raises(ScanError, match=r"no photograph|held back|validation"):
        prepare([folder], cache, 1.0, READ)


def test_hidden_and_foreign_files_are_not_looked_at(folder: Path) -> None:
    """Only names of image kinds that are not hidden count, in a fixed order."""
    found = dataset.find_photos([folder])

    assert sorted(found) == found
    assert not {".hidden.png", "notes.txt"} & {path.name for path in found}
    assert {"gray.png", "text.jpg", "11.png"} <= {path.name for path in found}


def test_a_batch_has_its_shapes_and_ranges(collection: Collection) -> None:
    """Lightness is in 0..1; chroma and labels are at a quarter of its size and agree."""
    batch = make_batch(collection, 64, 5, 1, 0)

    assert ((5, 64, 64, 1), np.float32) == (batch.lightness.shape, batch.lightness.dtype)
    assert ((5, 16, 16, 2), np.float32) == (batch.ab.shape, batch.ab.dtype)
    assert ((5, 16, 16), np.int32) == (batch.label.shape, batch.label.dtype)
    assert 0 <= batch.lightness.min() < batch.lightness.max() <= 1
    assert 0 <= batch.label.min() <= batch.label.max() < len(color_grid())
    assert np.abs(color_grid()[batch.label] - batch.ab).mean() < 6


def test_a_batch_depends_on_seed_and_step_alone(collection: Collection) -> None:
    """Batch k is the same bytes whenever it is made; another seed or step gives another."""
    stream = batches(collection, 32, 3, 5, 0)
    first = [next(stream) for _ in range(6)]
    stream.close()
    resumed = batches(collection, 32, 3, 5, 4)
    later = [next(resumed) for _ in range(2)]
    resumed.close()
    for one, other in zip(first[4:], later, strict=True):
        assert all(map(np.array_equal, one, other))

    assert not np.array_equal(first[0].lightness, first[1].lightness)
    assert not np.array_equal(first[0].lightness, make_batch(collection, 32, 3, 6, 0).lightness)


def test_every_epoch_shows_every_photo_once(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each epoch shows each training photo once, in another order; validation never comes."""
    seen: list[int] = []

    def note(photo: np.ndarray, _crop: int, _rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        seen.append(next(i for i in range(PHOTOS) if np.shares_memory(photo, collection.photos[i])))
        return (np.zeros(1),) * 3

    monkeypatch.setattr(dataset, "_sample", note)
    count = len(collection.training)
    for step in range(count):
        make_batch(collection, 32, 3, 1, step)
    epochs = [seen[start : start + count] for start in range(0, 3 * count, count)]

    assert [sorted(collection.training.tolist())] * 3 == [sorted(epoch) for epoch in epochs]
    assert epochs[0] != epochs[1]


def test_label_of_is_unbiased() -> None:
    """Over many throws the mean of the labels' colors is the true color."""
    rng = np.random.default_rng(0)
    for true in ([0.0, 0.0], [3.0, -4.0], [7.5, 12.5], [-13.0, 21.0], [25.0, 31.0]):
        labels = label_of(np.tile(np.array(true, np.float32), (20_000, 1)), rng)

        assert np.array(true) == pytest.approx(color_grid()[labels].mean(axis=0), abs=0.25)


def test_label_of_takes_any_chroma() -> None:
    """Chroma beyond the grid goes to a color of the grid that is near."""
    wild = np.array([[-200.0, 0.0], [0.0, 200.0], [105.0, -105.0], [128.0, 127.0]], np.float32)
    labels = label_of(wild, np.random.default_rng(0))

    assert (labels >= 0).all()
    assert (labels < len(color_grid())).all()


@pytest.mark.parametrize("seed", range(30))
def test_old_cameras_stay_in_range(seed: int) -> None:
    """Whatever the camera, lightness is float32 within 0..1 and still a picture."""
    picture = color_scene(48, 48, seed)
    light = old_camera(picture, np.random.default_rng(seed))

    assert ((48, 48), np.float32) == (light.shape, light.dtype)
    assert 0 <= light.min() < light.max() <= 1
    assert np.isfinite(light).all()


def test_old_cameras_differ_but_show_the_scene() -> None:
    """Throws of the dice give different pictures that resemble the true lightness."""
    picture = color_scene(64, 64, 3)
    truth = color.lightness(color.gray_of_rgb(picture))
    rng = np.random.default_rng(1)
    shots = [old_camera(picture, rng) for _ in range(40)]
    alike = [np.corrcoef(truth.ravel(), shot.ravel())[0, 1] for shot in shots]

    assert 40 == len({shot.tobytes() for shot in shots})
    assert np.median(alike) > 0.8


def test_the_prior_is_how_common_colors_are(collection: Collection) -> None:
    """The prior is finite, the same each time, and high for a color of the scenes."""
    prior = log_prior(collection)

    assert (len(color_grid()),) == prior.shape
    assert np.isfinite(prior).all()
    assert np.array_equal(prior, log_prior(collection))
    assert 1 == pytest.approx((np.exp(prior) - dataset.RAREST).sum(), abs=1e-3)
    sky = color.lab_of_rgb(np.full((1, 1, 3), (90, 140, 220), np.uint8))[0, 0, 1:]
    near = np.linalg.norm(color_grid() - sky, axis=1) < 12
    assert prior[near].max() > np.median(prior) + 1
