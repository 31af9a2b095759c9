"""The commands `photochrom status` and `photochrom find`; they only read."""

import itertools
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console

from service.cli.options import (
    COLOR,
    DEFAULT_CONFIG,
    ConfigFile,
    ExitCode,
    json_text,
    print_json,
)
from service.config.loader import load_config
from service.terminal import printable

status_app = typer.Typer()


@status_app.command(rich_help_panel=COLOR)
def status(
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also list every photograph, one a line.")
    ] = False,
) -> None:
    """Show whether the daemon is running and well, what is queued, done and rejected, and why."""
    from service.cli.status_page import print_status
    from service.monitoring.find import every, print_line
    from service.monitoring.find import print_json as print_json_rows
    from service.monitoring.status import read_status

    settings = load_config(config)
    now = read_status(settings)
    rows = every(settings) if everything else iter(())
    if not as_json:
        print_status(now, Console())
        print(end="\n" if everything else "")
        for row in rows:
            print_line(row)
    elif everything:  # one value, written as it is read
        print(json_text(now).removesuffix("\n}") + ',\n  "photographs": [')
        print_json_rows(rows)
        print("]}")
    else:
        print_json(now)


@status_app.command(rich_help_panel=COLOR)
def find(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME|JOB|PATH",
            help="Names or parts of names; job numbers; files or folders, wherever they are."
            " End a folder whose name is a number with a slash.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Show where photographs are: scan, original and result, or why one was rejected.

    Exit codes: 0 all found; 3 at least one name matched nothing.
    """
    from service.monitoring.find import find as find_photographs
    from service.monitoring.find import print_json as print_json_rows
    from service.monitoring.find import print_row, why_unknown

    settings = load_config(config)
    unknown: list[str] = []

    def found() -> Iterator[dict[str, Any]]:
        for name, rows in find_photographs(settings, names):
            first = next(rows, None)
            if first is None:
                unknown.append(name)
            else:
                yield from itertools.chain([first], rows)

    if as_json:
        print("[")
        print_json_rows(found())
        print("]")
    else:
        for row in found():
            print_row(row)
    for name in unknown:
        print("photochrom:", printable(why_unknown(settings, name)), file=sys.stderr)
    raise typer.Exit(ExitCode.SOME_REJECTED if unknown else ExitCode.DONE)
