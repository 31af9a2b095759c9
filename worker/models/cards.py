"""Facts about the versions of a store, for people; cards of older versions may lack fields."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from worker.errors import ModelError
from worker.models.promotions import active_versions
from worker.models.store import ModelStore
from worker.models.version import GENERATOR_FILE, ModelVersion, VersionName, version_name

SETS = ("validation", "reference")  # keys of a card's scores


def read_list(store: ModelStore, configured: VersionName) -> dict[str, Any]:
    """Collect the facts about every version.

    Args:
        store: of the versions.
        configured: value of `model.version`.

    Returns:
        promoted (name), configured, and versions (built in first, then by number), each with
        version, state (serving, candidate, retired, or with ", unreadable"), name, created,
        parent, scores by set of photographs, why_not (reason for not being promoted) and fault.

    Raises:
        ModelError: the history of promotions is damaged.
    """
    history = store.promotions()
    serving = active_versions(history)[-1]
    served = {"builtin", *(one.version for one in history)}
    names = store.names()
    versions = [
        _summary(store, name, serving, served)
        for name in (names if serving in names else [*names, serving])
    ]
    return {"promoted": serving, "configured": str(configured), "versions": versions}


def _summary(store: ModelStore, name: str, serving: str, served: set[str]) -> dict[str, Any]:
    state = "serving" if name == serving else "retired" if name in served else "candidate"
    try:
        card = store.get(version_name(name)).card
    except ModelError as error:
        return {"version": name, "state": f"{state}, unreadable", "fault": str(error)}
    verdict = card.get("promotion") or {}
    return {
        "version": name,
        "state": state,
        "name": card.get("name"),
        "created": card.get("created"),
        "parent": card.get("parent"),
        "scores": scores_of(card.get("scores")),
        "why_not": verdict.get("why") if state == "candidate" else None,
        "fault": None,
    }


def scores_of(scores: Any) -> dict[str, Any]:
    """Return a card's scores by set; older cards have only those on validation photographs."""
    if not isinstance(scores, dict):
        return dict.fromkeys(SETS)
    if not set(SETS) & set(scores):
        scores = {"validation": scores}
    return {name: scores.get(name) for name in SETS}


def read_card(store: ModelStore, name: VersionName) -> dict[str, Any]:
    """Return a version's card with its version, state, folder, attachments and promotions.

    Raises:
        ModelError: it does not exist, or its card or the history cannot be read.
    """
    version = store.get(name)
    history = store.promotions()
    served = {"builtin", *(one.version for one in history)}
    summary = _summary(store, version.name, active_versions(history)[-1], served)
    about = {
        "version": version.name,
        "state": summary["state"],
        "folder": str(version.folder),
        "files": {path.stem: str(path) for path in attachments(version)},
        "promotions": [
            {"at": one.at, "why": one.why, "rollback": one.rollback}
            for one in history
            if one.version == version.name
        ],
    }
    return about | {"card": version.card}


def attachments(version: ModelVersion) -> Iterable[Path]:
    """Return the files that come with a version, such as its contact sheet, sorted."""
    return (
        path
        for path in sorted(version.folder.iterdir())
        if path.is_file() and path.suffix != ".json" and path.name != GENERATOR_FILE
    )
