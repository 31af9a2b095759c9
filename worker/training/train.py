"""The training story, from a folder of photographs to a published generator.

1. prepare the collection (or find it in the cache)
2. build the networks: from a version, or from the ImageNet encoder and nothing else; or where a
killed run left off
3. step by step: the generator learns colors; then the discriminator warms up; then both, in turn
4. save a checkpoint every few minutes, at the end, and when asked to stop
5. average, choose the decoding on the validation photos, measure, publish as the next version
"""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import keras
import numpy as np
from numpy.typing import NDArray

from worker.device import training_precision
from worker.errors import ModelError
from worker.generator import build_generator, load_imagenet_encoder, with_decoding, without_decoding
from worker.models import ModelStore, ModelVersion, VersionName, in_precision, load_generator
from worker.settings import ReadSettings, TrainSettings
from worker.training import dataset, evaluate
from worker.training.discriminator import build_discriminator
from worker.training.gan import ColorizationGAN

CHECKPOINT = "checkpoint.npz"
CHECKPOINT_SECONDS = 180.0
WARM_UP = 0.02  # share of the first stage in which the rate rises
JUDGE_ALONE_STEPS = 40  # discriminator only, before its first verdict counts
VALIDATION_PHOTOS = 120  # most that are scored at the end
RENDER_SIZE = 256


@dataclass(frozen=True)
class Budget:
    """How long to train: whichever is given; exactly one is."""

    minutes: float | None = None
    steps: int | None = None

    def done(self, step: int, seconds: float) -> float:
        """Return the share that is used up, 1 or more when training should end."""
        return step / self.steps if self.steps else seconds / (60 * (self.minutes or 0.0))


@dataclass(frozen=True)
class Plan:
    """All that decides what a training does; saved with each checkpoint."""

    folders: tuple[Path, ...]
    start: VersionName | str  # a version, or "scratch"
    budget: Budget
    settings: TrainSettings
    read: ReadSettings = field(default_factory=ReadSettings)
    seed: int = 1


@dataclass
class Progress:
    """Where a training stands; given to `report` after each step."""

    step: int = 0
    seconds: float = 0.0
    judge_steps: int = 0
    adversarial: bool = False
    share: float = 0.0
    generator_loss: float = 0.0
    discriminator_loss: float = 0.0
    rate: float = 0.0

    def photos_per_second(self, batch: int) -> float:
        """Return the speed of the whole training so far."""
        return (self.step + self.judge_steps) * batch / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, float | int | bool]:
        """Return all of it, rounded for a line of the log."""
        return {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


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
    checkpoint = None if plan else _load_checkpoint(run_folder / CHECKPOINT)
    plan, progress = (checkpoint.plan, checkpoint.progress) if checkpoint else (plan, Progress())
    assert plan is not None  # noqa: S101  (one of the two is there)
    collection = dataset.prepare(
        plan.folders, cache_folder, plan.settings.validation_share, plan.read, preparing
    )
    keras.utils.set_random_seed(plan.seed)
    log_prior = dataset.log_prior(collection)
    gan = _networks(plan, store, log_prior)
    if checkpoint:
        _restore(gan, checkpoint, run_folder)

    if not _teach(plan, collection, gan, progress, run_folder, report, should_stop):
        return None
    version = _publish(plan, collection, log_prior, gan, progress, store)
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
    collection: dataset.Collection,
    gan: ColorizationGAN,
    progress: Progress,
    run_folder: Path,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Step until the budget is used up; False when asked to stop before."""
    settings = plan.settings
    batches = dataset.batches(
        collection, settings.crop, settings.batch, plan.seed, progress.step + progress.judge_steps
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
            _save_checkpoint(run_folder / CHECKPOINT, gan, plan, progress)
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


class _Checkpoint(NamedTuple):
    plan: Plan
    progress: Progress
    state: list[NDArray[Any]]


def _save_checkpoint(path: Path, gan: ColorizationGAN, plan: Plan, progress: Progress) -> None:
    """Write beside the last checkpoint, then take its place; no fault harms the last one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    about = json.dumps({"plan": asdict(plan), "progress": asdict(progress)}, default=str)
    arrays: dict[str, Any] = {f"{index:05d}": value for index, value in enumerate(gan.state())}
    try:
        with temporary.open("wb") as file:
            np.savez(file, about=np.array(about), **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _load_checkpoint(path: Path) -> _Checkpoint:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            about = json.loads(str(saved["about"]))
            state = [saved[name] for name in sorted(saved.files) if name != "about"]
    except FileNotFoundError as error:
        raise ModelError(f"there is no training to resume: {path} does not exist") from error
    except (ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ModelError(f"{path} is damaged ({error}); begin a new training") from error
    try:
        plan = about["plan"]
        restored = Plan(
            tuple(map(Path, plan["folders"])),
            plan["start"],
            Budget(**plan["budget"]),
            TrainSettings(**plan["settings"]),
            ReadSettings(**plan["read"]),
            plan["seed"],
        )
        return _Checkpoint(restored, Progress(**about["progress"]), state)
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path} is of another photochrom; begin a new training") from error


def _restore(gan: ColorizationGAN, checkpoint: _Checkpoint, run_folder: Path) -> None:
    try:
        gan.restore(checkpoint.state)
    except ValueError as error:
        raise ModelError(
            f"the checkpoint in {run_folder} is of networks of another shape; begin a new training"
        ) from error


def _publish(
    plan: Plan,
    collection: dataset.Collection,
    log_prior: NDArray[np.float32],
    gan: ColorizationGAN,
    progress: Progress,
    store: ModelStore,
) -> ModelVersion:
    generator = in_precision(gan.averaged_generator(adversarial=progress.adversarial), "float32")
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
