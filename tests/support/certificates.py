"""Certificates made for tests: an authority, signers it vouches for, and a timestamp server.

No key is kept: each is made anew and lies in the test's own folder.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
PEM = serialization.Encoding.PEM
KEYS = {
    "es256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "es384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "es512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "ps256": lambda: rsa.generate_private_key(65537, 2048),
}


@dataclass(frozen=True)
class Signer:
    """A certificate with its key, in files, and who vouches for it.

    Attributes:
        certificate: PEM file of the signer's certificate.
        key: PEM file of its private key.
        authority: PEM of the root certificate.
    """

    certificate: Path
    key: Path
    authority: str


def make_signer(
    folder: Path,
    name: str = "signer",
    *,
    algorithm: str = "es256",
    begins: timedelta = timedelta(days=-1),
    ends: timedelta = timedelta(days=30),
    usage: ObjectIdentifier = ExtendedKeyUsageOID.EMAIL_PROTECTION,
) -> Signer:
    """Make an authority and a signer, with the extensions C2PA asks for (C2PA 2.4, 14.5.1).

    Args:
        folder: where its files are made.
        name: of the signer and its files.
        algorithm: one of `KEYS`.
        begins: when it becomes valid, from now.
        ends: when it expires, from now.
        usage: what the certificate is for.
    """
    now = datetime.now(UTC)
    root_key = ec.generate_private_key(ec.SECP256R1())
    root_name = _named("Test Authority")
    root = (
        x509.CertificateBuilder(root_name, root_name, root_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1000))
        .not_valid_after(now + timedelta(days=1000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(_identifier(root_key), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    key: PrivateKey = KEYS[algorithm]()
    certificate = (
        x509.CertificateBuilder(root_name, _named(name), key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        .add_extension(_authority(root_key), critical=False)
        .add_extension(_identifier(key), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    signer = Signer(folder / f"{name}.pem", folder / f"{name}.key", root.public_bytes(PEM).decode())
    signer.certificate.write_bytes(certificate.public_bytes(PEM))
    signer.key.write_bytes(
        key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    signer.key.chmod(0o600)
    return signer


def _named(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Test Archive"),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _identifier(key: PrivateKey) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key())


def _authority(key: PrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


@contextmanager
def timestamp_server(folder: Path) -> Iterator[str]:
    """Run an RFC 3161 timestamp server on this machine, openssl behind it; yields its URL."""
    signer = make_signer(folder, "clock", usage=ExtendedKeyUsageOID.TIME_STAMPING)
    settings = folder / "tsa.cnf"
    settings.write_text(
        f"[tsa]\nserial={folder}/serial\nsigner_digest=sha256\ndefault_policy=1.2.3\n"
        "digests=sha256,sha384,sha512\naccuracy=secs:1\ness_cert_id_alg=sha256\n"
    )

    class Clock(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            (folder / "query").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            command = ["openssl", "ts", "-reply", "-section", "tsa", "-config", settings]
            command += ["-queryfile", folder / "query", "-signer", signer.certificate]
            command += ["-inkey", signer.key, "-out", folder / "reply"]
            subprocess.run(command, check=True, capture_output=True)
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write((folder / "reply").read_bytes())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Clock) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
