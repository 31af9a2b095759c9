"""Features of an ImageNet classifier, in which the kernel distance is measured.

EfficientNet-Lite0 in color with its head: 1,280 pooled features and one of 1,000 classes. A
well-colored photograph has features like those of the true one.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import cv2
import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

from worker.color.cielab import Floats, Pixels
from worker.models.generator import ENCODER_WEIGHTS, encode

HEAD_WEIGHTS = "efficientnet_lite0_head.npz"  # what ENCODER_WEIGHTS lacks: RGB stem, head, classes
SIDE = 224  # input size it was trained at, pixels
BATCH = 8  # photographs in one call
FEATURES, CLASSES = 1280, 1000


class Seen(NamedTuple):
    """The classifier's output for P photographs.

    Attributes:
        features: (P, 1280) float32, 0 to 6.
        classes: (P,) integers, ImageNet classes 0..999.
    """

    features: Floats
    classes: NDArray[np.intp]


def see(photos: Sequence[Pixels]) -> Seen:
    """Classify photographs (H, W, 3) uint8 sRGB of any size, stretched to 224 x 224."""
    features = np.empty((len(photos), FEATURES), np.float32)
    classes = np.empty(len(photos), np.intp)
    for start in range(0, len(photos), BATCH):
        some = photos[start : start + BATCH]
        squares = np.zeros((BATCH, SIDE, SIDE, 3), np.float32)
        for place, photo in enumerate(some):
            squares[place] = cv2.resize(photo, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        squares /= 255
        seen, scores = classifier().predict_on_batch(squares)
        features[start : start + len(some)] = seen[: len(some)]
        classes[start : start + len(some)] = scores[: len(some)].argmax(axis=1)
    return Seen(features, classes)


@cache
def classifier() -> keras.Model:
    """Build EfficientNet-Lite0 with Google's ImageNet weights, in float32 under any policy.

    Returns:
        A model from RGB (N, 224, 224, 3) float32 in 0..1 to features (N, 1280) and class logits
        (N, 1000).
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        rgb = keras.Input((SIDE, SIDE, 3), name="rgb")
        x = layers.Conv2D(FEATURES, 1, name="features")(encode(rgb)[-1])
        x = layers.GlobalAveragePooling2D(name="pooled")(layers.ReLU(6.0, name="features_relu")(x))
        model = keras.Model(rgb, [x, layers.Dense(CLASSES, name="classes")(x)], name="classifier")
    finally:
        keras.config.set_dtype_policy(policy)
    saved = {**_weights(ENCODER_WEIGHTS), **_weights(HEAD_WEIGHTS)}  # the RGB stem comes last
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([saved[f"{layer.name}/kernel"], saved[f"{layer.name}/bias"]])
    return model


def _weights(name: str) -> dict[str, Floats]:
    with (
        (files("worker") / "weights" / name).open("rb") as file,
        np.load(file, allow_pickle=False) as saved,
    ):
        return {key: saved[key].astype(np.float32) for key in saved.files}
