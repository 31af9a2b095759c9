"""Promises of worker.models.promotions."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import ModelError
from worker.models.promotions import (
    PROMOTIONS_FILE,
    Promotion,
    active_versions,
    read_promotions,
    write_promotions,
)

AT = "2026-11-22T12:00:00+00:00"
NAMES = st.sampled_from(["builtin", "1", "2", "30"])
HISTORIES = st.lists(st.builds(Promotion, NAMES, st.just(AT), st.text(max_size=5), st.booleans()))


def promoted(version: str) -> Promotion:
    """Return a promotion."""
    return Promotion(version, AT, "better")


def back_to(version: str) -> Promotion:
    """Return a rollback."""
    return Promotion(version, AT, "worse", rollback=True)


@given(HISTORIES)
def test_the_last_entry_serves(history: list[Promotion]) -> None:
    """Whatever came before it, even nonsense that a person wrote; without entries, the built-in."""
    walk = active_versions(history)

    assert (history[-1].version if history else "builtin") == walk[-1]
    assert "builtin" == walk[0]
    assert all(below != above for below, above in pairwise(walk))


@given(st.lists(st.one_of(NAMES, st.none())))
def test_a_rollback_takes_back_the_last_change_that_stands(asked: list[str | None]) -> None:
    """As a pile of versions would: a promotion is laid on top, a rollback takes the top off."""
    pile, history = ["builtin"], []
    for name in asked:
        if name is None and len(pile) > 1:
            pile.pop()
            history.append(back_to(pile[-1]))
        elif name is not None and name != pile[-1]:
            pile.append(name)
            history.append(promoted(name))

    assert pile == active_versions(history)


@given(history=HISTORIES)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, history: list[Promotion]
) -> None:
    """Every entry, in order, in any language; and nothing is left beside the file."""
    folder = tmp_path_factory.mktemp("models")
    write_promotions(folder, history)

    assert history == read_promotions(folder)
    assert [folder / PROMOTIONS_FILE] == list(folder.iterdir())


def test_the_file_is_a_plain_list(tmp_path: Path) -> None:
    """Of version, at and why; only a rollback says more."""
    write_promotions(tmp_path, [promoted("3"), back_to("builtin")])

    assert [
        {"version": "3", "at": AT, "why": "better"},
        {"version": "builtin", "at": AT, "why": "worse", "rollback": True},
    ] == json.loads((tmp_path / PROMOTIONS_FILE).read_text())


def test_no_file_is_an_empty_history(tmp_path: Path) -> None:
    """Before the first promotion there is none, nor a folder."""
    assert [] == read_promotions(tmp_path / "models")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        "null",
        "[1]",
        '["3"]',
        "[{}]",
        '[{"version": 3, "at": "2026-11-22T12:00:00+00:00", "why": ""}]',
        '[{"version": "latest", "at": "2026-11-22T12:00:00+00:00", "why": ""}]',
        '[{"version": "03", "at": "2026-11-22T12:00:00+00:00", "why": ""}]',
        '[{"version": "3", "at": "yesterday", "why": ""}]',
        '[{"version": "3", "at": "2026-11-22T12:00:00+00:00", "why": null}]',
        '[{"version": "3", "at": "2026-11-22T12:00:00+00:00"}]',
        "\xff",
    ],
)
def test_a_damaged_file_is_never_taken_for_an_empty_history(tmp_path: Path, text: str) -> None:
    """It is a ModelError that names the file and what to do."""
    (tmp_path / PROMOTIONS_FILE).write_bytes(text.encode("latin-1"))

    with pytest.raises(ModelError, match=r"promotions\.json .*Restore a backup"):
        read_promotions(tmp_path)


@pytest.mark.parametrize("failing", ["fsync", "fdopen"])
def test_a_disk_that_fails_leaves_the_old_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """Whole, and with nothing beside it."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    write_promotions(tmp_path, [promoted("3")])
    monkeypatch.setattr(f"worker.atomic.os.{failing}", fail)
    with pytest.raises(OSError, match="No space left"):
        write_promotions(tmp_path, [promoted("3"), promoted("4")])

    assert [promoted("3")] == read_promotions(tmp_path)
    assert [tmp_path / PROMOTIONS_FILE] == list(tmp_path.iterdir())
