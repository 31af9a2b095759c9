"""Photographs that look like an archive's scans are drawn more often."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.synthetic_photos import color_scene, gray_scene, save
from worker.color.cielab import gray_of_rgb
from worker.errors import ScanError
from worker.settings import ReadSettings
from worker.training.data.collection import Collection
from worker.training.data.dataset import make_batch
from worker.training.nearness import MOST_OFTEN, MOST_SCANS, draw_weights, read_scans

STRIPES, DISKS = 6, 6


def striped(seed: int) -> np.ndarray:
    """Paint stripes of two colors."""
    rng = np.random.default_rng(seed)
    colors = rng.integers(0, 255, (2, 3))
    return colors[np.arange(256) // 16 % 2][:, None].repeat(256, axis=1).astype(np.uint8)


def dotted(seed: int) -> np.ndarray:
    """Paint disks at random places."""
    rng = np.random.default_rng(seed)
    photo = np.full((256, 256, 3), rng.integers(0, 255, 3), np.uint8)
    for _ in range(12):
        center = tuple(int(one) for one in rng.integers(0, 256, 2))
        color = tuple(int(one) for one in rng.integers(0, 255, 3))
        cv2.circle(photo, center, 20, color, -1)
    return photo


@pytest.fixture(scope="module")
def both_kinds() -> Collection:
    """Collect photographs of stripes, then of disks."""
    photos = np.stack(
        [striped(seed) for seed in range(STRIPES)] + [dotted(seed) for seed in range(DISKS)]
    )
    return Collection(photos, np.arange(STRIPES + DISKS), np.arange(0), {}, "")


def test_what_looks_like_the_scans_weighs_more(both_kinds: Collection) -> None:
    """All striped photographs before all dotted ones if the scans show stripes, and conversely."""
    for kind, first in ((striped, range(STRIPES)), (dotted, range(STRIPES, STRIPES + DISKS))):
        scans = [gray_of_rgb(kind(seed)) for seed in range(100, 106)]
        weights = draw_weights(both_kinds, scans)
        others = np.delete(weights, first)

        assert weights[first].min() > others.max()
        assert (1.0, MOST_OFTEN) == pytest.approx((weights.min(), weights.max()))


def test_photographs_are_drawn_by_their_weight(
    both_kinds: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each epoch one comes as often as its share says, give or take one."""
    count = STRIPES + DISKS
    weights = np.where(np.arange(count) < STRIPES, 3.0, 1.0)
    seen: list[int] = []

    def note(photo: np.ndarray, *_: object) -> tuple[np.ndarray, ...]:
        pictures = both_kinds.photos
        seen.append(next(i for i in range(count) if np.shares_memory(photo, pictures[i])))
        return (np.zeros(1),) * 3

    monkeypatch.setattr("worker.training.data.dataset._sample", note)
    for step in range(40):
        make_batch(replace(both_kinds, draw_weights=weights), 32, count, 1, step)
    epochs = np.array([np.bincount(one, minlength=count) for one in np.reshape(seen, (-1, count))])
    shares = weights / weights.sum() * count

    assert (np.abs(epochs - shares) < 1).all()
    assert shares == pytest.approx(epochs.mean(axis=0), abs=0.25)


def test_scans_are_a_fixed_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Black-and-white photographs of any depth, always the same ones; others are passed over."""
    save(tmp_path / "a.png", gray_scene(120, 140, 8, seed=1))
    save(tmp_path / "b.tif", gray_scene(120, 140, 16, seed=2))
    save(tmp_path / "in color.png", color_scene(120, 140, 3))
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    found = read_scans(tmp_path, ReadSettings())
    monkeypatch.setattr("worker.training.nearness.MOST_SCANS", 1)

    assert 2 == len(found) < MOST_SCANS
    assert {np.dtype(np.uint8)} == {one.dtype for one in found}
    assert np.array_equal(found[0], read_scans(tmp_path, ReadSettings())[0])


def test_a_folder_without_scans_is_said_so(tmp_path: Path) -> None:
    """The message names the folder and the setting."""
    save(tmp_path / "in color.png", color_scene(120, 140, 3))

    with pytest.raises(ScanError, match=r"no black-and-white photograph in .* \(training\.scans\)"):
        read_scans(tmp_path, ReadSettings())
