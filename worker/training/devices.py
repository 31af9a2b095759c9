"""Training on all devices of a machine at once."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from worker.errors import ModelError


@contextmanager
def all_devices(batch: int) -> Iterator[int]:
    """Have each device take its share of every batch while the block runs; yield their number.

    Networks must be built in the block. Keras distributes data in this way on JAX alone; with
    TensorFlow one device trains.

    Args:
        batch: photographs of a step.

    Raises:
        ModelError: the batch cannot be divided equally.
    """
    if keras.backend.backend() != "jax":
        yield 1
        return
    devices = keras.distribution.list_devices()
    if batch % len(devices):
        raise ModelError(
            f"a batch of {batch} cannot be divided equally among {len(devices)} devices; "
            f"make training.batch a multiple of {len(devices)}"
        )
    if len(devices) > 1:
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
        )
    try:
        yield len(devices)
    finally:
        keras.distribution.set_distribution(None)
