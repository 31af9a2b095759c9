"""What a report tells: of each photograph, and of all of them."""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import NamedTuple

from service.ledger.jobs import Decision, DecisionRecord, Job, JobStatus
from service.storage.sidecar import Sidecar
from service.storage.sidecar_parts import Point, Reference
from service.terminal import printable
from worker.settings import AS_GENERATED


class Scope(NamedTuple):
    """Which photographs a report is of.

    Attributes:
        since: colored or rejected at or after this, seconds since 1970; None: from the first.
        until: before this; None: to the last.
        folder: of the inbox, with all below it; None: all.
    """

    since: float | None = None
    until: float | None = None
    folder: PurePosixPath | None = None


class Picture(NamedTuple):
    """A small picture, or why there is none.

    Attributes:
        name: of its file in the report; None: there is none.
        fault: why there is none.
    """

    name: str | None
    fault: str


def liked(reference: Reference) -> str:
    """Tell in words which photo this one was colored like, and who chose it on what evidence."""
    who = f", chosen by {reference.who}" if reference.who else ""
    why = f": {reference.source}" if reference.source else ""
    return f"colored like {reference.name}{who}{why}"


def said(point: Point) -> str:
    """Tell in words which color somebody said, of which place, and on what evidence."""
    page = f" of page {point.page + 1}" if point.page else ""
    who = f", said by {point.who}" if point.who else ""
    why = f": {point.source}" if point.source else ""
    return f"{point.color} at {100 * point.x:.0f} %, {100 * point.y:.0f} %{page}{who}{why}"


class Entry(NamedTuple):
    """One photograph in a report.

    Attributes:
        job: its job.
        scan: the picture of the scan.
        colored: the picture of the result.
        sidecar: of the result, where there is one.
        decisions: that stand on the present result, oldest first.
        fetched: whether the result was taken out of the outbox.
    """

    job: Job
    scan: Picture
    colored: Picture
    sidecar: Sidecar | None
    decisions: tuple[DecisionRecord, ...]
    fetched: bool

    @property
    def path(self) -> str:
        """Of the scan in the inbox, as text."""
        return printable(str(self.job.path))

    @property
    def is_rejected(self) -> bool:
        """Whether the scan was rejected, so that there is no result."""
        return self.job.status is JobStatus.FAILED and not self.job.recolor

    @property
    def points(self) -> tuple[Point, ...]:
        """Colors of things that people said."""
        return self.sidecar.wishes.points if self.sidecar and self.sidecar.wishes else ()

    @property
    def wished(self) -> str:
        """What else a person wished of the colors, in words; "" is nothing."""
        wishes = self.sidecar.wishes if self.sidecar else None
        if wishes is None:
            return ""
        words = (
            (wishes.vividness != AS_GENERATED.vividness, f"vividness {wishes.vividness:g}"),
            (wishes.warmth != AS_GENERATED.warmth, f"warmth {wishes.warmth:+g}"),
            (wishes.variant != AS_GENERATED.variant, f"variant {wishes.variant}"),
        )
        found = [word for differs, word in words if differs]
        return ", ".join([*found, *([liked(wishes.reference)] if wishes.reference else [])])

    @property
    def last_decision(self) -> DecisionRecord | None:
        """The decision that stands; None: it is open."""
        changes = [one for one in self.decisions if one.decision != one.before]
        return changes[-1] if changes and changes[-1].decision else None


def _kind_of(reason: str) -> str:
    """Return a reason without its figures and advice, so that like scans count together."""
    return re.sub(r" *\([^)]*\)", "", reason.split("; ", maxsplit=1)[0])


@dataclass
class Summary:
    """What a report tells of all photographs.

    Attributes:
        scope: which photographs.
        sheets: file, first path, last path and number of photographs of each sheet.
        colored: photographs with a result.
        rejected: scans without one.
        without_picture: photographs of which a picture is missing.
        decisions: number of results by what was decided; None: open.
        held: results that wait for approval.
        fetched: results that were taken out of the outbox.
        again: results that are to be recolored.
        models: number of results by version, and the digests of its weights.
        informants: number of photographs by who said a color of something in them.
        reviewers: number of results by reviewer and decision.
        reasons: number of scans by the reason of their rejection.
    """

    scope: Scope
    sheets: list[tuple[str, str, str, int]] = field(default_factory=list)
    colored: int = 0
    rejected: int = 0
    without_picture: int = 0
    decisions: Counter[Decision | None] = field(default_factory=Counter)
    held: int = 0
    fetched: int = 0
    again: int = 0
    models: Counter[str] = field(default_factory=Counter)
    weights: dict[str, set[str]] = field(default_factory=dict)
    informants: Counter[str] = field(default_factory=Counter)
    reviewers: Counter[tuple[str, Decision]] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Entry) -> None:
        """Count a photograph."""
        job = entry.job
        faults = [entry.scan.fault, "" if entry.fetched else entry.colored.fault]
        self.without_picture += any(faults)
        if entry.is_rejected:
            self.rejected += 1
            self.reasons[_kind_of(job.reason or "unknown")] += 1
            return
        self.colored += 1
        self.held += job.held
        self.fetched += entry.fetched
        self.again += job.recolor
        version = job.model or "unknown"
        self.models[version] += 1
        if entry.sidecar:
            self.weights.setdefault(version, set()).add(entry.sidecar.model.weights_sha256)
        self.informants.update({one.who or "nobody named" for one in entry.points})
        self.decisions[job.decision] += 1
        if (last := entry.last_decision) and last.decision:
            self.reviewers[last.who, last.decision] += 1
