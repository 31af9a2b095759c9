"""The commands `photochrom models`. Only `promote` and `export` load a network."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.cli.model_cards import print_card, print_list
from service.cli.options import (
    DEFAULT_CONFIG,
    ConfigFile,
    config_or_defaults,
    device,
    print_json,
    quiet_tensorflow,
)
from service.config.loader import Config
from service.log import set_up_logging
from worker.models.cards import read_card, read_list
from worker.models.store import ModelStore
from worker.models.version import version_name

models_app = typer.Typer(
    help="List, show, promote, roll back, prune and export versions of the generator.",
    no_args_is_help=True,
)
Version = Annotated[str, typer.Argument(metavar="VERSION", help="promoted, builtin or a number.")]
Why = Annotated[str, typer.Option(help="The reason, for the history.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class ExportFormat(StrEnum):
    """The formats of `worker.models.export`."""

    keras = "keras"
    savedmodel = "savedmodel"
    onnx = "onnx"
    litert = "litert"


@models_app.command("list")
def list_models(config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the versions with their state and scores, and why candidates were not promoted."""
    settings = config_or_defaults(config)
    listed = read_list(_store(settings), settings.model.version)
    if as_json:
        print_json(listed)
    else:
        print_list(listed, Console())


@models_app.command()
def show(
    version: Version = "promoted", config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Show a version's card: its origin, scores, contact sheet and curves."""
    card = read_card(_store(config_or_defaults(config)), version_name(version))
    if as_json:
        print_json(card)
    else:
        print_card(card, Console())


@models_app.command()
def promote(
    version: Version, why: Why = "promoted by hand", config: ConfigFile = DEFAULT_CONFIG
) -> None:
    """Promote a version: if it passes a test on probe images, it colors from now on."""
    settings = config_or_defaults(config)
    set_up_logging(settings.log.level, settings.log.format)
    name = version_name(version)
    with quiet_tensorflow():
        from worker.inference.trial import try_version

        device()
        promoted = _store(settings).promote(name, why, datetime.now(UTC), try_version)
    _print_promoted(promoted.name, settings)


@models_app.command()
def rollback(why: Why = "rolled back by hand", config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Return to the version promoted before; repeat to go further back."""
    settings = config_or_defaults(config)
    _print_promoted(_store(settings).rollback(why, datetime.now(UTC)).name, settings)


@models_app.command()
def prune(
    keep: Annotated[int, typer.Option(help="How many of the newest versions to keep.", min=0)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show which would be deleted.")
    ] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Delete the oldest versions.

    The promoted version, the one before it, and the one named in config.yaml are always kept.
    """
    settings = config_or_defaults(config)
    store, spare = _store(settings), {str(settings.model.version)}
    names = store.prunable(keep, spare) if dry_run else store.prune(keep, spare)
    print(f"{'would delete' if dry_run else 'deleted'}: {', '.join(names) or 'none'}")


@models_app.command()
def export(
    version: Version,
    to: Annotated[Path, typer.Option(help="File to create (folder for savedmodel).")],
    as_format: Annotated[
        ExportFormat, typer.Option("--format", help="Format of the exported model.")
    ],
    size: Annotated[
        int | None,
        typer.Option(
            help="Side of the exported model's input, in pixels, a multiple of 32; by default "
            "model.render_size. The keras format accepts any size.",
            min=32,
            max=512,
        ),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Export a generator for other programs (lightness in, ab out), and verify the result."""
    settings = config_or_defaults(config)
    set_up_logging(settings.log.level, settings.log.format)
    source = _store(settings).get(version_name(version))
    with quiet_tensorflow():
        device()
        from worker.models.export import export_version

        exported = export_version(source, as_format.value, to, size or settings.model.render_size)
    print(
        f"{to}: version {source.name} as {as_format.value}, {exported.inputs} -> {exported.outputs}"
    )
    print(f"verified: differs from the generator by at most {exported.difference:.2g} ab units")


def _store(settings: Config) -> ModelStore:
    return ModelStore(settings.models_folder)


def _print_promoted(name: str, settings: Config) -> None:
    print(f"version {name} is now promoted")
    chosen = settings.model.version
    if chosen == "promoted":
        print("a running daemon will switch to it")
    elif str(chosen) != name:
        print(f"but model.version in the configuration is {chosen}, so that version stays in use")
