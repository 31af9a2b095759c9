"""What others need of `worker.inference.colorizer.Colorizer`."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from worker.color.cielab import Floats
from worker.errors import ScanError
from worker.scan import Page
from worker.settings import ColorWishes


class Colors(NamedTuple):
    """The colors of a page.

    Attributes:
        ab: (s, t, 2) float32 chroma in CIE units, of any size.
        confidence: 0 to 1; see `worker.models.decoding.confidence`. Wishes do not change it.
    """

    ab: Floats
    confidence: float


class PagePredictor(Protocol):
    """Predicts chroma: all that the canary needs."""

    @property
    def model(self) -> str:
        """Name of the model version."""

    def predict(self, pages: Sequence[Page]) -> list[Floats | ScanError]:
        """Return chroma, or a ScanError, for each page."""


class Predictor(PagePredictor, Protocol):
    """A loaded generator: what an engine needs.

    Attributes:
        weights_sha256: SHA-256 of the generator's file, hexadecimal.
        folder: of the version's files, for engines that hand them to other machines.
        render_size: side of the square that the generator sees, in pixels.
        precision: in which it computes: float32 or bfloat16.
        batch_size: photographs in one device call; may shrink.
    """

    @property
    def weights_sha256(self) -> str: ...  # noqa: D102 - see the class

    @property
    def folder(self) -> Path: ...  # noqa: D102

    @property
    def render_size(self) -> int: ...  # noqa: D102

    @property
    def precision(self) -> str: ...  # noqa: D102

    @property
    def batch_size(self) -> int: ...  # noqa: D102

    def color(
        self, pages: Sequence[Page], wishes: Sequence[ColorWishes]
    ) -> list[Colors | ScanError]:
        """Return the colors, or a ScanError, for each page with the wishes for it."""

    def device_memory(self) -> int | None:
        """Return the bytes in use of the device's own memory; None where it has none."""
