"""Photographs as the gallery shows them: a card each, with its two pictures and how it stands."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from service.config.sections import Review
from service.ledger.gallery import GalleryQueries
from service.ledger.jobs import Decision, DecisionRecord, Job
from service.web.gallery_filters import Asked, folder_text, understood
from service.web.image_files import THUMBNAILS

_LITTLE = 0.3  # of confidence; what "like it" means where a photograph has less


@dataclass(frozen=True)
class Card:
    """A photograph in the gallery.

    Attributes:
        job: its row.
        verdict: the decision that stands, or None.
        note: the last note on it, or "".
        why_held: "mode", "doubtful", "unknown" (its confidence), or "approved": no longer, and it
            is being delivered; "blocked": that waits for a person; None: it is not held.
    """

    job: Job
    verdict: DecisionRecord | None
    note: str
    why_held: str | None

    @property
    def folder(self) -> PurePosixPath:
        """The folder of the scan in the inbox."""
        return self.job.path.parent

    @property
    def folder_text(self) -> str:
        """The folder, as the filter has it."""
        return folder_text(self.folder)

    @property
    def states(self) -> list[str]:
        """Where the result is, when that is worth a word."""
        job = self.job
        marks = {"held": job.held, "fetched": job.fetched_at is not None, "recoloring": job.recolor}
        return [name for name, is_so in marks.items() if is_so]

    @property
    def version(self) -> str:
        """Another one whenever the card shows anything else."""
        job = self.job
        verdict = "" if self.verdict is None else f"{self.verdict.id}"
        state = "-".join((*self.states, job.review_problem or ""))
        return f"{job.colored_at}-{job.decision}-{verdict}-{state}-{self.note}"

    def pictures(self, side: str) -> dict[int, str]:
        """Return the addresses of thumbnails by their width; the key in them changes with the file.

        Args:
            side: "scan" or "colored".
        """
        key = (self.job.digest if side == "scan" else self.job.output_digest or "")[:16]
        folder = f"/images/{self.job.id}/{side}/0/{key or 'unrecorded'}"
        return {width: f"{folder}/{name}" for name, width in THUMBNAILS.items()}

    def address(self, asked: Asked) -> str:
        """Return the address of its page, from where one goes on in the same selection."""
        return asked.link(f"/photographs/{self.job.id}")


def cards(jobs: Iterable[Job], gallery: GalleryQueries, review: Review) -> list[Card]:
    """Make the cards of photographs.

    Args:
        jobs: the photographs.
        gallery: knows the decisions.
        review: which results are held.
    """
    made = []
    for job in jobs:
        standing = [
            one
            for one in gallery.decisions_of(job.id)
            if one.undone_at is None and one.event == job.event
        ]
        decided = [one for one in standing if one.decision and one.decision is job.decision]
        notes = [one.note for one in standing if one.note]
        verdict = next((one for one in reversed(decided) if one.decision is not one.before), None)
        verdict = verdict or (decided[-1] if decided else None)
        made.append(Card(job, verdict, notes[-1] if notes else "", _why_held(job, review)))
    return made


def like(job: Job) -> dict[str, str]:
    """Return addresses of what is worth comparing with a photograph, by their names in catalogs.

    Its folder, the doubtful ones in its folder, and what the same model colored.
    """
    folder = folder_text(job.path.parent)
    below = min(1.0, max(_LITTLE, (job.confidence or 0.0) + 0.01))
    filters = {
        "folder": {"folder": folder},
        "doubtful": {"folder": folder, "below": f"{below:.2f}", "order": "confidence"},
        "model": {"model": job.model or ""},
    }
    if not job.model:
        del filters["model"]
    return {name: understood(words).link() for name, words in filters.items()}


def _why_held(job: Job, review: Review) -> str | None:
    if not job.held:
        return None
    if job.decision is Decision.APPROVED:
        return "blocked" if job.review_problem else "approved"  # the daemon has yet to deliver it
    if review.hold_below is None or review.mode == "hold":
        return "mode"
    return "unknown" if job.confidence is None else "doubtful"
