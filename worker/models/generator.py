"""The generator: a U-Net from lightness to a distribution over colors, at a quarter of its size.

The encoder is EfficientNet-Lite0, pretrained on ImageNet; the head is a distribution over a grid of
CIE ab colors (Zhang et al. 2016, "Colorful Image Colorization"). It uses built-in Keras layers
only, so a saved generator loads in safe mode and on every backend.
"""

from dataclasses import dataclass
from importlib.resources import files

import keras
import numpy as np
from keras import KerasTensor, layers

from worker.models.decoding import CHROMA_STRIDE, color_grid, plain_logits

ENCODER_WEIGHTS = "efficientnet_lite0_imagenet.npz"
ENCODER_BLOCKS = (  # repeats, kernel, stride, expansion, channels (Liu 2020, EfficientNet-Lite0)
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
DEEP_FROM = 8  # of 16 blocks: the first whose features are objects rather than edges
SIZE_MULTIPLE = 32  # the encoder halves five times
ENCODER = "encoder_"  # the names of the encoder's layers begin so
LOGITS = "logits"  # this layer is float32 under every precision policy
CONSENSUS = "consensus"  # the layer that averages features over surfaces
WINDOW = 21  # pixels at a quarter of the size, about a third of the picture at 256 pixels
SMOOTH_BELOW = 0.055  # steps in lightness that are not the edge of a surface


@dataclass(frozen=True)
class GeneratorShape:
    """The sizes that determine the shapes of the weights; saved in the layers of the file."""

    bottleneck: int = 256  # channels at 1/32
    widths: tuple[int, int, int] = (256, 128, 64)  # decoder channels at 1/16, 1/8, 1/4


def build_generator(shape: GeneratorShape | None = None) -> keras.Model:
    """Build the U-Net with random weights.

    Args:
        shape: widths of the decoder; by default those of the built-in version.

    Returns:
        a model from lightness (N, S, S, 1) in 0..1 (CIE L* / 100), S a multiple of 32, to float32
        logits over `color_grid()` (N, S/4, S/4, K).
    """
    shape = shape or GeneratorShape()
    lightness = keras.Input((None, None, 1), name="lightness")
    skips = encode(lightness)  # at 1/4, 1/8, 1/16, 1/32

    x = _conv(skips[3], shape.bottleneck, 1, "bottom")
    context = layers.GlobalAveragePooling2D(keepdims=True, name="context_pool")(x)
    context = layers.Conv2D(shape.bottleneck, 1, name="context")(context)
    x = layers.ReLU(name="bottom_out")(layers.Add(name="bottom_with_context")([x, context]))

    for width, skip, at in zip(shape.widths, skips[2::-1], (16, 8, 4), strict=True):
        x = layers.UpSampling2D(2, interpolation="bilinear", name=f"up{at}")(x)
        x = layers.Concatenate(name=f"join{at}")([x, skip])
        x = _conv(x, width, 3, f"decode{at}")
        if at > CHROMA_STRIDE:  # a second convolution where it is cheap
            x = _conv(x, width, 3, f"refine{at}")

    logits = layers.Conv2D(len(color_grid()), 1, dtype="float32", name=LOGITS)(x)
    return keras.Model(lightness, logits, name="generator")


def encode(lightness: KerasTensor) -> list[KerasTensor]:
    """Build EfficientNet-Lite0 on an input, with batch norms folded into the convolutions.

    Args:
        lightness: (N, S, S, 1) in 0..1, or RGB (N, S, S, 3).

    Returns:
        the last features at 1/4, 1/8, 1/16 and 1/32: 24, 40, 112 and 320 channels.
    """
    x = layers.Rescaling(255 / 128, offset=-127 / 128, name=f"{ENCODER}input")(lightness)
    x = layers.Conv2D(32, 3, strides=2, padding="same", name=f"{ENCODER}stem")(x)
    x = layers.ReLU(6.0, name=f"{ENCODER}stem_relu")(x)
    skips = []
    index, inputs = 0, 32
    for repeats, kernel, stride, expansion, outputs in ENCODER_BLOCKS:
        for repeat in range(repeats):
            step = stride if repeat == 0 else 1
            if step == 2:
                skips.append(x)
            name = f"{ENCODER}{index}"
            y = x
            if expansion > 1:
                y = layers.Conv2D(inputs * expansion, 1, name=f"{name}_expand")(y)
                y = layers.ReLU(6.0, name=f"{name}_expand_relu")(y)
            y = layers.DepthwiseConv2D(
                kernel, strides=step, padding="same", name=f"{name}_depthwise"
            )(y)
            y = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(y)
            y = layers.Conv2D(outputs, 1, name=f"{name}_project")(y)
            x = layers.Add(name=f"{name}_add")([x, y]) if step == 1 and inputs == outputs else y
            index, inputs = index + 1, outputs
    return [*skips[1:], x]


def _conv(x: KerasTensor, filters: int, kernel: int, name: str) -> KerasTensor:
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, name=name)(x)
    x = layers.BatchNormalization(momentum=0.98, name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def load_imagenet_encoder(generator: keras.Model) -> None:
    """Load EfficientNet-Lite0's ImageNet weights (Google, Apache-2.0) into the encoder.

    Raises:
        ValueError: the encoder has another shape.
    """
    with (
        (files("worker") / "weights" / ENCODER_WEIGHTS).open("rb") as file,
        np.load(file, allow_pickle=False) as saved,
    ):
        for layer in encoder_layers(generator):
            layer.set_weights(
                [
                    saved[f"{layer.name}/kernel"].astype(np.float32),
                    saved[f"{layer.name}/bias"].astype(np.float32),
                ]
            )


def encoder_layers(generator: keras.Model) -> list[keras.Layer]:
    """Return the pretrained layers of a generator that have weights."""
    return [layer for layer in generator.layers if layer.name.startswith(ENCODER) and layer.weights]


def deep_encoder_layers(generator: keras.Model) -> list[keras.Layer]:
    """Return the `encoder_layers` from those at 1/16 with 112 channels on."""
    deep = tuple(f"{ENCODER}{index}_" for index in range(DEEP_FROM, 16))
    return [layer for layer in encoder_layers(generator) if layer.name.startswith(deep)]


def with_consensus(generator: keras.Model) -> keras.Model:
    """Average features over surfaces, so that each gets one color.

    The texture of a coat does not tell its color, so pixel by pixel red or blue wins by chance. A
    guided filter (He et al. 2013) with lightness as its guide averages over about a third of the
    picture, but not across edges; the result is mixed half and half with the original. The filter
    is linear, and so are the logits in the features before them; filtering those gives the same
    result for a quarter of the work.

    Args:
        generator: as trained; not changed.

    Returns:
        a copy with consensus, from lightness to logits; `with_decoding` goes on top.
    """
    plain = keras.models.clone_model(generator)
    plain.set_weights(generator.get_weights())
    head = plain.get_layer(LOGITS)
    features = head.input  # (N, s, s, C)
    guide = _mean(plain.input, (CHROMA_STRIDE, CHROMA_STRIDE), CHROMA_STRIDE)  # (N, s, s, 1)
    mean_guide, mean = _around(guide), _around(features)
    variance = _subtract(_around(_multiply(guide, guide)), _multiply(mean_guide, mean_guide))
    covariance = _subtract(_around(_multiply(features, guide)), _multiply(mean, mean_guide))
    slope = covariance / (variance + SMOOTH_BELOW**2)
    offset = _subtract(mean, _multiply(slope, mean_guide))
    agreed = layers.Add()([_multiply(_around(slope), guide), _around(offset)])
    mixed = layers.Average(name=CONSENSUS)([features, agreed])
    return keras.Model(plain.input, head(mixed), name="generator")


def _around(x: KerasTensor) -> KerasTensor:
    """Average over a square window around each pixel, clipped at the border."""
    return _mean(_mean(x, (WINDOW, 1), 1), (1, WINDOW), 1)


def _mean(x: KerasTensor, window: tuple[int, int], strides: int) -> KerasTensor:
    return layers.AveragePooling2D(window, strides=strides, padding="same")(x)


def _multiply(one: KerasTensor, other: KerasTensor) -> KerasTensor:
    return layers.Multiply()([one, other])


def _subtract(one: KerasTensor, other: KerasTensor) -> KerasTensor:
    return layers.Subtract()([one, other])


def without_decoding(generator: keras.Model) -> keras.Model:
    """Return the trainable model up to its logits, without decoding and consensus."""
    names = {layer.name for layer in generator.layers}
    if CONSENSUS in names:
        features = generator.get_layer(CONSENSUS).input[0]
        logits = generator.get_layer(LOGITS)(features)
    else:
        logits = plain_logits(generator)
    return keras.Model(generator.input, logits, name="generator")
