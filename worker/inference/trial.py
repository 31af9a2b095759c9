"""Check a generator with the canary before it is promoted.

Works on every Keras backend, so that training without TensorFlow can promote. The daemon checks its
own `Colorizer` again.
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from worker.color.cielab import Floats
from worker.errors import ScanError
from worker.inference import batches, canary
from worker.models.decoding import decode, gain_of
from worker.models.serialization import load_generator
from worker.models.version import ModelVersion
from worker.scan import Page
from worker.settings import ColorSettings


def try_version(version: ModelVersion) -> None:
    """Load a version and check it with the canary.

    Raises:
        ModelError: it was altered, is no generator, or is not fit to serve.
    """
    try_generator(load_generator(version), version.name)


def try_generator(generator: keras.Model, name: str) -> None:
    """Check a generator with the canary.

    Args:
        generator: with its decoding.
        name: of its version, for the message.

    Raises:
        ModelError: it is not fit to serve.
    """
    canary.check(_Trial(generator, name))


class _Trial:
    """A generator that colors a few pages, without `tf.function`."""

    def __init__(self, generator: keras.Model, name: str) -> None:
        self._generator = generator
        self.model = name

    def predict(self, pages: Sequence[Page]) -> list[Floats | ScanError]:
        """Return chroma, (S/4, S/4, 2) float32, for each page."""
        side = ColorSettings.render_size
        squares = batches.fit([page.small for page in pages], side, len(pages))
        ab, _spread = decode(self._generator(squares, training=False), gain_of(self._generator))
        return list(np.asarray(ops.convert_to_numpy(ab)))
