"""What one training is asked to do; the same value from the command line to the checkpoint."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from worker.models.version import VersionName, version_name
from worker.settings import ReadSettings, TrainSettings

SCRATCH: Final = "scratch"
Start = VersionName | Literal["scratch"]


@dataclass(frozen=True)
class TrainingRequest:
    """All that decides what a training does; saved with each checkpoint.

    Exactly one of `minutes`, `steps` and `until_plateau` is given.

    Attributes:
        folders: absolute, of color photographs.
        start: a version, or "scratch" for ImageNet weights in the encoder and nothing else.
        minutes: train so long by the clock, checks and checkpoints included.
        steps: train so many steps of the generator.
        until_plateau: train until validation stops improving (`worker.training.schedule`).
        recipe: sizes, learning rates and shares.
        read: which photographs are accepted.
        seed: of weights, crops, degradation and the order of photographs.
        name: what the card calls the result.
        reference: absolute; photographs on which a new version may not get worse.
        scans: absolute; black-and-white photographs; training photographs that look like them are
            drawn more often.
    """

    folders: tuple[Path, ...]
    start: Start = "promoted"
    minutes: float | None = None
    steps: int | None = None
    until_plateau: bool = False
    recipe: TrainSettings = field(default_factory=TrainSettings)
    read: ReadSettings = field(default_factory=ReadSettings)
    seed: int = 1
    name: str | None = None
    reference: Path | None = None
    scans: Path | None = None


def start_named(text: str) -> Start:
    """Return the start that a person names: scratch, promoted, builtin or a number.

    Raises:
        ModelError: it is none of these.
    """
    return SCRATCH if text == SCRATCH else version_name(text)
