"""The command `photochrom` with a fake device: `python -m tests.support.fake_device_command run`.

All is real but the generator, so that TensorFlow need not be loaded. With GATE=device or GATE=paint
in its environment, photos wait there until it gets SIGUSR1, and few are in hand at once.
"""

import os
import signal
from typing import Any
from unittest.mock import patch

from service.cli import main
from service.config.loader import Config
from service.ledger.ledger import ActiveModel
from tests.support.fakes import FakeColorist, FakeLoader

MODEL = "fake"


def load_fake(_settings: Config) -> tuple[Any, Any, Any]:
    """Stand for what loads the generator."""
    gate = os.environ.get("GATE")
    colorist = FakeColorist(batch_size=1 if gate else 4, model=MODEL)
    if gate:
        closed = {"device": colorist.device_gate, "paint": colorist.gate}[gate]
        closed.clear()
        signal.signal(signal.SIGUSR1, lambda *_: closed.set())
    return FakeLoader(MODEL), colorist, ActiveModel(MODEL)


if __name__ == "__main__":
    with patch.object(main, "_load_colorizer", load_fake):
        main.main()
