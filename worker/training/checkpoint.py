"""Checkpoints: everything that training changes, in one file that is whole or not there."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from worker.errors import ModelError
from worker.settings import ReadSettings, TrainSettings
from worker.training.gan import ColorizationGAN
from worker.training.run import Budget, Check, Plan, Progress

BEST = "best.npz"  # the one that did best on validation in the first stage


class NotFiniteError(ModelError):
    """The networks hold numbers that are none; nothing was saved."""


class Checkpoint(NamedTuple):
    """What one file holds.

    Attributes:
        plan: what was to be done.
        progress: what was done.
        state: networks and optimizers, as `ColorizationGAN.state` gives them.
    """

    plan: Plan
    progress: Progress
    state: list[NDArray[Any]]


def save(path: Path, gan: ColorizationGAN, plan: Plan, progress: Progress) -> None:
    """Write beside the last checkpoint, then take its place; no fault harms the last one.

    Raises:
        NotFiniteError: the networks are broken; only a good checkpoint is one.
        OSError: the disk fails.
    """
    state = gan.state()
    if not all(np.isfinite(value).all() for value in state):
        raise NotFiniteError(f"weights became infinite or no numbers by step {progress.step}")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    about = json.dumps({"plan": asdict(plan), "progress": asdict(progress)}, default=str)
    arrays: dict[str, Any] = {f"{index:05d}": value for index, value in enumerate(state)}
    try:
        with temporary.open("wb") as file:
            np.savez(file, about=np.array(about), **arrays)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint back.

    Raises:
        ModelError: there is none, it is damaged, or another version of photochrom wrote it.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            about = json.loads(str(saved["about"]))
            state = [saved[name] for name in sorted(saved.files) if name != "about"]
    except FileNotFoundError as error:
        raise ModelError(f"there is no training to resume: {path} does not exist") from error
    except (ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ModelError(f"{path} is damaged ({error}); begin a new training") from error
    try:
        plan = about["plan"]
        restored = Plan(
            tuple(map(Path, plan["folders"])),
            plan["start"],
            Budget(**plan["budget"]),
            TrainSettings(**plan["settings"]),
            ReadSettings(**plan["read"]),
            plan["seed"],
            plan["name"],
            Path(plan["reference"]) if plan["reference"] else None,
        )
        checks = [Check(**check) for check in about["progress"]["checks"]]
        progress = Progress(**{**about["progress"], "checks": checks})
        return Checkpoint(restored, progress, state)
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path} is of another photochrom; begin a new training") from error


def restore(gan: ColorizationGAN, checkpoint: Checkpoint, run_folder: Path) -> None:
    """Put a checkpoint's state into the networks.

    Raises:
        ModelError: it is of networks of another shape.
    """
    try:
        gan.restore(checkpoint.state)
    except ValueError as error:
        raise ModelError(
            f"the checkpoint in {run_folder} is of networks of another shape; begin a new training"
        ) from error
