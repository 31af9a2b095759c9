"""Batches that depend on seed and step alone."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.synthetic_photos import color_scene, save
from worker.color import cielab
from worker.models.decoding import color_grid
from worker.settings import ReadSettings
from worker.training.data import dataset
from worker.training.data.collection import Collection, prepare
from worker.training.data.dataset import batches, label_of, log_prior, make_batch

PHOTOS = 12


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    """Prepare some color photographs, half of them held back."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        save(folder / f"{number:02d}.png", color_scene(110, 130 + number, number))
    return prepare([folder], tmp_path_factory.mktemp("cache"), 0.5, ReadSettings())


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
        photos = collection.photos
        seen.append(next(i for i in range(PHOTOS) if np.shares_memory(photo, photos[i])))
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


def test_the_prior_is_how_common_colors_are(collection: Collection) -> None:
    """The prior is finite, the same each time, and high for a color of the scenes."""
    prior = log_prior(collection)

    assert (len(color_grid()),) == prior.shape
    assert np.isfinite(prior).all()
    assert np.array_equal(prior, log_prior(collection))
    assert 1 == pytest.approx((np.exp(prior) - dataset.RAREST).sum(), abs=1e-3)
    sky = cielab.lab_of_rgb(np.full((1, 1, 3), (90, 140, 220), np.uint8))[0, 0, 1:]
    near = np.linalg.norm(color_grid() - sky, axis=1) < 12
    assert prior[near].max() > np.median(prior) + 1


def test_the_prior_counts_photographs_as_often_as_they_are_drawn(collection: Collection) -> None:
    """Were but one photograph drawn, the prior would be that of its colors alone."""
    weights = np.zeros(len(collection.training))
    weights[1] = 1.0
    only = replace(collection, training=collection.training[1:2])

    drawn = np.exp(log_prior(replace(collection, draw_weights=weights)))
    assert drawn == pytest.approx(np.exp(log_prior(only)), abs=0.02)
    assert drawn != pytest.approx(np.exp(log_prior(collection)), abs=0.02)
