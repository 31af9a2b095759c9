"""The layout of Preservica: an OPEX of PAX assets, as the Open Preservation Exchange 1.2 has them.

Each photograph is a folder NAME.pax with the scan in Representation_Preservation and the result in
Representation_Access, and beside it NAME.pax.opex: fixities, a manifest, and as descriptive
metadata the PREMIS and the sidecar. Each folder has a manifest FOLDER/FOLDER.opex. Elements come in
the order of the schema of OPEX 1.0, of which 1.2 takes more.
"""

from collections import defaultdict
from pathlib import PurePosixPath
from xml.etree import ElementTree as ET

from service.config.loader import Config
from service.filesystem.safe_open import open_beneath
from service.maintenance import premis
from service.maintenance.layouts.layout import Layout, Photograph
from service.maintenance.packing import Package, Packed
from service.storage.sidecar import sidecar_name
from service.terminal import printable

OPEX = "http://www.openpreservationexchange.org/opex/v1.2"
SIDECAR = "urn:photochrom:sidecar"
ABOUT = (
    "The preservation representation is the black-and-white scan. The access representation was"
    " colored by a machine; its colors are believable guesses and no record."
)

ET.register_namespace("opex", OPEX)
ET.register_namespace("sidecar", SIDECAR)


class PreservicaLayout(Layout):
    """Packs assets in the folders of the inbox."""

    def __init__(self, package: Package, config: Config, organization: str) -> None:
        """Nothing is packed yet."""
        super().__init__(package, config, organization)
        self._inside: dict[PurePosixPath, list[tuple[PurePosixPath, Packed]]] = defaultdict(list)

    def add(self, photo: Photograph) -> None:
        """Pack a photograph."""
        path = photo.job.path
        asset = self.package.free(path.with_name(f"{path.stem}.pax"), ".opex")
        title = printable(path.stem)
        scan = self.copy_scan(photo, _place(asset, "Representation_Preservation", path))
        result = self.copy_result(photo, _place(asset, "Representation_Access", photo.job.output))
        root = _metadata(asset, [scan, result], title, printable(str(path)))
        if photo.sidecar:
            described = premis.describe(
                photo.sidecar,
                scan=str(scan.name),
                result=str(result.name),
                decisions=photo.decisions,
            )
            about = _inside(root, "DescriptiveMetadata")
            about.append(premis.tree(described))
            paper = ET.SubElement(about, f"{{{SIDECAR}}}sidecar")
            paper.text = self._sidecar(photo)
        opex = self.package.write(asset.with_name(f"{asset.name}.opex"), premis.serialized(root))
        self._inside[asset.parent].append((asset, opex))

    def finish(self) -> None:
        """Write the folders' manifests, and check the copies."""
        folders = {one for parent in self._inside for one in (parent, *parent.parents)}
        for folder in sorted(folders):
            root = ET.Element(f"{{{OPEX}}}OPEXMetadata")
            manifest = _inside(_inside(root, "Transfer"), "Manifest")
            assets = self._inside.get(folder, [])
            names = [asset.name for asset, _ in assets]
            names += [one.name for one in sorted(folders) if one != folder == one.parent]
            for _, opex in assets:
                one = _inside(_inside_once(manifest, "Files"), "File")
                one.attrib |= {"type": "metadata", "size": str(opex.size)}
                one.text = opex.name.name
            for name in names:
                _inside(_inside_once(manifest, "Folders"), "Folder").text = name
            name = folder.name or self.package.name
            self.package.write(folder / f"{name}.opex", premis.serialized(root))
        self.package.check_copies()

    def _sidecar(self, photo: Photograph) -> str:
        """Return the text of the sidecar as it is, so that its own digest can be checked."""
        with open_beneath(self._config.outbox, sidecar_name(photo.job.output)) as file:
            return (file.read() or b"").decode()


def _place(asset: PurePosixPath, representation: str, path: PurePosixPath) -> PurePosixPath:
    name = PurePosixPath(printable(path.name))
    return asset / representation / name.stem / name


def _metadata(asset: PurePosixPath, files: list[Packed], title: str, identifier: str) -> ET.Element:
    """Return the OPEX metadata of an asset."""
    root = ET.Element(f"{{{OPEX}}}OPEXMetadata")
    transfer = _inside(root, "Transfer")
    manifest = _inside(transfer, "Manifest")
    fixities = _inside(transfer, "Fixities")
    listed, folders = _inside(manifest, "Files"), _inside(manifest, "Folders")
    for file in files:
        inside = file.name.relative_to(asset)
        for folder in (inside.parent.parent, inside.parent):
            _inside(folders, "Folder").text = str(folder)
        fixity = _inside(fixities, "Fixity")
        fixity.attrib |= {"path": str(inside), "type": "SHA-256", "value": file.sha256}
        one = _inside(listed, "File")
        one.attrib |= {"type": "content", "size": str(file.size)}
        one.text = str(inside)
    properties = _inside(root, "Properties")
    _inside(properties, "Title").text = title
    _inside(properties, "Description").text = ABOUT
    code = _inside(_inside(properties, "Identifiers"), "Identifier")
    code.attrib["type"] = "photochrom path"
    code.text = identifier
    return root


def _inside(parent: ET.Element, tag: str) -> ET.Element:
    return ET.SubElement(parent, f"{{{OPEX}}}{tag}")


def _inside_once(parent: ET.Element, tag: str) -> ET.Element:
    there = parent.find(f"{{{OPEX}}}{tag}")
    return _inside(parent, tag) if there is None else there
