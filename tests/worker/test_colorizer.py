"""Promises of worker.colorizer, with a small generator."""

import io
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.images import gray_scene
from worker import models
from worker.colorizer import Colorizer
from worker.device import Device
from worker.errors import DeviceError, ModelError, ScanError
from worker.generator import color_grid, with_decoding
from worker.models import ModelVersion
from worker.scan import Scan
from worker.settings import ColorSettings, WriteSettings

SETTINGS = ColorSettings(render_size=64, batch_size=4)
CPU = Device("CPU", 4)


@pytest.fixture(scope="module")
def version(small_generator: keras.Model, tmp_path_factory: pytest.TempPathFactory) -> ModelVersion:
    """Save the small generator as a version."""
    folder = tmp_path_factory.mktemp("models") / "0001"
    models.save_version(
        with_decoding(small_generator, np.zeros(len(color_grid())), 0.5), {}, folder
    )
    return models._version("1", folder)


@pytest.fixture(scope="module")
def _shared(version: ModelVersion) -> Colorizer:
    return Colorizer(version, SETTINGS, WriteSettings(), CPU)


@pytest.fixture
def colorizer(_shared: Colorizer, monkeypatch: pytest.MonkeyPatch) -> Colorizer:
    """Return a loaded colorizer whose batch size and device may be spoiled by one test."""
    monkeypatch.setattr(_shared, "batch_size", SETTINGS.batch_size)
    monkeypatch.setattr(_shared, "_run", _shared._run)
    return _shared


def scans(count: int) -> list[Scan]:
    """Make scans of different sizes and depths."""
    return [
        Scan(gray_scene(40 + 11 * n, 90 - 7 * n, 16 if n % 2 else 8, n), "png")
        for n in range(count)
    ]


def test_chroma_comes_for_each_scan_in_order(colorizer: Colorizer) -> None:
    """More scans than a batch holds come back each with its own finite chroma, in their order."""
    nine = scans(9)
    together = colorizer.predict(nine)
    backward = colorizer.predict(nine[::-1])[::-1]

    assert 9 == len(together)
    for one, other in zip(together, backward, strict=True):
        assert isinstance(one, np.ndarray)
        assert (16, 16, 2) == one.shape
        assert np.isfinite(one).all()
        assert np.array_equal(one, other)
    assert [] == colorizer.predict([])


def test_a_photo_is_byte_identical_alone_and_in_company(colorizer: Colorizer) -> None:
    """The file of a photo does not depend on its neighbors in the batch, nor on its place."""
    four = scans(4)
    company = colorizer.predict(four)
    for photo, chroma in zip(four, company, strict=True):
        files = []
        for ab in (chroma, colorizer.predict([photo])[0]):
            assert not isinstance(ab, ScanError)
            file = io.BytesIO()
            colorizer.paint(photo, ab, file)
            files.append(file.getvalue())

        assert files[0] == files[1]


def test_the_graph_is_traced_once(colorizer: Colorizer) -> None:
    """No scan, size, depth or number of scans makes TensorFlow trace again."""
    colorizer.predict(scans(7))
    colorizer.predict(scans(1))

    assert 1 == colorizer._run.experimental_get_tracing_count()


def test_out_of_memory_halves_the_batch(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory does not suffice the batch shrinks until it fits; every scan is colored."""
    run = colorizer._run
    sizes = []

    def small_device(squares: tf.Tensor) -> Any:
        sizes.append(len(squares))
        if len(squares) > 1:
            raise tf.errors.ResourceExhaustedError(None, None, "out of memory")
        return run(squares)

    monkeypatch.setattr(colorizer, "_run", small_device)
    results = colorizer.predict(scans(3))

    assert [4, 2, 1, 1, 1] == sizes
    assert 1 == colorizer.batch_size
    assert all(isinstance(result, np.ndarray) for result in results)


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
        colorizer.predict(scans(2))


def test_impossible_chroma_is_refused_alone(
    colorizer: Colorizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo for which the generator finds no finite color is refused; its neighbors are not."""
    run = colorizer._run

    def poisoned(squares: tf.Tensor) -> Any:
        ab = run(squares).numpy()
        ab[1, 3, 3, 0] = np.nan
        return tf.constant(ab)

    monkeypatch.setattr(colorizer, "_run", poisoned)
    kinds = [type(result) for result in colorizer.predict(scans(3))]

    assert [np.ndarray, ScanError, np.ndarray] == kinds


def test_a_poisoned_generator_is_refused(small_generator: keras.Model, tmp_path: Path) -> None:
    """A generator whose colors are not finite is refused before the first photo."""
    spoiled = with_decoding(small_generator, np.full(len(color_grid()), np.nan), 1.0)
    models.save_version(spoiled, {}, tmp_path / "0001")

    with pytest.raises(ModelError, match="impossible colors"):
        Colorizer(models._version("1", tmp_path / "0001"), SETTINGS, WriteSettings(), CPU)


def test_an_odd_render_size_is_refused(version: ModelVersion) -> None:
    """A render size that the generator cannot halve five times is refused with the rule."""
    with pytest.raises(ModelError, match="multiple of 32, not 100"):
        Colorizer(version, ColorSettings(render_size=100), WriteSettings(), CPU)
