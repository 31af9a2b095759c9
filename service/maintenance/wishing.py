"""Wishes of colors for photographs in the ledger: noted, and the photographs queued again.

Only the ledger is changed; a daemon, now or later, recolors the photographs from their originals.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from service.config.folder_sections import FolderSettings
from service.config.loader import Config
from service.config.pixel_points import PixelPoint
from service.config.sections import Color
from service.filesystem import safe_open
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.maintenance.recolor import refuse_an_older_daemon
from service.storage.lookup import Lookup
from service.storage.sidecar import SidecarError, parse_sidecar, sidecar_name
from worker.settings import ColorPoint, ColorWishes, Reference

LARGEST_SIDECAR = 1 << 24  # bytes


@dataclass(frozen=True)
class Asked:
    """What is wished anew; what is None stays as it is.

    Attributes:
        vividness: 0 to 100.
        warmth: -50 to 50.
        points: known colors, in place of all that were said before.
        variant: which coloring.
        who: says so.
        source: on what evidence.
        reference: a photograph whose colors it is to have.
        no_reference: that it is to have those of none.
    """

    vividness: float | None = None
    warmth: float | None = None
    points: tuple[PixelPoint, ...] = ()
    variant: int | None = None
    who: str = ""
    source: str = ""
    reference: Reference | None = None
    no_reference: bool = False

    @property
    def has_any(self) -> bool:
        """Whether anything is wished."""
        wished = (self.vividness, self.warmth, self.variant, self.reference)
        return bool(self.points or self.no_reference) or any(one is not None for one in wished)

    def settings(self, sizes: Sequence[tuple[int, int]] | None) -> FolderSettings:
        """Return the settings that ask for it.

        Args:
            sizes: height and width of each page; None where they are unknown.

        Raises:
            ValueError: a point lies outside, or the sizes are unknown.
        """
        color = {"vividness": self.vividness, "warmth": self.warmth}
        given: dict[str, Any] = {name: one for name, one in color.items() if one is not None}
        asked: dict[str, Any] = {"color": Color(**given)} if given else {}
        if self.variant is not None:
            asked["variant"] = self.variant
        if self.no_reference:
            asked["reference"] = None
        if self.reference is not None:
            asked["reference"] = replace(self.reference, who=self.who, source=self.source)
        if self.points:
            if sizes is None:
                raise ValueError("its sidecar is missing, so the place of a color is not known")
            said = {"who": self.who, "source": self.source}
            asked["points"] = tuple(point.on(sizes, **said) for point in self.points)
        return FolderSettings(**asked)


def parse_wishes(data: Mapping[str, Any]) -> ColorWishes:
    """Read wishes as JSON has them; missing ones are as generated.

    Raises:
        ValueError: an unknown or impossible wish; says which.
    """
    _refuse_unknown(data, {field.name for field in fields(ColorWishes)}, "wish")
    points = data.get("points", ())
    for point in points if isinstance(points, list | tuple) else ():
        if isinstance(point, Mapping):
            _refuse_unknown(point, {field.name for field in fields(ColorPoint)}, "part of a point")
    if isinstance(reference := data.get("reference"), Mapping):
        known = {field.name for field in fields(Reference)}
        _refuse_unknown(reference, known, "part of a reference")
    try:
        return TypeAdapter(ColorWishes).validate_python(dict(data))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        text = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{where}: {text}" if where else text) from error


def apply_wishes(config: Config, job_id: int, wishes: ColorWishes) -> Job:
    """Give a finished photograph other wishes, in place of all it had, and queue it again.

    Args:
        config: the ledger's folder.
        job_id: of the photograph.
        wishes: from now on, whatever its folder says.

    Returns:
        The job, queued.

    Raises:
        ValueError: there is no such job, or it is not finished; says so.
        DeviceError: the ledger cannot be used.
    """
    path = config.state / LEDGER_FILE
    if not path.exists():
        raise ValueError(f"there is no photograph {job_id}")
    refuse_an_older_daemon(config, path)
    with Ledger(path) as ledger:
        return _queue(ledger, _finished(ledger, job_id), FolderSettings.of(wishes))


def wish_for(config: Config, chosen: Sequence[str], asked: Asked) -> list[Job]:
    """Note wishes for finished photographs, and queue them again.

    Args:
        config: the folders.
        chosen: jobs and files; see `service.storage.lookup`.
        asked: what is wished; other wishes that they have stay.

    Returns:
        The jobs, queued.

    Raises:
        ValueError: a choice matches no finished photograph, or a point lies outside; nothing was
            changed.
        DeviceError: the ledger cannot be used.
        OSError: a folder cannot be read.
    """
    path = config.state / LEDGER_FILE
    if not path.exists():
        raise ValueError(f"no photograph has this number or path: {', '.join(chosen)}")
    refuse_an_older_daemon(config, path)
    with Ledger(path) as ledger:
        lookup = Lookup(config, ledger.queries)
        jobs: dict[int, FolderSettings] = {}
        for one in chosen:
            numbers = lookup.exactly(one)
            if not numbers:
                raise ValueError(f"no photograph has this number or path: {one}")
            for number in numbers:
                job = _finished(ledger, number)
                try:
                    jobs[number] = asked.settings(page_sizes(config, job))
                except ValueError as error:
                    raise ValueError(f"job {number}, {job.path}: {error}") from error
        return [
            _queue(ledger, _finished(ledger, number), settings) for number, settings in jobs.items()
        ]


def page_sizes(config: Config, job: Job) -> list[tuple[int, int]] | None:
    """Return height and width of each page of a result, from its sidecar; None without one."""
    name = sidecar_name(job.output)
    try:
        with safe_open.open_beneath(config.outbox, name) as file:
            sidecar = parse_sidecar(file.read(LARGEST_SIDECAR), config.outbox / name)
    except (OSError, SidecarError):
        return None
    return [(page.height, page.width) for page in sidecar.pages]


def _finished(ledger: Ledger, number: int) -> Job:
    job = ledger.queries.job(number)
    if job is None:
        raise ValueError(f"there is no photograph {number}")
    if job.superseded_by:
        raise ValueError(f"job {number} was superseded by job {job.superseded_by}")
    again = job.status is JobStatus.FAILED and job.recolor
    if not (job.status is JobStatus.FINISHED or again):
        raise ValueError(f"job {number} is {job.status.words}, not finished")
    return job


def _queue(ledger: Ledger, job: Job, settings: FolderSettings) -> Job:
    # First, so that no daemon recolors it without them.
    ledger.override_settings(job.id, settings)
    ledger.recolor([job.id], time.time())
    return ledger.queries.job(job.id) or job


def _refuse_unknown(data: Mapping[str, Any], known: set[str], what: str) -> None:
    unknown = sorted(set(map(str, data)) - known)
    if unknown:
        raise ValueError(f"unknown {what}: {', '.join(unknown)}")
