"""The training story, from a folder of photographs to a published generator.

1. prepare the collection (or find it in the cache)
2. build the networks: from a version, or from the ImageNet encoder and nothing else; or where a
killed run left off
3. step by step: the generator learns colors; then the discriminator warms up; then both, in turn
4. save a checkpoint every few minutes, at the end, and when asked to stop
5. average, choose the decoding on the validation photos, measure, publish as the next version
"""

import math
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from worker.device import training_precision
from worker.errors import ModelError
from worker.generator import build_generator, load_imagenet_encoder, without_decoding
from worker.models import ModelStore, ModelVersion, in_precision, load_generator
from worker.settings import TrainSettings
from worker.training import checkpoint, collection, dataset
from worker.training.checkpoint import CHECKPOINT
from worker.training.collection import Collection
from worker.training.discriminator import build_discriminator
from worker.training.gan import ColorizationGAN
from worker.training.plan import Plan, Progress
from worker.training.publish import Trained, publish

CHECKPOINT_SECONDS = 180.0
WARM_UP = 0.02  # share of the first stage in which the rate rises
JUDGE_ALONE_STEPS = 40  # discriminator only, before its first verdict counts


def train(
    plan: Plan | None,
    store: ModelStore,
    run_folder: Path,
    cache_folder: Path,
    *,
    report: Callable[[Progress], None] = lambda _progress: None,
    preparing: Callable[[int, int], None] = lambda _done, _all: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> ModelVersion | None:
    """Train a generator as planned and publish it.

    Args:
        plan: what to do; None goes on with the plan of the checkpoint in `run_folder`.
        store: where the parent comes from and the result goes.
        run_folder: for checkpoints.
        cache_folder: for decoded photographs.
        report: told after each step.
        preparing: told of photos decoded, and of all.
        should_stop: asked after each step; when true, a checkpoint is saved and None returned.

    Raises:
        ScanError: no photo is fit for training.
        ModelError: no such version, or nothing to resume.
        OSError: the disk fails; the last checkpoint stays whole.
    """
    saved = None if plan else checkpoint.load(run_folder / CHECKPOINT)
    plan, progress = (saved.plan, saved.progress) if saved else (plan, Progress())
    assert plan is not None  # noqa: S101  (one of the two is there)
    photos = collection.prepare(
        plan.folders, cache_folder, plan.settings.validation_share, plan.read, preparing
    )
    keras.utils.set_random_seed(plan.seed)
    log_prior = dataset.log_prior(photos)
    gan = _networks(plan, store, log_prior)
    if saved:
        checkpoint.restore(gan, saved, run_folder)

    if not _teach(plan, photos, gan, progress, run_folder, report, should_stop):
        return None
    generator = in_precision(gan.averaged_generator(adversarial=progress.adversarial), "float32")
    version = publish(Trained(plan, photos, log_prior, generator, progress), store, run_folder)
    (run_folder / CHECKPOINT).unlink()  # or resuming would publish it again
    return version


def _networks(plan: Plan, store: ModelStore, log_prior: NDArray[np.float32]) -> ColorizationGAN:
    keras.config.set_dtype_policy(training_precision())
    if plan.start == "scratch":
        generator = build_generator()
        load_imagenet_encoder(generator)
    else:
        generator = without_decoding(load_generator(store.get(plan.start), training_precision()))  # type: ignore[arg-type]
    return ColorizationGAN(generator, build_discriminator(), log_prior, plan.settings)


def _teach(
    plan: Plan,
    photos: Collection,
    gan: ColorizationGAN,
    progress: Progress,
    run_folder: Path,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Step until the budget is used up; False when asked to stop before."""
    settings = plan.settings
    batches = dataset.batches(
        photos, settings.crop, settings.batch, plan.seed, progress.step + progress.judge_steps
    )
    saved = clock = time.monotonic()
    while progress.share < 1:
        batch = next(batches)
        _step(gan, batch, progress, settings)
        now = time.monotonic()
        progress.seconds += now - clock
        clock = now
        progress.share = plan.budget.done(progress.step, progress.seconds)
        if not math.isfinite(progress.generator_loss):
            raise ModelError(
                f"the loss became {progress.generator_loss} in step {progress.step}; "
                "lower training.rate and go on with --resume"
            )
        report(progress)
        stop = should_stop()
        if stop or now - saved > CHECKPOINT_SECONDS or progress.share >= 1:
            checkpoint.save(run_folder / CHECKPOINT, gan, plan, progress)
            saved = now
        if stop:
            return False
    return True


def _step(
    gan: ColorizationGAN, batch: dataset.Batch, progress: Progress, settings: TrainSettings
) -> None:
    alone = 1 - settings.adversarial_share
    if progress.share < alone:
        progress.rate = settings.rate * _warm_cosine(progress.share / alone)
        progress.generator_loss = gan.step_alone(batch, progress.rate)
        progress.step += 1
        return
    if not progress.adversarial:
        gan.begin_adversarial()
        progress.adversarial = True
    progress.rate = settings.adversarial_rate * _cosine(
        (progress.share - alone) / settings.adversarial_share
    )
    progress.discriminator_loss = gan.step_judge(batch, 3 * progress.rate)
    if progress.judge_steps < JUDGE_ALONE_STEPS:
        progress.judge_steps += 1
        return
    progress.generator_loss = gan.step_adversarial(batch, progress.rate)
    progress.step += 1


def _warm_cosine(share: float) -> float:
    return share / WARM_UP + 0.01 if share < WARM_UP else _cosine(share)


def _cosine(share: float) -> float:
    """Fall from 1 to 0.02 along half a cosine (Loshchilov and Hutter 2017)."""
    return 0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * min(share, 1.0))))
