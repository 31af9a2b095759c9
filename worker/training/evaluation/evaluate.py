"""How good is a generator, on photographs whose true color is known; by the road that serves.

Any number of photographs pass by; of each, a few numbers and 1,280 features are kept.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
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
from worker.models.generator import CHROMA_STRIDE, decode
from worker.training.evaluation import metrics
from worker.training.evaluation.features import Look, look
from worker.training.evaluation.metrics import Comparison, colorfulness

GRAY = "gray"  # the name of the photograph left as it is, against which all are measured
BATCH = 8
LATTICE = 4  # every fourth place of the chroma plane, both ways, is asked for its doubt
SHIFTS = tuple(number / 40 for number in range(41))  # of the log-prior; from calm to bold
TEMPERATURES = (0.6, 0.5)  # below 1 surfaces get one color, much below they break into several
COLORFUL_ENOUGH = 0.68  # of the truth; calmer looks dull, vivider shows more false color
ENOUGH_FOR_KERNEL = 20  # photographs; with fewer the kernel distance is noise
FEWEST_KERNEL_UNITS = 1e-9  # of gray's distance; below it a share of it means nothing


@dataclass(frozen=True)
class Scores:
    """One generator on a set of photographs; docs/evaluation.md defines each line.

    Attributes:
        photographs: how many.
        psnr: mean decibels (RGB, 8 bits, at the photograph's size).
        psnr_gain: the same above that of the gray photograph.
        ab_rmse: mean over photographs of the root mean square error of a* and b*, CIE units.
        colorfulness: mean over the outputs.
        colorfulness_truth: mean over the true photographs.
        colorfulness_ratio: of the two; 1 is as colorful as life.
        colorfulness_difference: the first less the second.
        kernel_distance: KID x 1000 in the classifier's features.
        kernel_share: the same as a share of gray's; 0 is like the truth, 1 like gray.
        agreement: share of photographs whose ImageNet class is the true one's.
        lightness_mean: mean |L* - the scan's L*|, CIE units.
        lightness_max: the largest one in any pixel.
        calibration_error: |RMS error - RMS spread| over ten bins, ab units.
        calibration_rank: Spearman's correlation of spread and error.
        What cannot be measured (one photograph, or no spread) is None.
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

    def rounded(self) -> dict[str, int | float | None]:
        """Return all of it to four decimals, for a card or as JSON."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: round(value, 4) if isinstance(value, float) else value
            for name, value in values.items()
        }


class Scored(NamedTuple):
    """A generator's scores, and its ab error on each photograph for comparing in pairs."""

    scores: Scores
    ab_errors: NDArray[np.float64]


class Colored(NamedTuple):
    """One photograph as it passes by: truth, gray codes, and each generator's colors of it."""

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
        photos: (H, W, 3) uint8 sRGB color photographs, at least one; eight are held at once.
        generators: by name, each with its decoding (`worker.models.generator.with_decoding`).
        render_size: side of the square that the generators see, pixels.
        watch: shown each photograph with its outputs, in order.

    Returns:
        by name, "gray" first and then as given.

    Raises:
        ScanError: when there is no photograph.
    """
    truth = _Record()
    records = {GRAY: _Record(), **{name: _Record() for name in generators}}
    for some in _by_batch(photos):
        grays = [cielab.gray_of_rgb(photo) for photo in some]
        truth.see(some)
        outputs = {GRAY: [np.repeat(gray[..., None], 3, axis=-1) for gray in grays]}
        squares = batches.fit(grays, render_size, BATCH)
        for name, generator in generators.items():
            ab, spread = _chroma(generator.predict_on_batch(squares), len(some))
            outputs[name] = [
                cielab.merge(gray, chroma) for gray, chroma in zip(grays, ab, strict=True)
            ]
            records[name].doubt(some, ab, spread)
        for name, record in records.items():
            record.see(outputs[name])
            record.compare(some, outputs[name], grays)
        for place, (photo, gray) in enumerate(zip(some, grays, strict=True)):
            watch(Colored(photo, gray, {name: of[place] for name, of in outputs.items()}))
    if not truth.colorfulness:
        raise ScanError("there is no photograph with colors to compare with")
    return {name: record.scored(truth, records[GRAY]) for name, record in records.items()}


def _by_batch(photos: Iterable[Pixels]) -> Iterator[list[Pixels]]:
    waiting = iter(photos)
    while some := list(islice(waiting, BATCH)):
        yield some


def _chroma(logits: Floats, count: int) -> tuple[Floats, Floats]:
    ab, spread = decode(logits)
    return (
        np.asarray(keras.ops.convert_to_numpy(ab))[:count],
        np.asarray(keras.ops.convert_to_numpy(spread))[:count, ..., 0],
    )


class _Record:
    """What is kept of the photographs of one kind: true, gray, or one generator's."""

    def __init__(self) -> None:
        self.colorfulness: list[float] = []
        self._looks: list[Look] = []
        self._comparisons: list[Comparison] = []
        self._spread: list[Floats] = []
        self._error: list[Floats] = []

    def see(self, some: Sequence[Pixels]) -> None:
        self.colorfulness += [colorfulness(photo) for photo in some]
        self._looks.append(look(some))

    def compare(
        self, truths: Sequence[Pixels], outputs: Sequence[Pixels], grays: Sequence[Pixels]
    ) -> None:
        self._comparisons += map(metrics.compare, truths, outputs, grays)

    def doubt(self, truths: Sequence[Pixels], ab: Floats, spread: Floats) -> None:
        """Note spread (n, s, s) beside the real error of ab (n, s, s, 2), on a lattice."""
        true_ab = np.stack([small_ab(photo, ab.shape[1]) for photo in truths])
        error = np.sqrt(((ab - true_ab) ** 2).sum(axis=-1))
        lattice = np.s_[:, ::LATTICE, ::LATTICE]
        self._spread.append(spread[lattice].ravel())
        self._error.append(error[lattice].ravel())

    @property
    def features(self) -> Floats:
        return np.concatenate([seen.features for seen in self._looks])

    @property
    def classes(self) -> NDArray[np.intp]:
        return np.concatenate([seen.classes for seen in self._looks])

    def scored(self, truth: "_Record", gray: "_Record") -> Scored:
        psnr, ab_rmse, light, light_max = np.array(self._comparisons).T
        gray_psnr = np.array(gray._comparisons)[:, 0]  # noqa: SLF001  (its own kind)
        mine, true = float(np.mean(self.colorfulness)), float(np.mean(truth.colorfulness))
        distance = metrics.kernel_distance(truth.features, self.features)
        of_gray = metrics.kernel_distance(truth.features, gray.features)
        doubt = (
            metrics.calibration(np.concatenate(self._spread), np.concatenate(self._error))
            if self._spread
            else metrics.Calibration(float("nan"), float("nan"))
        )
        scores = Scores(
            photographs=len(psnr),
            psnr=float(psnr.mean()),
            psnr_gain=float((psnr - gray_psnr).mean()),
            ab_rmse=float(ab_rmse.mean()),
            colorfulness=mine,
            colorfulness_truth=true,
            colorfulness_ratio=mine / max(true, 1e-6),
            colorfulness_difference=mine - true,
            kernel_distance=_known(1000 * distance),
            kernel_share=_known(distance / of_gray) if of_gray > FEWEST_KERNEL_UNITS else None,
            agreement=float((self.classes == truth.classes).mean()),
            lightness_mean=float(light.mean()),
            lightness_max=float(light_max.max()),
            calibration_error=_known(doubt.error),
            calibration_rank=_known(doubt.rank),
        )
        return Scored(scores, ab_rmse)


def _known(value: float) -> float | None:
    return value if isfinite(value) else None


def small_ab(photo: Pixels, side: int) -> Floats:
    """Give the true chroma (side, side, 2) float32 of a photograph (H, W, 3), as training does."""
    render_size = side * CHROMA_STRIDE
    square = cv2.resize(photo, (render_size, render_size), interpolation=cv2.INTER_AREA)
    lab = cielab.lab_of_rgb(np.asarray(square))
    return np.asarray(cv2.resize(lab[..., 1:], (side, side), interpolation=cv2.INTER_AREA))


class Decoding(NamedTuple):
    """How logits become colors: `with_decoding`, its shift as a share of the log-prior."""

    shift: float
    temperature: float


class DecodingSearch:
    """A generator's logits for some photographs, kept so that many decodings can be tried.

    Args:
        generator: plain logits from lightness.
        photos: (H, W, 3) uint8 sRGB, at least one; few and small, for all are kept.
        render_size: side of the square the generator sees, pixels.
    """

    def __init__(self, generator: keras.Model, photos: Sequence[Pixels], render_size: int) -> None:
        """Run the generator over the gray of each photo."""
        self._photos = photos
        self._grays = [cielab.gray_of_rgb(photo) for photo in photos]
        self._colorfulness = max(float(np.mean([colorfulness(photo) for photo in photos])), 1e-6)
        self._logits: list[NDArray[np.float16]] = []
        for start in range(0, len(photos), BATCH):
            some = self._grays[start : start + BATCH]
            logits = generator.predict_on_batch(batches.fit(some, render_size, BATCH))
            self._logits += list(np.asarray(logits[: len(some)], np.float16))

    def paint(self, log_prior: NDArray[np.float32], decoding: Decoding) -> list[Pixels]:
        """Color every photo under a decoding, by the road that serving takes."""
        outputs = []
        for gray, logits in zip(self._grays, self._logits, strict=True):
            plain = logits.astype(np.float32)
            calibrated = (plain - decoding.shift * log_prior) / decoding.temperature
            outputs.append(cielab.merge(gray, _chroma(calibrated[None], 1)[0][0]))
        return outputs

    def colorfulness_ratio(self, log_prior: NDArray[np.float32], decoding: Decoding) -> float:
        """Return mean colorfulness of the outputs over that of the truths."""
        outputs = self.paint(log_prior, decoding)
        return float(np.mean([colorfulness(one) for one in outputs])) / self._colorfulness

    def choose(
        self, log_prior: NDArray[np.float32], colorful_enough: float = COLORFUL_ENOUGH
    ) -> Decoding:
        """Return the decoding whose pictures are most like photographs among the calm ones.

        At each temperature the smallest share of the prior that is colorful enough is one to
        consider (the boldest, where none is, as after very short trainings; color grows with the
        share, so it is found by halving). Of these the one with the smallest kernel distance is
        taken; with few photographs, the first.

        Args:
            log_prior: (K,) that the generator learned.
            colorful_enough: least colorfulness ratio of the outputs.
        """
        calmest = [
            self._calmest(log_prior, colorful_enough, temperature) for temperature in TEMPERATURES
        ]
        if len(self._photos) < ENOUGH_FOR_KERNEL:
            return calmest[0]
        real = look(self._photos).features
        return min(
            calmest,
            key=lambda one: metrics.kernel_distance(
                real, look(self.paint(log_prior, one)).features
            ),
        )

    def _calmest(
        self, log_prior: NDArray[np.float32], colorful_enough: float, temperature: float
    ) -> Decoding:
        place = bisect_left(
            SHIFTS,
            colorful_enough,
            key=lambda shift: self.colorfulness_ratio(log_prior, Decoding(shift, temperature)),
        )
        return Decoding(SHIFTS[min(place, len(SHIFTS) - 1)], temperature)
