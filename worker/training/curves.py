"""Draws the curves of a training: losses, color and learning rate over time."""

from collections.abc import Sequence
from typing import Any, BinaryIO

from matplotlib.axes import Axes
from matplotlib.figure import Figure

SMOOTH = 20  # points in the moving average, at most
BLUE, ORANGE, GREEN, RED, INK = "#2166ac", "#d9822b", "#2b8a3e", "#c92a2a", "#444444"
EVENT_COLORS = {"stage": INK, "rolled_back": RED}


def draw_curves(lines: Sequence[dict[str, Any]], file: BinaryIO) -> None:
    """Write the curves of a run log as a PNG.

    Args:
        lines: as `worker.training.run_log` keeps them, oldest first.
        file: open for writing.

    Raises:
        OSError: the disk failed.
    """
    figure = Figure(figsize=(9, 10), dpi=110, layout="constrained")
    losses, critic, colors, rate = figure.subplots(4, 1, sharex=True, height_ratios=[3, 2, 2, 1.5])
    steps = [line for line in lines if line["kind"] == "steps"]
    checks = [line for line in lines if line["kind"] == "check"]

    _draw_noisy(losses, steps, "generator_loss", BLUE, "generator, training")
    measured = [line for line in checks if line["loss"] is not None]
    losses.plot(
        _minutes(measured),
        [line["loss"] for line in measured],
        "o-",
        color=INK,
        markersize=4,
        label="class loss, validation",
    )
    losses.set_ylabel("generator loss, nats")

    _draw_noisy(critic, steps, "discriminator_loss", ORANGE, "discriminator")
    critic.set_ylabel("discriminator\nloss, nats")
    if not critic.lines[0].get_xdata().size:
        critic.text(0.5, 0.5, "not trained yet", transform=critic.transAxes, ha="center", color=INK)

    for key, color in (("colorfulness", GREEN), ("variety", BLUE)):
        colors.plot(
            _minutes(checks),
            [line[key] for line in checks],
            "o-",
            color=color,
            markersize=4,
            label=key,
        )
    colors.axhline(1, color=INK, linewidth=0.8, linestyle=":", label="as in true photographs")
    colors.set_ylim(bottom=0)
    colors.set_ylabel("color, as a share\nof the truth")

    rate.plot(_minutes(steps), [line["rate"] for line in steps], color=INK)
    rate.set_yscale("log")
    rate.set_ylabel("learning rate")
    rate.set_xlabel("minutes of training")
    _name_events(losses, lines)
    for axes in (losses, critic, colors, rate):
        _mark_events(axes, lines)
        axes.grid(visible=True, color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
    for axes in (losses, critic, colors):  # above the plot, where they hide nothing
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=8, frameon=False)
    figure.savefig(file, format="png")


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
    """Mark where stages begin and where the training was rolled back."""
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
