"""Promises of worker.inference.colorizer, with a small generator."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.support.synthetic_photos import gray_scene
from worker.color import cielab
from worker.errors import DeviceError, ModelError, ScanError
from worker.inference import device
from worker.inference.colorizer import Colorizer
from worker.inference.device import Device, set_up_device
from worker.inference.predictor import Colors
from worker.models import store
from worker.models.decoding import color_grid, with_decoding
from worker.models.version import ModelVersion
from worker.scan import Page
from worker.settings import AS_GENERATED, ColorPoint, ColorSettings, ColorWishes

SETTINGS = ColorSettings(render_size=64, batch_size=4)
CPU = Device("CPU", 4, 2)


@pytest.fixture(scope="module")
def version(small_generator: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """Save the small generator as a version."""
    folder = tmp_path_factory.mktemp("models") / "0001"
    served = with_decoding(small_generator, np.zeros(len(color_grid())), 0.5, 1.15)
    store.save_version(served, {}, folder)
    return store._version("1", folder)


@pytest.fixture(scope="module")
def _shared(version: ModelVersion) -> Colorizer:
    return Colorizer(version, SETTINGS, CPU)


@pytest.fixture
def colorizer(_shared: Colorizer, monkeypatch: pytest.MonkeyPatch) -> Colorizer:
    """Return a loaded colorizer whose batch size and device may be spoiled by one test."""
    monkeypatch.setattr(_shared, "batch_size", SETTINGS.batch_size)
    monkeypatch.setattr(_shared, "_run", _shared._run)
    return _shared


def pages(count: int) -> list[Page]:
    """Make pages of different sizes and depths."""
    return [
        Page.of(gray_scene(40 + 11 * n, 90 - 7 * n, 16 if n % 2 else 8, n)) for n in range(count)
    ]


def test_chroma_comes_for_each_page_in_order(colorizer: Colorizer) -> None:
    """More pages than a batch holds come back each with its own finite chroma, in their order."""
    nine = pages(9)
    together = colorizer.predict(nine)
    backward = colorizer.predict(nine[::-1])[::-1]

    assert 9 == len(together)
    for one, other in zip(together, backward, strict=True):
        assert isinstance(one, np.ndarray)
        assert (16, 16, 2) == one.shape
        assert np.isfinite(one).all()
        assert np.array_equal(one, other)
    assert [] == colorizer.predict([])


def test_chroma_does_not_depend_on_company(colorizer: Colorizer) -> None:
    """Byte for byte the same, whatever else is in the batch."""
    four = pages(4)
    for page, chroma in zip(four, colorizer.predict(four), strict=True):
        (alone,) = colorizer.predict([page])

        assert np.array_equal(alone, chroma)


def test_confidence_does_not_depend_on_company(colorizer: Colorizer) -> None:
    """A number from 0 to 1 for each page, the same whatever else is in the batch."""
    four = pages(4)
    colors = colorizer.color(four, [AS_GENERATED] * 4)
    for page, together in zip(four, colors, strict=True):
        (alone,) = colorizer.color([page], [AS_GENERATED])
        assert isinstance(together, Colors)
        assert isinstance(alone, Colors)

        assert 0 < together.confidence < 1
        assert together.confidence == alone.confidence
    assert 1 < len({one.confidence for one in colors if isinstance(one, Colors)})


def test_wishes_are_granted_to_those_who_have_some(colorizer: Colorizer) -> None:
    """In the order of the pages; others go their usual way, and confidence stays what it was."""
    five = pages(5)
    point = ColorPoint(0.5, 0.5, "#7a1f2b")
    vivid, pointed = ColorWishes(vividness=90), ColorWishes(points=(point,))
    wishes = [AS_GENERATED, vivid, AS_GENERATED, pointed, vivid]
    usual = colorizer.color(five, [AS_GENERATED] * 5)
    together = colorizer.color(five, wishes)
    for page, wish, one, before in zip(five, wishes, together, usual, strict=True):
        (alone,) = colorizer.color([page], [wish])
        assert isinstance(one, Colors)
        assert isinstance(before, Colors)
        assert isinstance(alone, Colors)

        assert np.array_equal(alone.ab, one.ab)
        assert wish.has_any != np.array_equal(before.ab, one.ab)
        assert before.confidence == pytest.approx(one.confidence, abs=1e-6)


def test_wishes_are_traced_once(colorizer: Colorizer) -> None:
    """Whatever they are, and however many pages have some."""
    colorizer.color(pages(7), [ColorWishes(vividness=10.0 * number) for number in range(7)])
    colorizer.color(pages(1), [ColorWishes(points=(ColorPoint(0.1, 0.1, "#7a1f2b"),), variant=1)])

    assert 1 == colorizer._run.experimental_get_tracing_count()
    assert 1 == colorizer._think.experimental_get_tracing_count()


def test_the_precision_is_that_of_the_settings_and_told(version: ModelVersion) -> None:
    """Its colors are near those of float32 and not the same; the last layers stay float32."""
    exact, rough = (
        Colorizer(version, replace(SETTINGS, precision=one), CPU) for one in ("float32", "bfloat16")
    )
    (one,), (other,) = (each.predict(pages(1)) for each in (exact, rough))

    assert ("float32", "bfloat16") == (exact.precision, rough.precision)
    assert 0 < np.abs(one - other).max() < 12


@pytest.mark.parametrize(("repeats", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_what_does_not_repeat_in_bfloat16_computes_in_float32(
    version: ModelVersion,
    monkeypatch: pytest.MonkeyPatch,
    repeats: bool,  # noqa: FBT001 - a case
    expected: str,
) -> None:
    """A processor may give other bytes in another batch; then the version is loaded again."""
    monkeypatch.setattr(device, "computes_in_bfloat16", lambda: True)
    monkeypatch.setattr(Colorizer, "_repeats", lambda _self: repeats)
    measured = replace(version, card={**version.card, "bfloat16": {"as_good": True}})

    assert expected == Colorizer(measured, SETTINGS, CPU).precision


def test_out_of_memory_halves_the_batch_of_wishes_too(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every page is colored."""
    think = colorizer._think

    def small_device(squares: tf.Tensor) -> Any:
        if len(squares) > 1:
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
        return think(squares)

    monkeypatch.setattr(colorizer, "_think", small_device)
    results = colorizer.color(pages(3), [ColorWishes(warmth=5)] * 3)

    assert 1 == colorizer.batch_size
    assert all(isinstance(one, Colors) for one in results)


def test_a_profile_does_not_change_what_the_generator_sees(colorizer: Colorizer) -> None:
    """The same light in codes of gamma 2.2 gets the same color, but for rounding."""
    srgb = gray_scene(64, 80, 16)
    gamma = (np.arange(65536) / 65535) ** 2.2
    light = cielab.linear_of_codes(srgb)
    codes = np.rint(light ** (1 / 2.2) * 65535).astype(np.uint16)
    first, second = colorizer.predict([Page.of(srgb), Page(codes, cielab.tone_of_luminance(gamma))])
    assert isinstance(first, np.ndarray)

    assert first == pytest.approx(second, abs=0.5)


def test_it_names_its_model_and_how_it_runs(colorizer: Colorizer, version: ModelVersion) -> None:
    """For labels and sidecars."""
    assert ("1", version.card["sha256"]) == (colorizer.model, colorizer.weights_sha256)
    assert (64, 4) == (colorizer.render_size, colorizer.batch_size)


def test_the_graph_is_traced_once(colorizer: Colorizer) -> None:
    """No page, size, depth or number of pages makes TensorFlow trace again."""
    colorizer.predict(pages(7))
    colorizer.predict(pages(1))

    assert 1 == colorizer._run.experimental_get_tracing_count()


def test_few_pages_do_not_pay_for_a_full_batch(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device gets the smallest of a few sizes that holds them."""
    run = colorizer._run
    sizes = []

    def noting(squares: tf.Tensor) -> Any:
        sizes.append(len(squares))
        return run(squares)

    monkeypatch.setattr(colorizer, "_run", noting)
    for count in (1, 2, 3, 4, 5):
        colorizer.predict(pages(count))

    assert [2, 2, 4, 4, 4, 2] == sizes


@pytest.mark.parametrize("as_good", [False, True])
def test_the_built_in_gives_the_same_bytes_in_a_batch_of_any_size(
    as_good: bool,  # noqa: FBT001 - a case
) -> None:
    """Of one photograph alone and among two, four and eight; so a result can be made again.

    Also where it may compute in bfloat16, if the processor can.
    """
    built_in = store.built_in()
    card = {**built_in.card, "bfloat16": {"as_good": as_good}}
    colorizer = Colorizer(replace(built_in, card=card), ColorSettings(), set_up_device())
    eight = [Page.of(gray_scene(300 + 10 * n, 400, 8, n)) for n in range(8)]
    together = colorizer.color(eight, [AS_GENERATED] * 8)
    for size in (1, 2, 4):
        for first in range(0, 8, size):
            some = slice(first, first + size)
            for one, other in zip(
                colorizer.color(eight[some], [AS_GENERATED] * size), together[some], strict=True
            ):
                assert isinstance(one, Colors)
                assert isinstance(other, Colors)
                assert one.ab.tobytes() == other.ab.tobytes()
                assert one.confidence == other.confidence


def test_out_of_memory_halves_the_batch(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory does not suffice the batch shrinks until it fits; every page is colored."""
    run = colorizer._run
    sizes = []

    def small_device(squares: tf.Tensor) -> Any:
        sizes.append(len(squares))
        if len(squares) > 1:
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
        return run(squares)

    monkeypatch.setattr(colorizer, "_run", small_device)
    results = colorizer.predict(pages(3))

    assert [4, 2, 1, 1, 1] == sizes
    assert 1 == colorizer.batch_size
    assert all(isinstance(result, np.ndarray) for result in results)

    sizes.clear()
    colorizer.predict(pages(2))

    assert [1, 1] == sizes


def test_memory_that_runs_out_between_two_batches_costs_no_page_its_color(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was colored stays, the rest comes in smaller batches: each page its own, none gray."""
    run, calls = colorizer._run, 0
    whole = colorizer.predict(pages(7))

    def shrinking_device(squares: tf.Tensor) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1 and len(squares) > 2:
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
        return run(squares)

    monkeypatch.setattr(colorizer, "_run", shrinking_device)
    results = colorizer.predict(pages(7))

    assert 2 == colorizer.batch_size
    for expected, result in zip(whole, results, strict=True):
        assert np.abs(expected).max() > 0
        assert expected == pytest.approx(result, abs=1e-3)


def test_every_photo_takes_the_same_room_on_the_device(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large it is; so a device that has no room for one has none for any."""
    run = colorizer._run
    shapes = set()

    def noting(squares: tf.Tensor) -> Any:
        shapes.add(tuple(squares.shape))
        return run(squares)

    monkeypatch.setattr(colorizer, "_run", noting)
    for size in ((1, 1), (40, 3000), (2000, 1500)):
        colorizer.predict([Page.of(gray_scene(*size))])

    assert {(2, 64, 64, 1)} == shapes


@pytest.mark.parametrize(
    "error", [tf.errors.ResourceExhaustedError, tf.errors.InternalError, tf.errors.UnavailableError]
)
def test_a_failing_device_is_the_machines_fault(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch, error: type[tf.errors.OpError]
) -> None:
    """What the device cannot do for a single photo is a DeviceError, not the photo's fault."""

    def broken(_: tf.Tensor) -> Any:
        raise error(None, None, "the card fell off the bus")

    monkeypatch.setattr(colorizer, "_run", broken)

    with pytest.raises(DeviceError):
        colorizer.predict(pages(2))


def test_impossible_chroma_is_refused_alone(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo for which the generator finds no finite color is refused; its neighbors are not."""
    run = colorizer._run

    def poisoned(squares: tf.Tensor) -> Any:
        ab, confidence = run(squares)
        ab = ab.numpy()
        ab[1, 3, 3, 0] = np.nan
        return tf.constant(ab), confidence

    monkeypatch.setattr(colorizer, "_run", poisoned)
    kinds = [type(result) for result in colorizer.predict(pages(3))]

    assert [np.ndarray, ScanError, np.ndarray] == kinds


def test_a_poisoned_generator_is_refused(small_generator: keras.Model, tmp_path: Path) -> None:
    """A generator whose colors are not finite is refused before the first photo."""
    spoiled = with_decoding(small_generator, np.full(len(color_grid()), np.nan), 1.0)
    store.save_version(spoiled, {}, tmp_path / "0001")

    with pytest.raises(ModelError, match="impossible colors"):
        Colorizer(store._version("1", tmp_path / "0001"), SETTINGS, CPU)


def test_an_odd_render_size_is_refused(version: ModelVersion) -> None:
    """A render size that the generator cannot halve five times is refused with the rule."""
    with pytest.raises(ModelError, match="multiple of 32, not 100"):
        Colorizer(version, ColorSettings(render_size=100), CPU)
