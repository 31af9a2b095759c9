"""The commands `photochrom review ...`: decide on results without the web page."""

from typing import TYPE_CHECKING, Annotated

import typer

from service.cli.options import DEFAULT_CONFIG, ConfigFile, ExitCode
from service.config.loader import load_config
from service.terminal import printable

if TYPE_CHECKING:
    from pathlib import Path

review_app = typer.Typer(help="Approve or reject results, as in `photochrom web`.")

Chosen = Annotated[
    list[str],
    typer.Argument(
        metavar="JOB|FILE|FOLDER...",
        help="Job numbers; scans, originals or results; or folders, for all results in them.",
    ),
]
Reason = Annotated[str, typer.Option(help="Why.")]
Note = Annotated[str, typer.Option(help="Further words.")]
Who = Annotated[
    str, typer.Option(help="Name of who decides. Default: the user who runs the command.")
]


@review_app.command()
def approve(
    chosen: Chosen,
    reason: Reason = "",
    note: Note = "",
    who: Who = "",
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Approve results: held ones go into the outbox."""
    _decide("approved", chosen, (reason, note, who), config)


@review_app.command()
def reject(
    chosen: Chosen,
    reason: Reason = "",
    note: Note = "",
    who: Who = "",
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Reject results: held ones stay held. No file is removed; `photochrom recolor` tries again."""
    _decide("rejected", chosen, (reason, note, who), config)


@review_app.command()
def flag(
    chosen: Chosen,
    reason: Reason = "",
    note: Note = "",
    who: Who = "",
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Flag results for a second look: held ones stay held."""
    _decide("flagged", chosen, (reason, note, who), config)


@review_app.command("open")
def reopen(
    chosen: Chosen,
    reason: Reason = "",
    note: Note = "",
    who: Who = "",
    config: ConfigFile = DEFAULT_CONFIG,
) -> None:
    """Open results again, as if nobody had decided. What is in the outbox stays there."""
    _decide(None, chosen, (reason, note, who), config)


@review_app.command()
def undo(who: Who = "", config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Undo your last decision, with all results it was made on. What is in the outbox stays there.

    Exits 3 if there is none.
    """
    from service.maintenance.review import person
    from service.maintenance.review import undo as undo_last

    name = who or person()
    undone = undo_last(load_config(config), name)
    print(printable(f"undone for {name}: {len(undone)}"))
    raise typer.Exit(ExitCode.DONE if undone else ExitCode.SOME_REJECTED)


def _decide(
    decision: str | None, chosen: list[str], words: tuple[str, str, str], config: "Path"
) -> None:
    from service.ledger.jobs import Decision
    from service.maintenance.review import decide, person, results_of

    settings = load_config(config)
    reason, note, who = words
    name = who or person()
    try:
        decided = decide(
            settings,
            results_of(settings, chosen),
            Decision(decision) if decision else None,
            who=name,
            reason=reason,
            note=note,
        )
    except ValueError as error:
        raise typer.BadParameter(printable(str(error))) from error
    print(printable(f"{decision or 'open again'}, by {name}: {decided}"))
