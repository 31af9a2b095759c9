"""Which version serves: `promotions.json`, the history of promotions, whose last entry counts.

The file is a list of {"version": "3" or "builtin", "at": ISO time, "why": text}, oldest first; an
entry that went back has "rollback": true as well. Without a file the built-in generator serves.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from worker.atomic import write_durably
from worker.errors import ModelError

PROMOTIONS_FILE = "promotions.json"
BUILT_IN = "builtin"


@dataclass(frozen=True)
class Promotion:
    """One change of the version that serves.

    Attributes:
        version: "builtin" or a number as text: what serves from then on.
        at: when, ISO 8601 with its offset.
        why: for people.
        rollback: whether it went back to what served before, rather than on.
    """

    version: str
    at: str
    why: str
    rollback: bool = False


def active_versions(history: Sequence[Promotion]) -> list[str]:
    """Return the versions that rollbacks walk back through: the last serves, the first is built in.

    A promotion goes on top, a rollback takes the top away, so going back twice goes back twice as
    far, and never to what was just taken back.
    """
    stack = [BUILT_IN]
    for one in history:
        if one.rollback and len(stack) > 1:
            stack.pop()
        if stack[-1] != one.version:
            stack.append(one.version)
    return stack


def read_promotions(folder: Path) -> list[Promotion]:
    """Read the history, oldest first; none is there before the first promotion.

    Args:
        folder: the model store's.

    Raises:
        ModelError: the file is damaged. It is never taken for an empty history: that would change
            the version that serves.
    """
    path = folder / PROMOTIONS_FILE
    try:
        return _promotions(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{path} does not tell which version serves ({error!r}); put a copy of it back, or "
            "delete it, which makes the built-in generator serve, and promote again"
        ) from error


def _promotions(entries: object) -> list[Promotion]:
    if not isinstance(entries, list):
        raise TypeError("it is no list")
    return [_promotion(entry) for entry in entries]


def _promotion(entry: dict[str, object]) -> Promotion:
    version, at, why = entry["version"], entry["at"], entry["why"]
    if not (isinstance(version, str) and (version == BUILT_IN or _is_number(version))):
        raise ValueError(f"{version!r} is no version")
    if not (isinstance(at, str) and isinstance(why, str)):
        raise TypeError("at and why must be texts")
    datetime.fromisoformat(at)
    return Promotion(version, at, why, rollback=entry.get("rollback") is True)


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit() and str(int(version)) == version


def write_promotions(folder: Path, history: Sequence[Promotion]) -> None:
    """Write the history, whole or not at all; the caller holds the store's lock.

    Raises:
        OSError: the disk failed; what served before goes on serving.
    """
    entries = [
        {key: value for key, value in asdict(one).items() if key != "rollback" or value}
        for one in history
    ]
    write_durably(folder / PROMOTIONS_FILE, json.dumps(entries, indent=2) + "\n")
