"""Content credentials, signed with a certificate made here and read by C2PA's own reader."""

import errno
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import c2pa
import imagecodecs
import numpy as np
import pytest
import tifffile
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from PIL import Image

from tests.support.certificates import PEM, Signer, make_signer, timestamp_server
from tests.support.synthetic_photos import color_scene, gray_scene
from worker.errors import DeviceError, PhotochromError, ScanError
from worker.formats.registry import FORMATS
from worker.metadata.credentials import (
    PURPOSES,
    CredentialError,
    CredentialSettings,
    MediaTypes,
    sign,
    try_to_sign,
)
from worker.metadata.provenance import Origin, Record

TIFFS = MediaTypes("image/tiff", "image/tiff")
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:dcterms="http://purl.org/dc/terms/" dcterms:provenance="{}"'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    f' Iptc4xmpExt:DigitalSourceType="{SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
LABEL = XMP.replace(' dcterms:provenance="{}"', "").encode()
ORIGIN = Origin(
    name="scan.tif",
    sha256="ab" * 32,
    model="builtin",
    weights_sha256="cd" * 32,
    software="photochrom 1.2.3",
    event="6f1c2c4e-4e0f-4f0e-9a53-3d3f7f2f9d11",
    when=datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
)
RGB16 = color_scene(40, 60).astype(np.uint16) * 257


class Found(NamedTuple):
    """What the reader says of a photo."""

    state: str
    manifest: dict[str, Any]
    failures: list[str]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    """Make one signer for all."""
    return make_signer(tmp_path_factory.mktemp("signer"))


@pytest.fixture
def settings(signer: Signer) -> CredentialSettings:
    """Sign with that signer."""
    return CredentialSettings(signer.certificate, signer.key)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Write a scan."""
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, gray_scene(40, 60, 16))
    return path


def tiff(pixels: Any = RGB16, xmp: bytes = LABEL, **options: Any) -> bytes:
    """Write a TIFF with an XMP packet."""
    file = io.BytesIO()
    tags = [(700, 1, len(xmp), xmp, True)]
    with tifffile.TiffWriter(file, **options) as writer:
        writer.write(
            pixels,
            photometric="rgb",
            compression="zlib",
            rowsperstrip=8,
            metadata=None,
            extratags=tags,
        )
    return file.getvalue()


def pillow(kind: str, **options: Any) -> bytes:
    """Write a JPEG or WebP with an XMP packet."""
    file = io.BytesIO()
    Image.fromarray(color_scene(40, 60)).save(file, kind, xmp=LABEL, **options)
    return file.getvalue()


PHOTOS = {
    "tiff-16": ("tiff", tiff()),
    "tiff-8": ("tiff", tiff(color_scene(40, 60))),
    "tiff-big-endian": ("tiff", tiff(byteorder=">")),
    "bigtiff": ("tiff", tiff(bigtiff=True)),
    "bigtiff-big-endian": ("tiff", tiff(bigtiff=True, byteorder=">")),
    "jpeg": ("jpeg", pillow("jpeg", quality=95)),
    "png-16": ("png", bytes(imagecodecs.png_encode(RGB16))),
    "webp": ("webp", pillow("webp", quality=90)),
    "webp-lossless": ("webp", pillow("webp", lossless=True)),
}


def pixels(kind: str, data: bytes) -> Any:
    """Decode a photo."""
    if kind == "tiff":
        return tifffile.imread(io.BytesIO(data))
    if kind == "png":
        return imagecodecs.png_decode(data)
    return np.asarray(Image.open(io.BytesIO(data)))


def record(kind: str) -> Record:
    """Describe what was written."""
    return Record(kind, (), {}, SOURCE_TYPE)


def origin_of(scan: Path) -> Origin:
    """Tell of a scan as it is now."""
    content = scan.read_bytes() if scan.is_file() else b""
    return replace(ORIGIN, sha256=hashlib.sha256(content).hexdigest())


def signed(
    data: bytes, scan: Path, settings: CredentialSettings, kind: str = "tiff", of: str = "tiff"
) -> bytes:
    """Sign a photo in memory."""
    out = io.BytesIO()
    types = MediaTypes(FORMATS[of].mime, FORMATS[kind].mime)
    sign(io.BytesIO(data), out, scan, types, origin_of(scan), record(kind), settings)
    return out.getvalue()


def read(data: bytes, signer: Signer, kind: str = "tiff") -> Found:
    """Let the reference reader say what it finds, trusting the signer's authority."""
    trusting = {"trust": {"user_anchors": signer.authority}, "verify": {"verify_trust": True}}
    with (
        c2pa.Context.from_dict(trusting) as context,
        c2pa.Reader(FORMATS[kind].mime, io.BytesIO(data), context=context) as reader,
    ):
        store = json.loads(reader.json())
        state = str(reader.get_validation_state())
    failures = store["validation_results"]["activeManifest"]["failure"]
    manifest = store["manifests"][store["active_manifest"]]
    return Found(state, manifest, [failure["code"] for failure in failures])


@pytest.mark.parametrize("name", PHOTOS)
def test_a_signed_photo_is_trusted_and_its_pixels_and_label_are_untouched(
    name: str, scan: Path, signer: Signer, settings: CredentialSettings
) -> None:
    """In every format that is signed."""
    kind, data = PHOTOS[name]
    result = signed(data, scan, settings, kind)
    label = kind == "png" or LABEL in result  # this PNG is written without one

    assert FORMATS[kind].signable
    assert "Trusted" == read(result, signer, kind).state
    assert np.array_equal(pixels(kind, data), pixels(kind, result))
    assert label


def test_credentials_say_that_a_model_colored_the_scan(
    scan: Path, signer: Signer, settings: CredentialSettings
) -> None:
    """The scan is the parent; the action has its source type, its software and the digests."""
    manifest = read(signed(tiff(), scan, settings), signer).manifest
    (parent,) = manifest["ingredients"]
    (assertion,) = manifest["assertions"]
    opened, colored = assertion["data"]["actions"]

    assert ("photochrom", "1.2.3") == tuple(
        manifest["claim_generator_info"][0][key] for key in ("name", "version")
    )
    assert ("parentOf", "scan.tif", "image/tiff") == tuple(
        parent[key] for key in ("relationship", "title", "format")
    )
    assert f"SHA-256 {origin_of(scan).sha256}" == parent["description"]
    assert "c2pa.opened" == opened["action"]
    assert parent["label"] in opened["parameters"]["ingredients"][0]["url"]
    assert "c2pa.adjustedColor" == colored["action"]
    assert SOURCE_TYPE == colored["digitalSourceType"]
    assert {"name": "photochrom", "version": "1.2.3"} == colored["softwareAgent"]
    assert "2026-02-03T04:05:06+00:00" == colored["when"]
    assert {
        "photochrom.model": "builtin",
        "photochrom.weights_sha256": ORIGIN.weights_sha256,
        "photochrom.scan_sha256": origin_of(scan).sha256,
        "photochrom.event": ORIGIN.event,
    } == colored["parameters"]


@pytest.mark.parametrize("name", ["tiff-16", "bigtiff", "jpeg", "png-16", "webp"])
def test_one_changed_byte_of_the_pixels_is_found(
    name: str, scan: Path, signer: Signer, settings: CredentialSettings
) -> None:
    """Which is what a signature is for."""
    kind, data = PHOTOS[name]
    result = bytearray(signed(data, scan, settings, kind))
    place = {
        "tiff": lambda: tifffile.TiffFile(io.BytesIO(result)).pages.first.dataoffsets[2] + 40,
        "jpeg": lambda: len(result) - 200,
        "png": lambda: result.index(b"IDAT") + 200,
        "webp": lambda: result.index(b"VP8 ") + 200,
    }[kind]()
    result[place] ^= 1
    found = read(bytes(result), signer, kind)

    assert "Invalid" == found.state
    assert ["assertion.dataHash.mismatch"] == found.failures


def test_a_changed_label_is_found(scan: Path, signer: Signer, settings: CredentialSettings) -> None:
    """The signature is over the metadata too."""
    result = signed(tiff(), scan, settings).replace(LABEL, LABEL.replace(b"Trained", b"Drained"))

    assert ["assertion.dataHash.mismatch"] == read(result, signer).failures


def test_an_unknown_signer_is_valid_but_not_trusted(
    scan: Path, settings: CredentialSettings, tmp_path: Path
) -> None:
    """Trust is up to who reads: here to somebody who knows another authority only."""
    stranger = make_signer(tmp_path, "stranger")

    assert "Valid" == read(signed(tiff(), scan, settings), stranger).state


def test_the_scans_own_credentials_become_part_of_the_new_ones(
    scan: Path, signer: Signer, settings: CredentialSettings
) -> None:
    """A scanner that signs is still heard."""
    scan.write_bytes(signed(scan.read_bytes(), scan, settings))
    (parent,) = read(signed(tiff(), scan, settings), signer).manifest["ingredients"]

    assert parent["active_manifest"].startswith("urn:c2pa:")


def test_a_scan_that_c2pa_cannot_read_is_still_named_as_the_parent(
    scan: Path, signer: Signer, settings: CredentialSettings
) -> None:
    """And that its own credentials stay behind is said."""
    scan.write_bytes(b"II*\0 damaged beyond the picture")
    out = io.BytesIO()
    lost = sign(io.BytesIO(tiff()), out, scan, TIFFS, origin_of(scan), record("tiff"), settings)
    (parent,) = read(out.getvalue(), signer).manifest["ingredients"]

    assert ("scan.tif", "image/tiff") == (parent["title"], parent["format"])
    assert ("content credentials of the scan, if it has any, which cannot be read",) == lost


@pytest.mark.parametrize("kind", ["jp2", "bmp", "pnm", "heic", "jxl"])
def test_a_scan_of_any_kind_is_named_as_the_parent(
    kind: str, scan: Path, signer: Signer, settings: CredentialSettings
) -> None:
    """Also where C2PA does not know the format or cannot read it."""
    result = signed(tiff(), scan, settings, of=kind)
    (parent,) = read(result, signer).manifest["ingredients"]

    assert ("scan.tif", FORMATS[kind].mime) == (parent["title"], parent["format"])


@pytest.mark.parametrize("allowed", [False, True])
def test_nothing_is_fetched_from_a_network(
    allowed: bool,  # noqa: FBT001 - a parameter of the test
    scan: Path,
    settings: CredentialSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A scan that says its credentials lie elsewhere is not followed, though c2pa would."""
    asked = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    if allowed:
        monkeypatch.setattr("worker.metadata.credentials._SETTINGS", {"version": 1})
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            where = f"http://127.0.0.1:{server.server_port}/elsewhere"
            scan.write_bytes(tiff(xmp=XMP.format(where).encode()))
            signed(tiff(), scan, settings)
        finally:
            server.shutdown()
            thread.join()

    assert (["/elsewhere"] if allowed else []) == asked


def test_a_timestamp_is_part_of_the_signature(
    scan: Path, signer: Signer, settings: CredentialSettings, tmp_path: Path
) -> None:
    """So that it outlives the certificate."""
    with timestamp_server(tmp_path) as url:
        stamping = CredentialSettings(settings.certificate, settings.key, timestamp=url)
        try_to_sign(stamping)
        with_it = read(signed(tiff(), scan, stamping), signer)
    without = read(signed(tiff(), scan, settings), signer)

    assert "Trusted" == with_it.state
    assert with_it.manifest["signature_info"]["time"]
    assert "time" not in without.manifest["signature_info"]


@pytest.mark.parametrize("algorithm", ["es256", "es384", "es512", "ps256", "ed25519"])
def test_each_algorithm_signs_with_its_key(algorithm: Any, tmp_path: Path) -> None:
    """Nothing is raised."""
    one = make_signer(tmp_path, algorithm=algorithm)
    try_to_sign(CredentialSettings(one.certificate, one.key, algorithm))


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_certificate_for_each_purpose_that_c2pa_allows_signs(
    purpose: str, tmp_path: Path
) -> None:
    """Those of its own trust list and the older ones; nothing is raised."""
    one = make_signer(tmp_path, usage=ObjectIdentifier(purpose))
    try_to_sign(CredentialSettings(one.certificate, one.key))


def test_the_commands_in_the_docs_make_a_signer(tmp_path: Path) -> None:
    """Word for word; its authority is known to the reader, and vouches."""
    docs = Path(__file__).parents[3] / "docs" / "credentials.md"
    commands = docs.read_text().partition("```sh\n")[2].partition("```")[0]
    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, check=True, capture_output=True)
    certificate, key = tmp_path / "signer.pem", tmp_path / "signer.key"
    authority = Signer(certificate, key, (tmp_path / "authority.pem").read_text())
    scan = tmp_path / "scan.tif"
    scan.write_bytes(tiff())
    result = signed(tiff(), scan, CredentialSettings(certificate, key))

    assert "Trusted" == read(result, authority).state


def test_a_signer_that_cannot_sign_is_told_with_what_to_do(signer: Signer, tmp_path: Path) -> None:
    """At the start, and as the machine's fault, so that photos wait."""
    expired = make_signer(tmp_path, "old", begins=timedelta(-9), ends=timedelta(-1))
    early = make_signer(tmp_path, "early", begins=timedelta(1))
    other = make_signer(tmp_path, "other")
    purpose = make_signer(tmp_path, "web", usage=ExtendedKeyUsageOID.CODE_SIGNING)
    root = tmp_path / "root.pem"
    root.write_text(signer.authority)
    empty, gone = tmp_path / "empty.pem", tmp_path / "gone.key"
    empty.touch()
    locked = tmp_path / "locked.key"
    key = serialization.load_pem_private_key(signer.key.read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"secret")
    locked.write_bytes(key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, secret))
    mistakes = [
        (CredentialSettings(expired.certificate, expired.key), "has expired or is not valid yet"),
        (CredentialSettings(early.certificate, early.key), "has expired or is not valid yet"),
        (CredentialSettings(signer.certificate, other.key), "is not that of the certificate"),
        (CredentialSettings(signer.certificate, signer.key, "es384"), "must fit the algorithm"),
        (CredentialSettings(signer.certificate, signer.key, "ps256"), "must fit the algorithm"),
        (CredentialSettings(signer.certificate, locked), "without a passphrase"),
        (CredentialSettings(root, signer.key), "that somebody else signed"),
        (CredentialSettings(empty, signer.key), "holds no PEM certificate"),
        (CredentialSettings(signer.certificate, gone), "gone.key cannot be read: No such file"),
        (
            CredentialSettings(purpose.certificate, purpose.key),
            "one for signing C2PA claims",
        ),
        (
            CredentialSettings(signer.certificate, signer.key, timestamp="http://127.0.0.1:9/"),
            "the timestamp server does not answer",
        ),
    ]

    assert issubclass(CredentialError, DeviceError)
    for settings, expected in mistakes:
        with pytest.raises(CredentialError, match=expected):
            try_to_sign(settings)


def test_a_photo_is_not_signed_with_a_certificate_that_has_expired(
    scan: Path, settings: CredentialSettings, tmp_path: Path
) -> None:
    """The files are read anew for each photo; then the photos wait for a person."""
    old = make_signer(tmp_path, "old", begins=timedelta(-9), ends=timedelta(-1))
    kept = settings.certificate.read_bytes()
    try:
        signed(tiff(), scan, settings)
        settings.certificate.write_bytes(old.certificate.read_bytes())
        with pytest.raises(CredentialError, match="renew it"):
            signed(tiff(), scan, settings)
    finally:
        settings.certificate.write_bytes(kept)


def test_a_photo_that_cannot_be_signed_does_not_hold_the_others_up(
    scan: Path, settings: CredentialSettings
) -> None:
    """The set-up is fine, so it is no fault of the machine that would make all wait."""
    with pytest.raises(PhotochromError, match="failed on this photo") as caught:
        signed(b"no TIFF", scan, settings)

    assert not isinstance(caught.value, DeviceError | ScanError)


def test_a_full_disk_is_told_as_such(scan: Path, settings: CredentialSettings) -> None:
    """And not as a fault of the signature."""

    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        sign(io.BytesIO(tiff()), Full(), scan, TIFFS, origin_of(scan), record("tiff"), settings)

    assert errno.ENOSPC == caught.value.errno


def test_a_scan_that_is_gone_is_told_as_such(scan: Path, settings: CredentialSettings) -> None:
    """So that its job ends as that of any other that went."""
    scan.unlink()
    with pytest.raises(FileNotFoundError):
        signed(tiff(), scan, settings)


def test_a_name_that_is_no_text_is_written_readably(
    scan: Path, signer: Signer, settings: CredentialSettings
) -> None:
    """Names of old disks are bytes."""
    origin = replace(origin_of(scan), name="b\udce4r.tif")
    out = io.BytesIO()
    sign(io.BytesIO(tiff()), out, scan, TIFFS, origin, record("tiff"), settings)

    assert "b\\udce4r.tif" == read(out.getvalue(), signer).manifest["ingredients"][0]["title"]


def test_several_photos_are_signed_at_once_by_several_threads(
    scan: Path, signer: Signer, settings: CredentialSettings
) -> None:
    """As the daemon's writers do."""
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(signed(tiff(), scan, settings)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["Trusted"] * 4 == [read(result, signer).state for result in results]


def test_a_signed_page_is_still_one_page_to_every_reader(
    scan: Path, settings: CredentialSettings
) -> None:
    """Of several pages Pillow, for one, fails on the last: that is why those are not signed."""
    rgb = color_scene(40, 60)
    one = signed(tiff(rgb), scan, settings)
    several = signed(tiff(np.stack([rgb, rgb])), scan, settings)

    assert 1 == len(tifffile.TiffFile(io.BytesIO(one)).pages)
    assert 1 == Image.open(io.BytesIO(one)).n_frames
    with pytest.raises(TypeError, match="Missing dimensions"):
        _ = Image.open(io.BytesIO(several)).n_frames


def test_without_the_extra_it_is_said_what_to_install(
    settings: CredentialSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not with a traceback."""
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(CredentialError, match=r"pip install 'photochrom\[c2pa\]'"):
        try_to_sign(settings)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("swap", ["symlink", "FIFO", "another file"])
def test_a_scan_that_was_swapped_since_is_not_signed_for(
    scan: Path, settings: CredentialSettings, swap: str
) -> None:
    """The credentials would name, and carry, what nobody dropped; the photo is done again."""
    origin = origin_of(scan)
    aside = scan.rename(scan.with_name("aside.tif"))
    if swap == "symlink":
        scan.symlink_to(aside)
    elif swap == "FIFO":
        os.mkfifo(scan)
    else:
        scan.write_bytes(b"another")
    out = io.BytesIO()
    with pytest.raises(OSError, match=r"symbolic links|no longer the scan"):
        sign(io.BytesIO(tiff()), out, scan, TIFFS, origin, record("tiff"), settings)

    assert b"" == out.getvalue()
