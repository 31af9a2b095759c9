"""The command `photochrom` with all of its commands; here run, colorize, backfill, check-config.

TensorFlow is imported only by the commands that color or train, so that the others start fast.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer

from service.cli.color_options import (
    WISHES,
    Like,
    Points,
    Source,
    Vividness,
    Warmth,
    Who,
    parse_points,
    read_like,
)
from service.cli.command_line import new_app, run_app
from service.cli.handover import handover_app
from service.cli.install import install_app
from service.cli.maintenance import maintenance_app
from service.cli.models import models_app
from service.cli.options import (
    ARCHIVE,
    COLOR,
    DEFAULT_CONFIG,
    MODELS,
    SETUP,
    ConfigFile,
    EvenIfColored,
    ExitCode,
    config_or_defaults,
    quiet_tensorflow,
)
from service.cli.review_commands import review_app
from service.cli.status_commands import status_app
from service.cli.train import train_app
from service.cli.web import web_app
from service.config.folder_sections import FolderSettings
from service.config.loader import Config, ConfigError, check_config
from service.filesystem.folder_checks import check_folders
from service.log import set_up_logging
from service.maintenance.wishing import Asked
from service.signals import Signals
from service.terminal import printable, progress_bar
from worker.settings import VARIANTS

app = new_app()


def main() -> None:
    """Run the command line with all of its commands; `service.cli.entry` is quicker for some."""
    run_app(app)


@app.command(rich_help_panel=COLOR)
def run(
    config: ConfigFile = DEFAULT_CONFIG,
    once: Annotated[bool, typer.Option("--once", help="Color what is waiting, then exit.")] = False,
    take_over: Annotated[
        bool,
        typer.Option(
            "--take-over",
            help="Claim the inbox and the outbox although they belong to another installation of"
            " photochrom, which must no longer run.",
        ),
    ] = False,
) -> None:
    """Watch the inbox and color what arrives, until stopped.

    Exit codes of --once: 0 done; 3 some photographs were rejected;
    75 temporary failure, such as a full disk, or a file that is still
    arriving; run again.
    """
    signals = Signals()
    signals.listen()  # first: importing TensorFlow takes seconds
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
        print(f"Find them in color in                  {settings.outbox}", file=sys.stderr)
        if settings.review.may_hold:
            print(
                f"Until they are approved they wait in   {settings.review.folder}", file=sys.stderr
            )
        print(file=sys.stderr)
    with StateLock(settings.state), progress_bar("photos", shown=once) as report:
        set_up_logging(settings.log.level, settings.log.format)
        for folder, owner in refuse_another_owner(settings.folders, take_over=take_over):
            structlog.get_logger().warning(
                "folder.taken_over", folder=folder, host=owner.host, state=owner.state
            )
        notifier = Notifier()
        notifier.starting()
        loader, colorizer, active = _load_colorizer(settings)
        daemon = Daemon(
            settings,
            colorizer,
            watch_models(settings, loader, active),
            once=once,
            report=report,
            notifier=notifier,
            signals=signals,
        )
        daemon.reloader = Reloader(config, loader, type(loader))
        finished_in_time = daemon.run()
    code = ExitCode.DONE
    if once and daemon.counters.rejected:
        code = ExitCode.SOME_REJECTED
    if once and daemon.work_left:
        code = ExitCode.TEMPORARY_FAILURE
    if not finished_in_time:  # threads are still running, and Python would wait for them
        os._exit(code)
    raise typer.Exit(code)


@app.command(rich_help_panel=COLOR)
def colorize(
    files: Annotated[
        list[Path], typer.Argument(help="Black-and-white photographs.", exists=True, dir_okay=False)
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the results; created if missing.")
    ],
    vividness: Vividness = None,
    warmth: Warmth = None,
    point: Points = None,
    like: Like = None,
    who: Who = "",
    source: Source = "",
    variants: Annotated[
        int,
        typer.Option(
            min=1,
            max=VARIANTS,
            help="Make so many different colorings of each, the likeliest first, named NAME.1.jpg"
            " and so on; fewer where there is little doubt.",
            rich_help_panel=WISHES,
        ),
    ] = 1,
    even_if_colored: EvenIfColored = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Color the given files now, without inbox or queue.

    Nothing is moved or overwritten.

    Exit codes: 0 done; 3 some could not be colored.
    """
    settings = config_or_defaults(config)
    points = parse_points(point)
    reference = read_like(like, settings.limits.megapixels) if like else None
    from service.pipeline.one_shot import Wanted, colorize_files

    with progress_bar("photos") as report:
        set_up_logging(settings.log.level, settings.log.format)
        _, colorizer, _ = _load_colorizer(settings)
        asked = Asked(vividness, warmth, reference=reference, who=who, source=source)
        how = FolderSettings(even_if_colored=even_if_colored).over(asked.settings(None))
        wanted = Wanted(how, points, who, source, variants)
        try:
            refused = colorize_files(files, out, settings, colorizer, report, wanted)
        except ValueError as error:
            raise typer.BadParameter(printable(str(error)), param_hint="--point") from error
    raise typer.Exit(ExitCode.SOME_REJECTED if refused else ExitCode.DONE)


@app.command(rich_help_panel=COLOR)
def backfill(
    source: Annotated[
        Path, typer.Argument(help="Folder of scans; they stay as they are.", exists=True)
    ],
    target: Annotated[Path, typer.Argument(help="Folder for the results.")],
    shard: Annotated[
        str,
        typer.Option(
            "--shard", help="Color only this part, such as 2/5; others color the rest elsewhere."
        ),
    ] = "1/1",
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Color a whole collection once, with the settings of config.yaml.

    Nothing is watched or moved. After an interruption, run it again: it
    continues where it ended. Its own config.yaml, for status, verify and
    the rest, lies in state/backfill/.

    Exit codes: 0 done; 3 some were rejected; 75 interrupted, run again.
    """
    signals = Signals()
    signals.listen()
    settings = config_or_defaults(config)
    from service.daemon.backfill import Backfill, Shard, configured, owner_of, prepare
    from service.daemon.reload import watch_models
    from service.filesystem import permissions
    from service.filesystem.lock import StateLock
    from service.filesystem.ownership import refuse_another_owner

    try:
        part = Shard.parse(shard)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--shard") from error
    own = configured(settings, source, target, part)
    problems = check_folders(own.folders)
    if problems:
        raise ConfigError([f"backfill: {key}: {text}" for key, text in problems])
    permissions.adopt(own.permissions)
    prepare(own, settings.models_folder.absolute())
    with StateLock(own.state), progress_bar("photos") as report:
        set_up_logging(own.log.level, own.log.format)
        refuse_another_owner(own.folders, me=owner_of(own))
        loader, colorizer, active = _load_colorizer(own)
        models = watch_models(own, loader, active)
        work = Backfill(own, colorizer, models, part, report, signals)
        finished_in_time = work.run()
    code = ExitCode.SOME_REJECTED if work.rejected else ExitCode.DONE
    if work.work_left:
        code = ExitCode.TEMPORARY_FAILURE
    if not finished_in_time:  # threads are still running, and Python would wait for them
        os._exit(code)
    raise typer.Exit(code)


@app.command("check-config", rich_help_panel=SETUP)
def check_config_command(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Check the configuration and its folders, and print every mistake.

    What works but may surprise you is printed as a warning.

    Exit codes: 0 no mistakes; 78 mistakes.
    """
    checked = check_config(config, _print_warning, for_training=True)
    from service.config.advice import advice

    for warning in advice(checked):
        _print_warning(warning)
    held = f"; held ones wait in {checked.review.folder}" if checked.review.may_hold else ""
    print(f"{config}: OK. Scans go into {checked.inbox}, results into {checked.outbox}{held}")


def _print_warning(text: str) -> None:
    print(f"warning: {printable(text)}", file=sys.stderr)


app.add_typer(status_app)
app.add_typer(maintenance_app)
app.add_typer(handover_app)
app.add_typer(review_app, name="review", rich_help_panel=ARCHIVE)
app.add_typer(web_app, name="web")
app.add_typer(models_app, name="models", rich_help_panel=MODELS)
app.add_typer(train_app)
app.add_typer(install_app)


def _load_colorizer(settings: Config) -> tuple[Any, Any, Any]:
    """Return the model loader, the first colorizer, and which model is active and why."""
    with quiet_tensorflow():
        from worker.inference.lean_imports import import_tensorflow

        import_tensorflow()
        from service.daemon.model_loading import ModelLoader

        loader = ModelLoader(settings)
        colorizer, active = loader.start()
    loader.tell(colorizer, active)
    return loader, colorizer, active


if __name__ == "__main__":
    main()
