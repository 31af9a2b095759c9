"""The command line without its commands: options, help, and the exit code of every error."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from service.cli.options import ExitCode
from service.config.loader import ConfigError
from service.filesystem.access import as_whom, user_name
from service.interning import keep_no_names
from service.log import log_to
from service.terminal import printable
from worker.errors import PhotochromError


def new_app() -> typer.Typer:
    """Return the command line without commands."""
    app = typer.Typer(
        help="Color black-and-white photographs that are dropped into a folder.\n\n"
        "To start, run: photochrom run",
        epilog="Exit codes: 0 done; 1 error, or verify found something; 2 wrong usage; 3 some"
        " photographs were rejected or not found; 75 temporary failure, such as a full disk (run"
        " again); 78 mistake in the configuration.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    return app


def run_app(app: typer.Typer) -> None:
    """Run a command line; an expected error ends in one sentence and an exit code."""
    logging.captureWarnings(capture=True)  # libraries' warnings go to the log or nowhere
    keep_no_names()
    log_to(sys.stderr)  # standard output is for answers, such as --json
    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            print(printable(problem, keep="\n"), file=sys.stderr)
        sys.exit(ExitCode.CONFIG)
    except (PhotochromError, OSError) as error:  # OSError: of commands that have no queue to wait
        message = _permission_advice(error) or str(error)
        print("photochrom:", printable(message, keep="\n"), file=sys.stderr)
        sys.exit(ExitCode.FAULT)


def _permission_advice(error: BaseException | None) -> str:
    """Return which user to run the command as, if a missing permission caused the error; or ""."""
    while error is not None:
        if isinstance(error, PermissionError) and error.filename is not None:
            path = Path(os.fsdecode(error.filename))
            advice = as_whom(path)
            return f"{user_name()} has no permission for {path}; {advice}" if advice else ""
        error = error.__cause__ or error.__context__
    return ""


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # slow to import

        print(f"photochrom {version('photochrom')}")
        raise typer.Exit


def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass
