"""A new image format is one module and one row: the real command reads, writes and names it."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import Command, Home
from tests.support.made_up_format import file_of, pixels_of
from tests.support.synthetic_photos import gray_scene

WITH_IT = (sys.executable, "-m", "tests.support.made_up_format")
GRAY = gray_scene(40, 56)
REFUSED = 3  # the exit code where a file was refused


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Return a folder to work in."""
    return Home(tmp_path / "home")


def done(home: Home, *arguments: str) -> Command:
    """Run a command to its end."""
    with home.start(*arguments, program=WITH_IT) as command:
        command.exit_code()
    return command


def test_the_daemon_colors_a_made_up_format(home: Home) -> None:
    """It finds the file by its suffix, knows the content, and delivers it in the same format."""
    (home.inbox / "a.rgy").write_bytes(file_of(GRAY[..., None]))
    (home.inbox / "b.rgx").write_bytes(file_of(GRAY[..., None]))
    (home.inbox / "c.png").write_bytes(file_of(GRAY[..., None]))
    command = done(home, "run", "--once")

    assert REFUSED == command.exit_code(), command.said
    for name in ("a.rgy", "b.rgx.rgy"):
        colored = pixels_of((home.outbox / name).read_bytes())
        assert (*GRAY.shape, 3) == colored.shape
        assert np.ptp(colored, axis=2).any()
        sidecar = json.loads((home.outbox / f"{name}.json").read_text())
        assert "rawgray" == sidecar["output"]["kind"]
    (reason,) = home.rejected.glob("c.png.*")
    assert "name says PNG but the content is Raw Gray" in reason.read_text()


def test_the_command_writes_a_made_up_format(home: Home, tmp_path: Path) -> None:
    """`colorize` takes it, and `output.format` may name it."""
    config = home.folder / "config.yaml"
    config.write_text(config.read_text() + "output: {format: rawgray}\n")
    scan = tmp_path / "d.rgx"
    scan.write_bytes(file_of(GRAY[..., None]))
    command = done(home, "colorize", str(scan), "--out", str(tmp_path / "out"))

    assert 0 == command.exit_code(), command.said
    assert (*GRAY.shape, 3) == pixels_of((tmp_path / "out" / "d.rgx.rgy").read_bytes()).shape
