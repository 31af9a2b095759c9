"""The commands of who keeps the results: `photochrom verify` and `photochrom bag`."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.config import load_config
from service.progress import progress_bar
from service.recolor import inside_inbox
from service.starting import DEFAULT_CONFIG, ConfigFile
from service.verify import print_verification
from service.verify import verify as verify_all
from worker.errors import DeviceError

EXIT_FOUND = 1

custody_app = typer.Typer()


@custody_app.command()
def verify(
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Queue what is missing or altered to be colored again, if it can be."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Read originals, results and sidecars again and tell what is missing, altered or orphaned.

    Exits 1 when something was found. No original is ever touched and nothing deleted.
    """
    settings = load_config(config)
    with progress_bar("photographs") as report:
        found = verify_all(settings, report, repair=repair)
    if as_json:
        print(json.dumps(found.plain(), indent=2))
    else:
        print_verification(found, Console())
    raise typer.Exit(EXIT_FOUND if found.findings else 0)


@custody_app.command()
def bag(
    folder: Annotated[Path, typer.Argument(help="The bag to make; it must not exist yet.")],
    subfolder: Annotated[
        Path | None, typer.Option(help="Only photographs under this sub-folder of the inbox.")
    ] = None,
    organization: Annotated[str, typer.Option(help="Source-Organization in bag-info.txt.")] = "",
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Copy the finished photographs with their sidecars into a BagIt bag, verifying each."""
    settings = load_config(config)
    try:
        within = None if subfolder is None else inside_inbox(subfolder, settings)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--subfolder") from error
    if find_spec("bagit") is None:
        raise DeviceError("bags need the package bagit: pip install 'photochrom[bag]'")
    from service.bag import make_bag, print_bagging

    with progress_bar("photographs") as report:
        made = make_bag(settings, folder, report, within=within, organization=organization)
    print_bagging(made, Console())
