"""What is needed of `worker.inference.colorizer.Colorizer`; tests bring their own."""

from collections.abc import Sequence
from typing import Any, Protocol

from worker.metadata.provenance import Origin, Record
from worker.scan import Page, Scan


class Renderer(Protocol):
    """What a delivery needs of it."""

    @property
    def model(self) -> str:
        """Name of the model version that colors."""

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of its generator's file, hexadecimal."""

    def paint(self, photo: Scan, chroma: Any, origin: Origin, file: Any) -> Record:
        """Write the colored photo into an open file."""


class Predictor(Renderer, Protocol):
    """What the pipeline needs of it."""

    batch_size: int

    def predict(self, pages: Sequence[Page]) -> list[Any]:
        """Give chroma, or a ScanError, for each page."""

    def device_memory(self) -> int | None:
        """Return the bytes in use of the device's own memory; None where it has none."""
