"""Photographs whose colors others are to have, as files."""

from pathlib import Path, PurePath

import pytest

from service.storage import reference_files
from service.storage.reference_files import read_reference, reference_in
from tests.support.synthetic_photos import color_scene, save
from worker.errors import ScanError


def test_a_file_that_did_not_change_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status and page ask again and again; another content is read anew."""
    path = save(tmp_path / "a.png", color_scene(60, 80))
    first = read_reference(path, 10)
    with monkeypatch.context() as patched:
        patched.setattr(reference_files.safe_open, "digest_of", None)  # it would be called
        again = reference_in(tmp_path, PurePath("a.png"), 10)
    save(path, color_scene(60, 90, seed=1))

    assert first == again
    assert first.sha256 != read_reference(path, 10).sha256


def test_names_that_are_no_text_can_be_kept(tmp_path: Path) -> None:
    """The ledger and JSON hold only text."""
    path = save(tmp_path / "a.png", color_scene(60, 80)).rename(tmp_path / "\udcff.png")

    assert "\\udcff.png" == read_reference(path, 10).name


def test_a_link_is_followed_only_for_who_names_the_file(tmp_path: Path) -> None:
    """Not for who can write into a folder."""
    save(tmp_path / "a.png", color_scene(60, 80))
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")

    assert "link.png" == read_reference(tmp_path / "link.png", 10).name
    with pytest.raises(ScanError, match="there is no file"):
        reference_in(tmp_path, PurePath("link.png"), 10)
