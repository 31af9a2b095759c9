"""Promises of worker.cluster.node_worker beyond those of any engine."""

import asyncio
import hashlib
import json
import os
from pathlib import Path

import pytest

from tests.support.obedient_workers import PARTS, save_model
from worker.cluster.node_worker import NodeWorker
from worker.models.version import CARD_FILE, GENERATOR_FILE


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker sets in the environment of its process does not outlive a test."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.setenv(name, "1")


@pytest.mark.parametrize(("gpu", "seen"), [(False, ""), (True, "3")])
def test_a_worker_without_a_gpu_sees_none(*, gpu: bool, seen: str) -> None:
    """Ray would show it all of them."""
    NodeWorker(PARTS, "{}", shared=True, cpus=2, gpu=gpu)

    assert seen == os.environ["CUDA_VISIBLE_DEVICES"]


def test_a_generator_that_was_damaged_on_its_way_is_not_loaded(tmp_path: Path) -> None:
    """Its digest is computed here, and comes back with each result."""
    (tmp_path / "control").mkdir()
    folder = save_model("old", tmp_path / "old").folder
    card = (folder / CARD_FILE).read_text()
    content = (folder / GENERATOR_FILE).read_bytes()
    words = json.dumps({"control": str(tmp_path / "control")})
    worker = NodeWorker(PARTS, words, shared=True, cpus=2, gpu=False)

    sha256, reason = asyncio.run(worker.load("old", card, content + b"!"))

    assert ("", "version old was damaged on its way (SHA-256 differs)") == (sha256, reason)
    assert (hashlib.sha256(content).hexdigest(), "") == asyncio.run(
        worker.load("old", card, content)
    )


def test_a_generator_that_is_not_fit_is_told(tmp_path: Path) -> None:
    """As a value, with the reason."""
    (tmp_path / "control").mkdir()
    (tmp_path / "control" / "load").write_text("model")
    folder = save_model("old", tmp_path / "old").folder
    worker = NodeWorker(
        PARTS,
        json.dumps({"control": str(tmp_path / "control")}),
        shared=True,
        cpus=2,
        gpu=False,
    )
    card, content = (folder / CARD_FILE).read_text(), (folder / GENERATOR_FILE).read_bytes()

    assert ("", "its file is damaged") == asyncio.run(worker.load("old", card, content))
