"""Which decoding is chosen, and that it colors as it will in production."""

import numpy as np

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
    served = with_decoding(oracle(logits), 0.4 * prior, 0.5, 1.1)
    evaluate(photos, {"it": served}, SIDE, seen.append)
    painted = search_over(photos, logits).paint(prior, Decoding(0.4, 0.5, 1.1))

    for colored, tried in zip(seen, painted, strict=True):
        off = np.abs(colored.outputs["it"].astype(int) - tried)
        assert off.max() <= 2  # logits are kept in float16


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
        search.colorfulness_ratio(prior, Decoding(shift, *chosen[1:]))
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


def test_where_nothing_is_colorful_the_boldest_is_chosen() -> None:
    """A generator that learned nothing still gets a decoding: the boldest there is."""
    photos = flat_photos(2)
    search = search_over(photos, logits_of(np.zeros((2, 16, 16, 2), np.float32), 20.0))
    chosen = search.choose(FLAT)

    assert decoding_search.SHIFTS[-1] == chosen.shift
    assert search.colorfulness_ratio(FLAT, chosen) < decoding_search.COLORFUL_ENOUGH
