"""The command `photochrom` with a fake device: `python -m tests.command_with_fake run` and so on.

All is real but the generator, so that TensorFlow need not be loaded.
"""

from typing import Any
from unittest.mock import patch

from service import cli
from service.config import Config
from service.ledger import Serving
from tests.fakes import FakeColorist, FakeLoader

MODEL = "fake"


def load_fake(_settings: Config) -> tuple[Any, Any, Any]:
    """Stand for what loads the generator."""
    return FakeLoader(MODEL), FakeColorist(batch_size=4, model=MODEL), Serving(MODEL)


if __name__ == "__main__":
    with patch.object(cli, "_load_colorizer", load_fake):
        cli.main()
