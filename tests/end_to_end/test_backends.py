"""Promises of training on another backend: JAX without TensorFlow, for GPU machines that have none.

One child process trains on JAX with TensorFlow made unimportable; this one, on TensorFlow, loads
what it saved and repeats its steps.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.worker.conftest import SMALL
from worker.inference.device import set_up_device
from worker.models.decoding import color_grid, with_decoding
from worker.models.generator import build_generator, load_imagenet_encoder
from worker.models.serialization import load_generator
from worker.models.store import save_version
from worker.models.version import GENERATOR_FILE, ModelVersion
from worker.settings import TrainSettings
from worker.training.data.dataset import Batch
from worker.training.devices import all_devices
from worker.training.discriminator import build_discriminator
from worker.training.gan import ColorizationGAN
from worker.training.train import train

ROOT = Path(__file__).resolve().parents[2]


def steps_of_every_stage(home: Path) -> dict[str, Any]:
    """Take one step of every stage with small networks, save what comes out in `home`."""
    assert callable(train)  # the whole story can be imported
    set_up_device()
    with all_devices(batch=2) as devices:
        generator, discriminator = build_generator(SMALL), build_discriminator()
        load_imagenet_encoder(generator)
        rng = np.random.default_rng(0)
        for layer in (*generator.layers, *discriminator.layers):  # the same on every backend
            if not layer.name.startswith("encoder_") and layer.name.startswith(
                ("bottom", "context", "decode", "refine", "logits", "look", "verdict")
            ):
                fresh = [
                    rng.normal(0, 0.05, value.shape) if value.ndim > 1 else value
                    for value in layer.get_weights()
                ]
                layer.set_weights(fresh)
        gan = ColorizationGAN(generator, discriminator, np.zeros(224, np.float32), TrainSettings())
        batch = _a_batch()
        losses = [gan.step_alone(batch, 1e-3)]
        gan.begin_adversarial()
        losses += [gan.step_discriminator(batch, 1e-3), gan.step_adversarial(batch, 1e-3)]
        served = with_decoding(gan.averaged_generator(adversarial=True), np.zeros(224), 0.5)
        save_version(served, {}, home / "version")
        given = keras.ops.convert_to_numpy(served(batch.lightness, training=False))
        np.save(home / "given.npy", given)
        if keras.backend.backend() == "jax":
            kernel = gan.generator.trainable_variables[0].value
            assert devices == len(kernel.sharding.device_set)
    return {"backend": keras.backend.backend(), "losses": losses, "devices": devices}


def _a_batch() -> Batch:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 224, (2, 16, 16)).astype(np.int32)
    return Batch(rng.random((2, 64, 64, 1), np.float32), color_grid()[label], label)


CHILD = """
import json, sys
from pathlib import Path

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from tests.end_to_end.test_backends import steps_of_every_stage
print(json.dumps(steps_of_every_stage(Path(sys.argv[1]))))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)  # JAX and TensorFlow each compile every stage
@pytest.mark.parametrize("devices", [1, 2])
def test_jax_trains_what_tensorflow_serves(tmp_path: Path, devices: int) -> None:
    """Every stage's step gives the same loss on both, and TensorFlow loads what JAX saved.

    Also where JAX has several devices, here virtual ones, of which each takes a part of the batch.
    """
    virtual = f"--xla_force_host_platform_device_count={devices}"
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(tmp_path / "there")],
        cwd=ROOT,
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": virtual,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    there = json.loads(done.stdout.splitlines()[-1])
    here = steps_of_every_stage(tmp_path / "here")
    card = json.loads((tmp_path / "there" / "version" / "card.json").read_text())
    generator = load_generator(ModelVersion("1", tmp_path / "there" / "version", card))
    loaded = np.asarray(generator(_a_batch().lightness, training=False))

    assert ("jax", "tensorflow") == (there["backend"], here["backend"])
    assert devices == there["devices"]
    assert there["losses"] == pytest.approx(here["losses"], rel=1e-2)
    assert (tmp_path / "there" / "version" / GENERATOR_FILE).stat().st_size > 0
    assert np.load(tmp_path / "there" / "given.npy") == pytest.approx(loaded, abs=0.05)
