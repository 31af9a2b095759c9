"""What was done to a photo is told whole, and no bit of it is lost."""

import hashlib
import json
import os
import re
import subprocess
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.filesystem.file_stat import FileStat
from service.ledger.jobs import Decision, DecisionRecord
from service.storage.outbox import output_name
from service.storage.sidecar import (
    Choice,
    Sidecar,
    SidecarError,
    deliver_sidecar,
    describe,
    json_schema,
    read_sidecar,
    sealed,
    sidecar_name,
    with_decisions,
)
from tests.support.staged_delivery import deliver
from worker.metadata.provenance import Origin, PageRecord, Record, ReplacedColor, XmpFile
from worker.settings import ColorPoint, ColorWishes, Reference

ROOT = Path(__file__).resolve().parents[3]
NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)
PAGE = PageRecord(640, 480, 16, 16, "Gamma 2.2", "sRGB", "a" * 64, "b" * 64)
STAMP = ReplacedColor(517, 357, 86, 86, 0.00899, 40.9)
RECORD = Record(
    "tiff",
    (PAGE, replace(PAGE, replaced_color=(STAMP,))),
    {"format": "same", "render_size": 256, "opacity": 0.5, "label": True},
    "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia",
    ("the thumbnail, which showed it gray",),
    (XmpFile("a.xmp", b"", "e" * 64, 466), XmpFile("a.tif.xmp", fault="Permission denied")),
)
COAT = ColorPoint(
    0.25, 0.5, "#7a1f2b", page=1, who="Ada Lovelace", source="the coat is in the museum"
)
LIKE = Reference("sunset.jpg", "f" * 64, ((20, 40, 900), (0, 0, 100)), "Ada Lovelace", "its date")
WISHES = ColorWishes(vividness=70, points=(COAT,), reference=LIKE)
EVENT = "0b2f5b0e-6f1c-4f5e-9a53-2f4f3d9f2c11"


def colored(outbox: Path, name: str = "1931/a.tif", mtime_ns: int = 10**18) -> Path:
    """Deliver what stands for a photo, and its sidecar; return the latter's path."""

    def write(file: BinaryIO) -> Record:
        file.write(b"color")
        return RECORD

    path = PurePosixPath(name)
    origin = Origin(path.name, "c" * 64, "7", "d" * 64, "photochrom 0.1.0", EVENT, NOON)
    delivered = deliver(outbox, path, write)
    sidecar = describe(
        origin,
        delivered,
        source=path,
        stat=FileStat(5, mtime_ns, 1, 1),
        output=path,
        read=NOON,
        choice=Choice(True, WISHES, 0.61803, 4.5678),  # noqa: FBT003 - a NamedTuple
    )
    return deliver_sidecar(outbox, sidecar)


def resealed(sidecar: Path, **changes: object) -> Path:
    """Write a sidecar with other fields, and its own digest right again."""
    fields = json.loads(sidecar.read_text()) | changes | {"own_sha256": "0" * 64}
    text = json.dumps(fields)
    sidecar.write_text(text.replace("0" * 64, hashlib.sha256(text.encode()).hexdigest()))
    return sidecar


def test_all_that_is_known_is_told(tmp_path: Path) -> None:
    """Beside the photo, under its full name."""
    path = colored(tmp_path)
    told = json.loads(path.read_text())
    own = told.pop("own_sha256")
    host = told.pop("host")

    assert tmp_path / "1931/a.tif.json" == path
    assert os.uname().nodename == host
    assert 64 == len(own)
    page = {
        "width": 640,
        "height": 480,
        "scan_bits": 16,
        "bits": 16,
        "scan_profile": "Gamma 2.2",
        "profile": "sRGB",
        "scan_pixels_sha256": "a" * 64,
        "pixels_sha256": "b" * 64,
    }
    assert {
        "schema": "photochrom sidecar 3",
        "event": EVENT,
        "digital_source_type": RECORD.digital_source_type,
        "source": {
            "path": "1931/a.tif",
            "path_bytes": None,
            "sha256": "c" * 64,
            "size": 5,
            "modified": "2001-09-09T01:46:40Z",
        },
        "output": {
            "path": "1931/a.tif",
            "path_bytes": None,
            "sha256": hashlib.sha256(b"color").hexdigest(),
            "size": 5,
            "kind": "tiff",
        },
        "pages": [
            {**page, "replaced_color": []},
            {**page, "replaced_color": [asdict(STAMP)]},
        ],
        "model": {"version": "7", "weights_sha256": "d" * 64},
        "confidence": 0.618,
        "change": 4.57,
        "wishes": {
            "vividness": 70.0,
            "warmth": 0.0,
            "points": [
                {
                    "x": 0.25,
                    "y": 0.5,
                    "color": "#7a1f2b",
                    "radius": 0.3,
                    "page": 1,
                    "who": "Ada Lovelace",
                    "source": "the coat is in the museum",
                }
            ],
            "variant": 0,
            "reference": {
                "name": "sunset.jpg",
                "sha256": "f" * 64,
                "colors": [[20, 40, 900], [0, 0, 100]],
                "who": "Ada Lovelace",
                "source": "its date",
            },
        },
        "software": "photochrom 0.1.0",
        "settings": {
            "format": "same",
            "render_size": 256,
            "opacity": 0.5,
            "label": True,
            "even_if_colored": True,
        },
        "read": "2026-12-01T12:00:00Z",
        "colored": "2026-12-01T12:00:00Z",
        "lost": ["the thumbnail, which showed it gray"],
        "xmp_files": [{"path": "1931/a.xmp", "path_bytes": None, "sha256": "e" * 64, "size": 466}],
        "decisions": [],
    } == told


def test_a_sidecar_comes_back_as_it_was(tmp_path: Path) -> None:
    """Written out again, it has the same bytes."""
    path = colored(tmp_path)

    assert path.read_bytes() == sealed(read_sidecar(path))


def test_a_name_that_is_not_utf8_is_told_as_text_and_in_bytes(tmp_path: Path) -> None:
    """So that it can be read by people and found on the disk."""
    path = colored(tmp_path, "m\udce4rz/caf\udce9.tif")
    sidecar = read_sidecar(path)

    assert tmp_path / "m\udce4rz/caf\udce9.tif.json" == path
    assert r"m\udce4rz/caf\udce9.tif" == sidecar.output.path
    assert PurePosixPath("m\udce4rz/caf\udce9.tif") == sidecar.output.name == sidecar.source.name


@pytest.mark.parametrize("mtime_ns", [-(2**63), 2**63 - 1, -1])
def test_a_time_that_is_odd_does_no_harm(tmp_path: Path, mtime_ns: int) -> None:
    """Before 1970 it is a date as well; what no calendar has is left out."""
    read_sidecar(colored(tmp_path, mtime_ns=mtime_ns))


def test_anyone_can_check_a_sidecar_with_common_tools(tmp_path: Path) -> None:
    """As docs/sidecar.md says."""
    path = colored(tmp_path)
    own = read_sidecar(path).own_sha256
    line = f"sed 's/{own}/{'0' * 64}/' '{path}' | sha256sum"
    said = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)

    assert own == said.stdout.split()[0]


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    """In names, digests, times, spaces: each byte of the file, one bit of it at a time."""
    path = colored(tmp_path)
    whole = path.read_bytes()
    unnoticed = []
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        try:
            read_sidecar(path)
            unnoticed.append(at)
        except SidecarError:
            pass

    assert [] == unnoticed


def test_a_truncated_sidecar_is_noticed(tmp_path: Path) -> None:
    """Wherever it ends."""
    path = colored(tmp_path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(SidecarError, match=re.escape(str(path))):
            read_sidecar(path)


def test_a_sidecar_of_a_newer_photochrom_is_refused_in_words(tmp_path: Path) -> None:
    """And not called damaged."""
    path = resealed(colored(tmp_path), schema="photochrom sidecar 4", something="new")

    with pytest.raises(
        SidecarError, match=r"newer photochrom \(sidecar 4; this version supports 3\)"
    ):
        read_sidecar(path)


def test_a_sidecar_of_an_older_photochrom_is_read(tmp_path: Path) -> None:
    """Of the first form, which told nothing of replaced color."""
    path = colored(tmp_path)
    fields = json.loads(path.read_text())
    for page in fields["pages"]:
        del page["replaced_color"]
    sidecar = read_sidecar(resealed(path, schema="photochrom sidecar 1", pages=fields["pages"]))

    assert [(), ()] == [page.replaced_color for page in sidecar.pages]


def test_decisions_are_added_as_they_stand(tmp_path: Path) -> None:
    """Those on this coloring that were not undone; the same ones change nothing."""

    def record(number: int, **changes: Any) -> DecisionRecord:
        values: dict[str, Any] = {"event": EVENT, "decision": Decision.APPROVED, "before": None}
        values |= {
            "reason": "",
            "note": "",
            "who": "Ada",
            "decided_at": 1e9 + number,
            "undone_at": None,
        }
        return DecisionRecord(id=number, batch=number, job=1, **(values | changes))

    records = [
        record(1, event=str(uuid4())),
        record(2, undone_at=2e9),
        record(3, decision=Decision.FLAGGED, reason="coat", note="it was red"),
        record(4, decision=None),
    ]
    before = read_sidecar(colored(tmp_path))
    after = with_decisions(before, records)

    assert [
        ("flagged", "Ada", "2001-09-09T01:46:43+00:00", "coat", "it was red"),
        (None, "Ada", "2001-09-09T01:46:44+00:00", "", ""),
    ] == [
        (one.decision, one.who, one.at.isoformat(), one.reason, one.note) for one in after.decisions
    ]
    assert after is with_decisions(after, records)
    assert before == with_decisions(after, [])


def test_a_sidecar_of_an_older_form_takes_decisions(tmp_path: Path) -> None:
    """It is of the newest form then, and valid."""
    path = colored(tmp_path)
    old = read_sidecar(resealed(path, schema="photochrom sidecar 2"))
    record = DecisionRecord(1, 1, 1, EVENT, Decision.REJECTED, None, "", "", "Ada", 1e9, None)
    path.write_bytes(sealed(with_decisions(old, [record])))
    new = read_sidecar(path)

    assert ("photochrom sidecar 2", "photochrom sidecar 3") == (old.schema_, new.schema_)
    assert [Decision.REJECTED] == [one.decision for one in new.decisions]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("not valid JSON", b""),
        ("not valid JSON", b"\xff\xfe\x00"),
        ("not valid JSON", b"[" * 100_000),
        ("is not a photochrom sidecar", b"[]"),
        ("is not a photochrom sidecar", b'{"schema": 5}'),
        ("is not a photochrom sidecar", b'{"schema": "photochrom sidecar one"}'),
        ("altered", b'{"schema": "photochrom sidecar 1"}'),
        ("altered", b'{"schema": "photochrom sidecar 1", "own_sha256": "\\ud800"}'),
        ("altered", b'{"schema": "photochrom sidecar 1", "own_sha256": ""}'),
    ],
)
def test_what_is_no_sidecar_is_refused(tmp_path: Path, words: str, text: bytes) -> None:
    """With its path and the reason."""
    path = tmp_path / "a.tif.json"
    path.write_bytes(text)

    with pytest.raises(SidecarError, match=f"a.tif.json.*{words}"):
        read_sidecar(path)


def test_a_field_that_is_wrong_is_named(tmp_path: Path) -> None:
    """Even where the digest is right, as after an edit by hand."""
    path = resealed(colored(tmp_path), model={"version": "7", "weights_sha256": "none"})

    with pytest.raises(SidecarError, match=r"model\.weights_sha256"):
        read_sidecar(path)


def test_a_missing_sidecar_is_no_damaged_one(tmp_path: Path) -> None:
    """The difference matters to `photochrom verify`."""
    with pytest.raises(FileNotFoundError):
        read_sidecar(tmp_path / "a.tif.json")


names = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=300).map(
    lambda stem: os.fsdecode(stem.encode("utf-8", "surrogatepass")[:251]) + ".tif"
)


@given(st.lists(names, min_size=2, max_size=6, unique=True))
def test_no_two_photos_share_a_sidecar(some: list[str]) -> None:
    """However long their names are; and none is named like a photo."""
    outputs = [PurePosixPath("a", name) for name in some]
    sidecars = [sidecar_name(output) for output in outputs]

    assert len(outputs) == len(set(sidecars))
    assert {PurePosixPath("a")} == {sidecar.parent for sidecar in sidecars}
    assert {".json"} == {sidecar.suffix for sidecar in sidecars}
    assert 255 >= max(len(os.fsencode(sidecar.name)) for sidecar in sidecars)


def test_names_that_begin_alike_and_are_too_long_stay_apart() -> None:
    """Where `.json` does not fit, a name is shortened, and a digest tells it from others."""
    one, other = (PurePosixPath("x" * 250 + f"{n}.tif") for n in (1, 2))

    assert sidecar_name(one) != sidecar_name(other)
    assert sidecar_name(one) == sidecar_name(output_name(one, "same"))


def test_the_published_json_schema_is_current() -> None:
    """`from service.storage.sidecar import *; print(json_schema(), end='')` makes it."""
    assert (ROOT / "docs/sidecar.schema.json").read_text() == json_schema()


def test_the_documents_name_every_field() -> None:
    """docs/sidecar.md has a row for each."""
    page = (ROOT / "docs/sidecar.md").read_text()
    fields = {field.alias or name for name, field in Sidecar.model_fields.items()}
    for part in ("Source", "Output", "Page", "Model"):
        fields |= set(json.loads(json_schema())["$defs"][part]["properties"])

    assert set() == {field for field in fields if f"`{field}`" not in page}


def test_the_documents_example_is_a_whole_sidecar(tmp_path: Path) -> None:
    """It can be read, and its own digest is right."""
    page = (ROOT / "docs/sidecar.md").read_text()
    example = page.split("```json\n")[1].split("```")[0]
    path = tmp_path / "example.json"
    path.write_text(example)

    assert read_sidecar(path).output.path.endswith(".tif")
