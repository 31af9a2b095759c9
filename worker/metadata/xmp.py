"""XMP packets: keeps the scan's properties, corrects those that no longer hold, adds the label.

The label is IPTC's DigitalSourceType. Sources: ISO 16684-1 (packets, RDF), Adobe's XMP namespaces
(xmpMM, stRef, stEvt), IPTC Photo Metadata 2025.1. Refuses
packets with a document type declaration, which could define entities and external files.
"""

import re
import uuid
from dataclasses import dataclass
from typing import Any

from lxml import etree

from worker.errors import DamagedError
from worker.metadata.provenance import Origin

DIGITAL_SOURCE_TYPE = (
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
)
NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpMM": "http://ns.adobe.com/xap/1.0/mm/",
    "stEvt": "http://ns.adobe.com/xap/1.0/sType/ResourceEvent#",
    "stRef": "http://ns.adobe.com/xap/1.0/sType/ResourceRef#",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "dcterms": "http://purl.org/dc/terms/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "premis": "http://www.loc.gov/premis/rdf/v1#",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
}
# What is true of the scan's file only: how its samples are stored, small copies of it, where its
# packet and its credentials go on, and digests of its other blocks.
OF_THE_FILE = {
    "tiff": (
        *("BitsPerSample", "Compression", "PhotometricInterpretation", "SamplesPerPixel"),
        *("PlanarConfiguration", "TransferFunction", "WhitePoint", "PrimaryChromaticities"),
        *("YCbCrCoefficients", "YCbCrSubSampling", "YCbCrPositioning", "ReferenceBlackWhite"),
        "NativeDigest",
    ),
    "exif": ("ComponentsConfiguration", "CompressedBitsPerPixel", "NativeDigest"),
    "photoshop": ("LegacyIPTCDigest",),
    "xmp": ("Thumbnails",),
    "xmpNote": ("HasExtendedXMP",),
    "dc": ("format",),
    "dcterms": ("provenance",),
}
PACKET = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n{}\n<?xpacket end="w"?>'
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Node = Any  # lxml ships no types


@dataclass(frozen=True)
class Facts:
    """Properties of the result's file that its packet states.

    Attributes:
        width: columns.
        height: rows.
        color_space: EXIF's number: 1 for sRGB, 65535 for any other.
        profile_name: name of its ICC profile.
        turned: whether width and height changed places.
        scan_software: what made the scan, as its EXIF block says, or "".
    """

    width: int
    height: int
    color_space: int
    profile_name: str
    turned: bool = False
    scan_software: str = ""


def merge(packet: bytes, origin: Origin, facts: Facts, *, label: bool, credit: str) -> bytes:
    """Return the result's packet, in UTF-8: the scan's, corrected and labeled.

    Without `label` there is no DigitalSourceType, not even the scan's own, which would call the
    result a print or a negative. Where the color comes from (DerivedFrom, History) is always told.

    Args:
        packet: the scan's, in UTF-8 or UTF-16; b"" if it has none.
        origin: where the result comes from.
        facts: what is so of it.
        label: whether to write DigitalSourceType.
        credit: the credit line to write; "" keeps the scan's.

    Raises:
        DamagedError: when the packet cannot be read.
    """
    rdf = _parsed(packet) if packet.strip(b"\0 \t\r\n") else _empty()
    ours = _description(rdf)
    # Notes that stand before the facts are corrected.
    parameters = _parameters(rdf, origin, facts)
    source = _source(rdf, origin)
    original = _first(rdf, "xmpMM:OriginalDocumentID") or source["stRef:documentID"]
    for prefix, names in OF_THE_FILE.items():
        for name in names:
            _drop(rdf, f"{prefix}:{name}")
    _correct(rdf, ours, origin, facts)
    _set(rdf, ours, "xmp:MetadataDate", _date(origin))
    if not _first(rdf, "xmp:CreatorTool"):  # the first tool known, says XMP
        _set(rdf, ours, "xmp:CreatorTool", facts.scan_software or origin.software)
    _set(rdf, ours, "xmpMM:OriginalDocumentID", original)
    # One for all colorings of this scan: they are versions of one photograph.
    document = uuid.uuid5(uuid.NAMESPACE_URL, f"urn:sha256:{origin.sha256}")
    _set(rdf, ours, "xmpMM:DocumentID", f"urn:uuid:{document}")
    _set(rdf, ours, "xmpMM:InstanceID", f"urn:uuid:{origin.event}")
    _drop(rdf, "xmpMM:DerivedFrom")
    _fill(_child(ours, "xmpMM:DerivedFrom"), source)
    _note_event(rdf, ours, origin, parameters)
    _drop(rdf, "Iptc4xmpExt:DigitalSourceType")
    if label:
        _set(rdf, ours, "Iptc4xmpExt:DigitalSourceType", DIGITAL_SOURCE_TYPE)
    if credit:
        _set(rdf, ours, "photoshop:Credit", credit)
    etree.indent(ours)
    etree.cleanup_namespaces(ours)
    root = rdf.getroottree().getroot()
    return PACKET.format(etree.tostring(root, encoding="unicode", with_tail=False)).encode()


def overlaid(packet: bytes, beside: bytes) -> bytes:
    """Return a packet overlaid with another one's properties.

    Args:
        packet: in UTF-8 or UTF-16; b"" for none.
        beside: the other one, such as that of a file beside the scan.

    Raises:
        ValueError: one of them cannot be read.
    """
    over = _parsed(beside)
    rdf = _parsed(packet) if packet.strip(b"\0 \t\r\n") else _empty()
    about = next((one.get(_tag("rdf:about")) for one in rdf.iterchildren("*")), None)
    for description in list(over.iterchildren("*")):
        tags = [node.tag for node in description.iterchildren("*")] + list(description.attrib)
        for tag in tags:
            if not str(tag).startswith(f"{{{NAMESPACES['rdf']}}}"):
                _drop_tag(rdf, str(tag))
    for description in list(over.iterchildren("*")):
        description.set(_tag("rdf:about"), about or "")
        rdf.append(description)
    root = rdf.getroottree().getroot()
    return PACKET.format(etree.tostring(root, encoding="unicode", with_tail=False)).encode()


def orientation_of(packet: bytes) -> str | None:
    """Return a packet's tiff:Orientation, or None.

    Raises:
        ValueError: it cannot be read.
    """
    return _first(_parsed(packet), "tiff:Orientation")


def has_regions(packet: bytes) -> bool:
    """Tell whether a packet has image regions, such as faces (MWG)."""
    return b"http://www.metadataworkinggroup.com/schemas/regions/" in packet.replace(b"\0", b"")


def _empty() -> Node:
    root = etree.Element(_tag("x:xmpmeta"), nsmap={"x": NAMESPACES["x"]})
    return etree.SubElement(root, _tag("rdf:RDF"), nsmap={"rdf": NAMESPACES["rdf"]})


def _parsed(packet: bytes) -> Node:
    """Return the rdf:RDF of a packet."""
    encoding = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}.get(packet[:2], "utf-8-sig")
    encoding = {b"<\0": "utf-16-le", b"\0<": "utf-16-be"}.get(packet[:2], encoding)
    try:
        text = packet.decode(encoding).strip("\ufeff\0 \t\r\n")
    except UnicodeDecodeError as error:
        raise DamagedError("its characters are not Unicode") from error
    parser = etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError as error:
        raise DamagedError(f"it is not well-formed in line {error.position[0]}") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise DamagedError("it has a document type declaration")
    rdf = next(root.iter(_tag("rdf:RDF")), None)
    if rdf is None:
        raise DamagedError("it holds no RDF")
    return rdf


def _parameters(rdf: Node, origin: Origin, facts: Facts) -> str:
    """Return the parameters of the coloring, with facts of the scan stated nowhere else."""
    parts = [
        "color invented by a model over the scan's own lightness",
        *([f"as a person wished: {origin.said}"] if origin.said else []),
        f"model {origin.model}, weights sha256 {origin.weights_sha256}",
        f"scan {origin.name}, sha256 {origin.sha256}",
    ]
    if facts.scan_software:
        parts.append(f"scan's software {facts.scan_software}")
    source_type = _first(rdf, "Iptc4xmpExt:DigitalSourceType")
    if source_type and source_type != DIGITAL_SOURCE_TYPE:
        parts.append(f"scan's digital source type {source_type}")
    return "; ".join(parts)


def _source(rdf: Node, origin: Origin) -> dict[str, str]:
    """Refer to the scan: by its own identifiers, else by its digest, which is always there too."""
    digest = f"urn:sha256:{origin.sha256}"
    return {
        "stRef:documentID": _first(rdf, "xmpMM:DocumentID") or digest,
        "stRef:instanceID": _first(rdf, "xmpMM:InstanceID") or digest,
        "stRef:filePath": origin.name,
        "premis:hasMessageDigest": digest,
    }


def _correct(rdf: Node, ours: Node, origin: Origin, facts: Facts) -> None:
    """Correct the properties that describe the file; add none."""
    true = {
        "tiff:Orientation": "1",
        "tiff:ImageWidth": str(facts.width),
        "tiff:ImageLength": str(facts.height),
        "exif:PixelXDimension": str(facts.width),
        "exif:PixelYDimension": str(facts.height),
        "exif:ColorSpace": str(facts.color_space),
        "tiff:Software": origin.software,
        "photoshop:ICCProfile": facts.profile_name,
        "photoshop:ColorMode": "3",  # RGB
    }
    across, down = (_first(rdf, f"tiff:{axis}Resolution") for axis in "XY")
    if facts.turned and across and down:
        true |= {"tiff:XResolution": down, "tiff:YResolution": across}
    for name, value in true.items():
        if _first(rdf, name) is not None:
            _set(rdf, ours, name, value)


def _note_event(rdf: Node, ours: Node, origin: Origin, parameters: str) -> None:
    """Append the coloring to xmpMM:History, once."""
    instance = f"urn:uuid:{origin.event}"
    history = next(
        (
            node
            for part in rdf.iterchildren("*")
            for node in part.iterchildren(_tag("xmpMM:History"))
        ),
        None,
    )
    if history is None:
        history = _child(ours, "xmpMM:History")
    events = next(history.iterchildren(_tag("rdf:Seq"), _tag("rdf:Bag")), None)
    if events is None:
        history.clear()  # what is there is no list of events
        events = _child(history, "rdf:Seq")
    for event in list(events.iterchildren(_tag("rdf:li"))):
        name = _tag("stEvt:instanceID")
        nodes = list(event.iter("*"))
        if instance in {n.get(name) for n in nodes} | {n.text for n in nodes if n.tag == name}:
            events.remove(event)
    event = {
        "stEvt:action": "edited",
        "stEvt:instanceID": instance,
        "stEvt:when": _date(origin),
        "stEvt:softwareAgent": origin.software,
        "stEvt:parameters": parameters,
    }
    _fill(_child(events, "rdf:li"), event)


def _date(origin: Origin) -> str:
    return origin.when.isoformat().replace("+00:00", "Z")


# A property stands as an attribute or as an element of any description of the packet.


def _tag(name: str) -> str:
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def _description(rdf: Node) -> Node:
    """Add a description, of the same thing as the first."""
    about = next((d.get(_tag("rdf:about")) for d in rdf.iterchildren("*")), None)
    description = etree.SubElement(rdf, _tag("rdf:Description"), nsmap=NAMESPACES)
    description.set(_tag("rdf:about"), about or "")
    return description


def _child(parent: Node, name: str) -> Node:
    prefix = name.partition(":")[0]
    return etree.SubElement(parent, _tag(name), nsmap={prefix: NAMESPACES[prefix]})


def _first(rdf: Node, name: str) -> str | None:
    """Return a property's first value, "" if that is no text, None if it is not there."""
    tag = _tag(name)
    for description in rdf.iterchildren("*"):
        if description.get(tag) is not None:
            return str(description.get(tag)).strip()
        for node in description.iterchildren(tag):
            return str(node.get(_tag("rdf:resource")) or node.text or "").strip()
    return None


def _drop(rdf: Node, name: str) -> None:
    _drop_tag(rdf, _tag(name))


def _drop_tag(rdf: Node, tag: str) -> None:
    for description in rdf.iterchildren("*"):
        description.attrib.pop(tag, None)
        for node in list(description.iterchildren(tag)):
            description.remove(node)


def _set(rdf: Node, ours: Node, name: str, value: str) -> None:
    _drop(rdf, name)
    _child(ours, name).text = _as_xml(value)


def _fill(node: Node, fields: dict[str, str]) -> None:
    """Make a node a structure of texts."""
    node.set(_tag("rdf:parseType"), "Resource")
    for name, value in fields.items():
        _child(node, name).text = _as_xml(value)


def _as_xml(value: str) -> str:
    """Replace what XML cannot hold, such as undecodable bytes of a file name."""
    return NOT_XML.sub("\ufffd", value)
