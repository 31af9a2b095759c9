"""The commands of who looks after the archive: `photochrom verify`, `bag`, `retry` and `forget`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.cli.options import DEFAULT_CONFIG, ConfigFile, EvenIfColored, print_json
from service.config.loader import load_config
from service.config.sections import FolderSettings
from service.maintenance.rebuild import print_rebuilt, rebuild
from service.maintenance.recolor import inside_inbox
from service.maintenance.retry import JobResult, print_answers
from service.maintenance.retry import forget as forget_jobs
from service.maintenance.retry import retry as retry_jobs
from service.maintenance.verify import print_verification
from service.maintenance.verify import verify as verify_all
from service.progress import progress_bar
from worker.errors import DeviceError

EXIT_FOUND = 1
EXIT_SOME_LEFT = 3  # as where some photos were rejected

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
        print_json(found.plain())
    else:
        print_verification(found, Console())
    raise typer.Exit(EXIT_FOUND if found.findings else 0)


@custody_app.command("rebuild-ledger")
def rebuild_ledger(
    move_aside: Annotated[
        bool, typer.Option("--move-aside", help="Give the ledger that is there another name first.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Make a lost ledger again from sidecars, originals and rejected scans; no file is touched.

    Scans that were colored are known again. Exits 3 when it could not place some files; it says
    which and why. No daemon may run meanwhile.
    """
    settings = load_config(config)
    with progress_bar("files") as report:
        made = rebuild(settings, report, move_aside=move_aside)
    if as_json:
        print_json(made.plain())
    else:
        print_rebuilt(made, Console())
    raise typer.Exit(EXIT_SOME_LEFT if made.unplaced else 0)


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
    from service.maintenance.bag import make_bag, print_bagging

    with progress_bar("photographs") as report:
        made = make_bag(settings, folder, report, within=within, organization=organization)
    print_bagging(made, Console())


@custody_app.command()
def retry(
    chosen: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="JOB|FILE|FOLDER",
            help="Numbers of jobs, as the log and `status` tell them; scans, wherever they lie; or"
            " folders: all in them that were rejected or wait.",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All that were rejected, and all that wait.")
    ] = False,
    rejected: Annotated[bool, typer.Option("--rejected", help="All that were rejected.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = (
        False
    ),
    even_if_colored: EvenIfColored = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Have rejected photographs tried again, and those that wait after a fault, now.

    A rejected scan is moved back into the inbox, also if it was edited or replaced meanwhile. Exits
    3 when that could not be done with some.
    """
    if sum([bool(chosen), everything, rejected]) != 1:
        raise typer.BadParameter("give jobs, files or folders, or one of --all and --rejected")
    answers = retry_jobs(
        load_config(config),
        chosen or (),
        rejected=everything or rejected,
        waiting=everything,
        dry_run=dry_run,
        asked=FolderSettings(even_if_colored=True) if even_if_colored else None,
    )
    _tell(answers, dry_run=dry_run)


@custody_app.command()
def forget(
    jobs: Annotated[
        list[int],
        typer.Argument(metavar="JOB...", help="Numbers, as the log and `status` tell them."),
    ],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Forget finished or rejected photographs: their scans, dropped again, are colored as new.

    No file is touched. Exits 3 when some could not be forgotten.
    """
    _tell(forget_jobs(load_config(config), jobs))


def _tell(answers: list[JobResult], *, dry_run: bool = False) -> None:
    print_answers(answers, Console(), dry_run=dry_run)
    raise typer.Exit(0 if all(answer.done for answer in answers) else EXIT_SOME_LEFT)
