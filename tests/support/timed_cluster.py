"""The command `photochrom`, with timed workers: `python -m tests.support.timed_cluster`.

With `bridge` it is the bridge. The daemon's own generator is a fake, so TensorFlow is not loaded.
"""

import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from service.cli import main
from service.config.loader import Config
from service.ledger.ledger import ActiveModel
from service.pipeline import engines
from tests.support.fakes import FakeLoader
from tests.support.obedient_workers import fake_of, save_model
from tests.support.timed_workers import PARTS

MODEL = "timed"


def load_fake(settings: Config) -> tuple[Any, Any, Any]:
    """Stand for what loads the generator; its files are for the workers."""
    folder = Path(mkdtemp(dir=settings.state))
    return FakeLoader(MODEL), fake_of(save_model(MODEL, folder)), ActiveModel(MODEL)


if __name__ == "__main__":
    if sys.argv[1:] == ["bridge"]:
        from worker.cluster import bridge  # needs the extra

        bridge.main(PARTS)
    else:
        engines.BRIDGE = (sys.executable, "-m", "tests.support.timed_cluster", "bridge")
        main._load_colorizer = load_fake
        main.main()
