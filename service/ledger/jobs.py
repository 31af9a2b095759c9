"""What the ledger stores, as values: jobs, and the model in use.

Only the ledger creates and changes jobs.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import NamedTuple

from service.config.sections import AS_USUAL, FolderSettings
from service.filesystem.file_stat import FileStat

UNREADABLE = "unreadable "  # begins what stands for the digest of a scan that may not be read
TAKEN_AWAY = "the file was changed or taken away before it was read"  # a failed job's reason


class JobStatus(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    STARTED = "started"
    FINISHED = "finished"
    FAILED = "failed"

    @property
    def words(self) -> str:
        """The status as shown to people."""
        return {"queued": "waiting", "started": "in progress", "failed": "rejected"}.get(self, self)


@dataclass(frozen=True)
class Job:
    """One photo to color, or colored.

    Attributes:
        id: number, in order of arrival.
        path: of the scan in the inbox.
        digest: SHA-256 of the scan, hexadecimal.
        output: path of the result in the outbox.
        stat: of the scan when it was last queued.
        same_content_as: id of an earlier job with the same content under another path, or None.
        status: its state.
        attempts: how often work on it was begun, including any in progress; claims that were undone
            and temporary failures do not count.
        waits: how often it was put back after a temporary failure.
        reason: why it failed or was last put back, or None.
        model: version that colored it, or None.
        not_before: when it may be claimed.
        queued_at: when it was last queued.
        started_at: when it was last claimed, or None.
        finished_at: when it finished or failed, or None.
        original: path of the original in the originals' folder; None: not moved yet, or moved by a
            photochrom that did not record it.
        recolor: whether it has a result and is to be colored again from its original. The earlier
            result stays in the outbox until then.
        output_digest: SHA-256 of the result, hexadecimal; None: there is none yet, or it was
            delivered by a photochrom that did not record it.
        event: UUID of the coloring in the result's sidecar; None: there is no sidecar.
        repair: whether the new result may replace any file with its name, because `verify --repair`
            found it altered.
        superseded_by: id of the job that took over its output, because its scan gained pages; or
            None.
        settings: those of its folder when it was queued, overridden by those for this photo alone.
    """

    id: int
    path: PurePosixPath
    digest: str
    output: PurePosixPath
    stat: FileStat
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
    """Which model the daemon uses.

    Attributes:
        model: the version in use.
        refused: the promoted version that it does not use, or None.
        refused_because: why, or None.
    """

    model: str
    refused: str | None = None
    refused_because: str | None = None
