"""The commands `photochrom train` and `evaluate`: a generator learns more, and is measured.

TensorFlow is imported only when there is something to learn or to measure.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.cli.options import (
    DEFAULT_CONFIG,
    MODELS,
    ConfigFile,
    config_or_defaults,
    device,
    print_json,
    quiet_tensorflow,
)
from service.config.loader import Config
from service.log import set_up_logging
from service.signals import Signals
from service.terminal import progress_bar
from service.training.scheduled import find_task, finished
from service.training.wish import Wish
from worker.models.version import ModelVersion

train_app = typer.Typer()


@train_app.command(rich_help_panel=MODELS)
def train(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of color photographs.", exists=True, file_okay=False),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Train this long.", min=0.1)] = None,
    steps: Annotated[int | None, typer.Option(help="Train this many steps.", min=1)] = None,
    until_plateau: Annotated[
        bool, typer.Option("--until-plateau", help="Train until it improves no more.")
    ] = False,
    start: Annotated[
        str,
        typer.Option("--from", metavar="VERSION", help="promoted, builtin, a number, or scratch."),
    ] = "promoted",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training that was ended.")
    ] = False,
    scheduled: Annotated[
        bool,
        typer.Option(
            "--scheduled",
            help="Go on with the training that was ended; or train on training.collections, if"
            " they hold new photographs.",
        ),
    ] = False,
    name: Annotated[str | None, typer.Option(help="What to call the result.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be trained on; train nothing.")
    ] = False,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Photographs that must not be forgotten, instead of training.reference.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Train the generator further on color photographs and publish it as the next version.

    Stopping it (Ctrl-C, SIGTERM) saves a checkpoint; --resume goes on from the last one, with the
    folders and the length it was begun with. Without anything to do, --scheduled exits 0.
    """
    lengths = sum([minutes is not None, steps is not None, until_plateau])
    alone = not (folders or lengths or name or dry_run or reference)
    if scheduled and (resume or not alone):
        raise typer.BadParameter("--scheduled is told by the configuration; give it alone")
    if resume and not alone:
        raise typer.BadParameter("--resume goes on as the training was begun; give it alone")
    if not (resume or scheduled) and (not folders or lengths != (0 if dry_run else 1)):
        raise typer.BadParameter(
            "give folders of color photographs, and one of --minutes, --steps and --until-plateau "
            "(none with --dry-run; or only --resume, or only --scheduled)"
        )
    settings = config_or_defaults(config)
    if dry_run:
        from service.training.dry_run import print_dry_run

        print_dry_run(settings, folders or [], Console())
    elif scheduled:
        _train_scheduled(settings)
    else:
        wish = Wish(tuple(folders or ()), start, minutes, steps, until_plateau, name, reference)
        _train(settings, None if resume else wish)


def _train_scheduled(settings: Config) -> None:
    task = find_task(settings)
    print(f"photochrom: {task.words}", flush=True)
    if task.kind != "nothing":
        version = _train(settings, task.wish)
        if version:
            finished(settings, version)


def _train(settings: Config, wish: Wish | None) -> ModelVersion | None:
    signals = Signals()
    signals.listen()  # first of all: TensorFlow takes its time
    with progress_bar("training") as report:
        set_up_logging(settings.log.level, settings.log.format)
        with quiet_tensorflow():
            from service.training.run import run_training

            computes = device()
        return run_training(settings, computes, wish, report, signals)


@train_app.command(rich_help_panel=MODELS)
def evaluate(
    folder: Annotated[
        Path, typer.Argument(help="A folder of color photographs.", exists=True, file_okay=False)
    ],
    models: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="VERSION", help="promoted, builtin, a number; repeatable."),
    ] = None,
    photos: Annotated[
        int | None, typer.Option(help="At most so many, always the same ones.", min=1)
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="A PNG or JPEG for a contact sheet: before, after, truth."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Measure models side by side on photographs whose true color is known; gray comes first."""
    settings = config_or_defaults(config)
    if sheet and sheet.suffix.lower() not in {".png", ".jpg", ".jpeg"}:
        raise typer.BadParameter("a sheet is a .png or a .jpg", param_hint="--sheet")
    with progress_bar("photographs") as report:
        set_up_logging(settings.log.level, settings.log.format)
        with quiet_tensorflow():
            from service.training.evaluate import evaluate_models, print_evaluation

            device()
        found = evaluate_models(settings, folder, models or ["promoted"], photos, sheet, report)
    if as_json:
        print_json(found.plain())
    else:
        print_evaluation(found, Console())
