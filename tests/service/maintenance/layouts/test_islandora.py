"""The tables and configurations that Islandora Workbench reads."""

import hashlib
from pathlib import Path

import pytest
import yaml

from service.config.loader import Config
from service.maintenance.layouts.layout_name import LayoutName
from tests.support.delivered_results import color, place
from tests.support.packages import names, pack, premis_of, table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a package of two photographs, one without a sidecar."""
    config: Config = place(tmp_path / "home")
    color(config, "1931/a, b.tif")
    color(config, "c.tif", sidecar=False)
    pack(config, tmp_path / "delivery", LayoutName.ISLANDORA)
    return tmp_path / "delivery"


def test_a_row_makes_a_node_with_scan_and_result(folder: Path) -> None:
    """The columns that Workbench asks for, and paths that are there."""
    rows = table(folder / "metadata.csv")
    first = rows[0]

    assert ["1931/a, b.tif", "c.tif"] == [row["file"].removeprefix("scans/") for row in rows]
    assert ("1", "a, b") == (first["id"], first["title"])
    assert b"gray 1931/a, b.tif" == (folder / first["file"]).read_bytes()
    assert hashlib.sha256((folder / first["file"]).read_bytes()).hexdigest() == first["checksum"]
    assert b"color a, b.tif" == (folder / first["colored"]).read_bytes()
    assert premis_of(folder / first["premis"])
    assert ("", "") == (rows[1]["sidecar"], rows[1]["premis"])


def test_results_can_be_added_to_nodes_that_exist(folder: Path) -> None:
    """Once the archivist has filled in their numbers."""
    rows = table(folder / "add_media.csv")

    assert [""] * 2 == [row["node_id"] for row in rows]
    for row in rows:
        content = (folder / row["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["checksum"]


@pytest.mark.parametrize(("name", "task"), [("workbench", "create"), ("add_media", "add_media")])
def test_the_configurations_name_the_tables_and_their_columns(
    folder: Path, name: str, task: str
) -> None:
    """All columns are read, ignored by name, or fields of Islandora."""
    settings = yaml.safe_load((folder / f"{name}.yml").read_text())
    columns = set(table(folder / settings["input_csv"])[0])
    files = {column for one in settings.get("additional_files", []) for column in one}
    known = {"id", "node_id", "file", "title", "field_model", "checksum", "image_alt_text"}

    assert task == settings["task"]
    assert columns - known == files | set(settings["ignore_csv_columns"])


def test_nothing_else_is_packed(folder: Path) -> None:
    """The files of two photographs, two tables, two configurations."""
    assert 4 + 4 + 2 == len(names(folder))
