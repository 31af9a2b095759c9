"""What tests of packages share: making one, reading it, and the schema of PREMIS."""

import csv
from pathlib import Path
from typing import Any

from lxml import etree

from service.config.loader import Config
from service.maintenance.bag import BagResult, make_bag
from service.maintenance.layouts.layout_name import LayoutName

SCHEMA = Path(__file__).parent.parent / "service/maintenance/data/premis-v3-0.xsd"
NAMESPACES = {
    "premis": "http://www.loc.gov/premis/v3",
    "opex": "http://www.openpreservationexchange.org/opex/v1.2",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
}


def pack(config: Config, folder: Path, layout: LayoutName, **options: Any) -> BagResult:
    """Make a package without a progress bar."""
    return make_bag(config, folder, lambda *_: None, layout=layout, **options)


def names(folder: Path) -> list[str]:
    """List the files of a folder."""
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


def table(path: Path) -> list[dict[str, str]]:
    """Read a CSV file with a header."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def premis_of(path: Path) -> Any:
    """Parse a PREMIS document, and validate it by the Library of Congress' schema."""
    document = etree.parse(path)
    etree.XMLSchema(etree.parse(SCHEMA)).assertValid(document)
    return document


def found(document: Any, path: str) -> list[str]:
    """Return the texts of elements, by an XPath with the prefixes of NAMESPACES."""
    return [str(getattr(one, "text", one)) for one in document.xpath(path, namespaces=NAMESPACES)]
