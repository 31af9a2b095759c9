"""The generator that comes with photochrom; and that the fake one keeps the same promises."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tests.support.fakes import FakeColorist
from tests.support.synthetic_photos import as_rgb, gray_scene, one_page, origin, save
from worker import render, scan
from worker.color import cielab
from worker.color.cielab import Floats
from worker.errors import DeviceError, ScanError
from worker.inference.colorizer import Colorizer
from worker.inference.device import set_up_device
from worker.inference.predictor import Predictor
from worker.models.store import built_in
from worker.scan import Page, Scan
from worker.settings import ColorSettings, ReadSettings, WriteSettings

BATCH = 3


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    """Load the built-in generator; small squares keep it quick."""
    settings = ColorSettings(render_size=64, batch_size=BATCH)
    return Colorizer(built_in(), settings, set_up_device())


@pytest.fixture(params=["fake", "real"])
def colorist(request: pytest.FixtureRequest) -> Predictor:
    """Give both, one after the other."""
    if request.param == "fake":
        return FakeColorist(BATCH)
    real: Predictor = request.getfixturevalue("colorizer")
    return real


def pages(count: int) -> list[Page]:
    """Make pages of different sizes and depths."""
    return [
        Page.of(gray_scene(40 + 11 * n, 90 - 7 * n, 16 if n % 2 else 8, n)) for n in range(count)
    ]


def results(colorist: Predictor, photo: Scan) -> list[Floats]:
    """Predict the chroma of a scan, which nothing refuses."""
    chromas = colorist.predict(photo.pages)
    return [chroma for chroma in chromas if not isinstance(chroma, ScanError)]


class TestEveryColorist:
    """What the pipeline relies on."""

    def test_each_page_gets_one_result_in_order(self, colorist: Predictor) -> None:
        """However many there are; none is no fault."""
        several = pages(2 * BATCH + 1)
        results = colorist.predict(several)
        backward = colorist.predict(several[::-1])[::-1]

        assert len(several) == len(results)
        for result, other in zip(results, backward, strict=True):
            assert not isinstance(result, ScanError)
            assert np.array_equal(result, other)
        assert [] == colorist.predict([])

    def test_what_the_device_cannot_do_raises_and_is_never_given_as_gray(
        self, colorist: Predictor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also when only the last batch fails; the next call is whole again."""
        if isinstance(colorist, FakeColorist):
            colorist.faults.append(DeviceError("the device failed"))
        else:
            run, calls = colorist._run, iter((True, False))  # type: ignore[attr-defined]

            def failing(squares: tf.Tensor) -> Any:
                if next(calls, True):
                    return run(squares)
                raise tf.errors.InternalError(None, None, "the card fell off the bus")

            monkeypatch.setattr(colorist, "_run", failing)
        with pytest.raises(DeviceError, match="the device failed"):
            colorist.predict(pages(2 * BATCH))
        for chroma in colorist.predict(pages(2 * BATCH)):
            assert isinstance(chroma, np.ndarray)
            assert np.hypot(*np.moveaxis(chroma, -1, 0)).max() > 1

    @pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp"])
    def test_painting_writes_a_readable_file_of_the_same_size(
        self, colorist: Predictor, kind: Any
    ) -> None:
        """In the container of the scan, in color; what comes back tells of it."""
        photo = one_page(gray_scene(50, 70), kind)
        file = io.BytesIO()
        record = render.write(photo, results(colorist, photo), origin(), WriteSettings(), file)
        image = Image.open(file)

        assert (kind.upper(), "RGB", (70, 50)) == (image.format, image.mode, image.size)
        assert (kind, 50, 70) == (record.kind, record.pages[0].height, record.pages[0].width)

    def test_an_album_comes_back_as_one(self, colorist: Predictor) -> None:
        """Page by page, each at its own size and depth."""
        photo = Scan(tuple(pages(3)), "tiff")
        file = io.BytesIO()
        record = render.write(photo, results(colorist, photo), origin(), WriteSettings(), file)
        image = Image.open(file)

        assert 3 == image.n_frames
        assert [(page.gray.shape, 8 * page.gray.itemsize) for page in photo.pages] == [
            ((page.height, page.width), page.bits) for page in record.pages
        ]

    def test_it_says_how_many_it_colors_together_and_by_which_model(
        self, colorist: Predictor
    ) -> None:
        """For the pipeline and for the ledger."""
        assert BATCH == colorist.batch_size
        assert isinstance(colorist.model, str)
        assert colorist.model
        assert 64 == len(colorist.weights_sha256)


def test_the_fake_refuses_and_fails_as_it_is_told() -> None:
    """A refusal is a result among others; a fault ends the call, and only that."""
    fake = FakeColorist()
    fake.faults.append(MemoryError())
    fake.refuses = lambda page: page.gray.shape[0] == 51
    with pytest.raises(MemoryError):
        fake.predict(pages(3))

    assert [False, True, False] == [isinstance(one, ScanError) for one in fake.predict(pages(3))]


class TestTheBuiltInGenerator:
    """Comes with photochrom, and is a real one."""

    def test_chroma_is_the_same_alone_and_at_each_place_in_company(
        self, colorizer: Colorizer
    ) -> None:
        """Byte for byte, so that a photo never depends on what else was dropped."""
        photo, *others = pages(BATCH)
        alone = colorizer.predict([photo])[0]
        assert isinstance(alone, np.ndarray)
        for place in range(BATCH):
            company = [*others[:place], photo, *others[place:]]

            assert np.array_equal(alone, colorizer.predict(company)[place])

    def test_nothing_is_traced_again(self, colorizer: Colorizer) -> None:
        """Whatever the sizes and however many pages."""
        for count in (1, 2, 5):
            colorizer.predict(pages(count))

        assert 1 == colorizer._run.experimental_get_tracing_count()

    @pytest.mark.parametrize("size", [(64, 80), (131, 257), (300, 90), (1, 1)])
    def test_the_way_of_one_photo_keeps_its_size_and_lightness(
        self, colorizer: Colorizer, tmp_path: Path, size: tuple[int, int]
    ) -> None:
        """From the file, through the generator, to a PNG: CIE L* within 1.0 at every pixel."""
        gray = gray_scene(*size)
        photo = scan.read(save(tmp_path / "a.png", gray), ReadSettings())
        (chroma,) = colorizer.predict(photo.pages)
        assert not isinstance(chroma, ScanError)
        with (tmp_path / "b.png").open("w+b") as file:
            render.write(photo, [chroma], origin(), WriteSettings(), file)
        painted = scan.read_color(tmp_path / "b.png", ReadSettings())
        before, after = cielab.lab_of_rgb(as_rgb(gray)), cielab.lab_of_rgb(painted)

        assert (*size, 3) == painted.shape
        assert np.abs(after[..., 0] - before[..., 0]).max() < 1.0

    def test_its_colors_are_not_gray(self, colorizer: Colorizer) -> None:
        """A scene with sky and ground gets some."""
        chroma = colorizer.predict([Page.of(gray_scene(128, 128))])[0]
        assert isinstance(chroma, np.ndarray)

        assert np.hypot(*np.moveaxis(chroma, -1, 0)).max() > 3
