"""What tests put in place of the device: a colorist without a generator, as faulty as they say."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import BinaryIO

import numpy as np

from worker import color, encoding
from worker.color import Floats
from worker.errors import ScanError
from worker.scan import Scan
from worker.settings import WriteSettings

LONGEST_WAIT = 30.0  # seconds; a test that forgets to open the gate fails instead of hanging


class FakeColorist:
    """Colors every photo the same brown; stands for `worker.colorizer.Colorizer`.

    Its last step is the real one.

    Attributes:
        faults: raised by the next calls of `predict`, one each.
        paint_faults: raised by the next calls of `paint`, one each.
        refuses: tells for which photos `predict` gives a ScanError.
        gate: while it is closed (`clear`), `paint` waits.
        batches: how many photos each call of `predict` got.
        painted: how many photos were painted.
    """

    def __init__(self, batch_size: int = 2, model: str = "fake") -> None:
        """Start obedient, with the gate open."""
        self.batch_size = batch_size
        self.model = model
        self.faults: deque[Exception] = deque()
        self.paint_faults: deque[Exception] = deque()
        self.refuses: Callable[[Scan], bool] = lambda _photo: False
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []
        self.painted = 0
        self._lock = threading.Lock()

    def predict(self, scans: Sequence[Scan]) -> list[Floats | ScanError]:
        """Give the same chroma for each scan, or a refusal, or a fault."""
        self.batches.append(len(scans))
        if self.faults:
            raise self.faults.popleft()
        brown = np.full((4, 4, 2), (8.0, 16.0), np.float32)
        return [ScanError("refused by the fake") if self.refuses(one) else brown for one in scans]

    def paint(self, photo: Scan, chroma: Floats, file: BinaryIO) -> None:
        """Wait for the gate, then write the photo or fail."""
        if not self.gate.wait(LONGEST_WAIT):
            raise AssertionError("the test left the gate closed")
        with self._lock:
            fault = self.paint_faults.popleft() if self.paint_faults else None
        if fault:
            file.write(b"half a photo")
            raise fault
        encoding.write(color.merge(photo.gray, chroma), photo, WriteSettings(), file)
        with self._lock:
            self.painted += 1
