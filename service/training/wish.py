"""What is wanted of a training, by a person or by the timer."""

from pathlib import Path
from typing import NamedTuple


class Wish(NamedTuple):
    """What to train; see `worker.training.run.Plan`."""

    folders: tuple[Path, ...]
    start: str
    minutes: float | None = None
    steps: int | None = None
    until_plateau: bool = False
    name: str | None = None
    reference: Path | None = None
