"""A stepped pipeline whose results are held, and a person who decides on them."""

from pathlib import Path, PurePosixPath
from typing import Any

from service.config.sections import Review
from service.ledger.jobs import Decision, Job
from service.maintenance.verify import verify
from service.storage.cleanup import TempFileSweeper
from service.storage.sidecar import read_sidecar, sidecar_name
from tests.support.stepped_pipeline import Line

HOLD = Review(mode="hold")


class Desk(Line):
    """A pipeline, and a person who decides on its results."""

    def decide(self, job: Job, decision: Decision | None, who: str = "Ada") -> None:
        """Decide on a result."""
        assert self.ledger.reviews.decide([job.id], decision, who=who, now=self.now)

    def approve(self, job: Job) -> None:
        """Approve a result, and have that carried out."""
        self.decide(job, Decision.APPROVED)
        self.run()

    def recolor(self, job: Job, model: str = "second") -> Job:
        """Color a result again, by another version."""
        self.colorist.model = model
        self.ledger.recolor([job.id], self.now)
        self.run()
        return self.job(job.id)

    def names(self, folder: Path) -> list[str]:
        """List what is in a folder, hidden files but for the marker too."""
        found = [path for path in folder.rglob("*") if path.is_file()]
        return sorted(str(path.relative_to(folder)) for path in found if path.name != ".photochrom")

    @property
    def outbox(self) -> list[str]:
        """What is in the outbox."""
        return self.names(self.config.outbox)

    @property
    def waiting(self) -> list[str]:
        """What is held."""
        return self.names(self.config.review.folder)

    def decisions(self, folder: Path, name: str = "a.png") -> list[str | None]:
        """Read the decisions in a sidecar."""
        sidecar = read_sidecar(folder / sidecar_name(PurePosixPath(name)))
        return [one.decision for one in sidecar.decisions]

    def found_wrong(self) -> list[Any]:
        """Verify all."""
        return verify(self.config, lambda *_: None).findings

    def restart(self, **changes: Any) -> None:
        """End the pipeline, and make another as a start does, perhaps with other settings."""
        self.pipeline.close()
        self.config = self.config.model_copy(update=changes)
        TempFileSweeper().remove(self.config, self.pipeline.places)
        self.pipeline = self.make_pipeline(self.config)
