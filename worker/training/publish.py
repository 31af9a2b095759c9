"""From trained weights to a version in the store: decoding, scores, card."""

from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from worker.generator import with_decoding
from worker.models import ModelStore, ModelVersion
from worker.training import evaluate
from worker.training.collection import Collection
from worker.training.plan import Plan, Progress

VALIDATION_PHOTOS = 120  # most that are scored at the end
RENDER_SIZE = 256


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


def publish(trained: Trained, store: ModelStore, run_folder: Path) -> ModelVersion:
    """Choose the decoding, measure, and publish as the next version.

    Args:
        trained: the end of a training.
        store: where it goes.
        run_folder: where the run's curves and samples lie.

    Raises:
        OSError: when the disk fails.
    """
    plan, collection, log_prior, generator, progress = trained
    judged = collection.validation if len(collection.validation) else collection.training
    photos = [np.asarray(collection.photos[index]) for index in judged[:VALIDATION_PHOTOS]]
    decoding, scores = evaluate.Examination(generator, photos, RENDER_SIZE).choose(log_prior)
    return store.publish(
        with_decoding(generator, decoding.shift * log_prior, decoding.temperature),
        {
            "parent": str(plan.start),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "code_version": package_version("photochrom"),
            "photographs": {
                "digest": collection.digest,
                "training": len(collection.training),
                "validation": len(collection.validation),
                "left_out": collection.left_out,
            },
            "recipe": asdict(plan.settings),
            "steps": progress.step,
            "minutes": round(progress.seconds / 60, 1),
            "decoding": decoding._asdict(),
            "scores_on": f"{len(photos)} photographs of the collection"
            + (
                ", never trained on"
                if len(collection.validation)
                else " (trained on: none could be held back)"
            ),
            "scores": asdict(scores),
        },
    )
