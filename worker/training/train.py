"""The training story, from a folder of photographs to a published generator.

1. prepare the collection (or find it in the cache)
2. build the networks: from a version, or from the ImageNet encoder and nothing else; or where a
   stopped or killed run left off
3. teach (`worker.training.trainer`): the generator learns colors; then the discriminator warms up;
   then both, in turn; looked after, and with a checkpoint every few minutes
4. average, measure, and publish as the next version (`worker.training.publish`)
"""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from worker.inference.device import training_precision
from worker.models.generator import build_generator, load_imagenet_encoder, without_decoding
from worker.models.serialization import in_precision, load_generator
from worker.models.store import ModelStore
from worker.models.version import ModelVersion, version_name
from worker.training import checkpoint
from worker.training.checkpoint import BEST
from worker.training.data import collection, dataset
from worker.training.discriminator import build_discriminator
from worker.training.gan import ColorizationGAN
from worker.training.publish import Trained, publish
from worker.training.run import CHECKPOINT, Plan, Progress
from worker.training.trainer import Callbacks, Trainer

SCRATCH = "scratch"


def train(
    plan: Plan | None,
    store: ModelStore,
    run_folder: Path,
    cache_folder: Path,
    listener: Callbacks,
) -> ModelVersion | None:
    """Train a generator as planned and publish it.

    Args:
        plan: what to do; None goes on with the plan of the checkpoint in `run_folder`.
        store: where the parent comes from and the result goes.
        run_folder: for checkpoints and the journal.
        cache_folder: for decoded photographs.
        listener: who follows it, and may stop it: then a checkpoint is saved and None returned.

    Raises:
        ScanError: no photo is fit for training.
        ModelError: no such version, nothing to resume, or it went wrong too often.
        OSError: the disk fails; the last checkpoint stays whole.
    """
    saved = None if plan else checkpoint.load(run_folder / CHECKPOINT)
    plan, progress = (saved.plan, saved.progress) if saved else (plan, Progress())
    assert plan is not None  # noqa: S101  (one of the two is there)
    plan = _with_settled_start(plan, store)
    photos = collection.prepare(
        plan.folders, cache_folder, plan.settings.validation_share, plan.read, listener.preparing
    )
    keras.utils.set_random_seed(plan.seed)
    log_prior = dataset.log_prior(photos)
    gan = _networks(plan, store, log_prior)
    if saved:
        checkpoint.restore(gan, saved, run_folder)

    course = Trainer(plan, photos, gan, progress, run_folder, log_prior, listener)
    try:
        if not course.run():
            return None
    finally:
        course.close()
    progress = course.progress
    listener.notice("measuring", {})
    generator = in_precision(gan.averaged_generator(adversarial=progress.adversarial), "float32")
    version = publish(Trained(plan, photos, log_prior, generator, progress), store, run_folder)
    for name in (CHECKPOINT, BEST):  # or resuming would publish it again
        (run_folder / name).unlink(missing_ok=True)
    return version


def _with_settled_start(plan: Plan, store: ModelStore) -> Plan:
    """Name the version that "promoted" means now: another may be promoted before a resume."""
    if plan.start == SCRATCH:
        return plan
    return replace(plan, start=version_name(store.get(version_name(str(plan.start))).name))


def _networks(plan: Plan, store: ModelStore, log_prior: NDArray[np.float32]) -> ColorizationGAN:
    precision = training_precision(encoder_learns=plan.settings.train_encoder != "none")
    keras.config.set_dtype_policy(precision)
    if plan.start == SCRATCH:
        generator = build_generator()
        load_imagenet_encoder(generator)
    else:
        generator = without_decoding(
            load_generator(store.get(version_name(str(plan.start))), precision)
        )
    return ColorizationGAN(generator, build_discriminator(), log_prior, plan.settings)
