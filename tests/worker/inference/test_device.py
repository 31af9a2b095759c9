"""Promises of worker.inference.device."""

from typing import Any

import pytest
import tensorflow as tf

from worker.inference import device
from worker.inference.device import BFLOAT16, Device, memory_in_use


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


@pytest.mark.parametrize(
    ("cards", "bfloat16", "encoder_learns", "expected"),
    [
        ([], False, True, ("float32", "float32")),
        ([], True, True, ("float32", BFLOAT16)),
        ([], True, False, (BFLOAT16, BFLOAT16)),
        (["GPU:0"], False, True, (BFLOAT16, BFLOAT16)),
    ],
)
def test_training_is_as_precise_as_the_hardware_is_quick(
    monkeypatch: pytest.MonkeyPatch,
    cards: list[str],
    bfloat16: bool,  # noqa: FBT001 - a case
    encoder_learns: bool,  # noqa: FBT001 - a case
    expected: tuple[str, str],
) -> None:
    """In bfloat16 where that is quicker, so not for gradients of the encoder on a processor."""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _kind: cards)
    monkeypatch.setattr(device, "computes_in_bfloat16", lambda: bfloat16)

    assert expected == device.training_precision(encoder_learns=encoder_learns)


@pytest.mark.parametrize(
    ("wanted", "card", "on", "able", "expected"),
    [
        ("auto", {"bfloat16": {"as_good": True}}, "CPU (2 cores)", True, "bfloat16"),
        ("auto", {"bfloat16": {"as_good": False}}, "CPU (2 cores)", True, "float32"),
        ("auto", {"bfloat16": "yes"}, "CPU (2 cores)", True, "float32"),
        ("auto", {}, "CPU (2 cores)", True, "float32"),
        ("auto", {"bfloat16": {"as_good": True}}, "CPU (2 cores)", False, "float32"),
        ("auto", {"bfloat16": {"as_good": True}}, "GPU", True, "float32"),
        ("float32", {"bfloat16": {"as_good": True}}, "CPU (2 cores)", True, "float32"),
        ("bfloat16", {}, "GPU", False, "bfloat16"),
    ],
)
def test_only_what_was_measured_to_color_as_well_computes_less_precisely(
    monkeypatch: pytest.MonkeyPatch,
    wanted: str,
    card: dict[str, Any],
    on: str,
    able: bool,  # noqa: FBT001 - a case
    expected: str,
) -> None:
    """Unless the operator says otherwise; and where it would not be quicker, it does not."""
    monkeypatch.setattr(device, "computes_in_bfloat16", lambda: able)

    assert expected == device.precision_for(wanted, card, Device(on, 8, 2))


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
