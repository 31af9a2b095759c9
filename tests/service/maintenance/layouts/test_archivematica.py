"""A transfer of Archivematica: scans, access copies, checksums and events where it looks."""

import csv
import subprocess
from pathlib import Path

import pytest

from service.config.loader import Config
from service.maintenance.layouts.layout_name import LayoutName
from tests.support.delivered_results import color, place
from tests.support.packages import found, names, pack, premis_of

PAPERS = "metadata/submissionDocumentation/photochrom"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make a place where three photographs were colored, two of them with the same stem."""
    config = place(tmp_path / "home")
    for name in ("1931/a.tif", "1931/a.jpg", "b #2.tif"):
        color(config, name)
    return config


@pytest.fixture
def transfer(config: Config, tmp_path: Path) -> Path:
    """Make the transfer."""
    folder = tmp_path / "transfer"
    assert 3 == pack(config, folder, LayoutName.ARCHIVEMATICA).photos
    return folder


def test_scans_and_access_copies_lie_where_archivematica_looks(transfer: Path) -> None:
    """By the folder names of its manual; a number sign would make a line a comment."""
    access = "objects/manualNormalization/access"
    stems = ("1931/a.jpg", "1931/a.tif", "b _2.tif")

    assert sorted(
        [
            "metadata/checksum.sha256",
            "metadata/premis.xml",
            "objects/manualNormalization/normalization.csv",
            *(f"objects/{one}" for one in stems),
            *(f"{access}/{one}" for one in stems),
            *(f"{PAPERS}/{one}{end}" for one in stems for end in (".json", ".premis.xml")),
        ]
    ) == names(transfer)
    assert b"gray 1931/a.tif" == (transfer / "objects/1931/a.tif").read_bytes()
    assert b"color a.tif" == (transfer / access / "1931/a.tif").read_bytes()


def test_normalization_csv_pairs_them(transfer: Path) -> None:
    """Original, access, preservation; as two scans have one stem, names alone would not do."""
    with (transfer / "objects/manualNormalization/normalization.csv").open(newline="") as file:
        rows = list(csv.reader(file))

    assert [
        ["1931/a.tif", "manualNormalization/access/1931/a.tif", ""],
        ["1931/a.jpg", "manualNormalization/access/1931/a.jpg", ""],
        ["b _2.tif", "manualNormalization/access/b _2.tif", ""],
    ] == rows


def test_the_checksums_are_those_of_all_objects(transfer: Path) -> None:
    """Archivematica counts the lines, and calls this very command in `objects`."""
    sums = transfer / "metadata/checksum.sha256"
    objects = [name for name in names(transfer) if name.startswith("objects/")]
    subprocess.run(
        ["sha256sum", "--check", "--strict", str(sums)],
        cwd=transfer / "objects",
        check=True,
        capture_output=True,
    )

    assert len(objects) == len(sums.read_text().splitlines())


def test_the_events_that_archivematica_imports_are_valid(transfer: Path) -> None:
    """Each object is a file of the transfer, and each agent and event is linked."""
    document = premis_of(transfer / "metadata/premis.xml")
    agents = set(found(document, "//premis:agent//premis:agentIdentifierValue"))

    assert 6 == len(found(document, '//premis:object[@xsi:type="premis:file"]'))
    assert all((transfer / name).is_file() for name in found(document, "//premis:originalName"))
    assert agents == set(found(document, "//premis:linkingAgentIdentifierValue"))
    assert 3 == len(found(document, "//premis:event"))


def test_each_photograph_has_its_own_premis_too(transfer: Path) -> None:
    """Beside its sidecar, with the names that the files have in the transfer."""
    document = premis_of(transfer / PAPERS / "b _2.tif.premis.xml")

    assert ["objects/b _2.tif"] == found(document, "//premis:originalName")[:1]


def test_without_sidecars_there_is_no_premis(tmp_path: Path) -> None:
    """An early photochrom wrote none; the files are handed over all the same."""
    config = place(tmp_path / "old")
    color(config, "old.tif", sidecar=False, digest=False)
    folder = tmp_path / "transfer"
    made = pack(config, folder, LayoutName.ARCHIVEMATICA)

    assert (1, 1, 1) == made[1:4]
    assert not (folder / "metadata/premis.xml").exists()
    assert (folder / "objects/old.tif").exists()
