"""The commands `photochrom status` and `photochrom find`; they only read."""

from typing import Annotated

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

status_app = typer.Typer()


@status_app.command(rich_help_panel=COLOR)
def status(
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also list every photograph, one a line.")
    ] = False,
) -> None:
    """Show how the daemon is doing, what is queued, done and rejected, and why."""
    from service.cli.find_page import print_line, print_rows_as_json
    from service.cli.status_page import print_status
    from service.monitoring.find import every
    from service.monitoring.status_reader import read_status

    settings = load_config(config)
    now = read_status(settings)
    rows = every(settings) if everything else iter(())
    if not as_json:
        print_status(now, Console())
        print(end="\n" if everything else "")
        for row in rows:
            print_line(row)
    elif everything:  # one value, written as it is read
        print(json_text(now.model_dump()).removesuffix("\n}") + ',\n  "photographs": [')
        print_rows_as_json(rows)
        print("]}")
    else:
        print_json(now.model_dump())


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
    from service.cli.find_page import print_found

    known = print_found(load_config(config), names, json=as_json)
    raise typer.Exit(ExitCode.DONE if known else ExitCode.SOME_REJECTED)
