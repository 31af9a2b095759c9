"""What each part of the recipe is worth: one part less, the same photographs and processor time.

    python -m tests.benchmarks.ablation --validation FOLDER --out FOLDER --minutes 20 FOLDER...
        [--write]

Time is that of all cores together: other work on the machine takes nothing from a row. Rows of the
table, which docs/training.md has:

textbook       a plain U-Net from scratch, L1 on ab, sigmoid discriminator, binary cross-entropy,
               Adam, one step each in turn (Isola et al. 2017, and every tutorial since)
class          the recipe of `photochrom train` with the class loss alone, to the end
adversarial    the recipe as shipped: the last quarter against the discriminator
+ regression   the same, and a Huber loss on the decoded color
+ colorfulness the same, and the colorfulness loss of DDColor (Kang et al. 2023)
deep encoder   the recipe as shipped, but the deep half of the encoder learns too (slower steps)

The four in the middle share their first three quarters.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from tests.benchmarks import tables
from worker import scan
from worker.color.cielab import Pixels
from worker.inference.device import set_up_device, training_precision
from worker.models.decoding import color_grid, decode, doubt, with_decoding
from worker.models.generator import build_generator, load_imagenet_encoder, with_consensus
from worker.models.serialization import in_precision
from worker.settings import EncoderPart, ReadSettings, TrainSettings
from worker.training import gan
from worker.training.data import collection, dataset
from worker.training.data.dataset import Batch
from worker.training.data.files import find_photos
from worker.training.discriminator import build_discriminator
from worker.training.evaluation import decoding_search, evaluate
from worker.training.evaluation.contact_sheet import contact_sheet
from worker.training.gan import ColorizationGAN, GeneratorTask

PAGE = tables.PAGE.with_name("training.md")
COLUMNS = {
    "row": "",
    "steps": "",
    "PSNR gain, dB": "+.2f",
    "ab RMSE": ".2f",
    "colorfulness": ".2f",
    "kernel distance": ".3f",
    "agreement": ".3f",
}
TOLD_SCORES = ("steps", "psnr_gain", "ab_rmse", "colorfulness_ratio", "kernel_share", "agreement")
SETTINGS = TrainSettings()
ALONE = 0.75  # of the time, before the rows part
SCALE = 110.0  # brings ab to -1..1
L1_WEIGHT = 100.0  # of the textbook
RENDER_SIZE = 256
SHOWN = 10  # photographs on the sheet
TEXTBOOK, DEEP = "textbook", "deep encoder"  # the first row and the last


class Clock:
    """Seconds of processor time since it was made, as if on all cores at once."""

    def __init__(self, seconds: float) -> None:
        """Start."""
        self._start, self._length = time.process_time(), seconds

    def share(self) -> float:
        """Return the share of the length that is over."""
        return (time.process_time() - self._start) / self._length


class PlusRegression(GeneratorTask):
    """The adversarial stage with a Huber loss on the decoded color."""

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any
    ) -> Any:
        """Add it to the losses."""
        loss = super().compute_loss(x, y, y_pred)
        if self.adversarial_weight:
            true = ops.take(ops.convert_to_tensor(color_grid()), y, axis=0)
            off = ops.abs(decode(y_pred)[0] - true) / 10
            loss = loss + ops.mean(ops.where(off < 1, off * off / 2, off - 0.5))
        return loss


class PlusColorfulness(GeneratorTask):
    """The adversarial stage with a prize for colorfulness, 1 - M3 / 100, on ab as opponents."""

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any
    ) -> Any:
        """Add it to the losses, with DDColor's weight of 0.5."""
        loss = super().compute_loss(x, y, y_pred)
        if self.adversarial_weight:
            ab = self.decode_for_discriminator(y_pred)
            mean, deviation = ops.mean(ab, axis=(1, 2)), ops.std(ab, axis=(1, 2))
            m3 = ops.norm(deviation, axis=-1) + 0.3 * ops.norm(mean, axis=-1)
            loss = loss + 0.5 * ops.mean(1 - m3 / 100)
        return loss


def textbook_generator() -> keras.Model:
    """Build pix2pix's U-Net for lightness to ab in -1..1, all at full size."""
    lightness = keras.Input((None, None, 1))
    skips, x = [], lightness
    for number, filters in enumerate((64, 128, 256, 512, 512)):
        x = layers.Conv2D(filters, 4, strides=2, padding="same", use_bias=False)(x)
        x = x if number == 0 else layers.BatchNormalization()(x)
        x = layers.LeakyReLU(0.2)(x)
        skips.append(x)
    for number, (filters, skip) in enumerate(zip((512, 256, 128, 64), skips[-2::-1], strict=True)):
        x = layers.Conv2DTranspose(filters, 4, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.Dropout(0.5)(x) if number < 2 else x
        x = layers.Concatenate()([layers.ReLU()(x), skip])
    x = layers.Conv2DTranspose(2, 4, strides=2, padding="same")(x)
    return keras.Model(lightness, layers.Activation("tanh", dtype="float32")(x))


def textbook_discriminator() -> keras.Model:
    """Build pix2pix's patch discriminator with its sigmoid, over lightness and ab."""
    picture = keras.Input((None, None, 3))
    x = picture
    for number, filters in enumerate((64, 128, 256)):
        x = layers.Conv2D(filters, 4, strides=2, padding="same", use_bias=False)(x)
        x = x if number == 0 else layers.BatchNormalization()(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.Conv2D(512, 4, padding="same", use_bias=False)(x)
    x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(x))
    x = layers.Conv2D(1, 4, padding="same")(x)
    return keras.Model(picture, layers.Activation("sigmoid", dtype="float32")(x))


def train_textbook(batches: Iterator[Batch], seconds: float) -> tuple[keras.Model, int]:
    """Train both in turn; returns a generator of ab (N, S/4, S/4, 2), and its steps."""
    generator, discriminator = textbook_generator(), textbook_discriminator()
    adam = [keras.optimizers.Adam(2e-4, beta_1=0.5) for _ in range(2)]
    entropy = keras.losses.BinaryCrossentropy()
    for optimizer, network in zip(adam, (generator, discriminator), strict=True):
        optimizer.build(network.trainable_variables)

    @tf.function
    def step(lightness: tf.Tensor, ab: tf.Tensor) -> None:
        true = tf.image.resize(ab / SCALE, tf.shape(lightness)[1:3])
        with tf.GradientTape() as mine, tf.GradientTape() as its:
            fake = generator(lightness, training=True)
            light = lightness * 2 - 1
            on_real = discriminator(tf.concat([light, true], -1), training=True)
            on_fake = discriminator(tf.concat([light, fake], -1), training=True)
            loss = entropy(tf.ones_like(on_fake), on_fake)
            loss += L1_WEIGHT * tf.reduce_mean(tf.abs(true - fake))
            judged = entropy(tf.ones_like(on_real), on_real)
            judged += entropy(tf.zeros_like(on_fake), on_fake)
        variables = generator.trainable_variables
        adam[0].apply_gradients(zip(mine.gradient(loss, variables), variables, strict=True))
        variables = discriminator.trainable_variables
        adam[1].apply_gradients(zip(its.gradient(judged, variables), variables, strict=True))

    clock, steps = Clock(seconds), 0
    while clock.share() < 1:
        batch = next(batches)
        step(batch.lightness, batch.ab)
        steps += 1
    small = layers.AveragePooling2D(4, dtype="float32")(generator.output)
    ab = layers.Rescaling(SCALE, dtype="float32")(small)
    return keras.Model(generator.input, ab), steps


def networks(
    log_prior: np.ndarray, task: type[GeneratorTask], weight: float, encoder: EncoderPart = "none"
) -> ColorizationGAN:
    """Build the networks of the recipe, from the ImageNet encoder and nothing else."""
    keras.utils.set_random_seed(1)
    generator = build_generator()
    load_imagenet_encoder(generator)
    precision = training_precision(encoder_learns=encoder != "none")
    generator = in_precision(generator, precision.decoder, precision.encoder)
    with patch.object(gan, "GeneratorTask", task):
        settings = replace(SETTINGS, adversarial_weight=weight, train_encoder=encoder)
        return ColorizationGAN(generator, build_discriminator(), log_prior, settings)


def cosine(share: float) -> float:
    """Fall from 1 to 0.02."""
    return 0.02 + 0.98 * 0.5 * (1 + float(np.cos(np.pi * min(share, 1.0))))


def teach_alone(networks: ColorizationGAN, batches: Iterator[Batch], seconds: float) -> int:
    """Run the shared first stage."""
    clock, steps = Clock(seconds), 0
    while (share := clock.share()) < 1:
        networks.step_alone(next(batches), SETTINGS.rate * min(cosine(share), share * 50 + 0.01))
        steps += 1
    return steps


def teach_on(
    networks: ColorizationGAN, batches: Iterator[Batch], seconds: float, *, judged: bool
) -> int:
    """Run the last quarter, with or without the discriminator."""
    networks.begin_adversarial()
    clock, steps = Clock(seconds), 0
    if judged:
        for _ in range(40):
            networks.step_discriminator(next(batches), 3 * SETTINGS.adversarial_rate)
    while (share := clock.share()) < 1:
        batch, rate = next(batches), SETTINGS.adversarial_rate * cosine(share)
        if judged:
            networks.step_discriminator(batch, 3 * rate)
        networks.step_adversarial(batch, rate)
        steps += 1
    return steps


ROWS: dict[str, tuple[type[GeneratorTask], bool]] = {
    "class": (GeneratorTask, False),
    "adversarial": (GeneratorTask, True),
    "+ regression": (PlusRegression, True),
    "+ colorfulness": (PlusColorfulness, True),
}


ORDER = (TEXTBOOK, *ROWS, DEEP)


def of_ab_or_logits(out: Any, gain: float) -> Any:
    """Decode logits; what is ab already stays, without a spread."""
    return (out, ops.zeros_like(out[..., :1])) if out.shape[-1] == 2 else decode(out, gain)


def doubt_of_ab_or_logits(plain: Any, ab: Any) -> Any:
    """Return the doubt of logits; a network that gives ab tells of none."""
    return ops.zeros(ab.shape[0]) if plain.shape[-1] == 2 else doubt(plain, ab)


def main() -> None:
    """Train every row, tell how good each is, write scores and sheet."""
    ask = tables.options(__doc__)
    ask.add_argument("train", type=Path, nargs="+", help="folders of photographs to learn from")
    ask.add_argument("--validation", type=Path, required=True, help="photographs to score on")
    ask.add_argument("--out", type=Path, required=True, help="for generators, scores and sheet")
    ask.add_argument("--cache", type=Path, help="decoded photographs of an earlier training")
    ask.add_argument("--minutes", type=float, default=20, help="processor minutes a row")
    ask.add_argument("--shown", default="*", help="names of photographs for the sheet")
    ask.add_argument("--rows", nargs="*", choices=ORDER, default=ORDER, help="all by default")
    wish = ask.parse_args()
    set_up_device()
    wish.out.mkdir(parents=True, exist_ok=True)
    packages = ("tensorflow", "keras")
    with tables.Report("ablation", packages=packages, write=wish.write, page=PAGE) as report:
        scores = score(wish, *train_rows(wish))
        report.begin("ablation", COLUMNS)
        for name, line in scores.items():
            report.add(name, *(line[each] for each in TOLD_SCORES))


def train_rows(wish: argparse.Namespace) -> tuple[dict[str, keras.Model], dict[str, int]]:
    """Train the rows that are wished for; return what would be served, and the steps of each."""
    photos = collection.prepare(
        wish.train,
        wish.cache or wish.out / "photographs",
        SETTINGS.validation_share,
        ReadSettings(),
    )
    log_prior = dataset.log_prior(photos)
    held_back = [np.asarray(photos.photos[index]) for index in photos.validation[:120]]
    seconds = 60 * wish.minutes

    def batches(first: int) -> Iterator[Batch]:
        return dataset.batches(photos, SETTINGS.crop, SETTINGS.batch, 1, first)

    def served(name: str, row: ColorizationGAN) -> keras.Model:
        agreed = with_consensus(in_precision(row.averaged_generator(adversarial=True), "float32"))
        chosen = decoding_search.DecodingSearch(agreed, held_back, RENDER_SIZE).choose(log_prior)
        model = with_decoding(agreed, chosen.shift * log_prior, *chosen[1:])
        model.save(wish.out / f"{name.replace('+ ', 'plus_').replace(' ', '_')}.keras")
        print(name, steps[name], chosen, flush=True)
        return model

    models, steps = {}, {}
    weight = SETTINGS.adversarial_weight
    if rows := [name for name in ROWS if name in wish.rows]:
        shared = networks(log_prior, GeneratorTask, 0.0)
        first = teach_alone(shared, batches(0), ALONE * seconds)
        state = shared.state()
    for name in rows:
        task, judged = ROWS[name]
        row = networks(log_prior, task, weight if judged else 0.0)
        row.restore(state)
        steps[name] = first + teach_on(row, batches(first), (1 - ALONE) * seconds, judged=judged)
        models[name] = served(name, row)
    if DEEP in wish.rows:
        deep = networks(log_prior, GeneratorTask, weight, "deep")
        first = teach_alone(deep, batches(0), ALONE * seconds)
        steps[DEEP] = first + teach_on(deep, batches(first), (1 - ALONE) * seconds, judged=True)
        models[DEEP] = served(DEEP, deep)
    if TEXTBOOK in wish.rows:
        models[TEXTBOOK], steps[TEXTBOOK] = train_textbook(batches(0), seconds)
    return models, steps


def score(
    wish: argparse.Namespace, models: dict[str, keras.Model], steps: dict[str, int]
) -> dict[str, dict[str, Any]]:
    """Score all rows on photographs that none has seen, and lay some side by side."""
    order = [name for name in ORDER if name in models]
    shown = sorted(wish.validation.glob(wish.shown))[:SHOWN]
    paths = [*shown, *(set(find_photos([wish.validation])) - set(shown))]
    rows: list[Sequence[Pixels]] = []

    def watch(one: evaluate.Colored) -> None:
        if len(rows) < len(shown):
            rows.append([one.outputs["gray"], *(one.outputs[name] for name in order), one.truth])

    with (
        patch.object(decoding_search, "decode", of_ab_or_logits),
        patch.object(evaluate, "doubt", doubt_of_ab_or_logits),
    ):
        scored = evaluate.evaluate(
            (scan.read_color(path, ReadSettings()) for path in paths),
            {name: models[name] for name in order},
            RENDER_SIZE,
            watch,
        )
    sheet = contact_sheet(rows, ["before", *order, "truth"])
    cv2.imwrite(str(wish.out / "sheet.jpg"), sheet[..., ::-1])
    table = {
        name: {"steps": steps.get(name), **one.scores.rounded()} for name, one in scored.items()
    }
    (wish.out / "scores.json").write_text(json.dumps(table, indent=1))
    return table


if __name__ == "__main__":
    main()
