"""The sidecar `NAME.json` of each result: what it was made from, by what, and when.

docs/sidecar.md explains every field. A sidecar contains the SHA-256 of its own text, so that damage
is detected without a ledger.
"""

import base64
import hashlib
import json
import os
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

from pydantic import (
    AwareDatetime,
    Field,
    ValidationError,
)

from service.filesystem.durable import LONGEST_NAME, fitting_name
from service.filesystem.file_stat import FileStat
from service.ledger.jobs import Decision, DecisionRecord
from service.ledger.rows import storable
from service.storage import outbox
from service.storage.outbox import Delivered
from service.storage.sidecar_parts import (
    Digest,
    Model,
    Output,
    Page,
    Part,
    ReviewDecision,
    Source,
    Text,
    Wishes,
    XmpFile,
)
from service.terminal import escaped_json
from worker.errors import PhotochromError
from worker.metadata.provenance import Origin, Record
from worker.settings import ColorWishes

VERSION = 3  # of the schema; incremented when a field is added, removed or changed
SUFFIX = ".json"
ZEROS = "0" * 64  # in place of a sidecar's own digest while that is computed
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SidecarError(PhotochromError):
    """A sidecar is damaged, was altered, or was written by a newer photochrom."""


class Sidecar(Part):
    """What is known of one coloring."""

    schema_: Annotated[
        Literal["photochrom sidecar 1", "photochrom sidecar 2", "photochrom sidecar 3"],
        Field(alias="schema"),
    ] = "photochrom sidecar 3"
    event: UUID = Field(description="of this coloring; also in the photo's XMP history")
    digital_source_type: Text = Field(description="IPTC's URI of how the image came to be")
    source: Source
    output: Output
    pages: tuple[Page, ...]
    model: Model
    confidence: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="of the generator in the colors it chose; null: not recorded"
    )
    change: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="of the colors from the earlier result, CIE ab units; null: not known or none",
    )
    wishes: Wishes | None = Field(
        default=None, description="what a person wished of the colors; null: nothing"
    )
    software: Text = Field(description="name and version")
    settings: dict[Text, bool | int | float | Text]
    read: AwareDatetime = Field(description="when work on the scan began")
    colored: AwareDatetime = Field(description="when the photo was colored")
    host: Text = Field(description="name of the machine")
    lost: tuple[Text, ...] = Field(description="the scan's metadata that the photo does not carry")
    xmp_files: tuple[XmpFile, ...] = Field(
        default=(), description="beside the scan; of two that differ the last counts"
    )
    decisions: tuple[ReviewDecision, ...] = Field(
        default=(), description="of people, in their order, without those that were undone"
    )
    own_sha256: Annotated[
        Digest, Field(description="of this file, with these digits written as 0")
    ] = ZEROS


class Choice(NamedTuple):
    """How the colors of a photo were chosen, and how they differ from those before.

    Attributes:
        even_if_colored: whether it was to be colored although it had color of its own.
        wishes: what a person wished, or said of its colors.
        confidence: of the generator; see `worker.models.decoding.confidence`.
        change: from the earlier result; see `worker.difference.change`.
    """

    even_if_colored: bool
    wishes: ColorWishes
    confidence: float
    change: float | None = None


def sidecar_name(name: PurePosixPath) -> PurePosixPath:
    """Name the sidecar of a colored photo.

    Args:
        name: the photo's path in the outbox.

    Returns:
        `NAME.json` in the same folder. Where that has more than 255 bytes, NAME is shortened and
        followed by 16 digits of its SHA-256, so that no two photos share one.
    """
    if len(os.fsencode(name.name + SUFFIX)) <= LONGEST_NAME:
        return name.with_name(name.name + SUFFIX)
    digits = hashlib.sha256(os.fsencode(name.name)).hexdigest()[:16]
    return name.with_name(fitting_name(name.name, f".{digits}{SUFFIX}"))


def describe(
    origin: Origin,
    delivered: Delivered[Record],
    *,
    source: PurePosixPath,
    stat: FileStat,
    output: PurePosixPath,
    read: datetime,
    choice: Choice,
) -> Sidecar:
    """Assemble the sidecar of a delivered result.

    Args:
        origin: what was known before the result was written.
        delivered: the result, and its record.
        source: the scan's path in the inbox.
        stat: of the scan when it was read.
        output: the result's path in the outbox.
        read: when work on the scan began; UTC.
        choice: how its colors were chosen.
    """
    record = delivered.result
    return Sidecar(
        event=UUID(origin.event),
        digital_source_type=record.digital_source_type,
        source=Source(
            **_path(source),
            sha256=origin.sha256,
            size=stat.size,
            modified=_moment(stat.mtime_ns),
        ),
        output=Output(
            **_path(output),
            sha256=delivered.sha256,
            size=delivered.size,
            kind=record.kind,
        ),
        pages=tuple(Page.model_validate(page, from_attributes=True) for page in record.pages),
        model=Model(version=origin.model, weights_sha256=origin.weights_sha256),
        confidence=round(choice.confidence, 4),
        change=None if choice.change is None else round(choice.change, 2),
        wishes=Wishes(**asdict(choice.wishes)) if choice.wishes.has_any else None,
        software=origin.software,
        settings={**record.settings, "even_if_colored": choice.even_if_colored},
        read=read,
        colored=origin.when,
        host=socket.gethostname(),
        lost=record.lost,
        xmp_files=tuple(
            XmpFile(**_path(source.with_name(one.name)), sha256=one.sha256, size=one.size)
            for one in record.xmp_files
            if one.sha256
        ),
    )


def with_decisions(sidecar: Sidecar, records: Iterable[DecisionRecord]) -> Sidecar:
    """Return a sidecar with the decisions on its coloring, as they stand in the ledger.

    Args:
        sidecar: of any form.
        records: all decisions on its job.
    """
    decisions = tuple(
        ReviewDecision.model_validate(
            {
                "decision": one.decision,
                "who": one.who,
                "at": datetime.fromtimestamp(one.decided_at, UTC),
                "reason": one.reason,
                "note": one.note,
            }
        )
        for one in records
        if one.event == str(sidecar.event) and one.undone_at is None
    )
    if decisions == sidecar.decisions:
        return sidecar
    newest = Sidecar.model_fields["schema_"].default
    return sidecar.model_copy(update={"schema_": newest, "decisions": decisions})


def decisions_in(sidecar: Sidecar) -> list[DecisionRecord]:
    """Return the decisions in a sidecar, as the ledger has them; ids are 0."""
    return [
        DecisionRecord(
            *(0, 0, 0, str(sidecar.event), one.decision and Decision(one.decision), None),
            *(one.reason, one.note, one.who, one.at.timestamp(), None),
        )
        for one in sidecar.decisions
    ]


def deliver_sidecar(
    folder: Path,
    sidecar: Sidecar,
    check: Callable[[], None] = lambda: None,
    own: outbox.Replaceable | None = None,
) -> Path:
    """Deliver a sidecar to the outbox, atomically; `check` and `own` as for `outbox.publish`.

    Raises:
        TakenError: another file has its name.
        OSError: the disk is full, cannot be written or read, or failed.
    """
    staging, name = stage_sidecar(folder, sidecar, check)
    outbox.publish(folder, {staging: name}, check=check, own=own)
    return folder / name


def stage_sidecar(
    folder: Path, sidecar: Sidecar, check: Callable[[], None] = lambda: None
) -> tuple[PurePosixPath, PurePosixPath]:
    """Write a staging file for a sidecar; errors as for `outbox.stage`.

    Returns:
        Its path in the outbox, and the path that it is to have.
    """
    text, name = sealed(sidecar), sidecar_name(sidecar.output.name)
    staging, _written = outbox.stage(folder, name, lambda file: file.write(text), check)
    return staging, name


def sealed(sidecar: Sidecar) -> bytes:
    """Serialize a sidecar with the digest of its own text."""
    blank = sidecar.model_copy(update={"own_sha256": ZEROS})
    text = escaped_json(blank.model_dump_json(by_alias=True, indent=2)).encode() + b"\n"
    at = text.rindex(ZEROS.encode())  # its own digest is the last field
    return text[:at] + hashlib.sha256(text).hexdigest().encode() + text[at + len(ZEROS) :]


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar and verify that it is unchanged.

    Raises:
        SidecarError: it is damaged, altered, not a sidecar, or of a newer photochrom.
        OSError: it cannot be read.
    """
    return parse_sidecar(path.read_bytes(), path)


def parse_sidecar(text: bytes, path: Path) -> Sidecar:
    """Parse the text of a sidecar, as `read_sidecar`; `path` is for messages.

    Raises:
        SidecarError: as `read_sidecar`.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SidecarError(f"{path} is damaged: not valid JSON ({error})") from error
    said = given if isinstance(given, dict) else {}
    known = re.fullmatch(r"photochrom sidecar ([0-9]{1,9})", str(said.get("schema")))
    if known is None:
        raise SidecarError(f"{path} is not a photochrom sidecar, or is damaged")
    if int(known[1]) > VERSION:
        raise SidecarError(
            f"{path} was written by a newer photochrom (sidecar {known[1]}; this version supports"
            f" {VERSION}); use that version"
        )
    own = str(said.get("own_sha256")).encode("utf-8", "replace")
    if (
        len(own) != len(ZEROS)
        or hashlib.sha256(text.replace(own, ZEROS.encode())).hexdigest().encode() != own
    ):
        raise SidecarError(f"{path} was altered: its own_sha256 does not match its text")
    try:
        return Sidecar.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SidecarError(f"{path} is not a valid sidecar: {where}: {first['msg']}") from error


def json_schema() -> str:
    """Return the JSON Schema of a sidecar, as in docs/sidecar.schema.json."""
    return json.dumps(Sidecar.model_json_schema(mode="serialization"), indent=2) + "\n"


def _path(path: PurePosixPath) -> dict[str, Any]:
    raw = os.fsencode(path)
    is_text = storable(str(path)) == str(path)
    return {
        "path": str(path),
        "path_bytes": None if is_text else base64.b64encode(raw).decode(),
    }


def _moment(nanoseconds: int) -> datetime | None:
    try:
        return EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:  # a file system may store any number
        return None
