"""Promises of worker.inference.batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.synthetic_photos import gray_scene
from worker.color import cielab
from worker.inference import batches

SIDES = st.integers(1, 70)


@given(
    st.lists(st.tuples(SIDES, SIDES, st.sampled_from([8, 16])), max_size=4),
    st.sampled_from([1, 32, 48]),
)
@settings(max_examples=40, deadline=None)
def test_shape_and_range_are_fixed(sizes: list[tuple[int, int, int]], side: int) -> None:
    """Whatever comes, the batch has its one shape and type, and values within 0..1."""
    batch = batches.fit([gray_scene(*size) for size in sizes], side, 4)

    assert ((4, side, side, 1), np.float32) == (batch.shape, batch.dtype)
    assert batch.min() >= 0
    assert batch.max() <= 1


def test_sizes_are_few() -> None:
    """Doubled from the least, up to the most; a device that cannot hold the least gets the most."""
    assert [2, 2, 4, 4, 6, 6] == [batches.size_for(count, 2, 6) for count in range(1, 7)]
    assert 1 == batches.size_for(1, 2, 1)


def test_order_is_kept() -> None:
    """Each scan lies in its own place, whatever its size and depth."""
    codes = [10, 90, 200]
    shapes = [(40, 50), (7, 3), (1, 300)]
    batch = batches.fit(
        [np.full(shape, code, np.uint8) for shape, code in zip(shapes, codes, strict=True)], 32, 3
    )

    for place, code in enumerate(codes):
        expected = cielab.lightness(np.array(code, np.uint8))
        assert np.full((32, 32, 1), expected) == pytest.approx(batch[place], abs=1e-6)


def test_a_scan_does_not_depend_on_its_neighbors() -> None:
    """A scan's square is the same bytes alone and in company."""
    scan = gray_scene(90, 61)
    alone = batches.fit([scan], 32, 4)
    crowded = batches.fit([gray_scene(20, 20, 16, 1), scan, gray_scene(5, 200, 8, 2)], 32, 4)

    assert alone[0].tobytes() == crowded[1].tobytes()


def test_places_left_over_are_zero() -> None:
    """A batch that is not full is filled up with zeros."""
    batch = batches.fit([np.full((9, 9), 255, np.uint8)], 32, 3)

    assert 1.0 == pytest.approx(float(batch[0].min()), abs=1e-6)
    assert not batch[1:].any()


def test_both_depths_look_alike() -> None:
    """The generator sees the same lightness whether a scan has 8 or 16 bits."""
    scan = gray_scene(64, 48)
    eight = batches.fit([scan], 32, 1)
    sixteen = batches.fit([scan.astype(np.uint16) * np.uint16(257)], 32, 1)

    assert eight == pytest.approx(sixteen, abs=0.006)


def test_too_many_scans_are_refused() -> None:
    """More scans than places is the caller's mistake and says so."""
    with pytest.raises(ValueError, match="3 scans do not fit into a batch of 2"):
        batches.fit([gray_scene(4, 4)] * 3, 32, 2)


@given(st.integers(0, 5))
@settings(max_examples=6, deadline=None)
def test_unfit_gives_copies_of_the_first_planes(count: int) -> None:
    """Chroma comes back per scan, in order, and does not keep the batch alive."""
    chroma = np.random.default_rng(0).normal(size=(5, 3, 4, 2)).astype(np.float32)
    planes = batches.unfit(chroma, count)

    assert count == len(planes)
    for place, plane in enumerate(planes):
        assert np.array_equal(chroma[place], plane)
        assert plane.base is None
