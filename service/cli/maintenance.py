"""The commands that look after the archive: recolor, verify, rebuild-ledger, bag, retry, forget."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from service.cli.options import (
    ARCHIVE,
    COLOR,
    DEFAULT_CONFIG,
    ConfigFile,
    EvenIfColored,
    ExitCode,
    print_json,
)
from service.config.loader import load_config
from service.config.sections import FolderSettings
from service.maintenance.rebuild import print_rebuilt, rebuild
from service.maintenance.recolor import inside_inbox, print_recoloring, queue_again
from service.maintenance.retry import JobResult, print_answers
from service.maintenance.retry import forget as forget_jobs
from service.maintenance.retry import retry as retry_jobs
from service.maintenance.verify import print_verification
from service.maintenance.verify import verify as verify_all
from service.terminal import printable, progress_bar
from worker.errors import DeviceError
from worker.models.version import version_name

maintenance_app = typer.Typer()


@maintenance_app.command(rich_help_panel=COLOR)
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


@maintenance_app.command(rich_help_panel=ARCHIVE)
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
    raise typer.Exit(ExitCode.FAULT if found.findings else 0)


@maintenance_app.command("rebuild-ledger", rich_help_panel=ARCHIVE)
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
    raise typer.Exit(ExitCode.SOME_REJECTED if made.unplaced else 0)


@maintenance_app.command(rich_help_panel=ARCHIVE)
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


@maintenance_app.command(rich_help_panel=COLOR)
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


@maintenance_app.command(rich_help_panel=ARCHIVE)
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
    raise typer.Exit(0 if all(answer.done for answer in answers) else ExitCode.SOME_REJECTED)
