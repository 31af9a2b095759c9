"""From trained weights to a version in the store, which serves if it earned that.

1. mix the trained weights with the parent's; choose a decoding for each mix
2. score all of them, and the generator that serves now, on photographs never trained on and on the
   reference set
3. take the mix that is best on the collection among those that may be promoted, or else the
   training's own generator, and say why
4. publish it with card, sheet and curves; promote it
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
from worker.inference.trial import try_generator, try_version
from worker.models.serialization import load_generator
from worker.models.store import ModelStore
from worker.models.version import ModelVersion
from worker.settings import ReadSettings
from worker.training.data.cache import SIDE
from worker.training.data.collection import Collection
from worker.training.data.photographs import fit_photos, in_fixed_order
from worker.training.evaluation.candidates import RENDER_SIZE, Candidate, Parent, candidates
from worker.training.evaluation.contact_sheet import save_sheet
from worker.training.evaluation.evaluate import GRAY, Scored, evaluate
from worker.training.evaluation.promotion_rule import Pair, Verdict, judge
from worker.training.evaluation.proofs import SheetSampler
from worker.training.run import Plan, Progress

MOST_PHOTOS = 120  # of each set that are scored at the end; twenty seconds for each generator
SERVING = "serving"  # the name of the current generator while it is compared
SHEET_FILE, CURVES_FILE = "sheet.jpg", "curves.png"


class Trained(NamedTuple):
    """What a training ends with.

    Attributes:
        plan: what was to be done.
        photos: the collection it learned from.
        log_prior: (K,) log-probability of each color of the grid in the collection.
        generator: averaged weights in float32, plain logits.
        progress: what was done.
    """

    plan: Plan
    photos: Collection
    log_prior: NDArray[np.float32]
    generator: keras.Model
    progress: Progress


class ModelComparison(NamedTuple):
    """All that was measured: by generator, on the collection and on the reference set, if any.

    Attributes:
        collection: on photographs of the collection, under `SERVING` and each alpha.
        reference: the same on the reference set; None without one.
        held_back: whether the collection's photographs were never trained on.
    """

    collection: dict[str, Scored]
    reference: dict[str, Scored] | None
    held_back: bool

    def verdict(self, name: str) -> Verdict:
        """Judge one candidate against the generator that serves."""
        collection = self.collection if self.held_back else None
        return judge(_pair(collection, name), _pair(self.reference, name))


def publish(trained: Trained, store: ModelStore, run_folder: Path) -> ModelVersion:
    """Mix, choose the decoding, measure, publish as the next version, and promote it if it is due.

    Args:
        trained: the end of a training.
        store: where it goes; the generator that serves is compared with.
        run_folder: where the run's curves lie, and the sheet is drawn.

    Raises:
        ModelError: the generator that serves is damaged.
        OSError: when the disk fails.
    """
    plan, collection, log_prior, generator, _ = trained
    held_back = len(collection.validation) > 0
    photos = _squares(collection, collection.validation if held_back else collection.training)
    reference = _reference(plan.reference, plan.read) if plan.reference else []
    serving = store.get("promoted")
    # Without a reference set nothing shows what a mix keeps, so there is nothing to choose it by.
    parent = _parent(store, plan) if reference else None
    now = load_generator(serving)
    found = candidates(generator, log_prior, parent, photos, now)

    proofs = SheetSampler()
    generators = {
        SERVING: load_generator(serving),
        **{str(one.alpha): one.generator for one in found},
    }
    exam = ModelComparison(
        evaluate(photos, generators, RENDER_SIZE, proofs.watch),
        evaluate(reference, generators, RENDER_SIZE) if reference else None,
        held_back,
    )
    chosen, verdict = _choose(found, exam)
    titles = {GRAY: "gray", SERVING: f"now: {serving.name}", str(chosen.alpha): "this version"}
    save_sheet(run_folder / SHEET_FILE, proofs.sheet(titles))

    pictures = [run_folder / name for name in (SHEET_FILE, CURVES_FILE)]
    version = store.publish(
        chosen.generator,
        _card(trained, chosen, exam, serving, verdict),
        [path for path in pictures if path.exists()],
    )
    if verdict.promoted:
        store.promote(int(version.name), verdict.why, datetime.now(UTC), try_version)
    return version


def _squares(collection: Collection, indices: NDArray[np.intp]) -> list[Pixels]:
    some = np.random.default_rng(0).permutation(indices)[:MOST_PHOTOS]
    return [np.asarray(collection.photos[index]) for index in some]


def _reference(folder: Path, settings: ReadSettings) -> list[Pixels]:
    """Read a sample of the reference set, always the same one, as squares of the cache's size."""
    fit = fit_photos(in_fixed_order(folder), settings, Counter())
    size = (SIDE, SIDE)
    return [
        np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA))
        for photo in islice(fit, MOST_PHOTOS)
    ]


def _parent(store: ModelStore, plan: Plan) -> Parent | None:
    """Load what the training began from; None for scratch, and when it is gone by now."""
    if plan.start == "scratch":
        return None
    try:
        version = store.get(plan.start)  # type: ignore[arg-type]
        return Parent(load_generator(version), version.card.get("decoding", {}).get("shift"))
    except ModelError:
        return None  # pruned while the training ran: its result stands without a mix


def _choose(found: Sequence[Candidate], exam: ModelComparison) -> tuple[Candidate, Verdict]:
    """Take the best on the collection of those that may be promoted, else the training's own."""
    verdicts = {one.alpha: _tried(one, exam.verdict(str(one.alpha))) for one in found}
    due = [one for one in found if verdicts[one.alpha].promoted]
    best = min(due or found[:1], key=lambda one: exam.collection[str(one.alpha)].scores.ab_rmse)
    return best, verdicts[best.alpha]


def _tried(candidate: Candidate, verdict: Verdict) -> Verdict:
    """Let the canary see a candidate that would be promoted."""
    if not verdict.promoted:
        return verdict
    try:
        try_generator(candidate.generator, f"with {candidate.alpha:.0%} of the training")
    except ModelError as error:
        return Verdict(promoted=False, why=f"the canary refuses it: {error}")
    return verdict


def _pair(scored: Mapping[str, Scored] | None, name: str) -> Pair | None:
    return Pair(scored[name], scored[SERVING]) if scored else None


def _card(
    trained: Trained,
    chosen: Candidate,
    exam: ModelComparison,
    serving: ModelVersion,
    verdict: Verdict,
) -> dict[str, Any]:
    plan, collection, _, _, progress = trained
    measured = "never trained on" if exam.held_back else "trained on: none could be held back"
    name = str(chosen.alpha)
    return {
        "name": plan.name,
        "parent": str(plan.start),
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
        "recipe": asdict(plan.settings),
        "steps": progress.step,
        "minutes": round(progress.seconds / 60, 1),
        "alpha": chosen.alpha,
        "decoding": chosen.decoding._asdict(),
        "scores_on": {
            "validation": f"photographs of the collection, {measured}",
            "reference": str(plan.reference) if plan.reference else None,
        },
        "scores": _scores(exam, name),
        "current": {"version": serving.name, **_scores(exam, SERVING)},
        "promotion": verdict._asdict(),
    }


def _scores(exam: ModelComparison, name: str) -> dict[str, Any]:
    return {
        "validation": exam.collection[name].scores.rounded(),
        "reference": exam.reference[name].scores.rounded() if exam.reference else None,
    }
