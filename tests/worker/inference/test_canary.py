"""What it lets pass, and what it refuses by name and reason."""

from collections.abc import Sequence

import keras
import numpy as np
import pytest

from tests.support.small_generators import vivid_generator
from worker.color.cielab import Floats
from worker.errors import ModelError, ScanError
from worker.inference import batches, canary
from worker.inference.canary import LEAST_CHROMA, LEAST_COLOR, SIDE
from worker.inference.colorizer import Colorizer
from worker.inference.device import Device
from worker.models.decoding import color_grid, decode, with_decoding
from worker.models.generator import without_decoding
from worker.models.store import built_in
from worker.scan import Page
from worker.settings import ColorSettings

NAMES = ["ramp", "flat", "noise", "landscape", "disks", "portrait"]


class Bare:
    """A generator in memory, asked without TensorFlow's graph; `spoil` bends its answer."""

    model = "7"

    def __init__(self, generator: keras.Model, side: int = 64) -> None:
        """Hold the generator."""
        self._generator, self._side = generator, side

    def predict(self, pages: Sequence[Page]) -> list[Floats | ScanError]:
        """Give chroma for each page."""
        squares = batches.fit([one.small for one in pages], self._side, len(pages))
        return self.spoil(list(np.asarray(decode(self._generator(squares, training=False))[0])))

    @staticmethod
    def spoil(results: list[Floats | ScanError]) -> list[Floats | ScanError]:
        """Leave it as it is."""
        return results


@pytest.fixture(scope="module")
def vivid() -> keras.Model:
    """Make a generator that passes."""
    return vivid_generator()


def test_the_probes_are_always_the_same_and_of_many_grays() -> None:
    """Six squares of 8-bit gray; all but the flat one have contrast."""
    first, second = canary.probes(), canary.probes()

    assert NAMES == list(first)
    for name in NAMES:
        assert np.array_equal(first[name], second[name])
        assert ((SIDE, SIDE), np.uint8) == (first[name].shape, first[name].dtype)
        assert (first[name].std() > 20) == (name != "flat")


@pytest.mark.parametrize("side", [64, 256])
def test_the_built_in_generator_passes(side: int) -> None:
    """With every render size, and as it is served."""
    settings = ColorSettings(render_size=side, batch_size=4)

    canary.check(Colorizer(built_in(), settings, Device("CPU", 4, 2)))


@pytest.mark.parametrize("seed", [1, 7])
def test_a_generator_of_many_colors_passes(seed: int) -> None:
    """Also a small one: no size or layer is asked for."""
    canary.check(Bare(vivid_generator(seed)))


def test_a_generator_that_fell_to_gray_is_refused(vivid: keras.Model) -> None:
    """Whatever its logits say of things, only gray is left."""
    gray = np.hypot(*color_grid().T) < 8
    fallen = with_decoding(without_decoding(vivid), np.where(gray, -1e4, 0.0), 0.6)

    with pytest.raises(ModelError, match=rf"version 7 .* nearly gray .* not {LEAST_CHROMA}"):
        canary.check(Bare(fallen))


def test_a_generator_with_one_tone_for_everything_is_refused(vivid: keras.Model) -> None:
    """A sepia wash is lively chroma, and no color."""
    brown = np.hypot(*(color_grid() - [8, 20]).T) < 8
    fallen = with_decoding(without_decoding(vivid), np.where(brown, -1e4, 0.0), 0.6)

    with pytest.raises(ModelError, match=f"one tone .* not {LEAST_COLOR}"):
        canary.check(Bare(fallen))


def test_a_generator_that_was_never_trained_is_refused() -> None:
    """As it leaves the builder, its plain logits give one reddish brown."""
    generator = without_decoding(vivid_generator())
    kernel, bias = generator.get_layer("logits").get_weights()
    generator.get_layer("logits").set_weights([kernel / 6, bias])

    with pytest.raises(ModelError, match="one tone"):
        canary.check(Bare(generator))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.nan, "the probe 'noise' has colors that are no numbers"),
        (np.inf, "the probe 'noise' has colors that are no numbers"),
        (150.0, "the probe 'noise' has colors .* outside the gamut's hull"),
        (-109.0, "the probe 'noise' has colors .* outside the gamut's hull"),
    ],
)
def test_a_single_impossible_color_is_refused(
    vivid: keras.Model, monkeypatch: pytest.MonkeyPatch, value: float, words: str
) -> None:
    """In any place of any probe, and the probe is named."""

    def spoil(results: list[Floats | ScanError]) -> list[Floats | ScanError]:
        results[2] = np.array(results[2])
        results[2][3, 4, 0] = value
        return results

    bare = Bare(vivid)
    monkeypatch.setattr(bare, "spoil", spoil)

    with pytest.raises(ModelError, match=words):
        canary.check(bare)


def test_a_probe_that_is_not_colored_at_all_is_refused(
    vivid: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the reason the colorizer gave."""
    bare = Bare(vivid)
    monkeypatch.setattr(
        bare, "spoil", lambda results: [*results[:5], ScanError("no finite color found")]
    )

    with pytest.raises(ModelError, match="the probe 'portrait' was refused: no finite color"):
        canary.check(bare)


def test_lightness_that_is_lost_is_refused(
    vivid: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By more than rounding costs, at any pixel."""
    merge = canary.cielab.merge

    def darker(gray: Floats, ab: Floats) -> Floats:
        rgb = merge(gray, ab)
        rgb[100, 100] //= 2
        return rgb

    monkeypatch.setattr(canary.cielab, "merge", darker)

    with pytest.raises(ModelError, match=r"the probe 'ramp' lost .* of its lightness"):
        canary.check(Bare(vivid))
