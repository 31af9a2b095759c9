"""The command `photochrom`: each command puts the parts together and turns faults into exit codes.

TensorFlow is imported only by the commands that color or train, so that the others answer at once.
"""

import itertools
import logging
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
from rich.console import Console

from service.cli.install import install_app
from service.cli.maintenance import custody_app
from service.cli.models import models_app
from service.cli.options import (
    DEFAULT_CONFIG,
    ConfigFile,
    EvenIfColored,
    config_if_any,
    json_text,
    print_json,
    tensorflow_starts,
)
from service.cli.train import learning_app
from service.config.loader import Config, ConfigError, check_config, load_config
from service.config.sections import FolderSettings
from service.filesystem.access import as_whom, user_name
from service.log import log_to, set_up_logging
from service.progress import progress_bar
from service.signals import Signals
from service.terminal import printable
from worker.errors import PhotochromError

EXIT_FAULT = 1  # of the machine or of a model
EXIT_SOME_REJECTED = 3
EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: the machine's fault holds photos up
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h; systemd must not restart on it

app = typer.Typer(
    help="Colors the black-and-white photographs dropped into a folder.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(models_app, name="models")
app.add_typer(custody_app)  # beside the other commands
app.add_typer(learning_app)
app.add_typer(install_app)


def main() -> None:
    """Run the command line; a known fault ends in one plain sentence and an exit code."""
    logging.captureWarnings(capture=True)  # of libraries: into the log, or nowhere without one
    log_to(sys.stderr)  # standard output is for answers, such as --json
    try:
        app()
    except ConfigError as error:
        for problem in error.problems:
            print(printable(problem, keep="\n"), file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    except (PhotochromError, OSError) as error:  # the latter where there is no queue to wait in
        print("photochrom:", printable(_denied(error) or str(error), keep="\n"), file=sys.stderr)
        sys.exit(EXIT_FAULT)


def _denied(error: BaseException | None) -> str:
    """Say as whom to run the command, where permissions were what ended it; else ""."""
    while error is not None:
        if isinstance(error, PermissionError) and error.filename is not None:
            path = Path(os.fsdecode(error.filename))
            to_do = as_whom(path)
            return f"{user_name()} may not use {path}; {to_do}" if to_do else ""
        error = error.__cause__ or error.__context__
    return ""


def _print_version(asked: bool) -> None:
    if asked:
        print(f"photochrom {package_version('photochrom')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    pass


@app.command()
def run(
    config: ConfigFile = DEFAULT_CONFIG,
    once: Annotated[bool, typer.Option("--once", help="Do all that waits, then exit.")] = False,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over", help="Make inbox and outbox this one's own that belong to another."
        ),
    ] = False,
) -> None:
    """Watch the inbox and color what arrives, until stopped.

    With --once, exits 0 when all went well, 3 when some photos were rejected, 75 when some are left
    for a later run: a fault of the machine, such as a full disk, or a file that is still arriving.
    """
    signals = Signals()
    signals.listen()  # first of all: TensorFlow takes its time
    settings = check_config(config, for_run=True)
    from service.daemon.daemon import Daemon
    from service.daemon.reload import Reloader, watch_models
    from service.filesystem import permissions
    from service.filesystem.availability import make_new_folders
    from service.filesystem.lock import StateLock
    from service.filesystem.ownership import refuse_another_owner
    from service.systemd.notify import Notifier

    permissions.adopt(settings.permissions)
    make_new_folders(settings.folders)
    permissions.close_state(settings.state)
    if sys.stderr.isatty():
        print(f"Drop black-and-white photographs into  {settings.inbox}", file=sys.stderr)
        print(f"and find them in color in              {settings.outbox}\n", file=sys.stderr)
    with StateLock(settings.state), progress_bar("photos", shown=once) as report:
        set_up_logging(settings.log.level, settings.log.format)
        for folder, owner in refuse_another_owner(settings.folders, take_over=take_over):
            structlog.get_logger().warning(
                "folder.taken_over", folder=folder, host=owner.host, state=owner.state
            )
        notifier = Notifier()
        notifier.starting()
        loader, colorizer, serving = _load_colorizer(settings)
        daemon = Daemon(
            settings,
            colorizer,
            watch_models(settings, loader, serving),
            once=once,
            report=report,
            notifier=notifier,
            signals=signals,
        )
        daemon.reloader = Reloader(config, loader, type(loader))
        finished_in_time = daemon.run()
    code = 0
    if once and daemon.tally.rejected:
        code = EXIT_SOME_REJECTED
    if once and daemon.held_up:
        code = EXIT_TRY_AGAIN
    if not finished_in_time:  # threads are still at work, and Python would wait for them
        os._exit(code)
    raise typer.Exit(code)


@app.command()
def colorize(
    files: Annotated[
        list[Path], typer.Argument(help="Black-and-white photographs.", exists=True, dir_okay=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results; made if missing.")
    ],
    even_if_colored: EvenIfColored = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Color the given files, without inbox or queue; nothing is moved and nothing overwritten.

    Exits 3 when some could not be colored.
    """
    settings = config_if_any(config)
    from service.pipeline.one_shot import colorize_files

    with progress_bar("photos") as report:
        set_up_logging(settings.log.level, settings.log.format)
        _, colorizer, _ = _load_colorizer(settings)
        how = FolderSettings(even_if_colored=even_if_colored)
        refused = colorize_files(files, out, settings, colorizer, report, how)
    raise typer.Exit(EXIT_SOME_REJECTED if refused else 0)


@app.command()
def status(
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Then tell of every photograph, a line each.")
    ] = False,
) -> None:
    """Tell how the work stands: what waits, what is done, what was rejected and why."""
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


@app.command()
def find(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME|JOB|PATH",
            help="Names or parts of them; numbers of jobs; or files and folders, wherever they lie."
            " A folder whose name is a number ends in a slash.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Tell where photographs are: scan, original, result; and why one was rejected.

    Exits 3 when a name finds none.
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
    raise typer.Exit(EXIT_SOME_REJECTED if unknown else 0)


@app.command()
def recolor(
    chosen: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="JOB|FILE|FOLDER",
            help="Only these: numbers of jobs; scans, originals or results; folders with them.",
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            help="Only photographs colored by a version before this one: promoted, builtin or a"
            " number. Without it, all that another version colored than the one that serves.",
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Only photographs under this sub-folder of the inbox.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be queued.")
    ] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Queue finished photographs again, from their originals, for the version that serves now.

    The daemon colors them when nothing new waits; until then the earlier results stay. A job or
    file that is named is colored again whatever version colored it.
    """
    settings = load_config(config)
    from service.maintenance.recolor import inside_inbox, print_recoloring, queue_again
    from worker.models.version import version_name

    try:
        within = None if folder is None else inside_inbox(folder, settings)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--folder") from error
    limit = None if older_than is None else str(version_name(older_than))
    try:
        found = queue_again(
            settings, older_than=limit, folder=within, chosen=chosen or (), dry_run=dry_run
        )
    except ValueError as error:
        raise typer.BadParameter(printable(str(error)), param_hint="JOB|FILE|FOLDER") from error
    print_recoloring(found, Console(), dry_run=dry_run)


@app.command("check-config")
def check_config_command(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Check the configuration and its folders; print every mistake and exit 78 if there is one.

    What is no mistake but will be felt is printed as a warning.
    """
    checked = check_config(config, for_training=True)
    from service.config.advice import advice

    for warning in advice(checked):
        print(f"warning: {printable(warning)}", file=sys.stderr)
    print(
        f"{config} is right. Photographs dropped into {checked.inbox} come out in {checked.outbox}"
    )


def _load_colorizer(settings: Config) -> tuple[Any, Any, Any]:
    """Return what loads versions, the colorizer to begin with, and what was refused for it."""
    with tensorflow_starts():
        from service.daemon.model_loading import ModelLoader

        loader = ModelLoader(settings)
        colorizer, serving = loader.start()
    loader.tell(colorizer, serving)
    return loader, colorizer, serving


if __name__ == "__main__":
    main()
