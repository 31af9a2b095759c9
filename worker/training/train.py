"""One training, from folders of photographs to a published version.

1. prepare the collection, or find it in the cache
2. build the networks: from a version, from ImageNet weights, or from the checkpoint
3. train (`worker.training.trainer`): the generator alone, then the discriminator alone for a few
   steps, then both in turn; with checks and a checkpoint every few minutes
4. average the weights, measure, and publish (`worker.training.publish`)
"""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from worker.color.cielab import Pixels
from worker.inference.device import training_precision
from worker.models.generator import build_generator, load_imagenet_encoder, without_decoding
from worker.models.serialization import in_precision, load_generator
from worker.models.store import ModelStore
from worker.models.version import ModelVersion, version_name
from worker.training import checkpoint
from worker.training.checkpoint import BEST
from worker.training.data import collection, dataset
from worker.training.devices import all_devices
from worker.training.discriminator import build_discriminator
from worker.training.gan import ColorizationGAN
from worker.training.nearness import draw_weights, read_scans
from worker.training.publish import Trained, publish
from worker.training.request import SCRATCH, TrainingRequest
from worker.training.run import CHECKPOINT, Progress
from worker.training.trainer import Callbacks, Trainer


def train(
    request: TrainingRequest | None,
    store: ModelStore,
    run_folder: Path,
    cache_folder: Path,
    callbacks: Callbacks,
) -> ModelVersion | None:
    """Train a generator and publish it.

    Args:
        request: what to do; None resumes the training whose checkpoint is in `run_folder`.
        store: holds the parent and receives the result.
        run_folder: for checkpoints and the run log.
        cache_folder: for decoded photographs.
        callbacks: called as the training proceeds.

    Returns:
        the new version; None if `callbacks.should_stop` ended it, with a checkpoint saved.

    Raises:
        ScanError: no photograph is fit for training.
        ModelError: no such version, nothing to resume, or the training diverged too often.
        OSError: the disk failed; the last checkpoint is intact.
    """
    saved = None if request else checkpoint.load(run_folder / CHECKPOINT)
    request, progress = (saved.request, saved.progress) if saved else (request, Progress())
    assert request is not None  # noqa: S101  (one of the two is there)
    request = _with_fixed_start(request, store)
    photos = collection.prepare(
        request.folders,
        cache_folder,
        request.recipe.validation_share,
        request.read,
        callbacks.on_prepare,
    )
    scans: list[Pixels] = []
    if request.scans:
        callbacks.on_event("comparing", {"photographs": len(photos.training)})
        scans = read_scans(request.scans, request.read)
        photos = replace(photos, draw_weights=draw_weights(photos, scans))
    keras.utils.set_random_seed(request.seed)
    log_prior = dataset.log_prior(photos)
    with all_devices(request.recipe.batch):
        gan = _networks(request, store, log_prior)
        if saved:
            checkpoint.restore(gan, saved, run_folder)
        trainer = Trainer(request, photos, gan, progress, run_folder, log_prior, callbacks)
        try:
            if not trainer.run():
                return None
        finally:
            trainer.close()
        progress = trainer.progress
        averaged = gan.averaged_generator(adversarial=progress.adversarial)
    callbacks.on_event("measuring", {})
    generator = in_precision(averaged, "float32")
    trained = Trained(request, photos, log_prior, generator, progress, scans)
    version = publish(trained, store, run_folder)
    for name in (CHECKPOINT, BEST):  # otherwise --resume would publish it again
        (run_folder / name).unlink(missing_ok=True)
    return version


def _with_fixed_start(request: TrainingRequest, store: ModelStore) -> TrainingRequest:
    """Replace "promoted" by the version it means now; another may be promoted before a resume."""
    if request.start == SCRATCH:
        return request
    return replace(request, start=version_name(store.get(request.start).name))


def _networks(
    request: TrainingRequest, store: ModelStore, log_prior: NDArray[np.float32]
) -> ColorizationGAN:
    if request.start == SCRATCH:
        generator = build_generator()
        load_imagenet_encoder(generator)
    else:
        generator = without_decoding(load_generator(store.get(request.start)))
    precision = training_precision(encoder_learns=request.recipe.train_encoder != "none")
    generator = in_precision(generator, precision.decoder, precision.encoder)
    return ColorizationGAN(generator, build_discriminator(), log_prior, request.recipe)
