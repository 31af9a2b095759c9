"""What other people wrote and the page ships: unchanged, and with its license."""

import hashlib
from pathlib import Path

import pytest

from service.web import app

VENDOR = Path(app.__file__).parent / "static/vendor"
SUMS = dict(reversed(line.split("  ")) for line in (VENDOR / "SHA256SUMS").read_text().splitlines())


def test_every_file_is_recorded() -> None:
    """A file that is not in SHA256SUMS was put there by nobody knows whom."""
    found = {str(path.relative_to(VENDOR)) for path in VENDOR.rglob("*") if path.is_file()}

    assert {*SUMS, "SHA256SUMS"} == found


@pytest.mark.parametrize("name", SUMS)
def test_files_are_as_they_were_published(name: str) -> None:
    """Nobody patches them in place; another version comes with another digest."""
    assert SUMS[name] == hashlib.sha256((VENDOR / name).read_bytes()).hexdigest()


def test_the_license_lies_beside() -> None:
    """BSD-3-Clause asks for that, and for the copyright notice in it."""
    text = (VENDOR / "openseadragon/LICENSE").read_text()

    assert "Copyright (C) 2010-2025 OpenSeadragon contributors" in text
    assert "6.1.1" in (VENDOR / "openseadragon/openseadragon.min.js").read_text()[:200]
