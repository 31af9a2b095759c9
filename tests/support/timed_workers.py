"""What workers of a cluster get in tests that need many: real files, and colors after a set time.

The time is that of the environment's SECONDS, of the node on which they run. While it passes they
cost nothing, so that sixteen of them fit on a machine with two cores.
"""

import os
import time
from collections.abc import Sequence
from typing import Any

from service.pipeline.cluster_parts import PARTS as REAL
from tests.support.fakes import FakeColorist
from worker.cluster.node_worker import Parts
from worker.models.version import ModelVersion
from worker.scan import Page
from worker.settings import ColorWishes


class TimedColorist(FakeColorist):
    """Colors one photograph after the other, each in a set time."""

    def color(self, pages: Sequence[Page], wishes: Sequence[ColorWishes]) -> Any:
        """Wait as long as coloring them takes."""
        time.sleep(float(os.environ["SECONDS"]) * len(pages))
        return super().color(pages, wishes)


def load(_words: str, version: ModelVersion) -> TimedColorist:
    """Make one with the name and digest of a version."""
    made = TimedColorist(1, version.name)
    made.weights_sha256, made.folder = str(version.card["sha256"]), version.folder
    return made


PARTS = Parts(REAL.node_files, REAL.daemon_files, load)
