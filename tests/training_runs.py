"""Draws docs/training_runs.png: how the built-in generator got better over all squares learned.

    python -m tests.training_runs

Each training begins at the weights shipped at its time, and each has its own validation
photographs, so what is drawn is the change since its start.
"""

import csv
from itertools import groupby
from pathlib import Path

from matplotlib.figure import Figure

DOCS = Path(__file__).parents[1] / "docs"
SERVED_FROM = 5  # the first training that was validated at the size at which photographs are served
COLORS = {"128": "#d9822b", "160": "#2b8a3e", "192": "#2166ac", "256": "#8e44ad"}  # by side
INK = "#444444"


def main() -> None:
    """Read the checks of all trainings, and draw one line for each."""
    figure = Figure(figsize=(9, 4.5), dpi=110, layout="constrained")
    axes = figure.subplots()
    before = 0
    with (DOCS / "training_runs.csv").open(newline="") as file:
        for run, rows in groupby(csv.DictReader(file), lambda row: int(row["run"])):
            checks = list(rows)
            start = float(checks[0]["validation"])
            squares = [(before + int(row["squares"])) / 1000 for row in checks]
            changes = [float(row["validation"]) - start for row in checks]
            side = checks[0]["pixels"]
            served = run >= SERVED_FROM
            axes.plot(
                squares,
                changes,
                "o-",
                color=COLORS[side],
                markersize=4,
                markerfacecolor=COLORS[side] if served else "white",
                label=f"{side} pixels, checked at {'256' if served else side}",
            )
            axes.annotate(
                str(run),
                (squares[0], 0),
                xytext=(3, 4),
                textcoords="offset points",
                color=INK,
                fontsize=9,
            )
            before += int(checks[-1]["squares"])
    axes.axhline(0, color=INK, linewidth=0.8, linestyle=":")
    axes.set_xlabel("thousand squares learned since 22 November 2026, one training after another")
    axes.set_ylabel("class loss on validation photographs,\nchange since the start, nats")
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    known = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(known.values(), known.keys(), loc="best", fontsize=8, frameon=False)
    figure.savefig(DOCS / "training_runs.png", format="png")


if __name__ == "__main__":
    main()
