"""A delivery for Rosetta: a folder for each entity, with the tables its loaders read."""

import hashlib
from pathlib import Path

import pytest
from lxml import etree

from service.config.loader import Config
from service.maintenance.layouts.layout_name import LayoutName
from tests.support.delivered_results import color, place
from tests.support.packages import names, pack, premis_of, table


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make a place where three photographs were colored, two of them with the same stem."""
    config = place(tmp_path / "home")
    for name in ("1931/a.tif", "1931/a.jpg", "Käthe \N{PARTY POPPER}.tif"):
        color(config, name)
    return config


@pytest.fixture
def delivery(config: Config, tmp_path: Path) -> Path:
    """Make the delivery."""
    folder = tmp_path / "delivery"
    pack(config, folder, LayoutName.ROSETTA, organization="City Archive")
    return folder


def test_each_entity_has_its_representations(delivery: Path) -> None:
    """Under names that the database can hold, and that differ."""
    entities = ("1931_a", "1931_a (2)", "Käthe _")
    files = {
        entity: sorted(
            name.partition("/")[2]
            for name in names(delivery)
            if entity == name[: -len(name.partition("/")[2]) - 1]
        )
        for entity in entities
    }

    assert {*entities, "checksums.md5", "rosetta.csv"} == {one.name for one in delivery.iterdir()}
    assert [
        "DERIVATIVE_COPY/a.tif",
        "DERIVATIVE_COPY/a.tif.json",
        "DERIVATIVE_COPY/a.tif.premis.xml",
        "PRESERVATION_MASTER/a.tif",
        "dc.xml",
    ] == files["1931_a"]
    assert b"gray 1931/a.jpg" == (delivery / "1931_a (2)/PRESERVATION_MASTER/a.jpg").read_bytes()


def test_the_checksums_are_those_of_the_files(delivery: Path) -> None:
    """MD5, a tab, the path; all files of the representations, and no others."""
    lines = [one.split("\t") for one in (delivery / "checksums.md5").read_text().splitlines()]
    there = [name for name in names(delivery) if "_MASTER/" in name or "_COPY/" in name]

    assert there == sorted(name for _, name in lines)
    for digest, name in lines:
        assert hashlib.md5((delivery / name).read_bytes()).hexdigest() == digest  # noqa: S324


def test_the_table_lists_entities_representations_and_files(delivery: Path) -> None:
    """In this order, as the CSV loader reads it."""
    rows = table(delivery / "rosetta.csv")
    one_entity = ["IE", "REP", "FILE", "REP", "FILE", "FILE", "FILE"]

    assert ["SIP", *one_entity * 3] == [row["Object Type"] for row in rows]
    assert "City Archive: 3 photographs colored by a machine" == rows[0]["Title (DC)"]
    assert ("a", "1931/a.tif") == (rows[1]["Title (DC)"], rows[1]["Identifier (DC)"])
    assert ["PRESERVATION_MASTER", "DERIVATIVE_COPY"] == [
        row["Preservation Type"] for row in rows[1:8] if row["Object Type"] == "REP"
    ]
    for row in rows:
        if row["Object Type"] == "FILE":
            file = delivery / row["File Original Path"] / row["File Original Name"]
            assert hashlib.md5(file.read_bytes()).hexdigest() == row["MD5"]  # noqa: S324


def test_the_dublin_core_says_what_is_the_record(delivery: Path) -> None:
    """Title, path and provenance; the rest is the archive's to say."""
    root = etree.parse(delivery / "1931_a/dc.xml").getroot()
    texts = {etree.QName(one).localname: one.text for one in root}

    assert ("a", "1931/a.tif") == (texts["title"], texts["identifier"])
    assert "no record" in texts["provenance"]


def test_the_premis_is_valid(delivery: Path) -> None:
    """Of each photograph."""
    papers = list(delivery.rglob("*.premis.xml"))
    for path in papers:
        premis_of(path)

    assert 3 == len(papers)
