"""The commands that look after the archive: recolor, verify, rebuild-ledger, retry, forget."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

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
from service.cli.options import (
    ARCHIVE,
    COLOR,
    DEFAULT_CONFIG,
    ConfigFile,
    EvenIfColored,
    ExitCode,
    print_json,
)
from service.config.folder_sections import FolderSettings
from service.config.loader import Config, load_config
from service.maintenance.wishing import Asked, wish_for
from service.terminal import printable, progress_bar
from worker.settings import VARIANTS

if TYPE_CHECKING:
    from service.maintenance.retry import JobResult

NO_REFERENCE = Path("none")

maintenance_app = typer.Typer()


@maintenance_app.command(rich_help_panel=COLOR)
def recolor(
    chosen: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="JOB|FILE|FOLDER",
            help="Only these: job numbers; scans, originals or results; or folders.",
        ),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            help="Only photographs colored by a version older than this: promoted, builtin or a"
            " number. Default: all not colored by the version in use.",
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Only photographs in this sub-folder of the inbox.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be queued.")
    ] = False,
    vividness: Vividness = None,
    warmth: Warmth = None,
    point: Points = None,
    like: Like = None,
    who: Who = "",
    source: Source = "",
    variant: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=VARIANTS,
            help="Which of its colorings; 1 is the likeliest.",
            rich_help_panel=WISHES,
        ),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Recolor finished photographs from their originals, with the model version in use.

    They are queued behind new scans, and keep their results until then. A single job or file is
    recolored whatever version colored it. What is wished of the colors of a job or file is kept
    for good; points take the place of earlier ones, and --like none ends an earlier --like.
    """
    chooses = None if variant is None else variant - 1
    wishes = Asked(vividness, warmth, parse_points(point), chooses, who=who, source=source)
    if wishes.has_any or like:
        other = bool(older_than or folder or dry_run)
        _wish(chosen or [], wishes, like, load_config(config), other=other)
        return
    from service.maintenance.recolor import inside_inbox, print_recoloring, queue_again
    from worker.models.version import version_name

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


def _wish(
    chosen: list[str], wishes: Asked, like: Path | None, settings: Config, *, other: bool
) -> None:
    if not chosen or other:
        raise typer.BadParameter("wishes of colors need jobs or files, and no other options")
    if like == NO_REFERENCE:
        wishes = replace(wishes, no_reference=True)
    elif like:
        wishes = replace(wishes, reference=read_like(like, settings.limits.megapixels))
    try:
        jobs = wish_for(settings, chosen, wishes)
    except ValueError as error:
        raise typer.BadParameter(printable(str(error)), param_hint="JOB|FILE|FOLDER") from error
    print(f"queued: {len(jobs)}")


@maintenance_app.command(rich_help_panel=ARCHIVE)
def verify(
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Requeue photographs whose result or sidecar is missing or altered."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Check originals, results, sidecars and rejected scans: missing, altered or orphaned files.

    Reads every file. Never changes or deletes one. Exits 1 if anything was found.
    """
    from service.maintenance.verify import print_verification
    from service.maintenance.verify import verify as verify_all

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
        bool, typer.Option("--move-aside", help="Rename the existing ledger first.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Rebuild a lost ledger from sidecars, originals and rejected scans.

    Changes no other file. The daemon must be stopped. Exits 3 if some files could not be placed,
    and lists them with the reason.
    """
    from service.maintenance.rebuild import print_rebuilt, rebuild

    settings = load_config(config)
    with progress_bar("files") as report:
        made = rebuild(settings, report, move_aside=move_aside)
    if as_json:
        print_json(made.plain())
    else:
        print_rebuilt(made, Console())
    raise typer.Exit(ExitCode.SOME_REJECTED if made.unplaced else 0)


@maintenance_app.command(rich_help_panel=COLOR)
def retry(
    chosen: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="JOB|FILE|FOLDER",
            help="Job numbers, as in the log and `status`; scans, in any folder; or folders, for"
            " all rejected or waiting scans in them.",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All rejected and all waiting photographs.")
    ] = False,
    rejected: Annotated[bool, typer.Option("--rejected", help="All rejected photographs.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = (
        False
    ),
    even_if_colored: EvenIfColored = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Retry rejected photographs, and end the wait of those with a temporary failure.

    Rejected scans, even edited or replaced ones, are moved back to the inbox. Exits 3 if that
    failed for some.
    """
    if sum([bool(chosen), everything, rejected]) != 1:
        raise typer.BadParameter("give jobs, files or folders, or one of --all and --rejected")
    from service.maintenance.retry import retry as retry_jobs

    results = retry_jobs(
        load_config(config),
        chosen or (),
        rejected=everything or rejected,
        waiting=everything,
        dry_run=dry_run,
        asked=FolderSettings(even_if_colored=True) if even_if_colored else None,
    )
    _tell(results, dry_run=dry_run)


@maintenance_app.command(rich_help_panel=ARCHIVE)
def forget(
    jobs: Annotated[
        list[int],
        typer.Argument(metavar="JOB...", help="Job numbers, as in the log and `status`."),
    ],
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Forget finished or rejected photographs: dropped again, their scans are colored as new.

    Changes no file. Exits 3 if some could not be forgotten.
    """
    from service.maintenance.retry import forget as forget_jobs

    _tell(forget_jobs(load_config(config), jobs))


def _tell(results: "list[JobResult]", *, dry_run: bool = False) -> None:
    from service.maintenance.retry import print_results

    print_results(results, Console(), dry_run=dry_run)
    raise typer.Exit(0 if all(result.done for result in results) else ExitCode.SOME_REJECTED)
