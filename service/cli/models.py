"""The commands `photochrom models`: which versions there are, which serves, what becomes of them.

Only `promote` and `export` load a network.
"""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.cli.model_cards import print_card, print_list, read_card, read_list
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
from worker.models.store import ModelStore
from worker.models.version import version_name

models_app = typer.Typer(
    help="List, promote, roll back, prune and export versions of the generator.",
    no_args_is_help=True,
)
Version = Annotated[str, typer.Argument(metavar="VERSION", help="promoted, builtin, or a number.")]
Why = Annotated[str, typer.Option(help="For the history, in your words.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]


class ExportFormat(StrEnum):
    """What a generator can be exported as; see `worker.models.export`."""

    keras = "keras"
    savedmodel = "savedmodel"
    onnx = "onnx"
    litert = "litert"


@models_app.command("list")
def list_models(config: ConfigFile = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the versions, which one serves, how good they are, and why one was not promoted."""
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
    """Show a version's card: where it comes from, how good it is, its sheet and curves."""
    card = read_card(_store(config_or_defaults(config)), version_name(version))
    if as_json:
        print_json(card)
    else:
        print_card(card, Console())


@models_app.command()
def promote(
    version: Version, why: Why = "promoted by hand", config: ConfigFile = DEFAULT_CONFIG
) -> None:
    """Let a version color from now on, after trying it on probe images."""
    settings = config_or_defaults(config)
    set_up_logging(settings.log.level, settings.log.format)
    name = version_name(version)
    with quiet_tensorflow():
        from worker.inference.trial import try_version

        device()
        promoted = _store(settings).promote(name, why, datetime.now(UTC), try_version)
    _tell_who_serves(promoted.name, settings)


@models_app.command()
def rollback(why: Why = "rolled back by hand", config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Let the version color again that served before; once more goes back further."""
    settings = config_or_defaults(config)
    _tell_who_serves(_store(settings).rollback(why, datetime.now(UTC)).name, settings)


@models_app.command()
def prune(
    keep: Annotated[int, typer.Option(help="How many of the newest versions stay.", min=0)],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell which would go.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Remove the oldest versions for good.

    The one that serves, the one before it, and the one that config.yaml names stay in any case.
    """
    settings = config_or_defaults(config)
    store, spare = _store(settings), {str(settings.model.version)}
    names = store.prunable(keep, spare) if dry_run else store.prune(keep, spare)
    print(f"{'would remove' if dry_run else 'removed'}: {', '.join(names) or 'none'}")


@models_app.command()
def export(
    version: Version,
    to: Annotated[Path, typer.Option(help="The file, or folder for savedmodel, to be made.")],
    as_format: Annotated[ExportFormat, typer.Option("--format", help="What to write.")],
    size: Annotated[
        int | None,
        typer.Option(
            help="Side of the square that the exported generator takes, pixels, a multiple of 32; "
            "model.render_size without it. A keras file takes any.",
            min=32,
            max=512,
        ),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Write a generator for other programs: lightness in, ab out; and check what was written."""
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
    print(f"checked: differs from the generator by at most {exported.difference:.2g} ab units")


def _store(settings: Config) -> ModelStore:
    return ModelStore(settings.models_folder)


def _tell_who_serves(name: str, settings: Config) -> None:
    print(f"version {name} is promoted")
    chosen = settings.model.version
    if chosen == "promoted":
        print("a running daemon takes it up by itself")
    elif str(chosen) != name:
        print(f"but model.version in the configuration is {chosen}, so that one goes on coloring")
