"""PREMIS 3 XML: what preservation systems read of a coloring; docs/sidecar.md has the table.

Objects are the scan and the result; events the coloring and the decisions of reviewers; agents the
program, the generator and the reviewers.
"""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET

from service.ledger.jobs import DecisionRecord
from service.storage.sidecar import Sidecar
from service.storage.sidecar_parts import Page
from service.terminal import printable
from worker.formats.registry import format_of

PREMIS = "http://www.loc.gov/premis/v3"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
SETTINGS = "urn:photochrom:settings"
LOCATION = f"{PREMIS} http://www.loc.gov/standards/premis/v3/premis-v3-0.xsd"
VOCABULARY = "http://id.loc.gov/vocabulary/preservation"
SUFFIX = ".premis.xml"
GUESS = "colored by a machine-learned model; the colors are believable guesses and no record"

for _prefix, _namespace in (("premis", PREMIS), ("xsi", XSI), ("photochrom", SETTINGS)):
    ET.register_namespace(_prefix, _namespace)


class Description(NamedTuple):
    """The parts of a document about one photograph.

    Attributes:
        objects: scan and result.
        events: the coloring, then the decisions.
        agents: by identifier.
    """

    objects: list[ET.Element]
    events: list[ET.Element]
    agents: dict[str, ET.Element]


def describe(
    sidecar: Sidecar, *, scan: str, result: str, decisions: Iterable[DecisionRecord] = ()
) -> Description:
    """Describe a photograph.

    Args:
        sidecar: of its result.
        scan: the scan's name in the package, or in the inbox if it is not packed.
        result: the result's name in the package.
        decisions: of reviewers on this result, oldest first.
    """
    software, _, version = sidecar.software.partition(" ")
    model = f"{sidecar.model.version} {sidecar.model.weights_sha256}"
    agents = {
        sidecar.software: _agent("software", sidecar.software, software, "software", version),
        model: _agent(
            "generator",
            model,
            f"{software} generator {sidecar.model.version}",
            "software",
            sidecar.model.version,
            f"SHA-256 of its weights: {sidecar.model.weights_sha256}",
        ),
    }
    events = [_coloring(sidecar, model)]
    for who in _informants(sidecar):
        agents[who] = _agent("person", who, who, "person")
    for decision in decisions:
        who = printable(decision.who)
        events.append(_decision(sidecar, decision, who))
        agents[who] = _agent("person", who, who, "person")
    return Description([_scan(sidecar, scan), _result(sidecar, result)], events, agents)


def tree(described: Description) -> ET.Element:
    """Return the element `premis` about one photograph."""
    root = ET.Element(_premis("premis"), {f"{{{XSI}}}schemaLocation": LOCATION, "version": "3.0"})
    root.extend([*described.objects, *described.events, *described.agents.values()])
    return root


def document(described: Description) -> bytes:
    """Return a PREMIS document about one photograph."""
    return serialized(tree(described))


def serialized(root: ET.Element) -> bytes:
    """Return an XML document, indented."""
    ET.indent(root)
    text: bytes = ET.tostring(root, "utf-8", xml_declaration=True)
    return text + b"\n"


def what_was_decided(decision: DecisionRecord) -> str:
    """Return a decision in words."""
    if decision.decision == decision.before:
        return "noted"
    return str(decision.decision or "opened again")


def identifier(sidecar: Sidecar, part: str) -> str:
    """Return the UUID of a part of a coloring, such as its "scan"; always the same one."""
    return str(uuid.uuid5(sidecar.event, part))


def _scan(sidecar: Sidecar, name: str) -> ET.Element:
    source = sidecar.source
    one = _object(sidecar, "scan", ("path in the inbox", source.path))
    for number, page in enumerate(sidecar.pages, 1):
        _significant(one, number, page.scan_pixels_sha256, page.scan_bits, page.scan_profile)
    kind = format_of(source.name)
    _characteristics(one, source.sha256, source.size, kind.mime if kind else "unknown", "")
    _text(one, "originalName", name)
    return one


def _result(sidecar: Sidecar, name: str) -> ET.Element:
    output = sidecar.output
    one = _object(sidecar, "result", ("path in the outbox", output.path))
    for number, page in enumerate(sidecar.pages, 1):
        _significant(one, number, page.pixels_sha256, page.bits, page.profile)
    kind = format_of(output.name)
    mime = kind.mime if kind else "unknown"
    made = _characteristics(one, output.sha256, output.size, mime, sidecar.software)
    application = _inside(made, "creatingApplication")
    software, _, version = sidecar.software.partition(" ")
    _text(application, "creatingApplicationName", software)
    if version:
        _text(application, "creatingApplicationVersion", version)
    _text(application, "dateCreatedByApplication", _utc(sidecar.colored))
    _text(one, "originalName", name)
    relation = _inside(one, "relationship")
    _term(relation, "relationshipType", "derivation", "relationshipType/der")
    _term(relation, "relationshipSubType", "has source", "relationshipSubType/hss")
    _identified(relation, "relatedObject", "UUID", identifier(sidecar, "scan"))
    _identified(relation, "relatedEvent", "UUID", str(sidecar.event))
    return one


def _object(sidecar: Sidecar, part: str, path: tuple[str, str]) -> ET.Element:
    one = ET.Element(_premis("object"), {f"{{{XSI}}}type": "premis:file"})
    _identified(one, "object", "UUID", identifier(sidecar, part))
    _identified(one, "object", *path)
    return one


def _significant(one: ET.Element, number: int, pixels: str, bits: int, profile: str) -> None:
    for kind, value in (
        ("SHA-256 of the decoded samples", pixels),
        ("bits per sample", str(bits)),
        ("color profile", profile or "none"),
    ):
        properties = _inside(one, "significantProperties")
        _text(properties, "significantPropertiesType", f"page {number}: {kind}")
        _text(properties, "significantPropertiesValue", value)


def _characteristics(one: ET.Element, sha256: str, size: int, mime: str, who: str) -> ET.Element:
    made = _inside(one, "objectCharacteristics")
    fixity = _inside(made, "fixity")
    _term(fixity, "messageDigestAlgorithm", "SHA-256", "cryptographicHashFunctions/sha256")
    _text(fixity, "messageDigest", sha256)
    if who:
        _text(fixity, "messageDigestOriginator", who)
    _text(made, "size", str(size))
    designation = _inside(_inside(made, "format"), "formatDesignation")
    _text(designation, "formatName", mime)
    return made


def _coloring(sidecar: Sidecar, model: str) -> ET.Element:
    event = ET.Element(_premis("event"))
    _identified(event, "event", "UUID", str(sidecar.event))
    _term(event, "eventType", "creation", "eventType/cre")
    _text(event, "eventDateTime", _utc(sidecar.colored))
    information = _inside(event, "eventDetailInformation")
    detail = (
        f"{GUESS}; model version {sidecar.model.version}, SHA-256 of its weights"
        f" {sidecar.model.weights_sha256}; {sidecar.digital_source_type}; work began"
        f" {_utc(sidecar.read)} on host {sidecar.host}"
    )
    _text(information, "eventDetail", detail)
    extension = _inside(information, "eventDetailExtension")
    settings = ET.SubElement(extension, f"{{{SETTINGS}}}settings")
    for name, value in sidecar.settings.items():
        setting = ET.SubElement(settings, f"{{{SETTINGS}}}setting", {"name": printable(name)})
        setting.text = printable(str(value).lower() if isinstance(value, bool) else str(value))
    if sidecar.wishes:
        said = sidecar.wishes.model_dump(mode="json")
        points, reference = said.pop("points"), said.pop("reference")
        wishes = ET.SubElement(extension, f"{{{SETTINGS}}}wishes", _attributes(said))
        for point in points:
            ET.SubElement(wishes, f"{{{SETTINGS}}}point", _attributes(point))
        if reference:
            del reference["colors"]  # the sidecar has them
            ET.SubElement(wishes, f"{{{SETTINGS}}}reference", _attributes(reference))
    sure = sidecar.confidence
    notes = [] if sure is None else [f"confidence of the generator, 0 to 1: {sure:g}"]
    notes += [f"not carried over: {one}" for one in sidecar.lost]
    notes += [note for number, page in enumerate(sidecar.pages, 1) if (note := _note(number, page))]
    _outcome(event, notes)
    for kind, value in (("software", sidecar.software), ("generator", model)):
        linking = _identified(event, "linkingAgent", kind, value)
        uri = "eventRelatedAgentRole/exe"
        _term(linking, "linkingAgentRole", "executing program", uri)
    for who in _informants(sidecar):
        linking = _identified(event, "linkingAgent", "person", who)
        _text(linking, "linkingAgentRole", "informant")
    for part, role, uri in (("scan", "source", "sou"), ("result", "outcome", "out")):
        linking = _identified(event, "linkingObject", "UUID", identifier(sidecar, part))
        _term(linking, "linkingObjectRole", role, f"eventRelatedObjectRole/{uri}")
    return event


def _informants(sidecar: Sidecar) -> list[str]:
    """Return who said what color things have, or chose a photo to color this one like."""
    wishes = sidecar.wishes
    if wishes is None:
        return []
    said = [one.who for one in wishes.points]
    if wishes.reference:
        said.append(wishes.reference.who)
    return sorted({printable(who) for who in said if who})


def _attributes(values: dict[str, Any]) -> dict[str, str]:
    return {name: printable(str(value)) for name, value in values.items()}


def _note(number: int, page: Page) -> str:
    """Tell of a page's replaced colors, or return ""."""
    count = len(page.replaced_color)
    regions = f"{count} region{'s' * (count != 1)} of the scan's own color replaced"
    return f"page {number}: {regions}" if count else ""


def _decision(sidecar: Sidecar, decision: DecisionRecord, who: str) -> ET.Element:
    event = ET.Element(_premis("event"))
    _identified(event, "event", "UUID", identifier(sidecar, f"decision {decision.id}"))
    _text(event, "eventType", "quality review")
    _text(event, "eventDateTime", _utc(datetime.fromtimestamp(decision.decided_at, UTC)))
    detail = "a person looked at the coloring beside its scan and decided on it"
    _text(_inside(event, "eventDetailInformation"), "eventDetail", detail)
    outcome = _inside(event, "eventOutcomeInformation")
    _text(outcome, "eventOutcome", what_was_decided(decision))
    for note in filter(None, (decision.reason, decision.note)):
        _text(_inside(outcome, "eventOutcomeDetail"), "eventOutcomeDetailNote", note)
    linking = _identified(event, "linkingAgent", "person", who)
    _term(linking, "linkingAgentRole", "implementer", "eventRelatedAgentRole/imp")
    linking = _identified(event, "linkingObject", "UUID", identifier(sidecar, "result"))
    _term(linking, "linkingObjectRole", "source", "eventRelatedObjectRole/sou")
    return event


def _outcome(event: ET.Element, notes: Iterable[str]) -> None:
    outcome = _inside(event, "eventOutcomeInformation")
    _term(outcome, "eventOutcome", "success", "eventOutcome/suc")
    for note in notes:
        _text(_inside(outcome, "eventOutcomeDetail"), "eventOutcomeDetailNote", note)


def _agent(
    type_: str, value: str, name: str, kind: str, version: str = "", note: str = ""
) -> ET.Element:
    agent = ET.Element(_premis("agent"))
    _identified(agent, "agent", type_, value)
    _text(agent, "agentName", name)
    _term(agent, "agentType", kind, f"agentType/{kind[:3]}")
    for tag, text in (("agentVersion", version), ("agentNote", note)):
        if text:
            _text(agent, tag, text)
    return agent


def _identified(parent: ET.Element, what: str, type_: str, value: str) -> ET.Element:
    """Append an identifier of a kind such as "linkingAgent"."""
    one = _inside(parent, f"{what}Identifier")
    _text(one, f"{what}IdentifierType", type_)
    _text(one, f"{what}IdentifierValue", value)
    return one


def _term(parent: ET.Element, tag: str, text: str, uri: str) -> None:
    """Append a term of the Library of Congress' vocabulary."""
    one = _text(parent, tag, text)
    authority = f"{VOCABULARY}/{uri.partition('/')[0]}"
    one.attrib |= {"authorityURI": authority, "valueURI": f"{VOCABULARY}/{uri}"}


def _text(parent: ET.Element, tag: str, text: str) -> ET.Element:
    one = _inside(parent, tag)
    one.text = printable(text)
    return one


def _inside(parent: ET.Element, tag: str) -> ET.Element:
    return ET.SubElement(parent, _premis(tag))


def _premis(tag: str) -> str:
    return f"{{{PREMIS}}}{tag}"


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
