"""The options by which people say what they wish of colors, for `colorize` and `recolor`."""

from pathlib import Path
from typing import Annotated

import typer

from service.config.pixel_points import PixelPoint
from service.storage.reference_files import read_reference
from service.terminal import printable
from worker.errors import PhotochromError
from worker.settings import Reference

WISHES = "Colors"  # panel of `--help`

Vividness = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=100,
        help="0: gray; 50: as the model was made to be; 100: most vivid.",
        rich_help_panel=WISHES,
    ),
]
Warmth = Annotated[
    float | None,
    typer.Option(
        min=-50,
        max=50,
        help="-50: bluer; 50: yellower. Neutral things stay neutral.",
        rich_help_panel=WISHES,
    ),
]
Points = Annotated[
    list[str] | None,
    typer.Option(
        "--point",
        metavar="X,Y=#RRGGBB",
        help="The thing at this pixel of the upright scan has this color, as in 120,340=#7a1f2b; on"
        " page 2, 2:120,340=#7a1f2b. Can be repeated.",
        rich_help_panel=WISHES,
    ),
]
Like = Annotated[
    Path | None,
    typer.Option(
        "--like",
        metavar="PHOTO",
        help="A photograph in color whose colors become likelier. Neutral things stay neutral.",
        rich_help_panel=WISHES,
    ),
]
Who = Annotated[
    str,
    typer.Option(
        help="Who says which color it was, or chose what it is like; kept.", rich_help_panel=WISHES
    ),
]
Source = Annotated[str, typer.Option(help="On what evidence; kept.", rich_help_panel=WISHES)]


def read_like(path: Path, megapixels: float) -> Reference:
    """Read the photograph that others are to be colored like.

    Raises:
        typer.BadParameter: it cannot be read, or has no color; says why.
    """
    try:
        return read_reference(path, megapixels)
    except (PhotochromError, OSError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "out of memory"
        raise typer.BadParameter(printable(f"{path}: {reason}"), param_hint="--like") from error


def parse_points(texts: list[str] | None) -> tuple[PixelPoint, ...]:
    """Read points as they are given.

    Raises:
        typer.BadParameter: one is written otherwise.
    """
    try:
        return tuple(PixelPoint.parse(text) for text in texts or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--point") from error
