"""What a scheduled training has to do: go on with one that was ended, begin one, or nothing.

It notes which photographs it was given, so that it trains only when there are new ones. The note
counts once the training has come to its end.
"""

import json
from typing import Literal, NamedTuple

from service.config.loader import Config, ConfigError, missing_photographs
from service.filesystem.durable import make_folder, sync_folder
from service.training.wish import Wish
from worker.durable import replace_text
from worker.models.version import ModelVersion
from worker.training.data.files import looks
from worker.training.run import CHECKPOINT

NAME = "scheduled"  # of the versions that come of it
LEARNED = "learned.json"  # in state/training: looks of the photographs that it was finished with
LEARNING = "learning.json"  # and of those with which it was begun


class Task(NamedTuple):
    """What there is to do.

    Attributes:
        kind: "resume" goes on with what was ended, "begin" trains as `wish` says.
        words: why, for people.
        wish: what to train, where it is to be begun.
    """

    kind: Literal["nothing", "resume", "begin"]
    words: str
    wish: Wish | None = None


def find_task(config: Config) -> Task:
    """Look what there is to do; where a training is to be begun, note its photographs.

    Raises:
        ConfigError: a collection is not there.
        OSError: a collection cannot be read, or the note not written.
    """
    home, folders = config.state / "training", config.training.collections
    if (home / CHECKPOINT).exists():
        return Task("resume", "going on with the training that was ended")
    if not folders:
        return Task("nothing", "nothing to learn from: training.collections names no photographs")
    if missing := missing_photographs(config):
        raise ConfigError([f"{key}: {text}" for key, text in missing])
    found = looks(folders)
    new = found - _noted(config)
    if not new:
        words = f"nothing new among {len(found):,} photographs since the last scheduled training"
        return Task("nothing", words)
    _note(config, found)
    wish = Wish(tuple(folders), "promoted", minutes=config.training.minutes, name=NAME)
    return Task("begin", f"{len(new):,} of {len(found):,} photographs are new", wish)


def finished(config: Config, version: ModelVersion) -> None:
    """Let the note count if this version came of the training that it is about.

    Raises:
        OSError: it cannot be written.
    """
    home = config.state / "training"
    if version.card.get("name") == NAME and (home / LEARNING).exists():
        (home / LEARNING).replace(home / LEARNED)
        sync_folder(home)


def _noted(config: Config) -> set[str]:
    """Return the photographs of the last training; none where the note is missing or damaged."""
    try:
        noted = json.loads((config.state / "training" / LEARNED).read_text())
    except (FileNotFoundError, ValueError):  # at worst it trains once more
        return set()
    return set(map(str, noted)) if isinstance(noted, list) else set()


def _note(config: Config, found: set[str]) -> None:
    home = config.state / "training"
    make_folder(home)
    replace_text(home / LEARNING, json.dumps(sorted(found)))
