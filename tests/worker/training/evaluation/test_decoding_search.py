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
from worker.models.decoding import CHROMA_GAIN, TEMPERATURE, color_grid, with_decoding
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


def test_the_chosen_decoding_is_the_closest_to_the_color_that_is_asked_for() -> None:
    """Of all shares of the prior, from none to all, none comes closer."""
    search, prior = hesitant(flat_photos(4))
    ratios = {
        shift: search.colorfulness_ratio(prior, Decoding(shift, TEMPERATURE, CHROMA_GAIN))
        for shift in decoding_search.SHIFTS
    }

    for wanted in (decoding_search.COLORFUL_ENOUGH, 0.8, 0.95):
        off = {shift: abs(ratio - wanted) for shift, ratio in ratios.items()}
        closest = min(off, key=off.__getitem__)
        assert Decoding(closest, TEMPERATURE, CHROMA_GAIN) == search.choose(prior, wanted)
        assert 0 < closest < decoding_search.SHIFTS[-1]


def test_an_equal_generator_gets_the_same_decoding_again() -> None:
    """A hair more or less than before is not the next step, or versions would get ever bolder."""
    search, prior = hesitant(flat_photos(4))
    chosen = search.choose(prior)
    ratio = search.colorfulness_ratio(prior, chosen)

    assert chosen == search.choose(prior, ratio + 1e-4) == search.choose(prior, ratio - 1e-4)


def test_where_nothing_is_colorful_the_boldest_is_chosen() -> None:
    """A generator that learned nothing still gets a decoding: the boldest there is."""
    photos = flat_photos(2)
    search = search_over(photos, logits_of(np.zeros((2, 16, 16, 2), np.float32), 20.0))
    chosen = search.choose(FLAT)

    assert decoding_search.SHIFTS[-1] == chosen.shift
    assert search.colorfulness_ratio(FLAT, chosen) < decoding_search.COLORFUL_ENOUGH
