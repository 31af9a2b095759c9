"""A generator in memory: pages in, chroma out, in batches of a few sizes.

A photograph's chroma never depends on the others in its batch, nor on how many they are. What the
device cannot do raises; gray is never returned for color.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from worker.color.cielab import Floats
from worker.errors import DeviceError, ModelError, ScanError
from worker.inference import batches
from worker.inference.device import POLICIES, Device, memory_in_use, precision_for
from worker.inference.predictor import Colors
from worker.inference.wishes import Thought, grant, guide_of
from worker.models.decoding import (
    color_grid,
    confidence,
    decode,
    doubt,
    gain_of,
    temperature_of,
    with_plain_logits,
)
from worker.models.generator import SIZE_MULTIPLE
from worker.models.serialization import load_generator
from worker.models.version import ModelVersion
from worker.scan import Page
from worker.settings import AS_GENERATED, ColorSettings, ColorWishes

T = TypeVar("T")
Wished = tuple[Page, ColorWishes]


class Colorizer:
    """A loaded generator with the batch size that fits the device.

    Args:
        version: the generator to load.
        settings: render size, batch size and precision.
        device: what it runs on; sets the batch size if the settings do not.

    Raises:
        ModelError: the version cannot be loaded or fails its first batch.
        DeviceError: not even one photograph fits into the device's memory.
    """

    def __init__(
        self,
        version: ModelVersion,
        settings: ColorSettings,
        device: Device,
    ) -> None:
        """Load the generator and run it once."""
        if settings.render_size % SIZE_MULTIPLE:
            raise ModelError(
                f"the render size must be a multiple of {SIZE_MULTIPLE}, not {settings.render_size}"
            )
        self.model = version.name
        self.weights_sha256 = str(version.card.get("sha256", ""))
        self.folder = version.folder
        self.batch_size = settings.batch_size or device.batch_size
        self._least_batch = device.least_batch
        self.render_size = settings.render_size
        self._load(version, precision_for(settings.precision, version.card, device))
        if settings.precision == "auto" and self.precision != "float32" and not self._repeats():
            self._load(version, "float32")

    def _load(self, version: ModelVersion, precision: str) -> None:
        self.precision = precision
        self._generator = load_generator(version, POLICIES[precision])
        self._both = with_plain_logits(self._generator)
        self._temperature = temperature_of(self._generator)
        self._gain = gain_of(self._generator)
        # No autograph: it would read the source from disk, which an upgrade may have replaced.
        squares = [tf.TensorSpec((None, self.render_size, self.render_size, 1), tf.float32)]
        self._run = tf.function(self._color, autograph=False, input_signature=squares)
        self._think = tf.function(self._weigh, autograph=False, input_signature=squares)
        self._check()

    def _color(self, lightness: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits, plain = self._both(lightness, training=False)
        ab, _spread = decode(logits, self._gain)
        return ab, doubt(plain, ab)

    def _weigh(self, lightness: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Give what wishes are granted from; traced when the first page with wishes comes."""
        logits, plain = self._both(lightness, training=False)
        ab, _spread = decode(logits, self._gain)
        return tf.concat([logits, plain], axis=-1), doubt(plain, ab)

    def _check(self) -> None:
        """Color a gray ramp: traces the graph, and detects a broken generator."""
        ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
        if isinstance(self.predict([Page.of(ramp)])[0], ScanError):
            raise ModelError(
                f"model version {self.model} gives impossible colors; choose another version"
            )

    def _repeats(self) -> bool:
        """Tell whether photographs get the same colors, byte for byte, in batches of all sizes.

        In bfloat16 that depends on the processor.
        """
        noise = np.random.default_rng(0).integers(0, 256, (self.batch_size, 64, 64), np.uint8)
        pages = [Page.of(one) for one in noise]
        together, size = self.predict(pages), self._least_batch
        while size < len(pages):
            few = self.predict(pages[:size])
            if not all(_is_same(*each) for each in zip(few, together[:size], strict=True)):
                return False
            size *= 2
        return True

    def predict(self, pages: Sequence[Page]) -> list[Floats | ScanError]:
        """Predict chroma without wishes; (S/4, S/4, 2) for each page. Otherwise as `color`."""
        colors = self.color(pages, [AS_GENERATED] * len(pages))
        return [one if isinstance(one, ScanError) else one.ab for one in colors]

    def color(
        self, pages: Sequence[Page], wishes: Sequence[ColorWishes]
    ) -> list[Colors | ScanError]:
        """Color any number of pages.

        If the device runs out of memory, the batch is halved, down to one, and stays at the size
        that fitted.

        Args:
            pages: photographs.
            wishes: for each of them.

        Returns:
            for each page, in order, its colors, or why it could not be colored.

        Raises:
            DeviceError: the device failed, or cannot hold a single photograph.
        """
        wished = list(zip(pages, wishes, strict=True))
        alike = [place for place, one in enumerate(wishes) if not one.has_any]
        others = [place for place, one in enumerate(wishes) if one.has_any]
        found: dict[int, Colors | ScanError] = {}
        for places, color in ((alike, self._color_batch), (others, self._grant_batch)):
            some = [wished[place] for place in places]
            found |= zip(places, self._by_batch(some, color), strict=True)
        return [found[place] for place in range(len(pages))]

    def think(self, page: Page) -> tuple[Thought, float]:
        """Return what the generator thinks of a page, and its confidence; errors as `color`."""
        return self._by_batch([(page, AS_GENERATED)], self._think_of)[0]

    def _by_batch(
        self, pages: Sequence[Wished], color: Callable[[Sequence[Wished]], list[T]]
    ) -> list[T]:
        results: list[T] = []
        while len(results) < len(pages):
            some = pages[len(results) : len(results) + self.batch_size]
            try:
                results += color(some)
            except tf.errors.ResourceExhaustedError as error:
                if self.batch_size == 1:
                    raise DeviceError(
                        "the device has too little memory for one photo; lower model.render_size"
                    ) from error
                self.batch_size = max(1, self.batch_size // 2)
            except (
                tf.errors.InternalError,
                tf.errors.UnavailableError,
                tf.errors.AbortedError,
            ) as error:
                raise DeviceError(f"the device failed: {error.message}") from error
        return results

    def _outputs(self, run: Any, pages: Sequence[Wished]) -> Iterator[tuple[Floats, float]]:
        """Run a batch; yield what comes out for each page: (s, s, 2 or 2K), and its confidence."""
        size = batches.size_for(len(pages), self._least_batch, self.batch_size)
        squares = batches.fit([page.small for page, _wishes in pages], self.render_size, size)
        planes, doubts = (output.numpy()[: len(pages)] for output in run(tf.constant(squares)))
        sure = [confidence(float(one)) for one in doubts]
        return zip(batches.unfit(planes, len(pages)), sure, strict=True)

    def _color_batch(self, pages: Sequence[Wished]) -> list[Colors | ScanError]:
        return [_finite(ab, sure) for ab, sure in self._outputs(self._run, pages)]

    def _grant_batch(self, pages: Sequence[Wished]) -> list[Colors | ScanError]:
        thoughts = self._think_of(pages)
        return [
            _finite(grant(thought, wishes) if _is_finite(thought.logits) else thought.logits, sure)
            for (thought, sure), (_page, wishes) in zip(thoughts, pages, strict=True)
        ]

    def _think_of(self, pages: Sequence[Wished]) -> list[tuple[Thought, float]]:
        thoughts = []
        for (both, sure), (page, _wishes) in zip(
            self._outputs(self._think, pages), pages, strict=True
        ):
            logits, plain = np.split(both, 2, axis=-1)
            thought = Thought(
                logits,
                plain,
                self._temperature,
                self._gain,
                color_grid(),
                guide_of(page.small),
                page.gray.shape,
            )
            thoughts.append((thought, sure))
        return thoughts

    def device_memory(self) -> int | None:
        """Return the bytes in use of the device's own memory; None where it has none."""
        return memory_in_use()


def _is_same(one: Floats | ScanError, other: Floats | ScanError) -> bool:
    if isinstance(one, ScanError) or isinstance(other, ScanError):
        return False
    return one.tobytes() == other.tobytes()


def _is_finite(values: Floats) -> bool:
    return bool(np.isfinite(values).all())


def _finite(ab: Floats, sure: float) -> Colors | ScanError:
    if _is_finite(ab):
        return Colors(ab, sure)
    return ScanError("the generator found no finite color for this photograph")
