"""Select the compute device and configure the libraries for it."""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import keras


@dataclass(frozen=True)
class Device:
    """What computes.

    Attributes:
        name: for people, such as "GPU" or "CPU".
        batch_size: photographs in one call that keep it busy.
    """

    name: str
    batch_size: int


def set_up_device() -> Device:
    """Prepare the process for coloring or training; call before the first model is built.

    GPU memory grows as needed, so that other programs can share the card. OpenCV uses one thread a
    call, since photographs already run in parallel.
    """
    cv2.setNumThreads(1)
    if keras.backend.backend() != "tensorflow":
        return Device(keras.backend.backend(), 32)
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # or measuring four generators warns of four traces
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, enable=True)
    return Device("GPU", 32) if gpus else Device(f"CPU ({os.cpu_count()} cores)", 8)


def memory_in_use() -> int | None:
    """Return the bytes that TensorFlow uses of the first GPU's memory; None without a GPU."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    if not tf.config.list_logical_devices("GPU"):
        return None
    return int(tf.config.experimental.get_memory_info("GPU:0")["current"])


def training_precision(*, encoder_learns: bool = False) -> str:
    """Return the Keras policy that trains fastest here: bfloat16 if the hardware supports it.

    Not on a CPU if the encoder learns too: the gradients of its depthwise convolutions are
    slow in bfloat16 (measured on two cores with AMX, squares of 128 pixels: 41 a second, and 55 in
    float32).
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not tf.config.list_physical_devices("GPU"):
            if encoder_learns:
                return "float32"
            cpuinfo = Path("/proc/cpuinfo")
            flags = cpuinfo.read_text() if cpuinfo.exists() else ""
            return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"
    return "mixed_bfloat16"
