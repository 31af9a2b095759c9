"""Promises of worker.inference.device."""

import pytest
import tensorflow as tf

from worker.inference.device import memory_in_use


def test_a_processor_has_no_memory_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What photochrom uses of the machine's is told as that of its process."""
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _kind: [])

    assert memory_in_use() is None


def test_the_memory_in_use_on_a_card_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As TensorFlow counts it now, not what it was at most."""
    asked: list[str] = []

    def info(device: str) -> dict[str, int]:
        asked.append(device)
        return {"current": 1 << 30, "peak": 1 << 31}

    monkeypatch.setattr(tf.config, "list_logical_devices", lambda _kind: ["GPU:0"])
    monkeypatch.setattr(tf.config.experimental, "get_memory_info", info)

    assert 1 << 30 == memory_in_use()
    assert ["GPU:0"] == asked


@pytest.mark.gpu
def test_a_real_card_tells_its_memory() -> None:
    """A megabyte more is in use with a megabyte more on it."""
    if not tf.config.list_logical_devices("GPU"):
        pytest.skip("there is no GPU")
    before = memory_in_use()
    with tf.device("GPU:0"):
        more = tf.zeros((1 << 20,), tf.int8)
    after = memory_in_use()

    assert before is not None
    assert after is not None
    assert before + (1 << 20) <= after
    assert (1 << 20,) == more.shape
