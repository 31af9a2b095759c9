"""A generator in memory: pages in, chroma out, in batches of one fixed shape.

A photograph's chroma never depends on its neighbors in the batch. What the device cannot do raises;
gray is never returned for color.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from worker.color.cielab import Floats
from worker.errors import DeviceError, ModelError, ScanError
from worker.inference import batches
from worker.inference.device import Device, memory_in_use
from worker.inference.predictor import Colors
from worker.models.decoding import Sharpening, confidence, decode
from worker.models.generator import SIZE_MULTIPLE
from worker.models.serialization import load_generator
from worker.models.version import ModelVersion
from worker.scan import Page
from worker.settings import AS_GENERATED, ColorSettings, ColorWishes


class Colorizer:
    """A loaded generator with the batch size that fits the device.

    Args:
        version: the generator to load.
        settings: render size and batch size.
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
        self.batch_size = settings.batch_size or device.batch_size
        self.render_size = settings.render_size
        self._generator = load_generator(version)
        self._sharpening = Sharpening.of(self._generator)
        # No autograph: it would read the source from disk, which an upgrade may have replaced.
        self._run = tf.function(self._color, autograph=False, reduce_retracing=False)
        self._check()

    def _color(self, lightness: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = self._generator(lightness, training=False)
        ab, _spread = decode(logits)
        return ab, confidence(logits, ab, self._sharpening)

    def _check(self) -> None:
        """Color a gray ramp: traces the graph, and detects a broken generator."""
        ramp = np.tile(np.arange(256, dtype=np.uint8), (64, 1))
        if isinstance(self.predict([Page.of(ramp)])[0], ScanError):
            raise ModelError(
                f"model version {self.model} gives impossible colors; choose another version"
            )

    def predict(self, pages: Sequence[Page]) -> list[Floats | ScanError]:
        """Predict chroma without wishes; (S/4, S/4, 2) for each page. Otherwise as `color`."""
        colors = self.color(pages, [AS_GENERATED] * len(pages))
        return [one if isinstance(one, ScanError) else one.ab for one in colors]

    def color(
        self,
        pages: Sequence[Page],
        wishes: Sequence[ColorWishes],  # noqa: ARG002 - granted with the next change
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
        results: list[Colors | ScanError] = []
        while len(results) < len(pages):
            some = pages[len(results) : len(results) + self.batch_size]
            try:
                results += self._predict_batch(some)
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

    def _predict_batch(self, pages: Sequence[Page]) -> list[Colors | ScanError]:
        squares = batches.fit(
            [one.small for one in pages], self.render_size, self.batch_size
        )  # (N, S, S, 1)
        chroma, sure = self._run(tf.constant(squares))  # (N, S/4, S/4, 2), (N,)
        return [
            Colors(ab, float(one))
            if np.isfinite(ab).all()
            else ScanError("the generator found no finite color for this photograph")
            for ab, one in zip(
                batches.unfit(chroma.numpy(), len(pages)), sure.numpy(), strict=False
            )
        ]

    def device_memory(self) -> int | None:
        """Return the bytes in use of the device's own memory; None where it has none."""
        return memory_in_use()
