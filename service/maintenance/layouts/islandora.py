"""The layout of Islandora: files, and the CSV files that Islandora Workbench reads.

metadata.csv makes a node for each photograph, with the scan as its original file and the result as
an intermediate file; add_media.csv adds the results to nodes that exist, once their numbers are
filled in. workbench.yml and add_media.yml are the configurations to complete.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import PurePosixPath

from service.config.loader import Config
from service.maintenance.layouts.layout import Layout, Photograph
from service.maintenance.packing import Package
from service.terminal import printable

IMAGE = "http://purl.org/coar/resource_type/c_c513"  # Islandora's model "Image"
INTERMEDIATE_FILE = "http://pcdm.org/use#IntermediateFile"
LONGEST_TITLE = 255  # characters, in Drupal
ABOUT = "Black-and-white photograph, with a version colored by a machine ({result})"
CREATE = f"""\
# Islandora Workbench: creates a node for each photograph. Complete the first three lines, then run
# ./workbench --config workbench.yml --check
host: "https://islandora.example.org"
username: admin
input_dir: .            # this folder; Workbench takes it from where it is started
task: create
input_csv: metadata.csv
media_type: file
fixity_algorithm: sha256
validate_fixity_during_check: true
allow_missing_files: false
additional_files:
  - colored: "{INTERMEDIATE_FILE}"
ignore_csv_columns: [sidecar, premis]  # or add them to additional_files, with a media use of yours
"""
ADD = f"""\
# Islandora Workbench: adds the colored versions to nodes that exist. Fill in the column node_id of
# add_media.csv, complete the first three lines, then run ./workbench --config add_media.yml --check
host: "https://islandora.example.org"
username: admin
input_dir: .            # this folder; Workbench takes it from where it is started
task: add_media
input_csv: add_media.csv
media_type: file
media_use_tid: "{INTERMEDIATE_FILE}"
fixity_algorithm: sha256
validate_fixity_during_check: true
ignore_csv_columns: [scan]
"""


class IslandoraLayout(Layout):
    """Packs files with tables of them."""

    def __init__(self, package: Package, config: Config, organization: str) -> None:
        """Nothing is packed yet."""
        super().__init__(package, config, organization)
        self._nodes: list[dict[str, str]] = []
        self._media: list[dict[str, str]] = []

    def add(self, photo: Photograph) -> None:
        """Pack a photograph."""
        path = photo.job.path
        scan = self.copy_scan(photo, self.package.free(PurePosixPath("scans") / path))
        inside = self.package.free(PurePosixPath("colored") / photo.job.output)
        result = self.copy_result(photo, inside)
        papers = self.copy_papers(photo, result.name, scan=str(scan.name))
        sidecar, premis = [str(one.name) for one in papers] or ["", ""]
        node = {
            "id": str(photo.job.id),
            "file": str(scan.name),
            "title": printable(path.stem)[:LONGEST_TITLE],
            "field_model": IMAGE,
            "checksum": scan.sha256,
            "colored": str(result.name),
            "image_alt_text": ABOUT.format(result=result.name.name)[:LONGEST_TITLE],
            "sidecar": sidecar,
            "premis": premis,
        }
        self._nodes.append(node)
        media = {"node_id": "", "file": str(result.name), "checksum": result.sha256}
        self._media.append({**media, "scan": str(scan.name)})

    def finish(self) -> None:
        """Write the tables, and check the copies."""
        for name, content in (
            ("metadata.csv", _table(self._nodes)),
            ("add_media.csv", _table(self._media)),
            ("workbench.yml", CREATE),
            ("add_media.yml", ADD),
        ):
            self.package.write(PurePosixPath(name), content.encode())
        self.package.check_copies()


def _table(rows: Iterable[dict[str, str]]) -> str:
    text = io.StringIO()
    rows = list(rows)
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()
