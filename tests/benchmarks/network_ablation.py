"""What learning encoder, new photographs, palette and color points are worth, at equal cost.

    python -m tests.benchmarks.network_ablation --validation FOLDER --out FOLDER
        [--minutes 8] [--start GENERATOR] [--later NAME]... FOLDER... [--write]

Each row goes on from the same generator, by default the built-in, for the same processor time of
all cores together, by the class loss alone; consensus and decoding are added as for a version.

frozen     the encoder stays as it is
learning   the whole encoder learns, as in the recipe
earlier    the same, without the folders named by --later
palette    the same as learning; a head guesses which of 64 palettes a photograph has, and every
           stage of the decoder is told (research/color.md, section 4, 4)
points     the same as learning; the decoder is told the true color of some places in half of the
           photographs (Zhang et al. 2017), and of none where it is scored
one shift  the generator of learning; its decoding subtracts the same shift everywhere
"""

import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import cv2
import keras
import numpy as np
from keras import KerasTensor, layers, ops
from numpy.typing import NDArray

from tests.benchmarks import tables
from tests.benchmarks.ablation import COLUMNS, PAGE, TOLD_SCORES, Clock, cosine
from worker import scan
from worker.color import cielab
from worker.inference.device import set_up_device, training_precision
from worker.models.decoding import CHROMA_STRIDE, color_grid, with_decoding
from worker.models.generator import (
    LOGITS,
    GeneratorShape,
    build_generator,
    encode,
    with_consensus,
    without_decoding,
)
from worker.models.serialization import in_precision, load_generator
from worker.models.store import ModelStore
from worker.settings import EncoderPart, ReadSettings, TrainSettings
from worker.training import gan
from worker.training.data import collection, dataset
from worker.training.data.collection import Collection
from worker.training.data.dataset import Batch
from worker.training.data.files import find_photos
from worker.training.discriminator import build_discriminator
from worker.training.evaluation import decoding_search, evaluate
from worker.training.gan import ColorizationGAN, GeneratorTask
from worker.training.losses import class_loss

RECIPE = TrainSettings(crop=192, batch=16, rate=2e-4, train_encoder="all")
PALETTES = 64
PALETTE_PHOTOS = 3000  # whose colors are grouped into palettes
PALETTE_WEIGHT = 0.1  # of the loss of the guess
TOLD = 0.5  # of the squares in training are told their palette, or points
POINTS = 1 / 8  # parameter of the geometric distribution of their number (Zhang et al. 2017)
LARGEST_POINT = 2  # places of the chroma plane around the middle: up to 5, that is 20 pixels
RENDER_SIZE = 256
AB_SCALE = 110.0
FALSE_COLORS = {"red on dark": ".1%", "chroma of neutral": ".1f", "brown": ".2f"}
TOLD_FALSE_COLORS = ("red_on_dark", "chroma_of_neutral", "brown_ratio")


class Row(NamedTuple):
    """A way to train: the network, its loss, the photographs, and what it is told with a batch."""

    network: keras.Model
    task: type[GeneratorTask]
    encoder: EncoderPart
    photos: Collection
    tell: Callable[[Batch, np.random.Generator], Any] | None = None
    served: Callable[[keras.Model], keras.Model] = lambda network: network


def main() -> None:
    """Train every row, score all on the same photographs, tell how good each is."""
    ask = tables.options(__doc__)
    ask.add_argument("train", type=Path, nargs="+", help="folders of photographs to learn from")
    ask.add_argument("--validation", type=Path, required=True, help="photographs to score on")
    ask.add_argument("--out", type=Path, required=True, help="for the scores and the cache")
    ask.add_argument("--minutes", type=float, default=8, help="processor minutes a row")
    ask.add_argument("--start", default="builtin", help="version that all rows go on from")
    ask.add_argument("--models", type=Path, help="folder of the versions")
    ask.add_argument("--later", action="append", default=[], help="name of a later folder")
    wish = ask.parse_args()
    set_up_device()
    wish.out.mkdir(parents=True, exist_ok=True)
    packages = ("tensorflow", "keras")
    with tables.Report(
        "network-ablation", packages=packages, write=wish.write, page=PAGE
    ) as report:
        scores = train_and_score(wish)
        report.begin("network-ablation", COLUMNS | FALSE_COLORS)
        for name, line in scores.items():
            report.add(name, *(line[each] for each in TOLD_SCORES + TOLD_FALSE_COLORS))


def train_and_score(wish: Namespace) -> dict[str, dict[str, Any]]:
    """Train every row, and score all on the same photographs."""

    def prepared(folders: list[Path]) -> Collection:
        share = RECIPE.validation_share
        return collection.prepare(folders, wish.out / "photographs", share, ReadSettings())

    photos = prepared(wish.train)
    earlier = prepared([one for one in wish.train if one.name not in wish.later])
    version = ModelStore(wish.models or wish.out / "models").get(wish.start)
    start = without_decoding(load_generator(version))
    rows = {
        "frozen": Row(start, GeneratorTask, "none", photos),
        "learning": Row(start, GeneratorTask, "all", photos),
        "earlier": Row(start, GeneratorTask, "all", earlier),
        "palette": palette_row(start, photos),
        "points": Row(
            with_weights_of(start, with_points()),
            GeneratorTask,
            "all",
            photos,
            tell_points,
            without_points,
        ),
    }
    held_back = [np.asarray(photos.photos[index]) for index in photos.validation[:120]]
    log_prior = dataset.log_prior(photos)
    models, steps = {}, {}
    for name, row in rows.items():
        plain, steps[name] = taught(row, log_prior, 60 * wish.minutes)
        models[name], shift = decoded(plain, held_back, log_prior)
        print(f"{name}: {steps[name]} steps, {shift}", flush=True)
        if name == "learning":
            models["one shift"] = with_one_shift(plain, log_prior)
            steps["one shift"] = steps[name]
    scored = evaluate.evaluate(
        (scan.read_color(path, ReadSettings()) for path in find_photos([wish.validation])),
        models,
        RENDER_SIZE,
    )
    table = {
        name: {"steps": steps.get(name), **one.scores.rounded()} for name, one in scored.items()
    }
    (wish.out / "scores.json").write_text(json.dumps(table, indent=1))
    return table


def taught(row: Row, log_prior: NDArray[np.float32], seconds: float) -> tuple[keras.Model, int]:
    """Train a row for its time; returns a network of lightness alone in float32, and the steps."""
    keras.utils.set_random_seed(1)
    precision = training_precision(encoder_learns=row.encoder != "none")
    network = in_precision(row.network, precision.decoder, precision.encoder)
    with patch.object(gan, "GeneratorTask", row.task):
        recipe = replace(RECIPE, train_encoder=row.encoder)
        networks = ColorizationGAN(network, build_discriminator(), log_prior, recipe)
    batches = dataset.batches(row.photos, RECIPE.crop, RECIPE.batch, 1, 0)
    rng = np.random.default_rng(1)
    clock, steps = Clock(seconds), 0
    while (share := clock.share()) < 1:
        batch = next(batches)
        if row.tell:
            batch = batch._replace(lightness=[batch.lightness, row.tell(batch, rng)])
        networks.step_alone(batch, RECIPE.rate * min(cosine(share), share * 50 + 0.01))
        steps += 1
    batches.close()
    network = row.served(networks.averaged_generator(adversarial=False))
    return in_precision(network, "float32"), steps


def decoded(
    plain: keras.Model, held_back: list[Any], log_prior: NDArray[np.float32]
) -> tuple[keras.Model, Any]:
    """Add consensus and the decoding that suits it."""
    agreed = with_consensus(plain)
    chosen = decoding_search.DecodingSearch(agreed, held_back, RENDER_SIZE).choose(log_prior)
    return with_decoding(agreed, chosen.shift * log_prior, *chosen[1:]), chosen


def with_one_shift(plain: keras.Model, log_prior: NDArray[np.float32]) -> keras.Model:
    """Decode as versions did before: a shift of 0.65 everywhere, temperature 0.5."""
    agreed = with_consensus(plain)
    logits = layers.Rescaling(2.0, offset=list(-2.0 * 0.65 * log_prior), dtype="float32")
    return keras.Model(agreed.input, logits(agreed.output))


# A decoder that is told more

Tell = Callable[[str, KerasTensor, KerasTensor, int], KerasTensor]


def told_decoder(tell: Tell) -> tuple[KerasTensor, KerasTensor]:
    """Build the generator anew: lightness and logits.

    Args:
        tell: changes what leaves the first convolution of a stage: given its name, that, the
            bottleneck averaged over the picture (N, 1, 1, C), and how many times smaller it is.
    """
    shape = GeneratorShape()
    lightness = keras.Input((None, None, 1), name="lightness")
    skips = encode(lightness)
    x = block(skips[3], shape.bottleneck, 1, "bottom")
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name="context_pool")(x)
    context = layers.Conv2D(shape.bottleneck, 1, name="context")(pooled)
    x = layers.ReLU(name="bottom_out")(layers.Add(name="bottom_with_context")([x, context]))
    for width, skip, at in zip(shape.widths, skips[2::-1], (16, 8, 4), strict=True):
        x = layers.UpSampling2D(2, interpolation="bilinear", name=f"up{at}")(x)
        x = layers.Concatenate(name=f"join{at}")([x, skip])
        x = tell(f"told{at}", block(x, width, 3, f"decode{at}"), pooled, at)
        if at > CHROMA_STRIDE:
            x = block(x, width, 3, f"refine{at}")
    return lightness, layers.Conv2D(len(color_grid()), 1, dtype="float32", name=LOGITS)(x)


def block(x: KerasTensor, filters: int, kernel: int, name: str) -> KerasTensor:
    """Build a convolution of the decoder under the name that it has in the generator."""
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=0.98, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def with_weights_of(start: keras.Model, network: keras.Model) -> keras.Model:
    """Give layers of the same name the weights of the start; the others add nothing at first."""
    names = {layer.name for layer in start.layers}
    for layer in network.layers:
        if layer.name in names and layer.weights:
            layer.set_weights(start.get_layer(layer.name).get_weights())
    return network


# Palettes


def palette_row(start: keras.Model, photos: Collection) -> Row:
    """Build the row whose decoder is told one of 64 palettes: the true one, or its own guess."""
    centers = palettes(photos)

    class PaletteTask(GeneratorTask):
        """Adds the loss of the guess."""

        def compute_loss(
            self, _x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any
        ) -> Any:
            """Add the losses up; called by Keras."""
            logits, guess = y_pred
            guess = ops.cast(guess, "float32")
            missed = ops.sparse_categorical_crossentropy(nearest(y, centers), guess)
            return class_loss(y, logits) + PALETTE_WEIGHT * ops.mean(missed)

    def tell(batch: Batch, rng: np.random.Generator) -> Any:
        true = ops.convert_to_numpy(nearest(batch.label, centers))
        told = rng.random((len(true), 1)) < TOLD
        return np.eye(PALETTES, dtype=np.float32)[true] * told

    def served(network: keras.Model) -> keras.Model:
        return with_weights_of(network, with_palette(sure=True))

    return Row(with_weights_of(start, with_palette()), PaletteTask, "all", photos, tell, served)


def palettes(photos: Collection) -> NDArray[np.float32]:
    """Group photographs by their colors: (64, K) square roots of how common each color is."""
    rng = np.random.default_rng(0)
    found = []
    for index in rng.permutation(photos.training)[:PALETTE_PHOTOS]:
        small = cv2.resize(photos.photos[index], (32, 32), interpolation=cv2.INTER_AREA)
        labels = dataset.label_of(cielab.lab_of_rgb(np.asarray(small))[..., 1:], rng).ravel()
        found.append(np.sqrt(np.bincount(labels, minlength=len(color_grid())) / labels.size))
    stop = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 50, 1e-4)
    count = min(PALETTES, len(found))
    cv2.setRNGSeed(0)
    _, _, centers = cv2.kmeans(
        np.asarray(found, np.float32), count, None, stop, 1, cv2.KMEANS_PP_CENTERS
    )
    return np.pad(np.asarray(centers), ((0, PALETTES - count), (0, 0)))


def nearest(label: Any, centers: NDArray[np.float32]) -> Any:
    """Return the palette (N,) that labels (N, s, s) are nearest to."""
    common = ops.sqrt(ops.mean(ops.one_hot(label, len(color_grid())), axis=(1, 2)))
    return ops.argmax(ops.matmul(common, centers.T) - (centers**2).sum(axis=1) / 2, axis=-1)


def with_palette(*, sure: bool = False) -> keras.Model:
    """Build the network: lightness and a palette (N, 64), or zeros, to logits and its guess.

    Args:
        sure: build that which serves, from lightness to logits: the likeliest palette is taken.
    """
    given = keras.Input((PALETTES,), name="palette")
    guesses: list[KerasTensor] = []

    def tell(name: str, x: KerasTensor, pooled: KerasTensor, _at: int) -> KerasTensor:
        if not guesses:
            flat = layers.Flatten(name="palette_pool")(pooled)
            head = layers.Dense(PALETTES, "softmax", dtype="float32", name="palette_guess")
            guesses.append(head(flat))
        (guess,) = guesses
        if sure:
            chosen = ops.one_hot(ops.argmax(guess, axis=-1), PALETTES)
        else:
            chosen = given + guess * (1 - ops.sum(given, axis=-1, keepdims=True))
        chosen = layers.Reshape((1, 1, PALETTES), name=f"{name}_palette")(chosen)
        scale, offset = (
            layers.Conv2D(x.shape[-1], 1, kernel_initializer="zeros", name=f"{name}_{what}")(chosen)
            for what in ("scale", "offset")
        )
        return layers.Add(name=name)(
            [x, layers.Multiply(name=f"{name}_scaled")([x, scale]), offset]
        )

    lightness, logits = told_decoder(tell)
    if sure:
        return keras.Model(lightness, logits)
    return keras.Model([lightness, given], [logits, guesses[0]])


# Color points


def with_points() -> keras.Model:
    """Build the network: lightness and points (N, S/4, S/4, 3: ab and 1 where one is) to logits."""
    points = keras.Input((None, None, 3), name="points")

    def tell(name: str, x: KerasTensor, _pooled: KerasTensor, at: int) -> KerasTensor:
        near = points
        if at > CHROMA_STRIDE:
            near = layers.AveragePooling2D(at // CHROMA_STRIDE, name=f"{name}_pool")(points)
        everywhere = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(points)
        adds = [
            layers.Conv2D(
                x.shape[-1],
                size,
                padding="same",
                use_bias=False,
                kernel_initializer="zeros",
                name=f"{name}_{what}",
            )(told)
            for what, size, told in (("near", 3, near), ("everywhere", 1, everywhere))
        ]
        return layers.Add(name=name)([x, *adds])

    lightness, logits = told_decoder(tell)
    return keras.Model([lightness, points], logits)


def tell_points(batch: Batch, rng: np.random.Generator) -> Any:
    """Draw points as users would set them: few, near the middle, of the mean color there."""
    told = np.zeros((*batch.ab.shape[:3], 3), np.float32)
    side = batch.ab.shape[1]
    for truth, points in zip(batch.ab, told, strict=True):
        if rng.random() >= TOLD:
            continue
        for _ in range(rng.geometric(POINTS)):
            size = int(rng.integers(0, LARGEST_POINT + 1))
            y, x = np.clip(rng.normal(side / 2, side / 4, 2), size, side - 1 - size).astype(int)
            place = slice(y - size, y + size + 1), slice(x - size, x + size + 1)
            points[place] = *truth[place].mean(axis=(0, 1)) / AB_SCALE, 1.0
    return told


def without_points(network: keras.Model) -> keras.Model:
    """Return the network as it is where nobody sets a point: then those layers add nothing."""
    return with_weights_of(network, build_generator())


if __name__ == "__main__":
    main()
