"""Small generators made for tests, untrained and quick, yet colorful enough to serve."""

import keras
import numpy as np

from worker.models.decoding import color_grid, with_decoding
from worker.models.generator import LOGITS, GeneratorShape, build_generator, load_imagenet_encoder

SMALL = GeneratorShape(8, (8, 8, 8))
VIVID = 6.0  # how much surer of its random colors; the canary wants many colors


def vivid_generator(seed: int = 7, shape: GeneratorShape = SMALL) -> keras.Model:
    """Build a generator, with its decoding, that gives each texture another color.

    Its colors have no sense, but they depend on what it sees, and the canary lets it pass. Another
    seed gives other colors.
    """
    keras.utils.set_random_seed(seed)
    generator = build_generator(shape)
    load_imagenet_encoder(generator)
    logits = generator.get_layer(LOGITS)
    kernel, bias = logits.get_weights()
    logits.set_weights([VIVID * kernel, bias])
    return with_decoding(generator, np.zeros(len(color_grid())), 0.6)


def tiny_generator(seed: int, features: int = 16) -> keras.Model:
    """Build two layers with a generator's mouth and ears, for tests of what is around it.

    Random colors like `vivid_generator`'s in a hundredth of the time; the canary lets seeds 2, 3
    and 4 pass.
    """
    keras.utils.set_random_seed(seed)
    lightness = keras.Input((None, None, 1), name="lightness")
    x = keras.layers.Conv2D(
        features,
        4,
        strides=4,
        activation="relu",
        kernel_initializer=keras.initializers.RandomNormal(0, 1),
        bias_initializer=keras.initializers.RandomNormal(0, 1),
        name="look",
    )(lightness)
    logits = keras.layers.Conv2D(
        len(color_grid()), 1, kernel_initializer=keras.initializers.RandomNormal(0, 8), name=LOGITS
    )(x)
    generator = keras.Model(lightness, logits, name="generator")
    return with_decoding(generator, np.zeros(len(color_grid())), 0.6)
