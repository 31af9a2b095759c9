"""PREMIS documents are valid by the official schema, and say what the sidecar says."""

from pathlib import Path, PurePosixPath

import pytest
from lxml import etree

from service.config.loader import Config
from service.ledger.jobs import Decision, DecisionRecord
from service.maintenance import premis
from service.storage.sidecar import Sidecar, read_sidecar
from service.storage.sidecar_parts import (
    Output,
    Page,
    Point,
    Reference,
    ReplacedColor,
    Source,
    Wishes,
)
from tests.support.delivered_results import color, place
from tests.support.packages import found, premis_of

APPROVED = DecisionRecord(
    id=3,
    batch=3,
    job=1,
    event=None,
    decision=Decision.APPROVED,
    before=None,
    reason="",
    note="the tram was yellow",
    who="Käthe",
    decided_at=1_800_000_000.0,
    undone_at=None,
)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make a place."""
    return place(tmp_path / "home")


@pytest.fixture
def sidecar(config: Config) -> Sidecar:
    """Read the sidecar of a colored photograph."""
    color(config, "album/a.tif")
    return read_sidecar(config.outbox / "album/a.tif.json")


def said(color: str, who: str, source: str = "") -> Point:
    """Return a color that somebody said of the middle of the first page."""
    return Point(x=0.5, y=0.5, color=color, radius=0.3, page=0, who=who, source=source)


def written(tmp_path: Path, sidecar: Sidecar, *decisions: DecisionRecord) -> etree._ElementTree:
    """Write, validate and parse a document."""
    described = premis.describe(sidecar, scan="in/a.tif", result="out/a.tif", decisions=decisions)
    path = tmp_path / "premis.xml"
    path.write_bytes(premis.document(described))
    return premis_of(path)


def test_scan_and_result_are_objects_with_their_fixity(tmp_path: Path, sidecar: Sidecar) -> None:
    """Names, digests, sizes and formats; the result comes from the scan by this event."""
    document = written(tmp_path, sidecar)
    scan, result = found(document, "//premis:objectIdentifierValue")[::2]
    related = "//premis:relationship//"

    assert ["in/a.tif", "out/a.tif"] == found(document, "//premis:originalName")
    assert [sidecar.source.sha256, sidecar.output.sha256] == found(
        document, "//premis:messageDigest"
    )
    assert [str(sidecar.source.size), str(sidecar.output.size)] == found(document, "//premis:size")
    assert ["image/tiff"] * 2 == found(document, "//premis:formatName")
    assert [scan] == found(document, f"{related}premis:relatedObjectIdentifierValue")
    assert [str(sidecar.event)] == found(document, f"{related}premis:relatedEventIdentifierValue")
    assert [scan, result] == found(document, "//premis:linkingObjectIdentifierValue")


def test_the_coloring_is_an_event_of_program_and_generator(
    tmp_path: Path, sidecar: Sidecar
) -> None:
    """Its UUID, its time, the version and the digest of the weights, the settings, the outcome."""
    document = written(tmp_path, sidecar)
    (detail,) = found(document, "//premis:eventDetail")

    assert [str(sidecar.event)] == found(document, "//premis:eventIdentifierValue")
    assert ["creation"] == found(document, "//premis:eventType")
    assert f"{sidecar.colored:%Y-%m-%dT%H:%M:%SZ}" == found(document, "//premis:eventDateTime")[0]
    assert "model version 7" in detail
    assert "d" * 64 in detail
    assert "no record" in detail
    assert ["success"] == found(document, "//premis:eventOutcome")
    assert ["photochrom 0.1.0", "7 " + "d" * 64] == found(document, "//premis:agentIdentifierValue")
    assert ["0.1.0", "7"] == found(document, "//premis:agentVersion")
    assert "same" in found(document, "//*[local-name()='setting'][@name='format']")
    assert [f"confidence of the generator, 0 to 1: {sidecar.confidence:g}"] == found(
        document, "//premis:eventOutcomeDetailNote"
    )


def test_a_decision_is_an_event_of_a_person(tmp_path: Path, sidecar: Sidecar) -> None:
    """Who, when, what and why."""
    document = written(tmp_path, sidecar, APPROVED)
    event = "//premis:event[2]"

    assert ["quality review"] == found(document, f"{event}/premis:eventType")
    assert ["2027-01-15T08:00:00Z"] == found(document, f"{event}/premis:eventDateTime")
    assert ["approved"] == found(document, f"{event}//premis:eventOutcome")
    assert [APPROVED.note] == found(document, f"{event}//premis:eventOutcomeDetailNote")
    assert ["Käthe"] == found(document, "//premis:agent[3]/premis:agentName")
    assert ["person"] == found(document, "//premis:agent[3]/premis:agentType")


def test_who_said_which_color_is_told(tmp_path: Path, sidecar: Sidecar) -> None:
    """The wishes with the event, and each person once, as an informant."""
    points = (said("#7a1f2b", "Ada", "inv. 1931/7"), said("#ffffff", "Ada"), said("#000000", ""))
    like = Reference(
        name="sunset.jpg", sha256="a" * 64, colors=((20, 40, 1000),), who="Li", source="its date"
    )
    wishes = Wishes(vividness=60.0, warmth=0.0, points=points, variant=1, reference=like)
    document = written(tmp_path, sidecar.model_copy(update={"wishes": wishes}), APPROVED)
    wished, point, *_ = document.iter(f"{{{premis.SETTINGS}}}wishes", f"{{{premis.SETTINGS}}}point")
    informant = (
        "//premis:event[1]/premis:linkingAgentIdentifier[premis:linkingAgentRole='informant']"
    )

    assert ("60.0", "1") == (wished.get("vividness"), wished.get("variant"))
    assert ("#7a1f2b", "Ada", "inv. 1931/7") == (
        point.get("color"),
        point.get("who"),
        point.get("source"),
    )
    assert ["Ada", "Li"] == found(document, f"//{informant}/premis:linkingAgentIdentifierValue")
    (reference,) = document.iter(f"{{{premis.SETTINGS}}}reference")
    named = {"name": "sunset.jpg", "sha256": "a" * 64, "who": "Li", "source": "its date"}
    assert named == dict(reference.attrib)
    assert {"Ada", "Käthe"} <= set(found(document, "//premis:agentName"))


def test_identifiers_stay_the_same_and_differ_among_themselves(
    tmp_path: Path, sidecar: Sidecar
) -> None:
    """So a second package names the same things alike."""
    one, two = (
        found(written(tmp_path, sidecar, APPROVED), f"//premis:{what}IdentifierValue")
        for what in ("object", "event")
    )
    again = found(written(tmp_path, sidecar, APPROVED), "//premis:objectIdentifierValue")

    assert one == again
    assert 4 == len({*one[::2], *two})  # the others are paths, in inbox and outbox


def test_whatever_a_sidecar_says_becomes_a_valid_document(tmp_path: Path, sidecar: Sidecar) -> None:
    """Control characters, bytes that are not UTF-8, markup, many pages, an unknown format."""
    odd = "\x07 <b> & \u2028 ]]> \udce9"
    region = ReplacedColor(x=0, y=0, width=1, height=1, share=0.5, chroma=9.0)
    page = sidecar.pages[0].model_copy(update={"scan_profile": "", "profile": odd})
    pages: tuple[Page, ...] = (page, page.model_copy(update={"replaced_color": (region,)}))
    hostile = sidecar.model_copy(
        update={
            "source": Source.model_construct(**dict(sidecar.source) | {"path": f"{odd}.xyz"}),
            "output": Output.model_construct(**dict(sidecar.output) | {"path": odd}),
            "software": "photochrom",
            "host": odd,
            "lost": (odd,),
            "settings": {odd: odd, "label": True},
            "pages": pages,
        }
    )
    document = written(tmp_path, hostile, APPROVED._replace(who=odd, reason=odd))

    assert r"\x07 <b> & \u2028 ]]> \udce9" in found(document, "//premis:agentName")
    assert ["unknown"] * 2 == found(document, "//premis:formatName")
    assert "true" in found(document, "//*[local-name()='setting'][@name='label']")
    assert "page 2: 1 region of the scan's own color replaced" in found(
        document, "//premis:eventOutcomeDetailNote"
    )


def test_the_paths_in_the_folders_are_identifiers_too(config: Config, tmp_path: Path) -> None:
    """By which the archive finds a photograph again."""
    color(config, "Käthe/caf\udce9.tif")
    sidecar = read_sidecar(config.outbox / PurePosixPath("Käthe/caf\udce9.tif.json"))
    document = written(tmp_path, sidecar)
    kinds = found(document, "//premis:objectIdentifierType")

    assert ["UUID", "path in the inbox", "UUID", "path in the outbox"] == kinds
    assert r"Käthe/caf\udce9.tif" == found(document, "//premis:objectIdentifierValue")[1]
