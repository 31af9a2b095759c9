"""The command `photochrom evaluate`: models side by side on photographs whose color is known."""

from collections import Counter
from collections.abc import Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.config.loader import Config
from service.terminal import Report
from worker.errors import ScanError
from worker.models.serialization import load_generator
from worker.models.store import ModelStore
from worker.models.version import version_name
from worker.training.data.photographs import fit_photos, in_fixed_order
from worker.training.evaluation.contact_sheet import save_sheet
from worker.training.evaluation.evaluate import GRAY, Colored, Scores, evaluate
from worker.training.evaluation.proofs import SheetSampler

LINES = (  # of the table: name in `Scores`, its words, decimals, and what is good
    ("psnr", "PSNR, dB", 2, "high"),
    ("psnr_gain", "PSNR gain over gray, dB", 2, "high"),
    ("ab_rmse", "ab RMSE, CIE units", 2, "low"),
    ("colorfulness", "colorfulness of outputs", 1, ""),
    ("colorfulness_truth", "colorfulness of truths", 1, ""),
    ("colorfulness_ratio", "colorfulness, ratio", 2, "near 1"),
    ("colorfulness_difference", "colorfulness, difference", 1, "near 0"),
    ("kernel_distance", "kernel distance (KID) x 1000", 2, "low"),
    ("kernel_share", "kernel distance, share of gray's", 3, "low"),
    ("agreement", "ImageNet class as the truth's", 3, "high"),
    ("lightness_mean", "lightness error, mean L*", 3, "below 0.2"),
    ("lightness_max", "lightness error, largest L*", 3, "below 1"),
    ("calibration_error", "calibration error, ab units", 2, "low"),
    ("calibration_rank", "doubt follows error (Spearman)", 2, "high"),
)


class Evaluation(NamedTuple):
    """What the command found.

    Attributes:
        folder: of the photographs.
        left_out: how many of those looked at were unfit, by reason.
        scores: by model, "gray" first.
        sheet: where the contact sheet lies, if one was asked for.
    """

    folder: Path
    left_out: Counter[str]
    scores: dict[str, Scores]
    sheet: Path | None

    def plain(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {
            "folder": str(self.folder),
            "left_out": dict(self.left_out),
            "scores": {name: scores.rounded() for name, scores in self.scores.items()},
            "sheet": str(self.sheet) if self.sheet else None,
        }


def evaluate_models(
    config: Config,
    folder: Path,
    models: Sequence[str],
    photos: int | None,
    sheet: Path | None,
    report: Report,
) -> Evaluation:
    """Score models on the photographs under a folder.

    Args:
        config: where models lie, what a photograph may be, and the render size.
        folder: of color photographs, searched to its depths.
        models: versions: promoted, builtin or numbers.
        photos: at most so many, always the same ones; None for all.
        sheet: a PNG or JPEG to write a contact sheet to.
        report: moved after each photograph.

    Raises:
        ScanError: no photograph has colors to compare with.
        ModelError: no such version, or it cannot be loaded.
        OSError: the disk fails.
    """
    store = ModelStore(config.models_folder)
    versions = [store.get(version_name(name)) for name in models]
    generators = {version.name: load_generator(version) for version in versions}
    paths = in_fixed_order(folder)
    left_out: Counter[str] = Counter()
    proofs = SheetSampler()
    done = count(1)

    def watch(colored: Colored) -> None:
        proofs.watch(colored)
        fit = len(paths) - left_out.total()
        report(next(done), min(fit, photos or fit), "")

    some = islice(fit_photos(paths, config.read_settings, left_out), photos)
    try:
        scored = evaluate(some, generators, config.model.render_size, watch)
    except ScanError as error:
        raise ScanError(f"{error}: {len(paths)} under {folder}; {_counted(left_out)}") from error
    if sheet:
        titles = {name: name if name == GRAY else f"model {name}" for name in scored}
        save_sheet(sheet, proofs.sheet(titles))
    return Evaluation(folder, left_out, {name: one.scores for name, one in scored.items()}, sheet)


def print_evaluation(found: Evaluation, console: Console) -> None:
    """Print models side by side, gray first, and what was measured on."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in found.scores:
        table.add_column(name if name == GRAY else f"model {name}", justify="right")
    table.add_column("good is")
    for name, words, decimals, good in LINES:
        values = [getattr(scores, name) for scores in found.scores.values()]
        table.add_row(words, *(_number(value, decimals) for value in values), good)
    console.print(table)
    console.print()
    many = found.scores[GRAY].photographs
    told = f"{many} photographs of {found.folder}; {_counted(found.left_out)}."
    if found.sheet:
        told += f" Contact sheet: {found.sheet}."
    console.print(_shown(told), soft_wrap=True)
    console.print("What each line means, and from which paper: docs/evaluation.md", highlight=False)


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _counted(left_out: Counter[str]) -> str:
    if not left_out:
        return "none was left out"
    return "left out: " + ", ".join(f"{some} {reason}" for reason, some in left_out.most_common())


def _shown(text: str) -> Text:
    """Keep rich from reading markup in a name, and a terminal from choking on one not UTF-8."""
    return Text(text.encode(errors="replace").decode())
