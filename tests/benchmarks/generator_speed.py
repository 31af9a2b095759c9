"""How fast does the built-in generator color, beside another version and ECCV16-size networks?

    python -m tests.benchmarks.generator_speed [--with generator.keras ...] [--rounds 9]
        [--precision float32 bfloat16] [--batch 8] [--side 256] [--seconds 1] [--write]

Each network gets lightness and returns color; nothing else is done. Of photochrom's that is the
graph that the service runs: consensus, decoding and the confidence included. Beside it the network
of Zhang et al. 2016 ("Colorful Image Colorization", ECCV), of which only the size counts here: its
weights are random. `--with` takes files that photochrom wrote, and loads them as the service does.

In each round every network colors batches for so many seconds, one network after the other; told
are medians of all rounds, and how many times the speed of the ECCV16-size network that is in the
same precision. bfloat16 is measured where the processor computes in it.
"""

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import keras
import tensorflow as tf
from keras import layers

from tests.benchmarks import tables
from worker.inference.colorizer import Colorizer
from worker.inference.device import POLICIES, Device, computes_in_bfloat16, set_up_device
from worker.models.store import built_in
from worker.models.version import GENERATOR_FILE, ModelVersion, digest
from worker.settings import ColorSettings

ECCV16 = "ECCV16-size network"
BINS = 313  # colors in the head of Zhang et al.
COLUMNS = {
    "network": "",
    "precision": "",
    "million weights": ".1f",
    "photographs /s": ".2f",
    "processor, ms a photograph": ".1f",
    "times ECCV16": ".1f",
}


class Network(NamedTuple):
    """A network in one precision, ready to color a batch."""

    name: str
    precision: str
    weights: int
    color: Callable[[], object]


class Rate(NamedTuple):
    """Photographs a second, and processor milliseconds for each."""

    speed: float
    processor: float


def main() -> None:
    """Measure all networks in turn."""
    parser = tables.options(__doc__)
    parser.add_argument("--with", type=Path, nargs="*", default=[], dest="others")
    parser.add_argument("--precision", nargs="*", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--batch", type=int, default=8, help="photographs in a call")
    parser.add_argument("--side", type=int, default=256, help="of a photograph, in pixels")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a network in a round")
    parser.add_argument("--on", type=Path, help="a folder on the disk to be used")
    wanted = parser.parse_args()
    with (
        tables.Report(
            "generator-speed", packages=("tensorflow", "keras"), write=wanted.write
        ) as report,
        TemporaryDirectory(dir=wanted.on) as folder,
    ):
        device = set_up_device()
        squares = tf.random.uniform((wanted.batch, wanted.side, wanted.side, 1), seed=1)
        versions = [built_in(), *versions_of(wanted.others, Path(folder))]
        networks = [
            network
            for precision in wanted.precision
            if precision == "float32" or computes_in_bfloat16()
            for network in (
                eccv16_size(precision, squares),
                *(generator(version, precision, squares, device) for version in versions),
            )
        ]
        for network in networks:
            network.color()  # traces the graph
        rates: list[list[Rate]] = [[] for _ in networks]
        for _ in range(wanted.rounds):
            for network, found in zip(networks, rates, strict=True):
                found.append(rate(network, wanted.batch, wanted.seconds))
        report.begin("generator-speed", COLUMNS)
        measured = [Rate(*map(statistics.median, zip(*found, strict=True))) for found in rates]
        for network, each in zip(networks, measured, strict=True):
            beside = next(
                other.speed
                for one, other in zip(networks, measured, strict=True)
                if (one.name, one.precision) == (ECCV16, network.precision)
            )
            millions = network.weights / 1e6
            report.add(network.name, network.precision, millions, *each, each.speed / beside)


def versions_of(paths: list[Path], folder: Path) -> Iterator[ModelVersion]:
    """Lay files of generators as versions in a folder, with no more than a digest in their card."""
    for number, path in enumerate(paths):
        home = folder / str(number)
        home.mkdir()
        shutil.copyfile(path, home / GENERATOR_FILE)
        yield ModelVersion(str(path), home, {"sha256": digest(home / GENERATOR_FILE)})


def generator(version: ModelVersion, precision: str, squares: tf.Tensor, device: Device) -> Network:
    """Load a version as the service does; its graph is the service's own."""
    settings = ColorSettings(
        render_size=squares.shape[1], batch_size=squares.shape[0], precision=precision
    )
    colorizer = Colorizer(version, settings, device)

    def color() -> object:
        ab, doubt = colorizer._run(squares)
        return ab.numpy(), doubt.numpy()

    return Network(version.name, precision, colorizer._generator.count_params(), color)


def eccv16_size(precision: str, squares: tf.Tensor) -> Network:
    """Build the network of Zhang et al. 2016 with random weights."""
    model = zhang_2016(POLICIES[precision])
    run = tf.function(
        lambda lightness: model(lightness, training=False),
        autograph=False,
        input_signature=[tf.TensorSpec((None, *squares.shape[1:]), tf.float32)],
    )
    return Network(ECCV16, precision, model.count_params(), lambda: run(squares).numpy())


def zhang_2016(policy: str) -> keras.Model:
    """Build it from lightness (N, S, S, 1) to ab (N, S, S, 2), in a Keras dtype policy.

    Eight groups of convolutions with a ReLU behind each and a normalization behind all but the last
    group; then probabilities of 313 colors at a quarter of the size, and their mean.
    """

    def convolve(x: keras.KerasTensor, filters: int, **how: int) -> keras.KerasTensor:
        return layers.Conv2D(filters, 3, padding="same", activation="relu", dtype=policy, **how)(x)

    lightness = x = keras.Input((None, None, 1))
    for filters, first in ((64, 1), (128, 1), (256, 2)):  # each group halves at its end
        for _ in range(first):
            x = convolve(x, filters)
        x = layers.BatchNormalization(dtype=policy)(convolve(x, filters, strides=2))
    for dilation in (1, 2, 2, 1):
        for _ in range(3):
            x = convolve(x, 512, dilation_rate=dilation)
        x = layers.BatchNormalization(dtype=policy)(x)
    x = layers.Conv2DTranspose(256, 4, strides=2, padding="same", activation="relu", dtype=policy)(
        x
    )
    x = convolve(convolve(x, 256), 256)
    probabilities = layers.Softmax(dtype="float32")(layers.Conv2D(BINS, 1, dtype=policy)(x))
    ab = layers.Conv2D(2, 1, use_bias=False, dtype="float32")(probabilities)
    return keras.Model(lightness, layers.UpSampling2D(4, interpolation="bilinear")(ab))


def rate(network: Network, batch: int, seconds: float) -> Rate:
    """Color the same batch again and again for some seconds."""
    began, spent, calls = time.monotonic(), time.process_time(), 0
    while calls == 0 or time.monotonic() - began < seconds:
        network.color()
        calls += 1
    photographs = calls * batch
    processor = 1000 * (time.process_time() - spent) / photographs
    return Rate(photographs / (time.monotonic() - began), processor)


if __name__ == "__main__":
    main()
