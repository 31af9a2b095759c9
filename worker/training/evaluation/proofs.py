"""Proofs: the first photographs that pass by in an evaluation, kept small for a contact sheet."""

from collections.abc import Mapping

from worker.color.cielab import Pixels
from worker.training.evaluation.contact_sheet import contact_sheet, shrunk
from worker.training.evaluation.evaluate import Colored

ROWS = 12  # of a sheet; more is not looked at


class SheetSampler:
    """Keeps the first photographs it is shown; give its `watch` to `evaluate`."""

    def __init__(self) -> None:
        """Nothing was shown yet."""
        self._kept: list[Colored] = []

    def watch(self, colored: Colored) -> None:
        """Keep one more photograph, if there is room on the sheet."""
        if len(self._kept) < ROWS:
            outputs = {name: shrunk(output) for name, output in colored.outputs.items()}
            self._kept.append(Colored(shrunk(colored.truth), colored.gray[:0], outputs))

    def sheet(self, titles: Mapping[str, str]) -> Pixels:
        """Lay out before | after | truth.

        Args:
            titles: of each generator to show (and of "gray"), in order, by its name.
        """
        rows = [[*(one.outputs[name] for name in titles), one.truth] for one in self._kept]
        return contact_sheet(rows, [*titles.values(), "truth"])
