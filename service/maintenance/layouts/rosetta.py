"""The layout of Ex Libris Rosetta: a folder for each intellectual entity (IE).

In it are dc.xml and a sub-folder for each representation: PRESERVATION_MASTER has the scan,
DERIVATIVE_COPY the result with its sidecar and PREMIS. checksums.md5 lists all files of the
representations; rosetta.csv is for Rosetta's CSV loader.
"""

import csv
import io
from pathlib import PurePosixPath
from typing import NamedTuple
from xml.etree import ElementTree as ET

from service.config.loader import Config
from service.maintenance.layouts.layout import Layout, Photograph
from service.maintenance.packing import Package, Packed
from service.maintenance.premis import serialized
from service.terminal import printable

DC = "http://purl.org/dc/elements/1.1/"
DCTERMS = "http://purl.org/dc/terms/"
PROVENANCE = (
    "The preservation master is the black-and-white scan. The derivative copy was colored by a"
    " machine; its colors are believable guesses and no record."
)
COLUMNS = (
    "Object Type",
    "Title (DC)",
    "Identifier (DC)",
    "Provenance (DCTERMS)",
    "MD5",
    "Preservation Type",
    "Revision Number",
    "Usage Type",
    "File Original Path",
    "File Original Name",
)

ET.register_namespace("dc", DC)
ET.register_namespace("dcterms", DCTERMS)


class Entity(NamedTuple):
    """A photograph in the package.

    Attributes:
        title: for people.
        identifier: the scan's path in the inbox.
        representations: the files of each, by preservation type.
    """

    title: str
    identifier: str
    representations: dict[str, list[Packed]]


class RosettaLayout(Layout):
    """Packs folders of representations."""

    def __init__(self, package: Package, config: Config, organization: str) -> None:
        """Nothing is packed yet."""
        super().__init__(package, config, organization)
        self._entities: list[Entity] = []

    def add(self, photo: Photograph) -> None:
        """Pack a photograph."""
        path = photo.job.path
        folder = self.package.free(_basic("_".join(path.with_suffix("").parts)))
        scan = self.copy_scan(photo, folder / "PRESERVATION_MASTER" / _basic(path.name))
        copies = folder / "DERIVATIVE_COPY"
        result = self.copy_result(photo, self.package.free(copies / _basic(photo.job.output.name)))
        papers = self.copy_papers(photo, result.name, scan=str(scan.name))
        entity = Entity(
            printable(path.stem),
            printable(str(path)),
            {"PRESERVATION_MASTER": [scan], "DERIVATIVE_COPY": [result, *papers]},
        )
        self.package.write(folder / "dc.xml", _dublin_core(entity))
        self._entities.append(entity)

    def finish(self) -> None:
        """Write the lists, and check the copies."""
        files = [
            file
            for entity in self._entities
            for files in entity.representations.values()
            for file in files
        ]
        sums = "".join(f"{file.md5}\t{file.name}\n" for file in files)
        self.package.write(PurePosixPath("checksums.md5"), sums.encode())
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, restval="")
        table.writeheader()
        table.writerow({"Object Type": "SIP", "Title (DC)": self._title()})
        for entity in self._entities:
            table.writerows(_rows(entity))
        self.package.write(PurePosixPath("rosetta.csv"), text.getvalue().encode())
        self.package.check_copies()

    def _title(self) -> str:
        sender = f"{self.organization}: " if self.organization else ""
        count = len(self._entities)
        return f"{sender}{count} photograph{'s' * (count != 1)} colored by a machine"


def _basic(name: str) -> str:
    """Return a name without characters of four bytes in UTF-8, which Rosetta's database lacks."""
    return "".join(one if ord(one) < 0x10000 else "_" for one in printable(name))


def _dublin_core(entity: Entity) -> bytes:
    record = ET.Element(f"{{{DC}}}record")
    for tag, text in (
        (f"{{{DC}}}title", entity.title),
        (f"{{{DC}}}identifier", entity.identifier),
        (f"{{{DCTERMS}}}provenance", PROVENANCE),
    ):
        ET.SubElement(record, tag).text = text
    return serialized(record)


def _rows(entity: Entity) -> list[dict[str, str]]:
    """Return the rows of an entity: its own, and those of its representations and files."""
    rows = [
        {
            "Object Type": "IE",
            "Title (DC)": entity.title,
            "Identifier (DC)": entity.identifier,
            "Provenance (DCTERMS)": PROVENANCE,
        }
    ]
    for kind, files in entity.representations.items():
        use = {"Preservation Type": kind, "Revision Number": "1", "Usage Type": "VIEW"}
        rows.append({"Object Type": "REP", **use})
        rows += [
            {
                "Object Type": "FILE",
                "MD5": file.md5,
                "File Original Path": f"{file.name.parent}/",
                "File Original Name": file.name.name,
            }
            for file in files
        ]
    return rows
