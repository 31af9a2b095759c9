"""What a training is to do, and how far it is."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from worker.models.version import VersionName
from worker.settings import ReadSettings, TrainSettings

CHECKPOINT = "checkpoint.npz"  # a training that was ended has left it in its folder


@dataclass(frozen=True)
class Budget:
    """How long to train: whichever is given; exactly one is.

    Attributes:
        minutes: of the clock, checks and checkpoints included.
        steps: of the generator.
        until_plateau: until validation improves no more (`worker.training.schedule`).
    """

    minutes: float | None = None
    steps: int | None = None
    until_plateau: bool = False

    @property
    def total(self) -> float | None:
        """All there is, in steps or seconds; None where only the validation will tell."""
        return None if self.until_plateau else self.steps or 60 * (self.minutes or 0.0)

    def used(self, step: int, seconds: float) -> float:
        """Return what is used up: seconds under `minutes`, else steps."""
        return step if self.minutes is None else seconds


@dataclass(frozen=True)
class Plan:
    """All that decides what a training does; saved with each checkpoint.

    Attributes:
        folders: of color photographs.
        start: a version, or "scratch" for the ImageNet encoder and nothing else.
        budget: how long.
        settings: the recipe.
        read: what a photograph may be.
        seed: of the order of the photographs, their crops and cameras, and fresh weights.
        name: what a person calls the result; for the card.
        reference: photographs that stand for all that must not be forgotten; for the promotion.
    """

    folders: tuple[Path, ...]
    start: VersionName | str
    budget: Budget
    settings: TrainSettings
    read: ReadSettings = field(default_factory=ReadSettings)
    seed: int = 1
    name: str | None = None
    reference: Path | None = None


@dataclass(frozen=True)
class Check:
    """One look at photographs that are never learned from; see `worker.training.validation`.

    Attributes:
        step: when, in steps of the generator.
        seconds: when, in seconds of the training.
        adversarial: in which stage.
        loss: class loss in nats; None where no photograph could be held back.
        colorfulness: mean chroma given over mean chroma of the truth.
        variety: how far colors lie apart within each photograph, over the same of the truth; 0 is
            gray, or one color everywhere.
        learned: whether the loss beats giving the collection's mean distribution everywhere; until
            then the colors mean nothing.
    """

    step: int
    seconds: float
    adversarial: bool
    loss: float | None
    colorfulness: float
    variety: float
    learned: bool


@dataclass
class Progress:
    """Where a training stands; given to `report` after each step.

    Attributes:
        step: of the generator.
        seconds: of the clock.
        judge_steps: those of the discriminator alone.
        adversarial: whether the second stage has begun.
        share: 0..1 of the training that is done; 0 until its length is known.
        generator_loss: of the last step.
        discriminator_loss: of the last step.
        rate: learning rate of the last step.
        rate_factor: what rollbacks left of the planned rates, 1 or less.
        rollbacks: how often the training was put back to its last good checkpoint.
        cooling_from: where the plateau was seen, in units of the budget.
        alone_until: where the first stage ends when that was not planned, in units of the budget.
        checks: all of them, oldest first.
    """

    step: int = 0
    seconds: float = 0.0
    judge_steps: int = 0
    adversarial: bool = False
    share: float = 0.0
    generator_loss: float = 0.0
    discriminator_loss: float = 0.0
    rate: float = 0.0
    rate_factor: float = 1.0
    rollbacks: int = 0
    cooling_from: float | None = None
    alone_until: float | None = None
    checks: list[Check] = field(default_factory=list)

    @property
    def batches(self) -> int:
        """How many batches were learned from: the number of the next one."""
        return self.step + self.judge_steps

    def photos_per_second(self, batch: int) -> float:
        """Return the speed of the whole training so far."""
        return self.batches * batch / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, float | int | bool | None]:
        """Return where it stands, rounded for a line of the log; of the checks only the last."""
        plain = asdict(replace(self, checks=[]))
        del plain["checks"]
        if self.checks:
            plain |= {"validation_loss": self.checks[-1].loss, "variety": self.checks[-1].variety}
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in plain.items()
        }
