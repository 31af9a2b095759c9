"""A result's XMP packet says all that the scan's said, what is so now, and who made the color."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from worker.metadata import xmp
from worker.metadata.provenance import Origin
from worker.metadata.xmp import DIGITAL_SOURCE_TYPE, NAMESPACES, Facts

EVENT = "0b8cf8b3-7a0e-4f7e-9a43-6d1d8d6f3c11"
ORIGIN = Origin(
    name="0042.tif",
    sha256="ab" * 32,
    model="7",
    weights_sha256="cd" * 32,
    software="photochrom 0.1.0",
    event=EVENT,
    when=datetime(2026, 5, 17, 12, 0, 0, tzinfo=UTC),
)
FACTS = Facts(width=640, height=480, color_space=1, profile_name="sRGB")
RDF = NAMESPACES["rdf"]
SCAN = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Tool 1">
<rdf:RDF xmlns:rdf="{RDF}"><!-- of the archive -->
 <rdf:Description rdf:about="uuid:9" xmlns:tiff="{NAMESPACES["tiff"]}"
   xmlns:photoshop="{NAMESPACES["photoshop"]}" xmlns:a="http://archive.example/"
   tiff:Orientation="6" tiff:XResolution="300/1" photoshop:ColorMode="1" a:Box="12 &amp; 13"
   photoshop:ICCProfile="Dot Gain 20%"/>
 <rdf:Description rdf:about="uuid:9" xmlns:tiff="{NAMESPACES["tiff"]}"
   xmlns:exif="{NAMESPACES["exif"]}" xmlns:dc="{NAMESPACES["dc"]}" xmlns:xmp="{NAMESPACES["xmp"]}"
   xmlns:xmpMM="{NAMESPACES["xmpMM"]}" xmlns:e="{NAMESPACES["stEvt"]}"
   xmlns:ext="{NAMESPACES["Iptc4xmpExt"]}">
  <tiff:YResolution>400/1</tiff:YResolution>
  <tiff:BitsPerSample><rdf:Seq><rdf:li>8</rdf:li></rdf:Seq></tiff:BitsPerSample>
  <exif:PixelXDimension>480</exif:PixelXDimension>
  <dc:format>image/tiff</dc:format>
  <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Stra\u00dfe</rdf:li></rdf:Alt></dc:title>
  <xmp:CreatorTool>Scanner 3</xmp:CreatorTool>
  <xmp:Thumbnails><rdf:Alt><rdf:li>small</rdf:li></rdf:Alt></xmp:Thumbnails>
  <xmpMM:DocumentID>xmp.did:1</xmpMM:DocumentID>
  <xmpMM:InstanceID>xmp.iid:2</xmpMM:InstanceID>
  <xmpMM:History><rdf:Seq>
   <rdf:li e:action="created" e:instanceID="xmp.iid:0"/>
  </rdf:Seq></xmpMM:History>
  <ext:DigitalSourceType rdf:resource="http://cv.iptc.org/newscodes/digitalsourcetype/print"/>
 </rdf:Description>
</rdf:RDF></x:xmpmeta>
   \n<?xpacket end="w"?>\0\0""".encode()


def merged(packet: bytes, facts: Facts = FACTS, *, label: bool = True, credit: str = "") -> bytes:
    """Make the result's packet."""
    return xmp.merge(packet, ORIGIN, facts, label=label, credit=credit)


def triples(packet: bytes) -> Counter[tuple[str, Any]]:
    """Walk a packet: each property with its value, however RDF's many forms write it."""
    rdf = next(etree.fromstring(packet.strip(b"\0 \n")).iter(f"{{{RDF}}}RDF"))
    return Counter(pair for node in rdf.iterchildren("*") for pair in properties(node))


def properties(node: Any) -> list[tuple[str, Any]]:
    """Return what a description says: attributes and elements alike."""
    syntax = {f"{{{RDF}}}{name}" for name in ("about", "parseType", "resource")}
    said = [(name, value) for name, value in node.attrib.items() if name not in syntax]
    return said + [(child.tag, value_of(child)) for child in node.iterchildren("*")]


def value_of(node: Any) -> Any:
    """Return a value that can be compared: a text, a structure, or an array of such."""
    resource = node.get(f"{{{RDF}}}resource")
    if resource is not None:
        return resource
    children = list(node.iterchildren("*"))
    kinds = {f"{{{RDF}}}{name}" for name in ("Seq", "Bag", "Alt")}
    if children and children[0].tag in kinds:
        return (children[0].tag, *(value_of(item) for item in children[0].iterchildren("*")))
    if children and children[0].tag == f"{{{RDF}}}Description":
        return frozenset(properties(children[0]))
    return frozenset(properties(node)) if children or len(node.attrib) else node.text or ""


def said(packet: bytes, name: str) -> list[Any]:
    """Return every value of a property."""
    prefix, _, local = name.partition(":")
    tag = f"{{{NAMESPACES[prefix]}}}{local}"
    return [value for key, value in triples(packet).elements() if key == tag]


def fields(structure: frozenset[tuple[str, str]]) -> dict[str, str]:
    """Return a structure's fields by their local names."""
    return {name.partition("}")[2]: value for name, value in structure}


def test_a_scan_without_packet_gets_one_with_the_label() -> None:
    """Whole, in UTF-8, with its wrapper."""
    packet = merged(b"")

    assert packet.startswith('<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'.encode())
    assert packet.endswith(b'<?xpacket end="w"?>')
    assert [DIGITAL_SOURCE_TYPE] == said(packet, "Iptc4xmpExt:DigitalSourceType")
    assert ["photochrom 0.1.0"] == said(packet, "xmp:CreatorTool")
    assert ["2026-05-17T12:00:00Z"] == said(packet, "xmp:MetadataDate")


def test_the_label_takes_the_place_of_the_scans_own() -> None:
    """The result is no print; that the scan was one stays in its history."""
    packet = merged(SCAN)

    assert [DIGITAL_SOURCE_TYPE] == said(packet, "Iptc4xmpExt:DigitalSourceType")
    assert b"scan's digital source type http://cv.iptc.org/newscodes/digitalsourcetype/print" in (
        packet
    )


def test_without_label_nothing_is_claimed_and_the_history_stays() -> None:
    """Neither a machine nor the scan's print."""
    packet = merged(SCAN, label=False)

    assert [] == said(packet, "Iptc4xmpExt:DigitalSourceType")
    assert 1 == len(said(packet, "xmpMM:DerivedFrom"))
    assert 1 == len(said(packet, "xmpMM:History"))


def test_what_the_packet_says_of_the_file_is_corrected_in_either_form() -> None:
    """Attributes and elements; what it does not say is not added."""
    packet = merged(SCAN, Facts(640, 480, 65535, "Adobe RGB (1998)", turned=True))

    assert ["1"] == said(packet, "tiff:Orientation")
    assert ["400/1"] == said(packet, "tiff:XResolution")
    assert ["300/1"] == said(packet, "tiff:YResolution")
    assert ["640"] == said(packet, "exif:PixelXDimension")
    assert ["Adobe RGB (1998)"] == said(packet, "photoshop:ICCProfile")
    assert ["3"] == said(packet, "photoshop:ColorMode")
    assert [] == said(packet, "exif:PixelYDimension")
    assert [] == said(packet, "tiff:BitsPerSample")
    assert [] == said(packet, "xmp:Thumbnails")
    assert [] == said(packet, "dc:format")


def test_the_rest_of_the_packet_is_kept() -> None:
    """Properties, comments, namespaces that nobody knows, and who the packet is about."""
    packet = merged(SCAN)
    rest = triples(SCAN) - triples(packet)
    names = {name.partition("}")[2] for name, _ in rest}

    assert {
        *("Orientation", "ColorMode", "ICCProfile", "BitsPerSample", "PixelXDimension", "format"),
        *("Thumbnails", "DocumentID", "InstanceID", "History", "DigitalSourceType"),
    } == names
    assert b"<!-- of the archive -->" in packet
    assert b'x:xmptk="Tool 1"' in packet
    assert 3 == packet.count(b'rdf:about="uuid:9"')


def test_the_result_is_derived_from_the_scan_by_its_digest_and_its_own_identifiers() -> None:
    """DerivedFrom refers to the scan, and the first of all documents stays named."""
    packet = merged(SCAN)
    (source,) = said(packet, "xmpMM:DerivedFrom")

    assert {
        "documentID": "xmp.did:1",
        "instanceID": "xmp.iid:2",
        "filePath": "0042.tif",
        "hasMessageDigest": f"urn:sha256:{'ab' * 32}",
    } == fields(source)
    assert ["xmp.did:1"] == said(packet, "xmpMM:OriginalDocumentID")
    assert [f"urn:uuid:{EVENT}"] == said(packet, "xmpMM:InstanceID")


def test_a_scan_without_identifiers_is_known_by_its_digest() -> None:
    """In every place that asks for one."""
    packet = merged(b"")
    (source,) = said(packet, "xmpMM:DerivedFrom")

    assert f"urn:sha256:{'ab' * 32}" == fields(source)["documentID"] == fields(source)["instanceID"]
    assert [f"urn:sha256:{'ab' * 32}"] == said(packet, "xmpMM:OriginalDocumentID")


def test_the_coloring_is_appended_to_the_history_once() -> None:
    """Behind the scan's own events, with the model and its digest."""
    packet = merged(merged(SCAN, Facts(640, 480, 1, "sRGB", scan_software="Scanner 3")))
    ((_, first, second),) = said(packet, "xmpMM:History")

    assert "created" == fields(first)["action"]
    assert "edited" == fields(second)["action"]
    assert f"urn:uuid:{EVENT}" == fields(second)["instanceID"]
    assert "photochrom 0.1.0" == fields(second)["softwareAgent"]
    assert f"model 7, weights sha256 {'cd' * 32}" in fields(second)["parameters"]


def test_the_scans_software_is_not_forgotten() -> None:
    """EXIF's Software becomes photochrom's; the scanner's name stays here."""
    packet = merged(b"", Facts(640, 480, 1, "sRGB", scan_software="Epson Scan 3"))
    ((_, event),) = said(packet, "xmpMM:History")

    assert ["Epson Scan 3"] == said(packet, "xmp:CreatorTool")
    assert "scan's software Epson Scan 3" in fields(event)["parameters"]


def test_a_credit_line_is_written_only_where_one_is_set() -> None:
    """Else the scan's own stays."""
    own = merged(b"", credit="Archive")

    assert ["Archive"] == said(own, "photoshop:Credit")
    assert ["Archive"] == said(merged(own), "photoshop:Credit")
    assert ["City"] == said(merged(own, credit="City"), "photoshop:Credit")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_packets_in_other_encodings_are_read(encoding: str) -> None:
    """XMP allows UTF-16; the result's is UTF-8."""
    packet = merged(SCAN.decode().rstrip("\0").encode(encoding))

    assert triples(merged(SCAN)) == triples(packet)


@pytest.mark.parametrize(
    "packet",
    [
        b"not xml",
        b"<a",
        b"<a/>",
        SCAN[: len(SCAN) // 2],
        SCAN.replace(b"Stra", b"Stra\xff"),
        b'<!DOCTYPE a [<!ENTITY b "c">]>' + SCAN.partition(b"?>")[2].strip(b"\0"),
        b"<a>" * 100_000,
        b"\xff\xfe<",
    ],
)
def test_a_packet_that_cannot_be_read_is_refused(packet: bytes) -> None:
    """By one kind of error, whatever is wrong with it."""
    with pytest.raises(ValueError, match=r"\w"):
        merged(packet)


def test_a_packet_opens_no_file() -> None:
    """An entity that points to one is refused with its document type."""
    hostile = b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + (
        b'<r:RDF xmlns:r="%s"><r:Description>&b;</r:Description></r:RDF>' % RDF.encode()
    )
    with pytest.raises(ValueError, match="document type"):
        merged(hostile)


def test_a_name_that_is_no_text_does_no_harm() -> None:
    """File names may hold any bytes; XML may not."""
    origin = Origin("a\udcff\x01.tif", *("ab", "7", "cd", "photochrom 1", EVENT), ORIGIN.when)
    packet = xmp.merge(b"", origin, FACTS, label=True, credit="")
    (source,) = said(packet, "xmpMM:DerivedFrom")

    assert "a\ufffd\ufffd.tif" == fields(source)["filePath"]


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
)
NAMES = st.sampled_from(
    [
        *("tiff:Make", "tiff:Orientation", "exif:UserComment", "exif:ColorSpace", "dc:source"),
        *("dc:format", "photoshop:City", "photoshop:Credit", "xmp:Rating", "xmp:CreatorTool"),
        *("xmpMM:DocumentID", "xmpMM:RenditionClass", "Iptc4xmpExt:DigitalSourceType"),
        *("Iptc4xmpExt:Event", "premis:note"),
    ]
)
VALUES = st.one_of(
    TEXTS,
    st.tuples(st.sampled_from(["Seq", "Bag", "Alt"]), st.lists(TEXTS, max_size=3)),
    st.dictionaries(st.sampled_from(["stRef:a", "dc:b"]), TEXTS, min_size=1),
)
DESCRIPTIONS = st.lists(st.dictionaries(NAMES, st.tuples(VALUES, st.booleans()), max_size=6))
CHANGED = {
    f"{{{NAMESPACES[name.partition(':')[0]]}}}{name.partition(':')[2]}"
    for name in (
        *("tiff:Orientation", "exif:ColorSpace", "dc:format", "xmp:CreatorTool"),
        *("xmp:MetadataDate", "xmpMM:DocumentID", "xmpMM:InstanceID", "xmpMM:OriginalDocumentID"),
        *("xmpMM:DerivedFrom", "xmpMM:History", "Iptc4xmpExt:DigitalSourceType"),
    )
}


def qualified(name: str) -> str:
    """Return a name as lxml has it."""
    prefix, _, local = name.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def packet_of(descriptions: list[dict[str, tuple[Any, bool]]]) -> bytes:
    """Write a packet; texts stand as attributes or as elements."""
    rdf = etree.Element(qualified("rdf:RDF"))
    for parts in descriptions:
        description = etree.SubElement(rdf, qualified("rdf:Description"))
        for name, (value, as_attribute) in parts.items():
            if isinstance(value, str) and as_attribute:
                description.set(qualified(name), value)
                continue
            node = etree.SubElement(description, qualified(name))
            if isinstance(value, str):
                node.text = value
            elif isinstance(value, dict):
                node.set(qualified("rdf:parseType"), "Resource")
                for key, text in value.items():
                    etree.SubElement(node, qualified(key)).text = text
            else:
                array = etree.SubElement(node, qualified(f"rdf:{value[0]}"))
                for text in value[1]:
                    etree.SubElement(array, qualified("rdf:li")).text = text
    return bytes(etree.tostring(rdf))


@given(DESCRIPTIONS)
def test_every_other_property_is_kept(descriptions: list[dict[str, tuple[Any, bool]]]) -> None:
    """Of any packet, in whatever form it writes them; and the label is there once."""
    packet = packet_of(descriptions)
    result = merged(packet)

    def others(packet: bytes) -> Counter[tuple[str, Any]]:
        kept = triples(packet)
        return Counter({pair: n for pair, n in kept.items() if pair[0] not in CHANGED})

    assert others(packet) == others(result)
    assert [DIGITAL_SOURCE_TYPE] == said(result, "Iptc4xmpExt:DigitalSourceType")


@given(DESCRIPTIONS)
def test_labelling_twice_says_no_more_than_once(
    descriptions: list[dict[str, tuple[Any, bool]]],
) -> None:
    """Only DerivedFrom names the first result then, as it should."""
    once = merged(packet_of(descriptions))
    twice = merged(once)
    changed = {name.partition("}")[2] for name, _ in triples(once) - triples(twice)}

    assert {name for name, _ in triples(once)} == {name for name, _ in triples(twice)}
    assert changed <= {"DerivedFrom", "History"}


BESIDE = f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">
 <rdf:Description rdf:about="another" xmlns:a="http://archive.example/"
   xmlns:dc="{NAMESPACES["dc"]}" a:Box="14">
  <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Market</rdf:li></rdf:Alt></dc:title>
  <dc:subject><rdf:Bag><rdf:li>square</rdf:li></rdf:Bag></dc:subject>
 </rdf:Description></rdf:RDF></x:xmpmeta>""".encode()


def test_a_packet_beside_the_scan_counts_more() -> None:
    """Where both say something, as attribute or element; what one says alone stays."""
    packet = xmp.overlaid(SCAN, BESIDE).decode()

    assert "Market" in packet
    assert "square" in packet
    assert 'Box="14"' in packet
    assert "Stra" not in packet
    assert "12 &amp; 13" not in packet
    assert "Scanner 3" in packet
    assert "another" not in packet


def test_a_packet_beside_a_scan_without_one_is_its_packet() -> None:
    """And is labelled as any other; it comes through twice unchanged."""
    alone = xmp.overlaid(b"", BESIDE)

    assert b"Market" in alone
    assert alone.count(b"Market") == xmp.overlaid(alone, BESIDE).count(b"Market") == 1
    assert DIGITAL_SOURCE_TYPE.encode() in merged(alone)


@pytest.mark.parametrize("packets", [(b"<a", BESIDE), (SCAN, b"<a"), (b"", b""), (SCAN, b"<a/>")])
def test_what_is_no_packet_is_refused(packets: tuple[bytes, bytes]) -> None:
    """Either of the two."""
    with pytest.raises(ValueError, match=r"\w"):
        xmp.overlaid(*packets)
