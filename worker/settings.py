"""Settings of the worker as frozen values; no TensorFlow, no folders."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

OutputSpace = Literal["srgb", "adobe-rgb", "display-p3"]
Corner = Literal["none", "top-left", "top-right", "bottom-left", "bottom-right"]
EncoderPart = Literal["none", "deep", "all"]

VARIANTS = 4  # at most, of one photograph
MOST_POINTS = 64
MOST_COLORS = 64  # of a reference
LONGEST_WORD = 500  # characters of `who` and `source`
COLOR = re.compile("#[0-9a-fA-F]{6}")
SHA256 = re.compile("[0-9a-f]{64}")


def _refuse_outside(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # also if it is NaN
        raise ValueError(f"{name} must be a number from {least:g} to {most:g}, not {value:g}")


@dataclass(frozen=True)
class ReadSettings:
    """What a scan may be.

    Attributes:
        megapixels: largest accepted width x height, in millions.
        even_if_colored: take also what has color of its own, such as a gray print with a color
            target or a stamp beside it; that color is replaced.
    """

    megapixels: float = 500.0
    even_if_colored: bool = False


@dataclass(frozen=True)
class ColorSettings:
    """How the generator is run.

    Attributes:
        render_size: side of the square the generator sees, in pixels, a multiple of 32.
        batch_size: photos in one device call; None lets the device choose.
        precision: of its computing: float32, bfloat16 or auto; see `device.precision_for`.
    """

    render_size: int = 256
    batch_size: int | None = None
    precision: str = "auto"


@dataclass(frozen=True)
class ColorPoint:
    """What somebody knows of the color of one thing in a photograph.

    Attributes:
        x: the place, from the left edge (0) to the right edge (1) of the upright page.
        y: from its upper edge (0) to its lower edge (1).
        color: that of the thing there, as #rrggbb in sRGB; its lightness is the scan's.
        radius: how far the color may reach over the thing, as a share of the page's long side.
        page: number of the page, from 0.
        who: said so; may be empty.
        source: on what evidence; may be empty.
    """

    x: float
    y: float
    color: str
    radius: float = 0.3
    page: int = 0
    who: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse what no photograph can have, with a ValueError in plain words."""
        _refuse_outside("x of a color point", self.x, 0, 1)
        _refuse_outside("y of a color point", self.y, 0, 1)
        _refuse_outside("the radius of a color point", self.radius, 0.01, 1)
        if not COLOR.fullmatch(self.color):
            raise ValueError(f"a color must be written as #rrggbb, not {self.color}")
        if self.page < 0:
            raise ValueError(f"the page of a color point must be 0 or more, not {self.page}")
        for name, text in (("who", self.who), ("source", self.source)):
            if len(text) > LONGEST_WORD:
                raise ValueError(f"{name} of a color point has more than {LONGEST_WORD} characters")


@dataclass(frozen=True)
class Reference:
    """A photograph whose colors another one is to have.

    Its colors are here, not only its name: with them the same scan is colored the same way years
    later, when the file is gone.

    Attributes:
        name: of its file, for people.
        sha256: of its file, hexadecimal.
        colors: the most frequent ones, 1 to 64; each a*, b* (CIE units, whole) and how many
            thousandths of the picture have it.
        who: chose it; may be empty.
        source: on what evidence; may be empty.
    """

    name: str
    sha256: str
    colors: tuple[tuple[int, int, int], ...]
    who: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        """Refuse what no photograph has, with a ValueError in plain words."""
        if not 0 < len(self.colors) <= MOST_COLORS:
            raise ValueError(f"a reference must have 1 to {MOST_COLORS} colors")
        for a, b, share in self.colors:
            _refuse_outside("a* of a reference's color", a, -128, 128)
            _refuse_outside("b* of a reference's color", b, -128, 128)
            _refuse_outside("the share of a reference's color", share, 1, 1000)
        if not SHA256.fullmatch(self.sha256):
            raise ValueError("sha256 of a reference must be 64 hexadecimal digits")
        for name, text in (("name", self.name), ("who", self.who), ("source", self.source)):
            if len(text) > LONGEST_WORD:
                raise ValueError(f"{name} of a reference has more than {LONGEST_WORD} characters")


@dataclass(frozen=True)
class ColorWishes:
    """What the archivist wishes, or knows, of a photograph's colors.

    Attributes:
        vividness: 0 (gray) to 100; 50 as the generator's version was made to be.
        warmth: -50 (bluer) to 50 (yellower); neutral things stay neutral.
        points: known colors of things, at most 64.
        variant: 0 for the likeliest colors, 1 to 3 for others; where a photograph has fewer, its
            last.
        reference: a photograph whose colors it is to have; None: none.
    """

    vividness: float = 50.0
    warmth: float = 0.0
    points: tuple[ColorPoint, ...] = ()
    variant: int = 0
    reference: Reference | None = None

    def __post_init__(self) -> None:
        """Refuse what is out of range, with a ValueError in plain words."""
        _refuse_outside("vividness", self.vividness, 0, 100)
        _refuse_outside("warmth", self.warmth, -50, 50)
        _refuse_outside("variant", self.variant, 0, VARIANTS - 1)
        if len(self.points) > MOST_POINTS:
            raise ValueError(f"more than {MOST_POINTS} color points")

    @property
    def has_any(self) -> bool:
        """Whether anything but the generator's own colors is wished."""
        return self != AS_GENERATED

    @property
    def in_words(self) -> str:
        """What is wished, for the history in a result; "" for nothing."""
        said = []
        if self.points:
            who = ", ".join(dict.fromkeys(point.who for point in self.points if point.who))
            places = "1 place" if len(self.points) == 1 else f"{len(self.points)} places"
            said.append(f"color known at {places}" + (f" (said by {who})" if who else ""))
        if self.vividness != AS_GENERATED.vividness:
            said.append(f"vividness {self.vividness:g}")
        if self.warmth != AS_GENERATED.warmth:
            said.append(f"warmth {self.warmth:g}")
        if self.variant:
            said.append(f"variant {self.variant}")
        if self.reference:
            who = f" (chosen by {self.reference.who})" if self.reference.who else ""
            said.append(f"colors like those of {self.reference.name}{who}")
        return ", ".join(said)

    def of_page(self, page: int) -> "ColorWishes":
        """Return the wishes for one page, from 0: points of other pages are left out."""
        points = tuple(point for point in self.points if point.page == page)
        return replace(self, points=points)


AS_GENERATED = ColorWishes()


def wishes_of(plain: Mapping[str, Any]) -> ColorWishes:
    """Return wishes that became plain data, as `dataclasses.asdict` and JSON make of them.

    Raises:
        ValueError: something no photograph can have is wished.
        TypeError: an unknown wish.
    """
    given = dict(plain)
    points = tuple(ColorPoint(**point) for point in given.pop("points", ()))
    reference = given.pop("reference", None)
    if reference is not None:
        colors = tuple((a, b, share) for a, b, share in reference["colors"])
        reference = Reference(**{**reference, "colors": colors})
    return ColorWishes(points=points, reference=reference, **given)


@dataclass(frozen=True)
class MarkSettings:
    """A small mark in the picture itself that says who made its colors.

    Attributes:
        corner: where it stands; "none" leaves it out.
        size: height of its letters, as a share of the picture's short side.
        opacity: 0 (not seen) to 1.
    """

    corner: Corner = "none"
    size: float = 0.04
    opacity: float = 0.6


@dataclass(frozen=True)
class WriteSettings:
    """How a colored photo is encoded.

    Attributes:
        format: name of the result's format, or "same" for the scan's own.
        label: write into the file that its color was made by a model (IPTC DigitalSourceType).
        credit: credit line to write (IPTC); "" keeps the scan's own.
        space: color space of the result.
        mark: a visible mark.
    """

    format: str = "same"
    label: bool = True
    credit: str = ""
    space: OutputSpace = "srgb"
    mark: MarkSettings = field(default_factory=MarkSettings)


@dataclass(frozen=True)
class TrainSettings:
    """The recipe of a training; the defaults are those of `config.yaml`.

    Attributes:
        crop: side of the training squares, in pixels, a multiple of 32.
        batch: photographs in one step.
        rate: peak learning rate of the generator in the first stage.
        adversarial_rate: learning rate of both networks in the adversarial stage.
        adversarial_weight: of the adversarial loss, relative to the class loss.
        adversarial_share: share of the training, at its end, that is adversarial.
        train_encoder: which part of the pretrained encoder is trained too: none, the deep half
            (features of objects rather than edges), or all (half as fast).
        validation_share: share of the collection that is never trained on.
    """

    crop: int = 192
    batch: int = 16
    rate: float = 1e-3
    adversarial_rate: float = 1e-4
    adversarial_weight: float = 0.3
    adversarial_share: float = 0.25
    train_encoder: EncoderPart = "none"
    validation_share: float = 0.02
