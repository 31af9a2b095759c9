"""Select the compute device and configure the libraries for it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import keras

BFLOAT16 = "mixed_bfloat16"  # weights in float32, the rest in bfloat16
POLICIES = {"float32": "float32", "bfloat16": BFLOAT16}  # Keras dtype policies, by precision


@dataclass(frozen=True)
class Device:
    """What computes.

    Attributes:
        name: for people, such as "GPU" or "CPU".
        batch_size: photographs in one call that keep it busy.
        least_batch: photographs in its smallest call; see `batches.size_for`. A photograph gets the
            same colors, byte for byte, in a call of any size from here on.
    """

    name: str
    batch_size: int
    least_batch: int


def set_up_device() -> Device:
    """Prepare the process for coloring or training; call before the first model is built.

    GPU memory grows as needed, so that other programs can share the card. OpenCV uses one thread a
    call, since photographs already run in parallel.
    """
    cv2.setNumThreads(1)
    if keras.backend.backend() != "tensorflow":
        return Device(keras.backend.backend(), 32, 32)
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # or measuring four generators warns of four traces
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, enable=True)
    if gpus:
        return Device("GPU", 32, 32)
    # oneDNN computes a single photograph's global context as a vector, which rounds otherwise.
    return Device(f"CPU ({os.cpu_count()} cores)", 8, 2)


def memory_in_use() -> int | None:
    """Return the bytes that TensorFlow uses of the first GPU's memory; None without a GPU."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    if not tf.config.list_logical_devices("GPU"):
        return None
    return int(tf.config.experimental.get_memory_info("GPU:0")["current"])


class Precision(NamedTuple):
    """The Keras dtype policies in which a generator is trained."""

    encoder: str
    decoder: str


def training_precision(*, encoder_learns: bool = False) -> Precision:
    """Return the policies that train fastest here: bfloat16 if the hardware supports it.

    On a CPU not for an encoder that learns: TensorFlow's gradients of depthwise convolutions take
    up to ten times as long in bfloat16, and conversions around them cost the rest of the gain.
    """
    if keras.backend.backend() != "tensorflow":
        return Precision(BFLOAT16, BFLOAT16)
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        return Precision(BFLOAT16, BFLOAT16)
    if not computes_in_bfloat16():
        return Precision("float32", "float32")
    return Precision("float32" if encoder_learns else BFLOAT16, BFLOAT16)


def precision_for(wanted: str, card: Mapping[str, Any], device: Device) -> str:
    """Return the precision in which a version colors: float32 or bfloat16.

    Args:
        wanted: float32, bfloat16 or auto: bfloat16 on a CPU that has instructions for it, if the
            version was measured to color as well in it. On a GPU auto is float32.
        card: of the version.
        device: what computes.
    """
    if wanted != "auto":
        return wanted
    measured = card.get("bfloat16")
    as_good = isinstance(measured, dict) and measured.get("as_good") is True
    on_cpu = device.name.startswith("CPU")
    return "bfloat16" if as_good and on_cpu and computes_in_bfloat16() else "float32"


def computes_in_bfloat16() -> bool:
    """Tell whether the processor has instructions for bfloat16."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags
