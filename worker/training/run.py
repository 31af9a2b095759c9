"""How far a training is: its progress and its checks, as checkpoints keep them."""

from dataclasses import asdict, dataclass, field, replace

CHECKPOINT = "checkpoint.npz"  # an unfinished training leaves it in its folder


@dataclass(frozen=True)
class Check:
    """One check on validation photographs; see `worker.training.validation`.

    Attributes:
        step: when, in steps of the generator.
        seconds: when, in seconds of the training.
        adversarial: whether in the second stage.
        loss: class loss in nats; None if there are no validation photographs.
        colorfulness: mean chroma of the output over that of the truth.
        variety: of colors within each photograph, over that of the truth; 0 is gray or one color.
        learned: whether the loss is lower than that of the collection's mean distribution; before
            that the colors mean nothing.
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
    """How far a training is.

    Attributes:
        step: steps of the generator.
        seconds: by the clock.
        judge_steps: steps of the discriminator alone.
        adversarial: whether the second stage has begun.
        share: 0..1 of the training; 0 while its length is unknown.
        generator_loss: of the last step.
        discriminator_loss: of the last step.
        rate: learning rate of the last step.
        rate_factor: to multiply the scheduled rates with; rollbacks lower it.
        rollbacks: to the last good checkpoint, so far.
        cooling_from: where a plateau was found, in units of the training's length.
        alone_until: where the first stage ends if the checks decided that, in the same units.
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
        """The number of batches used so far."""
        return self.step + self.judge_steps

    def photos_per_second(self, batch: int) -> float:
        """Return the mean speed so far."""
        return self.batches * batch / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, float | int | bool | None]:
        """Return all of it rounded, for a line of the log, with the last check only."""
        plain = asdict(replace(self, checks=[]))
        del plain["checks"]
        if self.checks:
            plain |= {"validation_loss": self.checks[-1].loss, "variety": self.checks[-1].variety}
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in plain.items()
        }
