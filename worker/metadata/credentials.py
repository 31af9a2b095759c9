"""C2PA content credentials: a signed statement in the file of how it was made.

They name the scan and say that a model made the color; changing any byte breaks the signature.
Nothing is fetched from the network unless a timestamp server is set.
"""

import errno
import hashlib
import io
import json
import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Literal, NamedTuple

from worker.errors import DeviceError, PhotochromError
from worker.metadata.provenance import Origin, Record

SigningAlgorithm = Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"]

UNPARSED = "application/octet-stream"  # c2pa takes such an ingredient without looking into it
DESCRIPTION = (
    "A machine-learning model invented the colors of this black-and-white photograph; "
    "its lightness is the scan's"
)
# Accepted purposes of a certificate (C2PA 2.4, 14.5.1); c2pa-rs by default accepts only email.
PURPOSES = (
    "1.3.6.1.4.1.62558.2.1",  # C2PA claims: what certificates of C2PA's own trust list are for
    "1.3.6.1.4.1.311.76.59.1.9",  # the same, by Microsoft
    "1.3.6.1.5.5.7.3.36",  # documents
    "1.3.6.1.5.5.7.3.4",  # email
)
# See docs/settings.md of c2pa-rs. Readers decide whether they trust the certificate. Only verifying
# after signing finds a wrong key. A lower threshold for temporary files halves the memory.
_SETTINGS = {
    "version": 1,
    "core": {"allowed_network_hosts": [], "backing_store_memory_threshold_in_mb": 16},
    "verify": {
        "verify_after_sign": True,
        "verify_trust": False,
        "remote_manifest_fetch": False,
        "ocsp_fetch": False,
    },
    "trust": {"trust_config": "\n".join(PURPOSES)},
    "builder": {"thumbnail": {"enabled": False}},
}
_ADVICE = {  # part of what c2pa says: what it means
    "not valid at time of signing": "the certificate has expired or is not valid yet; renew it",
    "certificate is invalid": "the certificate must be one for signing C2PA claims, documents or "
    "email (its extended key usage)",
    "self-signed": "the file must begin with a certificate that somebody else signed",
    "does not contain signing certificate": "the certificate's file holds no PEM certificate",
    "does not match the provided data": "the key is not that of the certificate",
    "invalid signing credentials": "the key must fit the algorithm, and be PEM (PKCS #8) without a "
    "passphrase, as `openssl pkcs8 -topk8 -nocrypt` writes it",
    "http resolver": "the timestamp server does not answer",
}
# One pixel, for trying a signature: signature, IHDR, IDAT, IEND.
_PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a4944415478da6360000000020001e527defc0000000049454e44ae426082"
)
# c2pa holds a whole file in memory while signing.
_one_at_a_time = Lock()


class CredentialError(DeviceError):
    """The certificate, its key or the timestamp server does not work; jobs wait until it does."""


class MediaTypes(NamedTuple):
    """The MIME types of a scan and of the photo made from it."""

    scan: str
    photo: str


@dataclass(frozen=True)
class CredentialSettings:
    """Who signs.

    Attributes:
        certificate: PEM file: the signer's certificate, then those between it and the root.
        key: PEM file of its private key, PKCS #8, not encrypted.
        algorithm: of the signature; must fit the key.
        timestamp: URL of an RFC 3161 timestamp server, or None for no timestamp.
    """

    certificate: Path
    key: Path
    algorithm: SigningAlgorithm = "es256"
    timestamp: str | None = None


def sign(
    unsigned: BinaryIO,
    signed: BinaryIO,
    scan: Path,
    media_types: MediaTypes,
    origin: Origin,
    record: Record,
    settings: CredentialSettings,
) -> tuple[str, ...]:
    """Copy a colored photo and put signed credentials into the copy.

    Needs about the file's size in memory (JPEG and WebP: twice that), and the same in the folder
    for temporary files; signs one photo at a time.

    Args:
        unsigned: the photo, open for reading, seekable.
        signed: open for reading and writing, seekable, empty.
        scan: the scan's file; its own credentials become part of the new ones.
        media_types: of the scan and of the photo.
        origin: where the photo comes from.
        record: what was written, in a format that holds credentials.
        settings: who signs.

    Returns:
        What of the scan's credentials is lost, in plain words.

    Raises:
        CredentialError: the configuration cannot sign.
        PhotochromError: the configuration works, but not for this photo.
        OSError: a file cannot be read or written, or the scan has changed.
    """
    c2pa = _c2pa()
    with _opened(scan, origin.sha256) as source, _one_at_a_time:
        streams = _Watched(unsigned), _Watched(signed), _Watched(source)
        try:
            return _sign(streams, media_types, origin, record, settings)
        except c2pa.C2paError as error:
            for stream in streams:
                if stream.error:
                    raise stream.error from error
            try_to_sign(settings)
            raise PhotochromError(f"content credentials failed on this photo: {error}") from error


def _opened(scan: Path, sha256: str) -> io.FileIO:
    """Reopen the scan, which may have been replaced, even by a symlink or a FIFO."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = io.FileIO(os.open(scan, flags))
    plain = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    if not plain or hashlib.file_digest(file, "sha256").hexdigest() != sha256:
        file.close()
        raise OSError(errno.ESTALE, "it is no longer the scan that was colored", str(scan))
    file.seek(0)
    return file


def try_to_sign(settings: CredentialSettings) -> None:
    """Sign one pixel, to report a wrong configuration at startup.

    Raises:
        CredentialError: what is wrong, with which file, and what to do.
    """
    origin = Origin("trial.png", "", "", "", "photochrom", "", datetime.now(UTC))
    record = Record("png", (), {}, "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCreation")
    c2pa = _c2pa()
    pixel, signed, scan = (_Watched(io.BytesIO(data)) for data in (_PIXEL, b"", _PIXEL))
    try:
        _sign((pixel, signed, scan), MediaTypes("image/png", "image/png"), origin, record, settings)
    except c2pa.C2paError as error:
        advice = next((text for part, text in _ADVICE.items() if part in str(error)), "")
        where = f"{settings.certificate} and {settings.key}, {settings.algorithm}"
        if settings.timestamp:
            where += f", timestamps from {settings.timestamp}"
        meaning = f"{advice} ({error})" if advice else str(error)
        raise CredentialError(f"cannot sign with {where}: {meaning}") from error


@dataclass
class _Watched:
    """A file that remembers its OSError, which c2pa does not pass on."""

    file: BinaryIO
    error: OSError | None = field(default=None, init=False)

    def __getattr__(self, name: str) -> Any:
        """Return a watched method of the file; c2pa calls read, readinto, write, seek and more."""
        method = getattr(self.file, name)

        def watched(*arguments: Any) -> Any:
            try:
                return method(*arguments)
            except OSError as error:
                self.error = error
                raise

        setattr(self, name, watched)  # cache it
        return watched


def _sign(
    streams: tuple[_Watched, _Watched, _Watched],  # the photo, its signed copy, the scan
    media_types: MediaTypes,
    origin: Origin,
    record: Record,
    settings: CredentialSettings,
) -> tuple[str, ...]:
    c2pa = _c2pa()
    unsigned, signed, scan = streams
    # Reread for each photo, so that a renewed certificate needs no restart.
    certificate, key = _content(settings.certificate), _content(settings.key)
    timestamp = settings.timestamp.encode() if settings.timestamp else None
    signer = c2pa.C2paSignerInfo(settings.algorithm, certificate, key, timestamp)
    lost: tuple[str, ...] = ()
    with (
        c2pa.Context.from_dict(_SETTINGS, signer=c2pa.Signer.from_info(signer)) as context,
        c2pa.Builder(_manifest(origin, record), context) as builder,
    ):
        ingredient = _ingredient(origin, media_types.scan)
        try:
            builder.add_ingredient(ingredient, media_types.scan, scan)
        except c2pa.C2paError:
            if scan.error:
                raise
            lost = ("content credentials of the scan, if it has any, which cannot be read",)
            builder.add_ingredient(ingredient, UNPARSED, io.BytesIO())
        builder.sign(media_types.photo, unsigned, signed)
    return lost


def _manifest(origin: Origin, record: Record) -> str:
    """Return the statement as c2pa takes it (C2PA 2.4, 18.15: actions)."""
    name, _, version = origin.software.partition(" ")
    software = {"name": name, "version": version}
    colored = {
        "action": "c2pa.adjustedColor",
        "digitalSourceType": record.digital_source_type,
        "when": origin.when.isoformat(),
        "softwareAgent": software,
        "description": DESCRIPTION,
        "parameters": {
            "photochrom.model": origin.model,
            "photochrom.weights_sha256": origin.weights_sha256,
            "photochrom.scan_sha256": origin.sha256,
            "photochrom.event": origin.event,
        },
    }
    opened = {"action": "c2pa.opened", "parameters": {"ingredientIds": ["scan"]}}
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [opened, colored]}}
    return json.dumps({"claim_generator_info": [software], "assertions": [actions]})


def _ingredient(origin: Origin, media_type: str) -> str:
    return json.dumps(
        {
            "label": "scan",
            "title": origin.name.encode(errors="backslashreplace").decode(),
            "format": media_type,
            "relationship": "parentOf",
            "description": f"SHA-256 {origin.sha256}",
        }
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CredentialError(f"cannot sign: {path} cannot be read: {error.strerror}") from error


def _c2pa() -> Any:
    try:
        import c2pa
    except ImportError as error:
        message = "content credentials need the extra c2pa: pip install 'photochrom[c2pa]'"
        raise CredentialError(message) from error
    return c2pa
