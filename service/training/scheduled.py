"""What `photochrom train --scheduled` does: resume a training, start one, or nothing.

It records the photographs of each training, and starts one only when there are new ones. The record
takes effect when the training has finished.
"""

import json
from typing import Literal, NamedTuple

from service.config.loader import Config, ConfigError, missing_photographs
from service.filesystem.durable import make_folder
from service.training.configured import configured
from worker.atomic import sync_folder, write_durably
from worker.models.version import ModelVersion
from worker.training.data.files import fingerprints
from worker.training.request import TrainingRequest
from worker.training.run import CHECKPOINT

NAME = "scheduled"  # of the versions it makes
LEARNED = "learned.json"  # in state/training: fingerprints of the last finished training
LEARNING = "learning.json"  # and those of one that was started


class ScheduledAction(NamedTuple):
    """What is due.

    Attributes:
        kind: "resume" an interrupted training, or "begin" the one in `request`.
        reason: for people.
        request: what to train, for "begin".
    """

    kind: Literal["nothing", "resume", "begin"]
    reason: str
    request: TrainingRequest | None = None


def next_action(config: Config) -> ScheduledAction:
    """Find what is due; if a training is, record its photographs.

    Raises:
        ConfigError: a folder of training.collections is missing.
        OSError: a collection cannot be read, or the record cannot be written.
    """
    home, folders = config.state / "training", config.training.collections
    if (home / CHECKPOINT).exists():
        return ScheduledAction("resume", "resuming the interrupted training")
    if not folders:
        return ScheduledAction("nothing", "nothing to train on: training.collections is empty")
    if missing := missing_photographs(config):
        raise ConfigError([f"{key}: {text}" for key, text in missing])
    found = fingerprints(folders)
    new = found - _recorded(config)
    if not new:
        reason = f"no new photographs among {len(found):,} since the last scheduled training"
        return ScheduledAction("nothing", reason)
    _record(config, found)
    request = TrainingRequest(tuple(folders), minutes=config.training.minutes, name=NAME)
    return ScheduledAction(
        "begin",
        f"{len(new):,} of {len(found):,} photographs are new",
        configured(request, config),
    )


def finished(config: Config, version: ModelVersion) -> None:
    """Let the record take effect if this version came of the training that it is about.

    Raises:
        OSError: it cannot be written.
    """
    home = config.state / "training"
    if version.card.get("name") == NAME and (home / LEARNING).exists():
        (home / LEARNING).replace(home / LEARNED)
        sync_folder(home)


def _recorded(config: Config) -> set[str]:
    """Return the photographs of the last training; none if the record is missing or damaged."""
    try:
        recorded = json.loads((config.state / "training" / LEARNED).read_text())
    except (FileNotFoundError, ValueError):  # at worst it trains once more
        return set()
    return set(map(str, recorded)) if isinstance(recorded, list) else set()


def _record(config: Config, found: set[str]) -> None:
    home = config.state / "training"
    make_folder(home)
    write_durably(home / LEARNING, json.dumps(sorted(found)))
