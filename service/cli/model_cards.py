"""Prints model cards and lists of versions; cards of older versions may lack fields."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from worker.models.cards import SETS, scores_of

LISTED = {  # scores in the list: heading, decimals
    "psnr_gain": ("PSNR gain", 2),
    "ab_rmse": ("ab RMSE", 2),
    "colorfulness_ratio": ("colorfulness", 2),
    "kernel_share": ("kernel share", 3),
}


def print_list(listed: dict[str, Any], console: Console) -> None:
    """Print what `read_list` returned."""
    table = Table(box=None, pad_edge=False)
    for heading in ("version", "name", "state", "created", "parent"):
        table.add_column(heading, overflow="fold")
    for heading, _decimals in LISTED.values():
        table.add_column(heading, justify="right")
    for one in listed["versions"]:
        scores = one.get("scores") or {}
        table.add_row(
            *(_text(one.get(key)) for key in ("version", "name", "state")),
            _text(one.get("created"))[:16].replace("T", " "),
            _text(one.get("parent")),
            *(_both(scores, key, decimals) for key, (_heading, decimals) in LISTED.items()),
        )
    console.print(table)
    _print_lines(
        [
            "scores: validation photographs of the version's own collection / reference set",
            *(
                f"{one['version']}: {one['fault'] or 'not promoted: ' + one['why_not']}"
                for one in listed["versions"]
                if one["fault"] or one["why_not"]
            ),
        ],
        console,
    )
    if listed["configured"] not in {"promoted", listed["promoted"]}:
        _print_lines(
            [f"in use: version {listed['configured']}, by model.version in the configuration"],
            console,
        )


def _both(scores: dict[str, Any], key: str, decimals: int) -> str:
    values = [(scores.get(name) or {}).get(key) for name in SETS]
    if values == [None, None]:
        return ""
    return " / ".join("-" if value is None else f"{value:.{decimals}f}" for value in values)


def print_card(about: dict[str, Any], console: Console) -> None:
    """Print what `read_card` returned."""
    card = about["card"]
    name = f" ({card['name']})" if card.get("name") else ""
    _print_lines([f"version {about['version']}{name}: {about['state']}"], console)
    table = Table(box=None, show_header=False, pad_edge=False)
    for label, value in (
        ("folder", about["folder"]),
        ("created", card.get("created")),
        ("parent", card.get("parent")),
        ("photochrom", card.get("code_version")),
        ("trained", _trained(card)),
        ("photographs", _photographs(card.get("photographs"))),
        ("left out", _pairs((card.get("photographs") or {}).get("left_out"))),
        ("decoding", _pairs(card.get("decoding"))),
        ("weights", _mixed(card.get("alpha"))),
        ("recipe", _pairs(card.get("recipe"))),
        ("bfloat16", _bfloat16(card.get("bfloat16"))),
        ("verdict", (card.get("promotion") or {}).get("why")),
        *((file, path) for file, path in about["files"].items()),
        ("sha256", card.get("sha256")),
    ):
        if value:
            table.add_row(label, _text(value))
    console.print(table, highlight=False)
    for one in about["promotions"]:
        done = "rolled back to" if one["rollback"] else "promoted"
        _print_lines([f"{done} {one['at']}: {one['why']}"], console)
    _printscores_of(card, console)


def _printscores_of(card: dict[str, Any], console: Console) -> None:
    """Print all scores, beside those of the version that was active then."""
    own, then = scores_of(card.get("scores")), scores_of(card.get("current"))
    columns = {
        heading: scores[name]
        for name in SETS
        for heading, scores in ((name, own), (f"{name}, promoted then", then))
        if isinstance(scores[name], dict)
    }
    keys = list(dict.fromkeys(key for scores in columns.values() for key in scores))
    if not keys:
        return
    table = Table("score", *columns, box=None, pad_edge=False)
    for key in keys:
        table.add_row(key, *(_text(scores.get(key)) for scores in columns.values()))
    console.print()
    console.print(table)


def _trained(card: dict[str, Any]) -> str:
    steps, minutes = card.get("steps"), card.get("minutes")
    return ", ".join(
        text
        for text in (
            f"{steps:,} steps" if isinstance(steps, int) else "",
            f"{minutes} minutes" if minutes is not None else "",
        )
        if text
    )


def _mixed(alpha: Any) -> str:
    mixed = isinstance(alpha, float) and alpha < 1
    return f"{alpha:.0%} trained, the rest its parent's" if mixed else ""


def _bfloat16(measured: Any) -> str:
    if not isinstance(measured, dict):
        return ""
    words = "colors as well" if measured.get("as_good") is True else "colors worse"
    return f"{words}: {measured.get('why', '?')}"


def _photographs(photographs: Any) -> str:
    if not isinstance(photographs, dict):
        return ""
    training, validation = (photographs.get(key, "?") for key in ("training", "validation"))
    learned = f"{training:,}" if isinstance(training, int) else training
    return f"{learned} for training, {validation} for validation"


def _pairs(values: Any) -> str:
    return (
        ", ".join(f"{key} {value}" for key, value in values.items())
        if isinstance(values, dict)
        else str(values or "")
    )


def _text(value: Any) -> str:
    """Return a cell of a table, with brackets escaped."""
    return "" if value is None else escape(str(value))


def _print_lines(lines: list[str], console: Console) -> None:
    console.print(*lines, sep="\n", highlight=False, markup=False, soft_wrap=True)
