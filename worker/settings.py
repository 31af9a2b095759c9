"""Settings of the worker as frozen values; no TensorFlow, no folders."""

from dataclasses import dataclass, field
from typing import Literal

OutputSpace = Literal["srgb", "adobe-rgb", "display-p3"]
Corner = Literal["none", "top-left", "top-right", "bottom-left", "bottom-right"]
EncoderPart = Literal["none", "deep", "all"]


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
    """

    render_size: int = 256
    batch_size: int | None = None


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
