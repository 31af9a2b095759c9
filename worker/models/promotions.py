"""The history of promotions, `promotions.json`; its last entry names the active version.

The file is a list of {"version": "3" or "builtin", "at": ISO time, "why": text}, oldest first;
rollbacks also have "rollback": true. Without the file, the built-in version is active.
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
    """One change of the active version.

    Attributes:
        version: "builtin" or a number as text, active from then on.
        at: ISO 8601 time with offset.
        why: the reason, for people.
        rollback: whether it returned to the version active before.
    """

    version: str
    at: str
    why: str
    rollback: bool = False


def active_versions(history: Sequence[Promotion]) -> list[str]:
    """Return the stack of versions that rollbacks pop; the last is active, the first built in.

    A promotion pushes and a rollback pops, so two rollbacks go back two versions, and none returns
    to a version that was just rolled back.
    """
    stack = [BUILT_IN]
    for one in history:
        if one.rollback and len(stack) > 1:
            stack.pop()
        if stack[-1] != one.version:
            stack.append(one.version)
    return stack


def read_promotions(folder: Path) -> list[Promotion]:
    """Read the history, oldest first; it is empty before the first promotion.

    Args:
        folder: of the model store.

    Raises:
        ModelError: the file is damaged. It is never read as an empty history, which would change
            the active version.
    """
    path = folder / PROMOTIONS_FILE
    try:
        return _promotions(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{path} is damaged ({error!r}); the active version is unknown. Restore a backup, or "
            "delete it, which activates the built-in version, and promote again"
        ) from error


def _promotions(entries: object) -> list[Promotion]:
    if not isinstance(entries, list):
        raise TypeError("not a list")
    return [_promotion(entry) for entry in entries]


def _promotion(entry: dict[str, object]) -> Promotion:
    version, at, why = entry["version"], entry["at"], entry["why"]
    if not (isinstance(version, str) and (version == BUILT_IN or _is_number(version))):
        raise ValueError(f"{version!r} is not a version")
    if not (isinstance(at, str) and isinstance(why, str)):
        raise TypeError("at and why must be strings")
    datetime.fromisoformat(at)
    return Promotion(version, at, why, rollback=entry.get("rollback") is True)


def _is_number(version: str) -> bool:
    return version.isascii() and version.isdigit() and str(int(version)) == version


def write_promotions(folder: Path, history: Sequence[Promotion]) -> None:
    """Replace the history; the caller holds the store's lock.

    Raises:
        OSError: the disk failed; the active version is unchanged.
    """
    entries = [
        {key: value for key, value in asdict(one).items() if key != "rollback" or value}
        for one in history
    ]
    write_durably(folder / PROMOTIONS_FILE, json.dumps(entries, indent=2) + "\n")
