"""The commands that hand results over: bag, iiif, report, mark-fetched."""

import sys
import time
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import typer
from rich.console import Console

from service.cli.options import ARCHIVE, DEFAULT_CONFIG, ConfigFile, ExitCode, print_json
from service.config.loader import Config, load_config
from service.maintenance.layouts.layout_name import LayoutName
from service.terminal import printable, progress_bar
from worker.errors import DeviceError

handover_app = typer.Typer()


@handover_app.command(rich_help_panel=ARCHIVE)
def bag(
    folder: Annotated[Path, typer.Argument(help="The package to make; it must not exist yet.")],
    layout: Annotated[
        LayoutName,
        typer.Option(
            help="Whose form it takes: a BagIt bag of results, or what Archivematica, Rosetta,"
            " Preservica or Islandora Workbench reads, with the scans."
        ),
    ] = LayoutName.PLAIN,
    subfolder: Annotated[
        Path | None, typer.Option(help="Only photographs in this sub-folder of the inbox.")
    ] = None,
    approved: Annotated[
        bool, typer.Option("--approved", help="Only photographs that a reviewer approved.")
    ] = False,
    organization: Annotated[
        str, typer.Option(help="The sender, for bag-info.txt and rosetta.csv.")
    ] = "",
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Copy finished photographs into a package for another system, verifying each.

    With the results go their sidecars and PREMIS 3 XML.
    """
    settings = load_config(config)
    within = _within(subfolder, "--subfolder", settings)
    from service.maintenance.bag import make_bag, print_bag_result

    with progress_bar("photographs") as report:
        made = make_bag(
            settings,
            folder,
            report,
            layout=layout,
            within=within,
            approved=approved,
            organization=organization,
        )
    print_bag_result(made, Console())


@handover_app.command(rich_help_panel=ARCHIVE)
def iiif(
    base_url: Annotated[
        str,
        typer.Option(help="URL at which the folder will lie, such as https://example.org/iiif."),
    ],
    out: Annotated[
        Path, typer.Option(help="The folder: new, empty, or an earlier export to bring up to date.")
    ],
    folder: Annotated[
        Path | None, typer.Option(help="Only photographs in this sub-folder of the inbox.")
    ] = None,
    approved: Annotated[
        bool, typer.Option("--approved", help="Only photographs that a person approved.")
    ] = False,
    with_files: Annotated[
        bool, typer.Option("--with-files", help="Also copy scans and results, and link them.")
    ] = False,
    form: Annotated[
        Literal["choice", "canvases"],
        typer.Option("--as", help="Scan and result as a choice on one canvas, or as two canvases."),
    ] = "choice",
    first: Annotated[
        Literal["scan", "colored"],
        typer.Option(help="What is shown first, and alone where a viewer offers no choice."),
    ] = "scan",
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Export scans and results as static files for IIIF viewers: manifests and image tiles.

    Any web server can serve the folder. Run again, it keeps what did not change. Results that are
    held or were rejected by a person are left out. Exits 3 if some could not be exported.
    """
    from service.maintenance.iiif_export import Request, checked_url, export, print_exported

    settings = load_config(config)
    try:
        url = checked_url(base_url)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--base-url") from error
    within = _within(folder, "--folder", settings)
    with progress_bar("photographs") as report:
        wanted = Request(out, url, within, approved, with_files, form, first)
        done = export(settings, wanted, report)
    if as_json:
        print_json(done._asdict())
    else:
        print_exported(done, Console())
    raise typer.Exit(ExitCode.SOME_REJECTED if done.failed else 0)


@handover_app.command("report", rich_help_panel=ARCHIVE)
def write_report(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder; it must not exist yet.")],
    since: Annotated[
        str, typer.Option(metavar="D", help="Colored or rejected on or after this day.")
    ] = "",
    until: Annotated[str, typer.Option(metavar="D", help="On or before this day.")] = "",
    folder: Annotated[
        Path | None, typer.Option(help="Only photographs in this sub-folder of the inbox.")
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Write a contact sheet to file with the collection: before and after, decisions, reasons.

    HTML pages with small pictures, and a CSV table. D is a day or a time, such as 2026-12-31 or
    2026-12-31T14:00.
    """
    from service.maintenance.report import make_report, print_report_result
    from service.maintenance.report_entries import Scope

    settings = load_config(config)
    scope = Scope(
        _moment(since, "--since"), _moment(until, "--until"), _within(folder, "--folder", settings)
    )
    with progress_bar("photographs") as report:
        made = make_report(settings, out, scope, report)
    print_report_result(made, Console())


@handover_app.command("mark-fetched", rich_help_panel=ARCHIVE)
def mark_fetched(
    chosen: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FOLDER|FILE|JOB",
            help="Whose results: folders or files, of inbox, outbox or originals; job numbers.",
        ),
    ] = None,
    missing: Annotated[
        bool,
        typer.Option(
            "--missing", help="All results that are no longer in the outbox, nor their sidecars."
        ),
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Remove the mark instead; verify misses them again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be marked.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask, even if nothing is left.")] = False,
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Record that results were carried away from the outbox, which is no loss.

    verify no longer misses them, and nothing colors them again. Changes no file.
    """
    if bool(chosen) == missing or (undo and missing):
        raise typer.BadParameter("give folders, files or jobs, or --missing (without --undo)")
    from service.maintenance import fetched

    settings = load_config(config)
    try:
        found = (
            fetched.find_missing(settings)
            if missing
            else fetched.find_named(settings, chosen or (), undo=undo)
        )
    except ValueError as error:
        raise typer.BadParameter(printable(str(error)), param_hint="FOLDER|FILE|JOB") from error
    fetched.print_fetched(found, Console())
    if dry_run or not found.jobs:
        return
    if missing and not yes:
        fetched.refuse_an_accident(found)
        if not _asks_a_person():
            raise DeviceError("nothing was marked; give --yes")
        typer.confirm("Were these carried away?", abort=True)
    changed = fetched.mark(settings, found, None if undo else time.time())
    print("no longer marked:" if undo else "marked as fetched:", changed)


def _within(folder: Path | None, option: str, config: Config) -> PurePosixPath | None:
    """Return the path in the inbox of a folder that was given, if any."""
    from service.maintenance.recolor import inside_inbox

    try:
        return None if folder is None else inside_inbox(folder, config)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _moment(text: str, option: str) -> float | None:
    from service.maintenance.report import moment

    try:
        return moment(text, end=option == "--until") if text else None
    except ValueError as error:
        words = f"{printable(text)} is no day such as 2026-12-31"
        raise typer.BadParameter(words, param_hint=option) from error


def _asks_a_person() -> bool:
    return sys.stdin.isatty()
