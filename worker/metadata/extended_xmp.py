"""Splits XMP packets that exceed a JPEG segment, and joins them after reading.

Whole properties move to the extended part, the longest first, so that short ones such as the label
stay in the main packet. Source: Adobe, XMP Specification part 3, "Extended XMP in JPEG".
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from lxml import etree

from worker.errors import DamagedError

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
NOTE = "http://ns.adobe.com/xmp/note/"
GUID_PROPERTY = f"{{{NOTE}}}HasExtendedXMP"
EMPTY = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
)
PACKET = (b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>', b'<?xpacket end="w"?>')


class _Property(NamedTuple):
    """Of whom it is said, its size in bytes, and the element or the attribute that says it."""

    about: etree._Element
    size: int
    element: etree._Element | None
    name: str


def split(packet: bytes, longest: int) -> tuple[bytes, bytes]:
    """Split a packet in two.

    Args:
        packet: XMP.
        longest: bytes that the first part may have.

    Returns:
        what every reader finds, at most `longest` bytes, and the rest (b"" if all fits); the first
        part names the second by its digest.

    Raises:
        DamagedError: it is no XMP, or no part of it is small enough.
    """
    if len(packet) <= longest:
        return packet, b""
    main, rest = _tree(packet), _tree(EMPTY)
    longest_first = iter(sorted(_properties(main), key=lambda one: one.size, reverse=True))
    # 512: the wrapping and the digest's name. Sizes are of properties alone, with namespaces that
    # they share in the packet, so that it may take a second look.
    while (excess := len(etree.tostring(main)) + 512 - longest) > 0:
        for one in longest_first:
            _move(one, _rdf(rest))
            excess -= one.size
            if excess <= 0:
                break
        else:
            raise DamagedError(f"XMP of {len(packet):,} bytes cannot be split")
    extended = etree.tostring(rest)
    pointer = etree.SubElement(_rdf(main), f"{RDF}Description", nsmap={"xmpNote": NOTE})
    pointer.set(f"{RDF}about", "")
    pointer.set(GUID_PROPERTY, digest(extended))
    return PACKET[0] + etree.tostring(main) + PACKET[1], extended


def _properties(main: etree._Element) -> Iterator[_Property]:
    for about in _rdf(main).iterfind(f"{RDF}Description"):
        for one in about:
            yield _Property(about, len(etree.tostring(one)), one, "")
        for name, value in about.attrib.items():
            if not str(name).startswith(RDF):
                yield _Property(about, len(str(value).encode()), None, str(name))


def _move(one: _Property, into: etree._Element) -> None:
    moved = etree.SubElement(into, f"{RDF}Description", nsmap=one.about.nsmap)
    moved.set(f"{RDF}about", one.about.get(f"{RDF}about", ""))
    if one.element is not None:
        moved.append(one.element)
    else:
        moved.set(one.name, str(one.about.attrib.pop(one.name)))


def join(main: bytes, extended: bytes) -> bytes:
    """Undo `split`; nothing of either part is lost.

    Raises:
        DamagedError: one of them is no XMP.
    """
    tree = _tree(main)
    rdf = _rdf(tree)
    for about in rdf.iterfind(f"{RDF}Description"):
        about.attrib.pop(GUID_PROPERTY, None)
        for one in about.findall(GUID_PROPERTY):
            about.remove(one)
    rdf.extend(_rdf(_tree(extended)).findall(f"{RDF}Description"))
    return PACKET[0] + etree.tostring(tree) + PACKET[1]


def digest(extended: bytes) -> str:
    """Return the GUID of an extended part: MD5 in upper-case hexadecimal."""
    return hashlib.md5(extended, usedforsecurity=False).hexdigest().upper()


def named_in(main: bytes) -> str:
    """Return the GUID of the extended part that a packet refers to; "" if none."""
    if b"HasExtendedXMP" not in main:
        return ""
    for about in _rdf(_tree(main)).iterfind(f"{RDF}Description"):
        found = about.get(GUID_PROPERTY) or about.findtext(GUID_PROPERTY)
        if found:
            return found.strip()
    return ""


def _tree(packet: bytes) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    try:
        return etree.fromstring(packet.strip(b"\0 \n\r\t"), parser)
    except etree.XMLSyntaxError as error:
        raise DamagedError(f"the XMP is not well-formed in line {error.position[0]}") from error


def _rdf(tree: etree._Element) -> etree._Element:
    found = tree if tree.tag == f"{RDF}RDF" else tree.find(f".//{RDF}RDF")
    if found is None:
        raise DamagedError("the XMP holds no RDF")
    return found
