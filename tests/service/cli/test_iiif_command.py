"""Tests for the command `photochrom iiif`: exit codes, and what it prints."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from service.cli.main import app
from service.config.loader import Config
from tests.support import delivered_results
from tests.support.synthetic_photos import color_scene, gray_scene


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders of a service, its ledger and its config.yaml."""
    (tmp_path / "config.yaml").write_text("{}\n")
    return delivered_results.place_with_ledger(tmp_path)


def iiif(home: Path, *arguments: str) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, ["iiif", *arguments, "--config", str(home / "config.yaml")])


def color(config: Config, name: str, seed: int = 0) -> None:
    """Deliver a photograph."""
    scan, result = io.BytesIO(), io.BytesIO()
    Image.fromarray(gray_scene(60, 80, seed=seed)).save(scan, "TIFF")
    Image.fromarray(color_scene(60, 80, seed=seed)).save(result, "TIFF")
    delivered_results.color(config, name, scan=scan.getvalue(), result=result.getvalue())


def test_it_says_what_it_did_and_where_to_look(config: Config, tmp_path: Path) -> None:
    """Exit 0; as JSON the same."""
    color(config, "a/b.tif")
    out = tmp_path / "web"
    arguments = ("--base-url", "https://archive.example/x/", "--out", str(out))

    first = iiif(tmp_path, *arguments)
    second = iiif(tmp_path, *arguments, "--json")

    assert 0 == first.exit_code, first.output
    assert [
        "1 photograph in 1 manifest",
        "pictures: 2 made, 0 kept; 0 files removed",
        "open in a viewer: https://archive.example/x/collection.json",
    ] == first.output.splitlines()
    said = json.loads(second.output)
    assert (0, 2, []) == (said["made"], said["kept"], said["failed"])


def test_what_could_not_be_exported_is_exit_3(config: Config, tmp_path: Path) -> None:
    """With the name and the reason, in characters that cannot harm a terminal."""
    color(config, "a.tif")
    color(config, "b\x1b[31m.tif", seed=5)
    (config.outbox / "b\x1b[31m.tif").write_bytes(b"other")

    done = iiif(tmp_path, "--base-url", "https://archive.example", "--out", str(tmp_path / "web"))

    assert 3 == done.exit_code, done.output
    assert r"not exported: b\x1b[31m.tif: " in done.output
    assert "SHA-256 differs" in done.output
    assert "\x1b" not in done.output


def test_a_wrong_url_or_folder_is_wrong_usage(config: Config, tmp_path: Path) -> None:
    """Exit 2, before anything is written."""
    color(config, "a.tif")
    out = str(tmp_path / "web")

    for arguments in (
        ("--base-url", "archive.example", "--out", out),
        ("--base-url", "https://archive.example?x", "--out", out),
        ("--base-url", "https://archive.example", "--out", out, "--folder", "/etc"),
        ("--base-url", "https://archive.example", "--out", out, "--as", "layers"),
    ):
        assert 2 == iiif(tmp_path, *arguments).exit_code
    assert not Path(out).exists()
