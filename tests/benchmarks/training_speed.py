"""How fast does a training learn beside a textbook loop?

    python -m tests.benchmarks.training_speed [--seconds 20] [--encoder all --crop 128 --batch 32]
        [--photos 256] [--on FOLDER] [--write]

The same networks on the same photographs (500 x 375 JPEGs, made here). The textbook's loop, as in
TensorFlow's own pix2pix tutorial: tf.data decodes each photograph in each epoch and cuts a square,
and every step trains generator and discriminator, in float32. photochrom's: squares from its cache,
degraded like old photographs besides, in the precision of the machine; by the class loss alone, and
against the discriminator for the share of the time that `training.adversarial_share` says.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from tests.benchmarks import tables
from tests.support.synthetic_photos import color_scene, save
from worker.color import cielab
from worker.inference.device import set_up_device, training_precision
from worker.models.decoding import CHROMA_STRIDE, color_grid, decode
from worker.models.generator import build_generator, encoder_layers, load_imagenet_encoder
from worker.models.serialization import in_precision
from worker.settings import ReadSettings, TrainSettings
from worker.training.data import collection, dataset
from worker.training.discriminator import build_discriminator
from worker.training.gan import ColorizationGAN, picture_of
from worker.training.losses import adversarial_loss, class_loss, discriminator_loss

WARM = 2  # steps before the clock starts, which trace the graphs
COLUMNS = {
    "loop": "",
    "squares/s": ".1f",
    "processor ms a square": ".1f",
    "times the textbook's speed": ".2f",
}


class Rate(NamedTuple):
    """Squares learned a second, and milliseconds of the processor for each."""

    squares: float
    processor: float


def main() -> None:
    """Measure both loops, one after the other."""
    parser = tables.options(__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--encoder", choices=["none", "deep", "all"], default="all")
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--photos", type=int, default=256, help="photographs to learn from")
    parser.add_argument("--on", type=Path, help="a folder on the disk to be used")
    wanted = parser.parse_args()
    recipe = TrainSettings(crop=wanted.crop, batch=wanted.batch, train_encoder=wanted.encoder)
    set_up_device()
    measure = partial(_rate, batch=recipe.batch, seconds=wanted.seconds)
    packages = ("tensorflow", "keras")
    with (
        tables.Report("training-speed", packages=packages, write=wanted.write) as report,
        TemporaryDirectory(dir=wanted.on) as name,
    ):
        folder = Path(name)
        for number in range(wanted.photos):
            save(folder / f"{number}.jpg", color_scene(375, 500, number), quality=90)
        textbook = measure(_textbook_step(folder, recipe))
        alone, against = map(measure, _own_steps(folder, recipe))
        share = recipe.adversarial_share
        whole = Rate(
            (1 - share) * alone.squares + share * against.squares,
            1 / ((1 - share) / alone.processor + share / against.processor),
        )
        report.begin("training-speed", COLUMNS)
        for words, rate in (
            ("textbook", textbook),
            ("photochrom, class loss alone", alone),
            ("photochrom, against the discriminator", against),
            (f"photochrom, whole training ({share:.0%} of the time against it)", whole),
        ):
            report.add(words, *rate, rate.squares / textbook.squares)


def _rate(step: Callable[[], None], batch: int, seconds: float) -> Rate:
    for _ in range(WARM):
        step()
    began, spent, steps = time.monotonic(), time.process_time(), 0
    while time.monotonic() - began < seconds:
        step()
        steps += 1
    squares = steps * batch
    processor = 1000 * (time.process_time() - spent) / squares
    return Rate(squares / (time.monotonic() - began), processor)


def _networks() -> tuple[keras.Model, keras.Model]:
    keras.utils.set_random_seed(1)
    generator = build_generator()
    load_imagenet_encoder(generator)
    return generator, build_discriminator()


def _textbook_step(folder: Path, recipe: TrainSettings) -> Callable[[], None]:
    """Return a step of the textbook's loop."""
    generator, discriminator = _networks()
    for layer in encoder_layers(generator):
        layer.trainable = recipe.train_encoder == "all"
    adam = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2)]
    for optimizer, network in zip(adam, (generator, discriminator), strict=True):
        optimizer.build(network.trainable_variables)
    waiting = iter(_tf_batches(folder, recipe))

    @tf.function
    def learn(lightness: tf.Tensor, ab: tf.Tensor, label: tf.Tensor) -> None:
        with tf.GradientTape() as mine, tf.GradientTape() as its:
            logits = generator(lightness, training=True)
            fake = picture_of(lightness, decode(logits)[0])
            on_real = discriminator(picture_of(lightness, ab), training=True)
            on_fake = discriminator(fake, training=True)
            loss = class_loss(label, logits) + adversarial_loss(on_fake)
            judged = discriminator_loss(on_real, on_fake)
        variables = generator.trainable_variables
        adam[0].apply_gradients(zip(mine.gradient(loss, variables), variables, strict=True))
        variables = discriminator.trainable_variables
        adam[1].apply_gradients(zip(its.gradient(judged, variables), variables, strict=True))

    return lambda: learn(*next(waiting))


def _tf_batches(folder: Path, recipe: TrainSettings) -> tf.data.Dataset:
    """Decode, cut and convert photographs as tutorials do, on all cores."""
    small = recipe.crop // CHROMA_STRIDE
    rng = np.random.default_rng(0)

    def convert(square: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        lab = cielab.lab_of_rgb(square).astype(np.float32)
        ab = lab[..., 1:].reshape(small, CHROMA_STRIDE, small, CHROMA_STRIDE, 2).mean((1, 3))
        return lab[..., :1] / 100, ab, dataset.label_of(ab, rng).astype(np.int32)

    def load(path: tf.Tensor) -> Any:
        photo = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        square = tf.image.random_crop(photo, (recipe.crop, recipe.crop, 3))
        square = tf.image.random_flip_left_right(square)
        lightness, ab, label = tf.numpy_function(
            convert, [square], [tf.float32, tf.float32, tf.int32]
        )
        return (
            tf.ensure_shape(lightness, (recipe.crop, recipe.crop, 1)),
            tf.ensure_shape(ab, (small, small, 2)),
            tf.ensure_shape(label, (small, small)),
        )

    return (
        tf.data.Dataset.list_files(f"{folder}/*.jpg")
        .repeat()
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(recipe.batch, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def _own_steps(
    folder: Path, recipe: TrainSettings
) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return a step by the class loss alone, and one of each network in turn."""
    generator, discriminator = _networks()
    precision = training_precision(encoder_learns=recipe.train_encoder != "none")
    generator = in_precision(generator, precision.decoder, precision.encoder)
    gan = ColorizationGAN(generator, discriminator, np.zeros(len(color_grid()), np.float32), recipe)
    photos = collection.prepare(
        (folder,), folder / "cache", recipe.validation_share, ReadSettings(), lambda *_: None
    )
    waiting = dataset.batches(photos, recipe.crop, recipe.batch, 0, 0)

    def alone() -> None:
        gan.step_alone(next(waiting), recipe.rate)

    def against() -> None:
        batch = next(waiting)
        gan.step_discriminator(batch, 3 * recipe.adversarial_rate)
        gan.step_adversarial(batch, recipe.adversarial_rate)

    return alone, against


if __name__ == "__main__":
    main()
