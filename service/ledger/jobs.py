"""What the ledger stores, as values: jobs, and the model in use.

Only the ledger creates and changes jobs.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import NamedTuple

from service.config.folder_sections import AS_USUAL, FolderSettings
from service.filesystem.file_stat import FileStat

UNREADABLE = "unreadable "  # begins what stands for the digest of a scan that may not be read
TAKEN_AWAY = "the file was changed or taken away before it was read"  # a failed job's reason


class Decision(StrEnum):
    """What a person decided on a result."""

    APPROVED = "approved"
    REJECTED = "rejected"
    FLAGGED = "flagged"


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
        confidence: of the generator in the present result, 0 to 1; None: not recorded.
        change: of the present result from the one before, as `worker.difference.change` has it;
            None: there was none, or it is not recorded.
        colored_at: when the present result was made; None: there is none.
        decision: on the present result; None: it is open.
        held: whether the present result waits outside the outbox for approval.
        review_owed: whether the daemon has yet to carry out the decision.
        review_problem: why it cannot until a person acts; None: it can.
        fetched_at: when the result was taken out of the outbox; None: it was not.
        delivered_digest: SHA-256 of the earlier result that stays in the outbox while the present
            one is held; "": it is not known; None: there is none.
        delivered_event: UUID of the coloring in the sidecar of that result, or None.
        in_delivery: SHA-256 of results, and UUIDs of their colorings, that may be in the outbox
            though the job is not finished.
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
    confidence: float | None = None
    change: float | None = None
    colored_at: float | None = None
    decision: Decision | None = None
    held: bool = False
    review_owed: bool = False
    review_problem: str | None = None
    fetched_at: float | None = None
    delivered_digest: str | None = None
    delivered_event: str | None = None
    in_delivery: tuple[str, ...] = ()

    @property
    def is_colored(self) -> bool:
        """Whether it has a result, held or delivered, that no other job took over."""
        return self.colored_at is not None and self.superseded_by is None


class DecisionRecord(NamedTuple):
    """One line of the log of decisions.

    Attributes:
        id: number, in order.
        batch: of the first decision that was made together with this one.
        job: its id.
        event: UUID of the coloring that was judged; None: it had none.
        decision: None: the photo was opened again.
        before: the decision that this one replaced. A note alone has the same twice.
        reason: why, or "".
        note: further words, or "".
        who: name of the person.
        decided_at: seconds since 1970.
        undone_at: when it was undone, or None.
    """

    id: int
    batch: int
    job: int
    event: str | None
    decision: Decision | None
    before: Decision | None
    reason: str
    note: str
    who: str
    decided_at: float
    undone_at: float | None


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
