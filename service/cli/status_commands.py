"""The commands `photochrom status` and `photochrom where`; they only read."""

from pathlib import Path
from typing import Annotated, NoReturn

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


NAMES = "NAME|JOB|PATH"
NAMES_HELP = (
    "Names or parts of names; job numbers; files or folders, wherever they are. End a folder whose"
    " name is a number with a slash."
)
Names = Annotated[list[str], typer.Argument(metavar=NAMES, help=NAMES_HELP)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@status_app.command(rich_help_panel=COLOR)
def status(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar=f"{NAMES}|CONFIG",
            help="Where these photographs are, as with `where`; or the configuration files of"
            " several daemons, to show them in one table.",
        ),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: AsJson = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Also list every photograph, one a line.")
    ] = False,
) -> None:
    """Show how the daemon is doing, what is queued, done and rejected, and why.

    With names: where these photographs are. With configuration files: several daemons in one table;
    exit code 1 if one of them cannot be read.
    """
    if names and everything:
        raise typer.BadParameter("give names or --all")
    if names and are_configs(names):
        _several([Path(name) for name in names], as_json=as_json)
    if names:
        _where(names, config, as_json=as_json)
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
def where(names: Names, as_json: AsJson = False, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Tell where photographs stand: queued, colored into what, rejected why, approved by whom.

    Exit codes: 0 all found; 3 at least one name matched nothing.
    """
    _where(names, config, as_json=as_json)


@status_app.command(rich_help_panel=COLOR)
def find(names: Names, as_json: AsJson = False, config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Tell the same as `where`, by its former name."""
    _where(names, config, as_json=as_json)


def _several(configs: list[Path], *, as_json: bool) -> NoReturn:
    from service.cli.several_status import as_value, print_all, read_all

    found = read_all(configs)
    if as_json:
        print_json(as_value(found))
    else:
        print_all(found, Console())
    raise typer.Exit(ExitCode.FAULT if any(one.fault for one in found) else ExitCode.DONE)


def are_configs(names: list[str]) -> bool:
    """Tell whether these are configuration files; no photograph has such a name."""
    return all(name.lower().endswith((".yaml", ".yml")) for name in names)


def _where(names: list[str], config: Path, *, as_json: bool) -> NoReturn:
    from service.cli.find_page import print_found

    known = print_found(load_config(config), names, json=as_json)
    raise typer.Exit(ExitCode.DONE if known else ExitCode.SOME_REJECTED)
