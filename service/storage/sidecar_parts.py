"""The parts of a sidecar: files, pages, the model, what people wished and decided."""

import base64
import os
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
)

from service.ledger.rows import storable
from worker.settings import ColorWishes, wishes_of

Text = Annotated[
    str, BeforeValidator(lambda value: storable(value) if isinstance(value, str) else value)
]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256, hexadecimal")]


class Part(BaseModel):
    """The base of all parts of a sidecar."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class File(Part):
    """A file as it was when the photo was delivered."""

    path: Text = Field(description="in its folder; what is not UTF-8 stands as \\udcXX")
    path_bytes: str | None = Field(description="the path in base64, if it is not UTF-8")
    sha256: Digest
    size: NonNegativeInt = Field(description="bytes")

    @property
    def name(self) -> PurePosixPath:
        """The path, byte for byte."""
        if self.path_bytes is None:
            return PurePosixPath(self.path)
        return PurePosixPath(os.fsdecode(base64.b64decode(self.path_bytes)))


class Source(File):
    """The scan."""

    modified: AwareDatetime | None = Field(description="its time of modification, if it is a date")


class XmpFile(File):
    """A file of XMP beside the scan, whose metadata the photo has."""


class Output(File):
    """The colored photo."""

    kind: Text = Field(description="container, such as tiff")


class ReplacedColor(Part):
    """A region of a page that had color of its own; see `worker.replaced_color.ReplacedColor`."""

    x: NonNegativeInt = Field(description="left edge in the upright page, pixels")
    y: NonNegativeInt = Field(description="upper edge")
    width: PositiveInt = Field(description="of the box around it, pixels")
    height: PositiveInt = Field(description="of that box")
    share: Annotated[float, Field(ge=0, le=1, description="of the page that it covers")]
    chroma: Annotated[float, Field(ge=0, description="mean, beside the print's tone, CIE units")]


class Page(Part):
    """One page; see `worker.metadata.provenance.PageRecord`."""

    width: PositiveInt = Field(description="columns of the result")
    height: PositiveInt = Field(description="rows of the result")
    scan_bits: PositiveInt = Field(description="of each sample of the scan")
    bits: PositiveInt = Field(description="of each sample of the result")
    scan_profile: Text = Field(description="name of the scan's color profile; empty: it had none")
    profile: Text = Field(description="name of the result's color profile")
    scan_pixels_sha256: Digest
    pixels_sha256: Digest
    replaced_color: tuple[ReplacedColor, ...] = Field(
        default=(), description="where the scan had color of its own, which the photo does not have"
    )


class Model(Part):
    """The generator that chose the colors."""

    version: Text
    weights_sha256: Digest


class ReviewDecision(Part):
    """What a person decided on the photo, or noted about it, after looking at it."""

    decision: Literal["approved", "rejected", "flagged"] | None = Field(
        description="approved, rejected or flagged; null: opened again. The last one stands"
    )
    who: Text = Field(description="name of the person")
    at: AwareDatetime = Field(description="when")
    reason: Text = Field(description="why, or empty")
    note: Text = Field(description="further words, or empty")


class Point(Part):
    """A color that a person knew; see `worker.settings.ColorPoint`."""

    x: Annotated[float, Field(ge=0, le=1, description="from the left edge of the upright page")]
    y: Annotated[float, Field(ge=0, le=1, description="from its upper edge")]
    color: Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$", description="sRGB")]
    radius: Annotated[float, Field(ge=0, le=1, description="share of the long side")]
    page: NonNegativeInt = Field(description="from 0")
    who: Text = Field(description="said so; may be empty")
    source: Text = Field(description="on what evidence; may be empty")


class Reference(Part):
    """A photo whose colors this one is to have; see `worker.settings.Reference`."""

    name: Text = Field(description="of its file")
    sha256: Digest
    colors: tuple[tuple[int, int, int], ...] = Field(
        description="its most frequent colors: a*, b* (CIE units), thousandths of the picture"
    )
    who: Text = Field(description="chose it; may be empty")
    source: Text = Field(description="on what evidence; may be empty")


class Wishes(Part):
    """What a person wished of the colors; see `worker.settings.ColorWishes`."""

    vividness: Annotated[float, Field(ge=0, le=100, description="50 is the generator's own")]
    warmth: Annotated[float, Field(ge=-50, le=50, description="0 is the generator's own")]
    points: tuple[Point, ...] = Field(description="known colors of things")
    variant: Annotated[int, Field(ge=0, description="0 is the likeliest coloring")]
    reference: Reference | None = Field(
        default=None, description="whose colors it is to have; null: none"
    )

    @property
    def asked(self) -> ColorWishes:
        """As a generator takes them.

        Raises:
            ValueError: they are beyond what may be wished.
        """
        return wishes_of(self.model_dump())
