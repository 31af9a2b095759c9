"""Publishes the result of a training, and promotes it if it is better than the active version.

1. mix the trained weights with the parent's; choose a decoding for each mix
2. score the mixes and the active version on the validation photographs and the reference set
3. choose the mix that is best on the collection among those that pass the promotion rule, or among
   all if none does
4. score it in bfloat16 too, where the processor has that, for `model.precision: auto`
5. publish it with its card, contact sheets and curves; promote it if it passed
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from worker.color.cielab import Pixels
from worker.errors import ModelError
from worker.inference.device import BFLOAT16, computes_in_bfloat16
from worker.inference.trial import try_generator, try_version
from worker.models.serialization import in_precision, load_generator
from worker.models.store import ModelStore
from worker.models.version import ModelVersion
from worker.settings import ReadSettings
from worker.training.data.cache import SIDE
from worker.training.data.collection import Collection
from worker.training.data.photographs import fit_photos, in_fixed_order
from worker.training.evaluation.contact_sheet import SheetSampler, save_sheet
from worker.training.evaluation.evaluate import GRAY, Scored, evaluate
from worker.training.evaluation.promotion_rule import Pair, Verdict, judge, judge_precision
from worker.training.evaluation.scan_sheet import scan_sheet
from worker.training.evaluation.weight_mixes import (
    RENDER_SIZE,
    Published,
    WeightMix,
    colorful_enough,
    weight_mixes,
)
from worker.training.request import SCRATCH, TrainingRequest
from worker.training.run import Progress

MOST_PHOTOS = 120  # scored of each set; takes twenty seconds a generator
ACTIVE = "active"  # the name of the active version in a comparison
SHEET_FILE, SCANS_FILE, CURVES_FILE = "sheet.jpg", "scans.jpg", "curves.png"


class Trained(NamedTuple):
    """A finished training.

    Attributes:
        request: what was asked for.
        photos: the collection it learned from.
        log_prior: (K,) log-probability of each color of the grid in the collection.
        generator: averaged weights in float32, without decoding.
        progress: what was done.
        scans: (H, W) uint8 gray codes of the archive's own, for a contact sheet.
    """

    request: TrainingRequest
    photos: Collection
    log_prior: NDArray[np.float32]
    generator: keras.Model
    progress: Progress
    scans: Sequence[Pixels] = ()


class ModelComparison(NamedTuple):
    """The scores of the active version and of each mix.

    Attributes:
        collection: on photographs of the collection, by `ACTIVE` and each alpha.
        reference: the same on the reference set; None without one.
        held_back: whether the photographs of the collection are validation photographs.
    """

    collection: dict[str, Scored]
    reference: dict[str, Scored] | None
    held_back: bool

    def verdict(self, name: str) -> Verdict:
        """Compare one mix with the active version."""
        collection = self.collection if self.held_back else None
        return judge(_pair(collection, name), _pair(self.reference, name))


def publish(trained: Trained, store: ModelStore, run_folder: Path) -> ModelVersion:
    """Mix, choose decodings, measure, publish the best as the next version, maybe promote it.

    Args:
        trained: a finished training.
        store: receives the version; its active version is what the result is compared with.
        run_folder: holds the run's curves; the contact sheets are written there too.

    Raises:
        ModelError: the active version is damaged.
        OSError: the disk failed.
    """
    request, collection, log_prior, generator = trained[:4]
    held_back = len(collection.validation) > 0
    photos = _squares(collection, collection.validation if held_back else collection.training)
    reference = _reference(request.reference, request.read) if request.reference else []
    active = store.get("promoted")
    # Without a reference set nothing measures what a mix preserves.
    parent = _parent(store, request) if reference else None
    active_generator = colorful_enough(_published(active), photos)
    mixes = weight_mixes(generator, log_prior, parent, photos, active_generator)

    sampler = SheetSampler()
    generators = {ACTIVE: active_generator, **{str(one.alpha): one.generator for one in mixes}}
    comparison = ModelComparison(
        evaluate(photos, generators, RENDER_SIZE, sampler.watch),
        evaluate(reference, generators, RENDER_SIZE) if reference else None,
        held_back,
    )
    chosen, verdict = _choose(mixes, comparison)
    half = _in_bfloat16(chosen, photos, comparison)
    now, new = f"now: {active.name}", "this version"
    titles = {GRAY: "gray", ACTIVE: now, str(chosen.alpha): new}
    save_sheet(run_folder / SHEET_FILE, sampler.sheet(titles))
    pictures = [run_folder / SHEET_FILE, run_folder / CURVES_FILE]
    if trained.scans:
        columns = {now: active_generator, new: chosen.generator}
        save_sheet(run_folder / SCANS_FILE, scan_sheet(trained.scans, columns, RENDER_SIZE))
        pictures.append(run_folder / SCANS_FILE)
    version = store.publish(
        chosen.generator,
        {**_card(trained, chosen, comparison, active, verdict), **half},
        [path for path in pictures if path.exists()],
    )
    if verdict.promoted:
        store.promote(int(version.name), verdict.why, datetime.now(UTC), try_version)
    return version


def _squares(collection: Collection, indices: NDArray[np.intp]) -> list[Pixels]:
    some = np.random.default_rng(0).permutation(indices)[:MOST_PHOTOS]
    return [np.asarray(collection.photos[index]) for index in some]


def _reference(folder: Path, settings: ReadSettings) -> list[Pixels]:
    """Read a sample of the reference set, always the same one, resized as the cache does."""
    fit = fit_photos(in_fixed_order(folder), settings, Counter())
    size = (SIDE, SIDE)
    return [
        np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA))
        for photo in islice(fit, MOST_PHOTOS)
    ]


def _parent(store: ModelStore, request: TrainingRequest) -> Published | None:
    """Load the version that the training started from, if there is one and it still exists."""
    if request.start == SCRATCH:
        return None
    try:
        return _published(store.get(request.start))
    except ModelError:
        return None  # pruned while the training ran


def _published(version: ModelVersion) -> Published:
    return Published(load_generator(version), version.card.get("decoding", {}).get("shift"))


def _choose(mixes: Sequence[WeightMix], comparison: ModelComparison) -> tuple[WeightMix, Verdict]:
    """Choose the best on the collection of those that pass the rule, or of all if none does."""
    verdicts = {one.alpha: _tried(one, comparison.verdict(str(one.alpha))) for one in mixes}
    passed = [one for one in mixes if verdicts[one.alpha].promoted]
    best = min(
        passed or mixes, key=lambda one: comparison.collection[str(one.alpha)].scores.ab_rmse
    )
    return best, verdicts[best.alpha]


def _tried(candidate: WeightMix, verdict: Verdict) -> Verdict:
    """Run the canary on a mix that would be promoted."""
    if not verdict.promoted:
        return verdict
    try:
        try_generator(candidate.generator, f"with {candidate.alpha:.0%} of the training")
    except ModelError as error:
        return Verdict(promoted=False, why=f"it failed the canary: {error}")
    return verdict


def _in_bfloat16(
    chosen: WeightMix, photos: Sequence[Pixels], comparison: ModelComparison
) -> dict[str, Any]:
    """Measure whether a mix colors as well in bfloat16; nothing where that would take long."""
    if not computes_in_bfloat16():
        return {}
    generator = in_precision(chosen.generator, BFLOAT16)
    scored = evaluate(photos, {"bfloat16": generator}, RENDER_SIZE)["bfloat16"]
    verdict = judge_precision(Pair(scored, comparison.collection[str(chosen.alpha)]))
    words = {"as_good": verdict.promoted, "why": verdict.why, "scores": scored.scores.rounded()}
    return {"bfloat16": words}


def _pair(scored: Mapping[str, Scored] | None, name: str) -> Pair | None:
    return Pair(scored[name], scored[ACTIVE]) if scored else None


def _card(
    trained: Trained,
    chosen: WeightMix,
    comparison: ModelComparison,
    active: ModelVersion,
    verdict: Verdict,
) -> dict[str, Any]:
    request, collection, progress = trained.request, trained.photos, trained.progress
    measured = "never trained on" if comparison.held_back else "trained on: none could be held back"
    name = str(chosen.alpha)
    return {
        "name": request.name,
        "parent": str(request.start),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "code_version": package_version("photochrom"),
        "backend": keras.backend.backend(),
        "photographs": {
            "digest": collection.digest,
            "manifest": collection.manifest_digest,
            "licenses": collection.licenses,
            "sources": collection.sources,
            "training": len(collection.training),
            "validation": len(collection.validation),
            "left_out": collection.left_out,
        },
        "recipe": asdict(request.recipe),
        "steps": progress.step,
        "minutes": round(progress.seconds / 60, 1),
        "alpha": chosen.alpha,
        "decoding": chosen.decoding._asdict(),
        "scores_on": {
            "validation": f"photographs of the collection, {measured}",
            "reference": str(request.reference) if request.reference else None,
        },
        "scores": _scores(comparison, name),
        "current": {"version": active.name, **_scores(comparison, ACTIVE)},
        "promotion": verdict._asdict(),
    }


def _scores(comparison: ModelComparison, name: str) -> dict[str, Any]:
    reference = comparison.reference
    return {
        "validation": comparison.collection[name].scores.rounded(),
        "reference": reference[name].scores.rounded() if reference else None,
    }
