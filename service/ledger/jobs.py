"""What the ledger holds, as values: photos to color or colored, and which generator serves.

The ledger alone makes and changes jobs.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import NamedTuple

from service.config.sections import AS_USUAL, FolderSettings
from service.filesystem.snapshot import FileStat

UNREADABLE = "unreadable "  # begins what stands for the digest of a scan that may not be read
TAKEN_AWAY = "the file was changed or taken away before it was read"  # a failed job's reason


class JobStatus(StrEnum):
    """How far a job is."""

    QUEUED = "queued"
    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"

    @property
    def words(self) -> str:
        """The same for people, wherever it is told."""
        return {"queued": "waiting", "started": "in progress", "failed": "rejected"}.get(self, self)


@dataclass(frozen=True)
class Job:
    """One photo to color, or colored.

    Attributes:
        id: number, in the order of arrival.
        path: of the scan in the inbox.
        digest: SHA-256 of the scan, hexadecimal.
        output: path of the colored photo in the outbox.
        snapshot: how the scan looked when it was last queued.
        same_content_as: id of an earlier job with the same content under another path, or None.
        status: how far it is.
        attempts: how often work on it began and was not given back, the one under way included.
        waits: how often it was put back for a fault of the machine.
        reason: why it failed or was last put back, or None.
        model: version that colored it, or None.
        not_before: when it may be claimed.
        queued_at: when it was last queued.
        started_at: when it was last claimed, or None.
        finished_at: when it finished or failed, or None.
        original: where the original was moved to, in the originals' folder; None: not moved yet, or
            by a photochrom that did not note it.
        recolor: whether it was colored once and is to be colored again from its original. Its
            earlier photo stays in the outbox until then.
        output_digest: SHA-256 of the photo in the outbox, hexadecimal; None: there is none yet, or
            it was delivered by a photochrom that did not note it.
        event: UUID of the coloring that the photo's sidecar tells of; None: there is no sidecar.
        repair: whether the new result may replace whatever has its name in the outbox, for somebody
            saw that it was altered (`verify --repair`).
        superseded_by: id of the job that took over its name in the outbox, since its scan got more
            pages; or None.
        settings: how it is to be colored: as its folder had it when it was queued, and as somebody
            asked for this photo, which counts more.
    """

    id: int
    path: PurePosixPath
    digest: str
    output: PurePosixPath
    snapshot: FileStat
    same_content_as: int | None
    status: JobStatus
    attempts: int
    waits: int
    reason: str | None
    model: str | None
    not_before: float
    queued_at: float
    started_at: float | None
    finished_at: float | None
    original: PurePosixPath | None = None
    recolor: bool = False
    output_digest: str | None = None
    event: str | None = None
    repair: bool = False
    superseded_by: int | None = None
    settings: FolderSettings = AS_USUAL


class ActiveModel(NamedTuple):
    """Which generator the daemon uses.

    Attributes:
        model: the version that colors.
        refused: the promoted version that it does not use, or None.
        refused_because: why, or None.
    """

    model: str
    refused: str | None = None
    refused_because: str | None = None
