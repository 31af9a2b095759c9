"""The layout of Archivematica: a transfer with manually normalized access copies.

`objects/` has the scans and, in `manualNormalization/access/`, the results; normalization.csv says
which belongs to which. `metadata/` has what Archivematica reads by itself: checksum.sha256 of all
objects, and premis.xml, whose events it imports. Sidecars are submission documentation.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import PurePosixPath
from tempfile import TemporaryFile
from typing import IO
from xml.etree import ElementTree as ET

from service.config.loader import Config
from service.maintenance import premis
from service.maintenance.layouts.layout import Layout, Photograph
from service.maintenance.packing import CHUNK, Package

OBJECTS = PurePosixPath("objects")
NORMALIZED = PurePosixPath("manualNormalization")
METADATA = PurePosixPath("metadata")
PAPERS = METADATA / "submissionDocumentation/photochrom"


class ArchivematicaLayout(Layout):
    """Packs a standard transfer."""

    def __init__(self, package: Package, config: Config, organization: str) -> None:
        """Nothing is packed yet."""
        super().__init__(package, config, organization)
        self._pairs: list[tuple[str, str, str]] = []
        self._objects = self._temporary()  # of all photographs, as there may be 100,000
        self._events = self._temporary()
        self._agents: dict[str, ET.Element] = {}

    def add(self, photo: Photograph) -> None:
        """Pack a photograph."""
        output = _without_number_signs(photo.job.output)
        scan = self.copy_scan(
            photo, self.package.free(OBJECTS / _without_number_signs(photo.job.path))
        ).name
        result = self.copy_result(
            photo, self.package.free(OBJECTS / NORMALIZED / "access" / output)
        ).name
        pair = (str(scan.relative_to(OBJECTS)), str(result.relative_to(OBJECTS)), "")
        self._pairs.append(pair)
        if photo.sidecar:
            self.copy_papers(photo, PAPERS / output, scan=str(scan))
            described = premis.describe(
                photo.sidecar, scan=str(scan), result=str(result), decisions=photo.decisions
            )
            self._objects.writelines(map(ET.tostring, described.objects))
            self._events.writelines(map(ET.tostring, described.events))
            self._agents |= described.agents

    def finish(self) -> None:
        """Write the lists, and check the copies."""
        rows = io.StringIO()
        csv.writer(rows, lineterminator="\n").writerows(self._pairs)
        self.package.write(OBJECTS / NORMALIZED / "normalization.csv", rows.getvalue().encode())
        objects = (one for one in self.package.files.values() if one.name.is_relative_to(OBJECTS))
        sums = "".join(f"{one.sha256}  ../{one.name}\n" for one in objects)
        self.package.write(METADATA / "checksum.sha256", sums.encode())
        if self._agents:
            self._write_premis()
        self.package.check_copies()

    def _temporary(self) -> IO[bytes]:
        return self.temporary_files.enter_context(TemporaryFile("w+b"))

    def _write_premis(self) -> None:
        """Write one PREMIS document about all photographs."""
        empty = premis.document(premis.Description([], [], {}))
        head = empty.rstrip().removesuffix(b" />") + b">"
        agents = map(ET.tostring, self._agents.values())
        parts = (_chunks(self._objects), _chunks(self._events), agents)
        self.package.write(METADATA / "premis.xml", head, *parts, b"</premis:premis>\n")


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    return iter(lambda: file.read(CHUNK), b"")


def _without_number_signs(name: PurePosixPath) -> PurePosixPath:
    """Replace what makes a line of normalization.csv a comment."""
    return PurePosixPath(str(name).replace("#", "_"))
