"""Which decoding is chosen, and that it colors as it will in production."""

import numpy as np
import pytest

from tests.support.known_colors import (
    FLAT,
    SIDE,
    K,
    flat_photos,
    logits_of,
    mean_logits,
    oracle,
)
from worker.models.decoding import color_grid, with_decoding
from worker.training.evaluation import decoding_search
from worker.training.evaluation.decoding_search import Decoding, DecodingSearch
from worker.training.evaluation.evaluate import evaluate


def search_over(photos: list[np.ndarray], logits: np.ndarray) -> DecodingSearch:
    """Search over fixed logits."""
    return DecodingSearch(oracle(logits), photos, SIDE)


def test_it_paints_as_the_colorizer_does() -> None:
    """A decoding tried on kept logits gives what the decoding in the file gives."""
    photos, seen = flat_photos(3), []
    logits = mean_logits(photos, 6.0)
    prior = np.random.default_rng(0).normal(size=K).astype(np.float32)
    evaluate(photos, {"it": with_decoding(oracle(logits), 0.4 * prior, 0.5)}, SIDE, seen.append)
    painted = search_over(photos, logits).paint(prior, Decoding(0.4, 0.5))

    for served, tried in zip(seen, painted, strict=True):
        assert np.abs(served.outputs["it"].astype(int) - tried).max() <= 2  # logits kept in float16


def hesitant(photos: list[np.ndarray]) -> tuple[DecodingSearch, np.ndarray]:
    """Search over a generator to which the truth is likeliest but for dull colors; log-prior."""
    chroma = np.hypot(*color_grid().T)
    dull = (chroma > 0) & (chroma < 15)
    search = search_over(photos, mean_logits(photos) / 10 + 5.5 * dull)
    return search, np.where(dull, -1.0, -6.0).astype(np.float32)


def test_the_chosen_decoding_is_the_calmest_that_is_colorful_enough() -> None:
    """Shares of the prior are tried from none to all, and no more is taken than is needed."""
    search, prior = hesitant(flat_photos(4))
    chosen = search.choose(prior)
    calmer = [
        search.colorfulness_ratio(prior, Decoding(shift, chosen.temperature))
        for shift in decoding_search.SHIFTS
        if shift < chosen.shift
    ]

    assert search.colorfulness_ratio(prior, chosen) >= decoding_search.COLORFUL_ENOUGH
    assert calmer
    assert max(calmer) < decoding_search.COLORFUL_ENOUGH


def test_more_color_can_be_asked_for() -> None:
    """The calmest that has it is bolder than the one that needs less."""
    search, prior = hesitant(flat_photos(4))
    bolder = search.choose(prior, 0.95)

    assert bolder.shift > search.choose(prior).shift
    assert search.colorfulness_ratio(prior, bolder) >= 0.95


def test_between_temperatures_the_kernel_distance_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    """With photographs enough for it; with fewer the first temperature is taken."""
    search, prior = hesitant(flat_photos(4))
    few = search.choose(prior)
    monkeypatch.setattr(decoding_search, "ENOUGH_FOR_KERNEL", 4)
    found = {}
    for last, sign in ((True, -1), (False, 1)):
        distances = iter([0.0, sign * 1.0])
        monkeypatch.setattr(
            decoding_search.metrics, "kernel_distance", lambda *_, of=distances: next(of)
        )
        found[last] = search.choose(prior)

    assert decoding_search.TEMPERATURES[0] == few.temperature
    assert decoding_search.TEMPERATURES[1] == found[True].temperature
    assert few == found[False]


def test_where_nothing_is_colorful_the_boldest_is_chosen() -> None:
    """A generator that learned nothing still gets a decoding: the boldest there is."""
    photos = flat_photos(2)
    search = search_over(photos, logits_of(np.zeros((2, 16, 16, 2), np.float32), 20.0))
    chosen = search.choose(FLAT)

    assert decoding_search.SHIFTS[-1] == chosen.shift
    assert search.colorfulness_ratio(FLAT, chosen) < decoding_search.COLORFUL_ENOUGH
