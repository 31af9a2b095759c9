"""Draws the curves of a training: losses, colors and learning rate over its minutes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

SMOOTH = 20  # most points whose mean is drawn over the points themselves
BLUE, ORANGE, GREEN, RED, INK = "#2166ac", "#d9822b", "#2b8a3e", "#c92a2a", "#444444"
EVENT_COLORS = {"stage": INK, "rolled_back": RED}


def draw_curves(lines: Sequence[dict[str, Any]], path: Path) -> None:
    """Write a PNG of the lines that `worker.training.run_log` keeps.

    Args:
        lines: of its kinds "steps", "check", "stage" and "rolled_back", oldest first.
        path: the picture's.

    Raises:
        OSError: the disk fails.
    """
    figure = Figure(figsize=(9, 10), dpi=110, layout="constrained")
    losses, judge, colors, rate = figure.subplots(4, 1, sharex=True, height_ratios=[3, 2, 2, 1.5])
    steps = [line for line in lines if line["kind"] == "steps"]
    checks = [line for line in lines if line["kind"] == "check"]

    _draw_noisy(losses, steps, "generator_loss", BLUE, "generator, in training")
    measured = [line for line in checks if line["loss"] is not None]
    losses.plot(
        _minutes(measured),
        [line["loss"] for line in measured],
        "o-",
        color=INK,
        markersize=4,
        label="class loss, validation",
    )
    losses.set_ylabel("loss of the generator, nats")

    _draw_noisy(judge, steps, "discriminator_loss", ORANGE, "discriminator")
    judge.set_ylabel("loss of the\ndiscriminator, nats")
    if not judge.lines[0].get_xdata().size:
        judge.text(
            0.5, 0.5, "not in training yet", transform=judge.transAxes, ha="center", color=INK
        )

    for key, color in (("colorfulness", GREEN), ("variety", BLUE)):
        colors.plot(
            _minutes(checks),
            [line[key] for line in checks],
            "o-",
            color=color,
            markersize=4,
            label=key,
        )
    colors.axhline(1, color=INK, linewidth=0.8, linestyle=":", label="as in the photographs")
    colors.set_ylim(bottom=0)
    colors.set_ylabel("color, as a share\nof the truth's")

    rate.plot(_minutes(steps), [line["rate"] for line in steps], color=INK)
    rate.set_yscale("log")
    rate.set_ylabel("learning rate")
    rate.set_xlabel("minutes of training")
    _name_events(losses, lines)
    for axes in (losses, judge, colors, rate):
        _mark_events(axes, lines)
        axes.grid(visible=True, color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
    for axes in (losses, judge, colors):  # above the picture, where they hide nothing
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=8, frameon=False)
    figure.savefig(path, format="png")


def _minutes(lines: Sequence[dict[str, Any]]) -> list[float]:
    return [line["seconds"] / 60 for line in lines]


def _draw_noisy(
    axes: Axes, lines: Sequence[dict[str, Any]], key: str, color: str, label: str
) -> None:
    lines = [line for line in lines if line[key] is not None]
    values = [line[key] for line in lines]
    reach = min(SMOOTH, len(values) // 10) // 2
    near = [values[max(0, place - reach) : place + reach + 1] for place in range(len(values))]
    smooth = [sum(some) / len(some) for some in near]
    axes.plot(_minutes(lines), values, color=color, alpha=0.25, linewidth=0.8)
    axes.plot(_minutes(lines), smooth, color=color, label=label)


def _mark_events(axes: Axes, lines: Sequence[dict[str, Any]]) -> None:
    """Draw a line where a stage begins, and where the training was rolled back."""
    for line in lines:
        if line["kind"] in EVENT_COLORS:
            color = EVENT_COLORS[line["kind"]]
            axes.axvline(line["seconds"] / 60, color=color, linestyle="--", linewidth=1)


def _name_events(axes: Axes, lines: Sequence[dict[str, Any]]) -> None:
    for line in lines:
        if line["kind"] in EVENT_COLORS:
            axes.annotate(
                line["words"],
                (line["seconds"] / 60, 0.97),
                xycoords=("data", "axes fraction"),
                xytext=(3, 0),
                textcoords="offset points",
                rotation=90,
                va="top",
                fontsize=8,
                color=EVENT_COLORS[line["kind"]],
            )
