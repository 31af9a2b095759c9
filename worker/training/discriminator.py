"""The discriminator: tells true colors from generated ones, patch by patch."""

import keras
from keras import layers

FILTERS = (64, 128, 256)
CHANNELS = 3  # lightness and ab


def build_discriminator() -> keras.Model:
    """Build a patch discriminator (Isola et al. 2017), spectrally normalized (Miyato et al. 2018).

    Returns:
        a model from (N, s, s, 3) float32 (lightness in -1..1, ab / 110) to logits (N, s/8, s/8, 1),
        above 0 for "real". It stays in float32 under any precision policy, because the generator
        learns from its gradients.
    """
    picture = keras.Input((None, None, CHANNELS), name="picture", dtype="float32")
    x = picture
    for number, filters in enumerate(FILTERS):
        x = _normalized(
            layers.Conv2D(filters, 4, strides=2, padding="same", dtype="float32"), f"look{number}"
        )(x)
        x = layers.LeakyReLU(0.2, dtype="float32", name=f"relu{number}")(x)
    logits = _normalized(layers.Conv2D(1, 3, padding="same", dtype="float32"), "verdict")(x)
    return keras.Model(picture, logits, name="discriminator")


def _normalized(layer: keras.Layer, name: str) -> keras.Layer:
    return layers.SpectralNormalization(layer, dtype="float32", name=name)
