"""Promises of worker.training.devices; tests/end_to_end/test_backends.py trains on two devices."""

import keras
import pytest

from worker.errors import ModelError
from worker.training.devices import all_devices


def test_a_batch_that_cannot_be_divided_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first step, and it says what to change."""
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: [f"gpu:{n}" for n in range(4)])

    with pytest.raises(ModelError, match=r"make training\.batch a multiple of 4"), all_devices(6):
        pass


def test_tensorflow_trains_on_one() -> None:
    """And nothing is distributed, whatever the batch."""
    with all_devices(7) as devices:
        assert 1 == devices
        assert keras.distribution.distribution() is None
