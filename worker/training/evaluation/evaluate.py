"""Scores generators on photographs whose true color is known, coloring as the colorizer does.

Photographs are processed one batch at a time; of each, a few numbers and 1,280 features are kept.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import reduce
from itertools import islice
from math import isfinite
from typing import NamedTuple

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from worker.color import cielab
from worker.color.cielab import Floats, Pixels
from worker.errors import ScanError
from worker.inference import batches
from worker.models.decoding import CHROMA_STRIDE, confidence, doubt, gain_of, with_plain_logits
from worker.training.evaluation import metrics
from worker.training.evaluation.decoding_search import BATCH, chroma_of
from worker.training.evaluation.false_color import FalseColor
from worker.training.evaluation.features import Seen, see
from worker.training.evaluation.metrics import Comparison, colorfulness

GRAY = "gray"  # the name of the uncolored photograph, the baseline
LATTICE = 4  # calibration is measured on every fourth place of the chroma plane, both ways
LEAST_GRAY_DISTANCE = 1e-9  # kernel distance of gray below which a share of it means nothing


@dataclass(frozen=True)
class Scores:
    """The scores of one generator; docs/evaluation.md defines each.

    Attributes:
        photographs: number of photographs.
        psnr: mean over photographs, decibels (8-bit RGB, full size).
        psnr_gain: psnr above that of the gray photographs.
        ab_rmse: mean over photographs of the root mean square error of a* and b*, CIE units.
        colorfulness: mean over the outputs.
        colorfulness_truth: mean over the true photographs.
        colorfulness_ratio: of the two; 1 is as colorful as the truth.
        colorfulness_difference: of the two.
        kernel_distance: KID x 1000 in the classifier's features.
        kernel_share: of gray's kernel distance; 0 is like the truth, 1 like gray.
        agreement: share of photographs that get the same ImageNet class as the truth.
        lightness_mean: mean |L* - the scan's L*|, CIE units.
        lightness_max: the largest such difference in any pixel.
        calibration_error: |RMS error - RMS spread| over ten bins, ab units.
        calibration_rank: Spearman's correlation of spread and error.
        confidence_rank: Spearman's correlation of 1 - confidence and ab error, over photographs.
        red_on_dark: share of the dark colorless pixels that came out red.
        chroma_of_neutral: mean chroma given to neutral pixels, CIE units.
        brown_ratio: share of brown pixels over the truth's.
        patchiness: spread of color within surfaces over the truth's.
        chroma: mean chroma given, over pixels, CIE units.
        chroma_truth: mean true chroma.
        None stands for what cannot be measured: on one photograph, without spread or such pixels.
    """

    photographs: int
    psnr: float
    psnr_gain: float
    ab_rmse: float
    colorfulness: float
    colorfulness_truth: float
    colorfulness_ratio: float
    colorfulness_difference: float
    kernel_distance: float | None
    kernel_share: float | None
    agreement: float
    lightness_mean: float
    lightness_max: float
    calibration_error: float | None
    calibration_rank: float | None
    confidence_rank: float | None
    red_on_dark: float | None
    chroma_of_neutral: float | None
    brown_ratio: float | None
    patchiness: float | None
    chroma: float
    chroma_truth: float

    def rounded(self) -> dict[str, int | float | None]:
        """Return the scores rounded to four decimals, for cards and JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in values.items()
        }


class Scored(NamedTuple):
    """A generator's scores, and its ab error on each photograph (P,) for paired comparison."""

    scores: Scores
    ab_errors: NDArray[np.float64]


class Colored(NamedTuple):
    """One photograph: true colors, gray codes (H, W), and each generator's output by name."""

    truth: Pixels
    gray: Pixels
    outputs: dict[str, Pixels]


def evaluate(
    photos: Iterable[Pixels],
    generators: Mapping[str, keras.Model],
    render_size: int,
    watch: Callable[[Colored], None] = lambda _colored: None,
) -> dict[str, Scored]:
    """Color every photograph with every generator and compare with the truth.

    Args:
        photos: (H, W, 3) uint8 sRGB color photographs, at least one; eight are in memory at once.
        generators: by name, each with its decoding (`worker.models.decoding.with_decoding`).
        render_size: side of the generators' input, pixels.
        watch: called with each photograph and its outputs, in order.

    Returns:
        scores by name, "gray" first and then as given.

    Raises:
        ScanError: there is no photograph.
    """
    truth = _Record()
    records = {GRAY: _Record(), **{name: _Record() for name in generators}}
    both = {name: with_plain_logits(generator) for name, generator in generators.items()}
    for some in _by_batch(photos):
        grays = [cielab.gray_of_rgb(photo) for photo in some]
        truth.add(some)
        outputs = {GRAY: [np.repeat(gray[..., None], 3, axis=-1) for gray in grays]}
        squares = batches.fit(grays, render_size, BATCH)
        for name, generator in both.items():
            logits, plain = (one[: len(some)] for one in generator.predict_on_batch(squares))
            ab, spread = chroma_of(logits, len(some), gain_of(generators[name]))
            records[name].add_doubt(doubt(plain, ab))
            outputs[name] = [
                cielab.merge(gray, chroma) for gray, chroma in zip(grays, ab, strict=True)
            ]
            records[name].add_spread(some, ab, spread)
        for name, record in records.items():
            record.add(outputs[name])
            record.compare(some, outputs[name], grays)
        for place, (photo, gray) in enumerate(zip(some, grays, strict=True)):
            watch(Colored(photo, gray, {name: of[place] for name, of in outputs.items()}))
    if not truth.colorfulness:
        raise ScanError("no photograph has colors to compare with")
    return {name: record.scored(truth, records[GRAY]) for name, record in records.items()}


def _by_batch(photos: Iterable[Pixels]) -> Iterator[list[Pixels]]:
    waiting = iter(photos)
    while some := list(islice(waiting, BATCH)):
        yield some


class _Record:
    """What is kept of one version of the photographs: true, gray, or a generator's."""

    def __init__(self) -> None:
        self.colorfulness: list[float] = []
        self._seen: list[Seen] = []
        self._comparisons: list[Comparison] = []
        self._spread: list[Floats] = []
        self._error: list[Floats] = []
        self._confidence: list[float] = []

    def add(self, some: Sequence[Pixels]) -> None:
        self.colorfulness += [colorfulness(photo) for photo in some]
        self._seen.append(see(some))

    def compare(
        self, truths: Sequence[Pixels], outputs: Sequence[Pixels], grays: Sequence[Pixels]
    ) -> None:
        self._comparisons += map(metrics.compare, truths, outputs, grays)

    def add_spread(self, truths: Sequence[Pixels], ab: Floats, spread: Floats) -> None:
        """Keep spread (n, s, s) and the error of ab (n, s, s, 2), on a lattice."""
        true_ab = np.stack([small_ab(photo, ab.shape[1]) for photo in truths])
        error = np.sqrt(((ab - true_ab) ** 2).sum(axis=-1))
        lattice = np.s_[:, ::LATTICE, ::LATTICE]
        self._spread.append(spread[lattice].ravel())
        self._error.append(error[lattice].ravel())

    def add_doubt(self, doubts: keras.KerasTensor) -> None:
        """Keep the confidence in photographs, from their `doubt` (n,)."""
        self._confidence += map(confidence, keras.ops.convert_to_numpy(doubts))

    @property
    def features(self) -> Floats:
        return np.concatenate([seen.features for seen in self._seen])

    @property
    def classes(self) -> NDArray[np.intp]:
        return np.concatenate([seen.classes for seen in self._seen])

    def scored(self, truth: "_Record", gray: "_Record") -> Scored:
        psnr, ab_rmse, light, light_max = np.array([one[:4] for one in self._comparisons]).T
        gray_psnr = np.array([one.psnr for one in gray._comparisons])  # noqa: SLF001  (same class)
        false = reduce(FalseColor.plus, (one.false_color for one in self._comparisons))
        own, true = float(np.mean(self.colorfulness)), float(np.mean(truth.colorfulness))
        distance = metrics.kernel_distance(truth.features, self.features)
        of_gray = metrics.kernel_distance(truth.features, gray.features)
        calibration = (
            metrics.calibration(np.concatenate(self._spread), np.concatenate(self._error))
            if self._spread
            else metrics.Calibration(float("nan"), float("nan"))
        )
        unsure = 1 - np.array(self._confidence) if self._confidence else np.zeros_like(ab_rmse)
        scores = Scores(
            photographs=len(psnr),
            psnr=float(psnr.mean()),
            psnr_gain=float((psnr - gray_psnr).mean()),
            ab_rmse=float(ab_rmse.mean()),
            colorfulness=own,
            colorfulness_truth=true,
            colorfulness_ratio=own / max(true, 1e-6),
            colorfulness_difference=own - true,
            kernel_distance=_known(1000 * distance),
            kernel_share=_known(distance / of_gray) if of_gray > LEAST_GRAY_DISTANCE else None,
            agreement=float((self.classes == truth.classes).mean()),
            lightness_mean=float(light.mean()),
            lightness_max=float(light_max.max()),
            calibration_error=_known(calibration.error),
            calibration_rank=_known(calibration.rank),
            confidence_rank=_known(metrics.spearman(unsure, ab_rmse)),
            red_on_dark=false.red_on_dark,
            chroma_of_neutral=false.chroma_of_neutral,
            brown_ratio=false.brown_ratio,
            patchiness=false.patchiness,
            chroma=false.chroma / false.pixels,
            chroma_truth=false.chroma_truth / false.pixels,
        )
        return Scored(scores, ab_rmse)


def _known(value: float) -> float | None:
    return value if isfinite(value) else None


def small_ab(photo: Pixels, side: int) -> Floats:
    """Return the true chroma (side, side, 2) float32 of a photograph (H, W, 3)."""
    render_size = side * CHROMA_STRIDE
    square = cv2.resize(photo, (render_size, render_size), interpolation=cv2.INTER_AREA)
    lab = cielab.lab_of_rgb(np.asarray(square))
    return np.asarray(cv2.resize(lab[..., 1:], (side, side), interpolation=cv2.INTER_AREA))
