"""What a training is to do, and how far it is."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from worker.models import VersionName
from worker.settings import ReadSettings, TrainSettings


@dataclass(frozen=True)
class Budget:
    """How long to train: whichever is given; exactly one is."""

    minutes: float | None = None
    steps: int | None = None

    def done(self, step: int, seconds: float) -> float:
        """Return the share that is used up, 1 or more when training should end."""
        return step / self.steps if self.steps else seconds / (60 * (self.minutes or 0.0))


@dataclass(frozen=True)
class Plan:
    """All that decides what a training does; saved with each checkpoint."""

    folders: tuple[Path, ...]
    start: VersionName | str  # a version, or "scratch"
    budget: Budget
    settings: TrainSettings
    read: ReadSettings = field(default_factory=ReadSettings)
    seed: int = 1


@dataclass
class Progress:
    """Where a training stands; given to `report` after each step."""

    step: int = 0
    seconds: float = 0.0
    judge_steps: int = 0
    adversarial: bool = False
    share: float = 0.0
    generator_loss: float = 0.0
    discriminator_loss: float = 0.0
    rate: float = 0.0

    def photos_per_second(self, batch: int) -> float:
        """Return the speed of the whole training so far."""
        return (self.step + self.judge_steps) * batch / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, float | int | bool]:
        """Return all of it, rounded for a line of the log."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }
