"""The sections of config.yaml as frozen values, with their settings, defaults and limits.

Every setting has a description of what it accepts, which the message about a wrong value quotes.
Refuses unknown keys, infinity, and values of another type, such as a number in quotes.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from service.config.addresses import checked_address, checked_loopback, checked_network
from service.filesystem.ignored import Ignored, ignored
from service.log import LogFormat, LogLevel
from worker.formats.registry import output_formats
from worker.metadata.credentials import SigningAlgorithm
from worker.settings import (
    ColorSettings,
    ColorWishes,
    Corner,
    EncoderPart,
    MarkSettings,
    OutputSpace,
    ReadSettings,
    TrainSettings,
    WriteSettings,
)

_TRAIN = TrainSettings()
_FORMATS = output_formats()


class Section(BaseModel):
    """A section of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _expanded(path: Path) -> Path:
    if "\0" in str(path):
        message = "contains a null character"
        raise ValueError(message)
    try:
        return path.expanduser()
    except RuntimeError as error:  # no such user
        raise ValueError(str(error)) from error


def _output_format(name: str) -> str:
    if name not in output_formats():
        message = "is no format of results"
        raise ValueError(message)
    return name


Folder = Annotated[
    Path, Field(strict=False, description="the path of a folder"), AfterValidator(_expanded)
]
File = Annotated[
    Path, Field(strict=False, description="the path of a file"), AfterValidator(_expanded)
]

Seconds = Annotated[float, Field(ge=0, description="a number of seconds")]
Switch = Annotated[bool, Field(description="true or false")]
Rate = Annotated[float, Field(gt=0, description="a number above 0")]
Share = Annotated[float, Field(ge=0, lt=1, description="a number from 0 to below 1")]
Count = Annotated[int, Field(ge=1, description="a whole number, 1 or more")]
Side = Annotated[
    int, Field(ge=32, le=512, multiple_of=32, description="a multiple of 32 from 32 to 512")
]


class Originals(Section):
    """What happens to a scan once it is colored."""

    folder: Folder = Path("originals")
    after: Literal["move", "keep"] = Field(default="move", description="move or keep")
    remove_empty_after: Annotated[float, Field(ge=0)] | None = Field(
        default=600.0, description="a number of seconds, or null"
    )


def _pattern_of_names(text: str) -> str:
    if not text.strip("/") or "/" in text.removesuffix("/"):
        raise ValueError
    return text


Mode = Annotated[str, Field(pattern=r"^[02]?[0-7]{3}$")]


class Permissions(Section):
    """Group and modes of new folders and files; see `service.filesystem.permissions`."""

    group: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.@-]+$")] | None = Field(
        default=None, description="the name of a group, or null"
    )
    folders: Mode | None = Field(
        default=None, description='three octal digits in quotes, such as "770" or "2770", or null'
    )
    files: Annotated[str, Field(pattern=r"^0?[0-7]{3}$")] | None = Field(
        default=None, description='three octal digits in quotes, such as "660", or null'
    )


class Watch(Section):
    """How new scans are found; times in seconds."""

    settle: Seconds = 2.0
    settle_shared: Seconds = 30.0
    incomplete_timeout: Seconds = 600.0
    rescan: Annotated[float, Field(ge=1, description="a number of seconds, 1 or more")] = 60.0
    polling: Literal["auto", "always", "never"] = Field(
        default="auto", description="auto, always or never"
    )
    ignore: Annotated[
        list[Annotated[str, AfterValidator(_pattern_of_names)]],
        Field(
            description='a list of name patterns, such as ["*_preview.tif", "drafts/"], with no'
            " slash except at the end"
        ),
    ] = []

    @property
    def ignored(self) -> Ignored:
        """The names in the inbox to ignore."""
        return ignored(tuple(self.ignore))


class Batching(Section):
    """How many photos are colored at once; time in seconds."""

    size: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        default="auto", description="auto or a whole number, 1 or more"
    )
    longest_wait: Seconds = 0.5


class Model(Section):
    """Which model version colors, and how."""

    version: Literal["promoted", "builtin"] | Annotated[int, Field(ge=1)] = Field(
        default="promoted", description="promoted, builtin or a version number"
    )
    render_size: Side = ColorSettings.render_size
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto", description="auto, float32 or bfloat16"
    )


class Output(Section):
    """How results are written."""

    format: Annotated[str, AfterValidator(_output_format)] = Field(
        default=WriteSettings.format,
        description=f"{', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}",
    )
    label: Switch = WriteSettings.label
    profile: OutputSpace = Field(
        default=WriteSettings.space, description="srgb, adobe-rgb or display-p3"
    )
    credit: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")] = Field(
        default=WriteSettings.credit, description="a line of text"
    )


class Review(Section):
    """Which results wait for the approval of a person; `review: hold` is short for its mode."""

    mode: Literal["after", "hold"] = Field(default="after", description="after or hold")
    hold_below: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None, description="a number from 0 to 1, or null"
    )
    folder: Folder = Path("held")

    @model_validator(mode="before")
    @classmethod
    def _mode_alone(cls, given: Any) -> Any:
        return {"mode": given} if isinstance(given, str) else given

    @property
    def may_hold(self) -> bool:
        """Whether any result is held."""
        return self.mode == "hold" or self.hold_below is not None

    def holds(self, confidence: float | None) -> bool:
        """Tell whether a result is held; one of unknown confidence counts as doubtful."""
        if self.mode == "hold" or self.hold_below is None:
            return self.mode == "hold"
        return confidence is None or confidence < self.hold_below


class Color(Section):
    """How colorful results are; see `worker.settings.ColorWishes`."""

    vividness: Annotated[
        float, Field(ge=0, le=100, description="a number from 0 (gray) to 100; 50 is usual")
    ] = ColorWishes.vividness
    warmth: Annotated[
        float, Field(ge=-50, le=50, description="a number from -50 (bluer) to 50 (yellower)")
    ] = ColorWishes.warmth

    def over(self, outer: "Color") -> "Color":
        """Return these settings, with those not given taken from others."""
        return outer.model_copy(
            update={name: getattr(self, name) for name in self.model_fields_set}
        )


class Mark(Section):
    """The visible mark on results; see `worker.settings.MarkSettings`."""

    corner: Corner = Field(
        default=MarkSettings.corner,
        description="none, top-left, top-right, bottom-left or bottom-right",
    )
    size: Annotated[float, Field(gt=0, le=0.5, description="a number above 0 and up to 0.5")] = (
        MarkSettings.size
    )
    opacity: Annotated[float, Field(gt=0, le=1, description="a number above 0 and up to 1")] = (
        MarkSettings.opacity
    )


class Credentials(Section):
    """How results are signed; see `worker.metadata.credentials.CredentialSettings`."""

    certificate: File | None = Field(default=None, description="the path of a file, or null")
    key: File | None = Field(default=None, description="the path of a file, or null")
    algorithm: SigningAlgorithm = Field(
        default="es256", description="es256, es384, es512, ps256, ps384, ps512 or ed25519"
    )
    timestamp: Annotated[str, Field(pattern=r"^https?://[\x21-\x7e]+$")] | None = Field(
        default=None, description="the http:// or https:// address of a server, or null"
    )


class Limits(Section):
    """Limits on scans and disk space."""

    megapixels: Annotated[float, Field(gt=0, description="a number of megapixels above 0")] = (
        ReadSettings.megapixels
    )
    free_space: Literal["auto"] | Annotated[float, Field(ge=0)] = Field(
        default="auto", description="auto or a number of gigabytes, 0 or more"
    )


class Retry(Section):
    """Retries after a temporary failure or a crash; times in seconds."""

    attempts: Count = 3
    first_wait: Seconds = 5.0
    longest_wait: Seconds = 600.0

    def wait_after(self, faults: int) -> float:
        """Return the seconds to wait, given the number of consecutive failures before this one."""
        return min(self.longest_wait, self.first_wait * 2.0 ** min(faults, 32))


class Bookkeeping(Section):
    """How long the ledger keeps finished photos; time in days."""

    forget_after: Annotated[float, Field(ge=0, description="a number of days, or 0 for never")] = (
        0.0
    )


class Stop(Section):
    """How the daemon stops; time in seconds."""

    within: Seconds = 90.0


class Log(Section):
    """What is logged, and how."""

    level: LogLevel = Field(default="info", description="debug, info, warning or error")
    format: LogFormat = Field(default="auto", description="auto, json or console")


def _named_prom(path: Path) -> Path:
    # node_exporter reads only such files.
    if path.suffix != ".prom":
        raise ValueError
    return path


class Metrics(Section):
    """How metrics are exported to Prometheus."""

    listen: Annotated[str, AfterValidator(checked_loopback)] | None = Field(
        default=None, description="a loopback address with a port, such as 127.0.0.1:9183, or null"
    )
    textfile: Annotated[File, AfterValidator(_named_prom)] | None = Field(
        default=None, description="the path of a file whose name ends in .prom, or null"
    )


HostName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")]


class Web(Section):
    """The review page; see `service.web`."""

    listen: Annotated[str, AfterValidator(checked_address)] | None = Field(
        default=None, description="an IP address with a port, such as 127.0.0.1:8420, or null"
    )
    hosts: Annotated[
        list[HostName],
        Field(description="a list of host names in lower case, such as [archive.example.org]"),
    ] = []
    users: File | None = Field(default=None, description="the path of a file, or null")
    trusted_header: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$")] | None = Field(
        default=None, description="the name of an HTTP header, such as X-Remote-User, or null"
    )
    trusted_proxies: Annotated[
        list[Annotated[str, AfterValidator(checked_network)]],
        Field(description="a list of IP addresses or networks, such as [127.0.0.1, 10.0.0.0/24]"),
    ] = []
    upload_limit: Annotated[
        float, Field(ge=0, description="a number of megabytes, 0 or more; 0: no uploads")
    ] = 2000.0
    cache: Annotated[float, Field(gt=0, description="a number of gigabytes above 0")] = 2.0


class Training(Section):
    """How `photochrom train` trains; see `worker.settings.TrainSettings`."""

    crop: Side = _TRAIN.crop
    batch: Count = _TRAIN.batch
    rate: Rate = _TRAIN.rate
    adversarial_rate: Rate = _TRAIN.adversarial_rate
    adversarial_weight: Annotated[float, Field(ge=0, description="a number, 0 or more")] = (
        _TRAIN.adversarial_weight
    )
    adversarial_share: Share = _TRAIN.adversarial_share
    train_encoder: EncoderPart = Field(
        default=_TRAIN.train_encoder, description="none, deep or all"
    )
    validation_share: Share = _TRAIN.validation_share
    reference: Folder | None = Field(default=None, description="the path of a folder, or null")
    scans: Folder | None = Field(default=None, description="the path of a folder, or null")
    collections: Annotated[
        list[Folder], Field(description="a list of paths of folders, such as [/srv/color]")
    ] = []
    minutes: Annotated[float, Field(ge=1, description="a number of minutes, 1 or more")] = 120.0
