"""Checkpoints: everything that training changes, in one file, replaced atomically."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from worker.atomic import replacing
from worker.errors import ModelError
from worker.settings import ReadSettings, TrainSettings
from worker.training.gan import ColorizationGAN
from worker.training.request import TrainingRequest, start_named
from worker.training.run import Check, Progress

BEST = "best.npz"  # of the first stage, the one with the lowest validation loss


class NotFiniteError(ModelError):
    """Some weights are not finite; nothing was saved."""


class Checkpoint(NamedTuple):
    """The contents of a checkpoint.

    Attributes:
        request: what was asked for.
        progress: what is done.
        state: networks and optimizers, as `ColorizationGAN.state` gives them.
    """

    request: TrainingRequest
    progress: Progress
    state: list[NDArray[Any]]


def save(path: Path, gan: ColorizationGAN, request: TrainingRequest, progress: Progress) -> None:
    """Replace the last checkpoint; whatever fails, either the old or the new one is intact.

    Raises:
        NotFiniteError: some weights are not finite.
        OSError: the disk failed.
    """
    state = gan.state()
    if not all(np.isfinite(value).all() for value in state):
        raise NotFiniteError(f"weights became infinite or NaN by step {progress.step}")
    path.parent.mkdir(parents=True, exist_ok=True)
    about = json.dumps({"plan": _as_saved(request), "progress": asdict(progress)}, default=str)
    arrays: dict[str, Any] = {f"{index:05d}": value for index, value in enumerate(state)}
    with replacing(path, durable=True) as file:
        np.savez(file, about=np.array(about), **arrays)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint back.

    Raises:
        ModelError: there is none, it is damaged, or photochrom does not know its layout.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            about = json.loads(str(saved["about"]))
            state = [saved[name] for name in sorted(saved.files) if name != "about"]
    except FileNotFoundError as error:
        raise ModelError(f"no training to resume: {path} does not exist") from error
    except (ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ModelError(f"{path} is damaged ({error}); start a new training") from error
    try:
        request = _as_loaded(about["plan"])
        checks = [Check(**check) for check in about["progress"]["checks"]]
        progress = Progress(**{**about["progress"], "checks": checks})
        return Checkpoint(request, progress, state)
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{path} was written by another version of photochrom; start a new training"
        ) from error


def _as_saved(request: TrainingRequest) -> dict[str, Any]:
    """Lay a request out as every version of photochrom has saved it."""
    fields = asdict(request)
    fields["settings"] = fields.pop("recipe")
    fields["budget"] = {key: fields.pop(key) for key in ("minutes", "steps", "until_plateau")}
    return fields


def _as_loaded(saved: dict[str, Any]) -> TrainingRequest:
    return TrainingRequest(
        tuple(map(Path, saved["folders"])),
        start_named(str(saved["start"])),
        **saved["budget"],
        recipe=TrainSettings(**saved["settings"]),
        read=ReadSettings(**saved["read"]),
        seed=saved["seed"],
        name=saved["name"],
        reference=_path(saved["reference"]),
        scans=_path(saved.get("scans")),  # not there before 2026-12
    )


def _path(saved: str | None) -> Path | None:
    return Path(saved) if saved else None


def restore(gan: ColorizationGAN, checkpoint: Checkpoint, run_folder: Path) -> None:
    """Load a checkpoint's state into the networks.

    Raises:
        ModelError: it is of networks of another shape.
    """
    try:
        gan.restore(checkpoint.state)
    except ValueError as error:
        raise ModelError(
            f"the checkpoint in {run_folder} is for networks of another shape; start a new training"
        ) from error
