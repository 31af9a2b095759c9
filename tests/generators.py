"""Small generators made for tests, untrained and quick, yet colorful enough to serve."""

import keras
import numpy as np

from worker.generator import (
    LOGITS,
    GeneratorShape,
    build_generator,
    color_grid,
    load_imagenet_encoder,
    with_decoding,
)

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
