"""The commands `photochrom train` and `evaluate`.

TensorFlow is imported only when there is something to train or to measure.
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
from service.training.configured import configured
from service.training.scheduled import finished, next_action
from worker.models.version import ModelVersion
from worker.training.request import TrainingRequest, start_named

train_app = typer.Typer()


@train_app.command(rich_help_panel=MODELS)
def train(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of color photographs.", exists=True, file_okay=False),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Train for this long.", min=0.1)] = None,
    steps: Annotated[
        int | None, typer.Option(help="Train for this many steps of the generator.", min=1)
    ] = None,
    until_plateau: Annotated[
        bool, typer.Option("--until-plateau", help="Train until validation stops improving.")
    ] = False,
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="VERSION",
            help="Version to start from: promoted, builtin, a number, or scratch.",
        ),
    ] = "promoted",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume the interrupted training with its original options; cannot be combined"
            " with others.",
        ),
    ] = False,
    scheduled: Annotated[
        bool,
        typer.Option(
            "--scheduled",
            help="Resume an interrupted training, or train on training.collections if they hold"
            " new photographs; for timers. Cannot be combined with other options.",
        ),
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the new version.")] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only show which photographs would be used."),
    ] = False,
    reference: Annotated[
        Path | None,
        typer.Option(
            help="Photographs on which the new version may not get worse; replaces"
            " training.reference.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Train the generator on color photographs and publish it as a new version.

    Give folders and one of --minutes, --steps and --until-plateau. Ctrl-C and SIGTERM save a
    checkpoint and stop; --resume continues from the last checkpoint.
    """
    lengths = sum([minutes is not None, steps is not None, until_plateau])
    alone = not (folders or lengths or name or dry_run or reference)
    if scheduled and (resume or not alone):
        raise typer.BadParameter("--scheduled cannot be combined with other options")
    if resume and not alone:
        raise typer.BadParameter("--resume cannot be combined with other options")
    if not (resume or scheduled) and (not folders or lengths != (0 if dry_run else 1)):
        raise typer.BadParameter(
            "give folders of color photographs and one of --minutes, --steps and --until-plateau "
            "(none of them with --dry-run)"
        )
    settings = config_or_defaults(config)
    if dry_run:
        from service.training.dry_run import print_dry_run

        print_dry_run(settings, folders or [], Console())
    elif scheduled:
        _train_scheduled(settings)
    elif resume:
        _train(settings, None)
    else:
        request = TrainingRequest(
            tuple(folders or ()),
            start_named(start),
            minutes,
            steps,
            until_plateau,
            name=name,
            reference=reference,
        )
        _train(settings, configured(request, settings))


def _train_scheduled(settings: Config) -> None:
    action = next_action(settings)
    print(f"photochrom: {action.reason}", flush=True)
    if action.kind != "nothing":
        version = _train(settings, action.request)
        if version:
            finished(settings, version)


def _train(settings: Config, request: TrainingRequest | None) -> ModelVersion | None:
    signals = Signals()
    signals.listen()  # first of all: TensorFlow takes its time
    with progress_bar("training") as report:
        set_up_logging(settings.log.level, settings.log.format)
        with quiet_tensorflow():
            from service.training.run import run_training

            computes = device()
        return run_training(settings, computes, request, report, signals)


@train_app.command(rich_help_panel=MODELS)
def evaluate(
    folder: Annotated[
        Path, typer.Argument(help="A folder of color photographs.", exists=True, file_okay=False)
    ],
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="VERSION",
            help="Version to measure: promoted, builtin or a number; can be repeated.",
        ),
    ] = None,
    photos: Annotated[
        int | None,
        typer.Option(help="Measure on a sample of this size, always the same one.", min=1),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Write a contact sheet (before, after, truth) to this PNG or JPEG."),
    ] = None,
    bfloat16: Annotated[
        bool,
        typer.Option("--bfloat16", help="Measure each version computing in bfloat16, too."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Compare versions on photographs whose true color is known; the baseline is gray."""
    settings = config_or_defaults(config)
    if sheet and sheet.suffix.lower() not in {".png", ".jpg", ".jpeg"}:
        raise typer.BadParameter("must be a .png or .jpg file", param_hint="--sheet")
    with progress_bar("photographs") as report:
        set_up_logging(settings.log.level, settings.log.format)
        with quiet_tensorflow():
            from service.training.evaluate import evaluate_models, print_evaluation

            device()
        found = evaluate_models(
            settings, folder, models or ["promoted"], photos, sheet, report, bfloat16=bfloat16
        )
    if as_json:
        print_json(found.plain())
    else:
        print_evaluation(found, Console())
