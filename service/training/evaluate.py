"""The command `photochrom evaluate`: compares versions on photographs of known color."""

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
from worker.inference.device import BFLOAT16
from worker.models.serialization import load_generator
from worker.models.store import ModelStore
from worker.models.version import version_name
from worker.training.data.photographs import fit_photos, in_fixed_order
from worker.training.evaluation.contact_sheet import SheetSampler, save_sheet
from worker.training.evaluation.evaluate import GRAY, Colored, Scores, evaluate

LINES = (  # of the table: name in `Scores`, title, decimals, and what is best
    ("psnr", "PSNR, dB", 2, "higher"),
    ("psnr_gain", "PSNR gain over gray, dB", 2, "higher"),
    ("ab_rmse", "ab RMSE, CIE units", 2, "lower"),
    ("colorfulness", "colorfulness, output", 1, ""),
    ("colorfulness_truth", "colorfulness, truth", 1, ""),
    ("colorfulness_ratio", "colorfulness, ratio", 2, "near 1"),
    ("colorfulness_difference", "colorfulness, difference", 1, "near 0"),
    ("kernel_distance", "kernel distance (KID) x 1000", 2, "lower"),
    ("kernel_share", "kernel distance, relative to gray", 3, "lower"),
    ("agreement", "same ImageNet class as the truth", 3, "higher"),
    ("lightness_mean", "lightness error, mean L*", 3, "below 0.2"),
    ("lightness_max", "lightness error, maximum L*", 3, "below 1"),
    ("calibration_error", "calibration error, ab units", 2, "lower"),
    ("calibration_rank", "spread-error correlation (Spearman)", 2, "higher"),
    ("confidence_rank", "doubt-error correlation of photographs", 2, "higher"),
    ("red_on_dark", "red on dark, share", 3, "lower"),
    ("chroma_of_neutral", "chroma given to neutral, CIE units", 2, "lower"),
    ("brown_ratio", "brown, ratio to the truth", 2, "near 1"),
    ("patchiness", "patchiness, ratio to the truth", 2, "up to 1"),
    ("chroma", "chroma given, CIE units", 2, "near truth"),
    ("chroma_truth", "chroma of the truth, CIE units", 2, ""),
)


class Evaluation(NamedTuple):
    """The result of the command.

    Attributes:
        folder: of the photographs.
        left_out: number of unfit photographs among those read, by reason.
        scores: by version, "gray" first.
        sheet: path of the contact sheet, if one was written.
    """

    folder: Path
    left_out: Counter[str]
    scores: dict[str, Scores]
    sheet: Path | None

    def plain(self) -> dict[str, Any]:
        """Convert it for JSON."""
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
    *,
    bfloat16: bool = False,
) -> Evaluation:
    """Score versions on the photographs in a folder.

    Args:
        config: where versions are, which photographs are accepted, and the render size.
        folder: of color photographs, searched recursively.
        models: names of versions: promoted, builtin or numbers.
        photos: size of a fixed sample; None for all.
        sheet: PNG or JPEG file for a contact sheet.
        report: updates the progress bar.
        bfloat16: whether to score each version computing in bfloat16, too.

    Raises:
        ScanError: no photograph has colors to compare with.
        ModelError: no such version, or it cannot be loaded.
        OSError: the disk failed.
    """
    store = ModelStore(config.models_folder)
    versions = [store.get(version_name(name)) for name in models]
    precisions = {"": "float32", **({", bfloat16": BFLOAT16} if bfloat16 else {})}
    generators = {
        f"{version.name}{words}": load_generator(version, policy)
        for version in versions
        for words, policy in precisions.items()
    }
    paths = in_fixed_order(folder)
    left_out: Counter[str] = Counter()
    sampler = SheetSampler()
    done = count(1)

    def watch(colored: Colored) -> None:
        sampler.watch(colored)
        fit = len(paths) - left_out.total()
        report(next(done), min(fit, photos or fit), "")

    some = islice(fit_photos(paths, config.read_settings, left_out), photos)
    try:
        scored = evaluate(some, generators, config.model.render_size, watch)
    except ScanError as error:
        raise ScanError(f"{error}: {len(paths)} under {folder}; {_counted(left_out)}") from error
    if sheet:
        titles = {name: name if name == GRAY else f"model {name}" for name in scored}
        save_sheet(sheet, sampler.sheet(titles))
    return Evaluation(folder, left_out, {name: one.scores for name, one in scored.items()}, sheet)


def print_evaluation(found: Evaluation, console: Console) -> None:
    """Print versions side by side, gray first, and on which photographs they were measured."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for name in found.scores:
        table.add_column(name if name == GRAY else f"model {name}", justify="right")
    table.add_column("best")
    for name, words, decimals, good in LINES:
        values = [getattr(scores, name) for scores in found.scores.values()]
        table.add_row(words, *(_number(value, decimals) for value in values), good)
    console.print(table)
    console.print()
    many = found.scores[GRAY].photographs
    summary = f"{many} photographs of {found.folder}; {_counted(found.left_out)}."
    if found.sheet:
        summary += f" Contact sheet: {found.sheet}."
    console.print(_shown(summary), soft_wrap=True)
    console.print("docs/evaluation.md explains each line.", highlight=False)


def _number(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


def _counted(left_out: Counter[str]) -> str:
    if not left_out:
        return "none left out"
    return "left out: " + ", ".join(f"{some} {reason}" for reason, some in left_out.most_common())


def _shown(text: str) -> Text:
    """Protect rich from markup in a name, and the terminal from names that are not UTF-8."""
    return Text(text.encode(errors="replace").decode())
