"""An OPEX for Preservica: PAX assets with fixities, manifests and metadata."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from service.config.loader import Config
from service.maintenance.layouts.layout_name import LayoutName
from tests.support.delivered_results import color, place
from tests.support.packages import NAMESPACES, SCHEMA, found, names, pack


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make a place where three photographs were colored, two of them with the same stem."""
    config = place(tmp_path / "home")
    for name in ("album/1931/a.tif", "album/1931/A.jpg", "b.tif"):
        color(config, name)
    return config


@pytest.fixture
def opex(config: Config, tmp_path: Path) -> Path:
    """Make the package."""
    folder = tmp_path / "delivery 7"
    pack(config, folder, LayoutName.PRESERVICA)
    return folder


# What each element may contain, in this order, and its attributes: the schema of OPEX 1.0 that
# Preservica gives out (github.com/decirella/opex_examples has it), with the paths of 1.2.
CHILDREN = {
    "OPEXMetadata": ["Transfer", "Properties", "History", "Relationships", "DescriptiveMetadata"],
    "Transfer": ["SourceID", "Manifest", "Fixities"],
    "Manifest": ["Files", "Folders"],
    "Files": ["File"],
    "Folders": ["Folder"],
    "Fixities": ["Fixity"],
    "Properties": ["Title", "Description", "SecurityDescriptor", "Identifiers"],
    "Identifiers": ["Identifier"],
}
REPEATED = {"File", "Folder", "Fixity", "Identifier"}
ATTRIBUTES = {
    "File": {"size", "type"},
    "Fixity": {"path", "type", "value"},
    "Identifier": {"type"},
}


def deviations(element: Any) -> list[str]:
    """List what in an OPEX element, or in those below it, its schema does not have."""
    kind = etree.QName(element)
    if kind.namespace != NAMESPACES["opex"]:
        return [f"{kind} is no element of OPEX"]
    name = kind.localname
    wrong = [f"@{one} of {name}" for one in set(element.attrib) - ATTRIBUTES.get(name, set())]
    if name == "DescriptiveMetadata":
        return wrong + [str(one) for one in element if etree.QName(one).namespace == kind.namespace]
    order = CHILDREN.get(name, [])
    inside = [etree.QName(one).localname for one in element]
    places = [order.index(one) if one in order else -1 for one in inside]
    if -1 in places or places != sorted(places):
        wrong.append(f"{inside} in {name}")
    wrong += [f"{one} twice" for one in set(inside) - REPEATED if inside.count(one) > 1]
    return wrong + [one for child in element for one in deviations(child)]


def metadata(path: Path) -> Any:
    """Read an OPEX file."""
    return etree.parse(path)


def test_each_photograph_is_an_asset_of_two_representations(opex: Path) -> None:
    """The scan to preserve, the result to look at; metadata beside the asset and in folders."""
    assert [
        "album/1931/1931.opex",
        "album/1931/A (2).pax.opex",
        "album/1931/A (2).pax/Representation_Access/A/A.jpg",
        "album/1931/A (2).pax/Representation_Preservation/A/A.jpg",
        "album/1931/a.pax.opex",
        "album/1931/a.pax/Representation_Access/a/a.tif",
        "album/1931/a.pax/Representation_Preservation/a/a.tif",
        "album/album.opex",
        "b.pax.opex",
        "b.pax/Representation_Access/b/b.tif",
        "b.pax/Representation_Preservation/b/b.tif",
        "delivery 7.opex",
    ] == names(opex)


def test_the_metadata_are_as_the_published_schema_has_them(opex: Path) -> None:
    """Each element where it may be, in its order, with its attributes and no others."""
    found_files = list(opex.rglob("*.opex"))

    assert 6 == len(found_files)
    assert [] == [wrong for one in found_files for wrong in deviations(metadata(one).getroot())]


def test_the_fixities_and_sizes_are_those_of_the_files(opex: Path) -> None:
    """SHA-256, by path in the asset; the manifest lists files and folders."""
    for path in opex.rglob("*.pax.opex"):
        asset, about = path.with_suffix(""), metadata(path)
        for one in about.xpath("//opex:Fixity", namespaces=NAMESPACES):
            content = (asset / one.get("path")).read_bytes()
            assert ("SHA-256", hashlib.sha256(content).hexdigest()) == (
                one.get("type"),
                one.get("value"),
            )
        files = about.xpath("//opex:File", namespaces=NAMESPACES)
        folders = found(about, "//opex:Manifest//opex:Folder")

        assert names(asset) == sorted(one.text for one in files)
        assert [(asset / one.text).stat().st_size for one in files] == [
            int(one.get("size")) for one in files
        ]
        assert {str(one.relative_to(asset)) for one in asset.rglob("*") if one.is_dir()} == set(
            folders
        )


def test_each_folder_lists_what_is_in_it(opex: Path) -> None:
    """Its folders, its assets, and their metadata files with the sizes."""
    root, inner = metadata(opex / "delivery 7.opex"), metadata(opex / "album/1931/1931.opex")
    (size,) = root.xpath("//opex:File/@size", namespaces=NAMESPACES)

    assert ["b.pax", "album"] == found(root, "//opex:Folder")
    assert ["b.pax.opex"] == found(root, "//opex:File")
    assert (opex / "b.pax.opex").stat().st_size == int(size)
    assert ["1931"] == found(metadata(opex / "album/album.opex"), "//opex:Folder")
    assert ["a.pax", "A (2).pax"] == found(inner, "//opex:Folder")


def test_premis_and_sidecar_are_the_assets_metadata(config: Config, opex: Path) -> None:
    """The PREMIS valid, the sidecar letter for letter, so that its own digest can be checked."""
    about = metadata(opex / "b.pax.opex")
    fragment = about.find(".//premis:premis", NAMESPACES)
    (sidecar,) = found(about, "//*[local-name()='sidecar']")
    etree.XMLSchema(etree.parse(SCHEMA)).assertValid(etree.fromstring(etree.tostring(fragment)))

    assert (config.outbox / "b.tif.json").read_text() == sidecar
    assert "b.tif" == json.loads(sidecar)["output"]["path"]
    assert ["b"] == found(about, "//opex:Title")
    assert "guesses" in found(about, "//opex:Description")[0]
