"""Certificates and API keys for the profiles that need them: made anew for each server, thrown away with its folder."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import subprocess
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ROOT = Path(__file__).resolve().parents[3]
KEYS_S = 60.0


class Authority:
    """A CA."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        unsigned = _builder(self._name, self._name, self._key.public_key())
        self.certificate = unsigned.add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        ).sign(self._key, hashes.SHA256())  # fmt: skip

    def issue(self, name: str, folder: Path, *, client: bool = False) -> None:
        """Write NAME.pem and NAME.key, a certificate for loopback or for a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            _builder(self._name, subject, key.public_key())
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        write_certificate(made, folder / f"{name}.pem")
        plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = folder / f"{name}.key"
        path.write_bytes(key.private_bytes(*plain))
        path.chmod(0o600)


def _builder(issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder(issuer, subject, key, x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=90))
    )


def write_certificate(certificate: x509.Certificate, path: Path) -> None:
    """Write it as PEM."""
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def make_certificates(folder: Path) -> dict[str, str]:
    """A server's and a client's certificate of one CA, and of another CA a client's that nobody trusts."""
    mine, other = Authority("CA of the conformance suite"), Authority("another CA")
    write_certificate(mine.certificate, folder / "ca.pem")
    write_certificate(other.certificate, folder / "other-ca.pem")
    mine.issue("server", folder)
    mine.issue("client", folder, client=True)
    other.issue("stranger", folder, client=True)
    return {}


def make_keys(folder: Path) -> dict[str, str]:
    """A key file, by the command that people use; the keys as facts, one of them revoked."""
    file = folder / "keys.json"
    facts = {
        "call_key": _keys("create", "caller", "--role", "call", file=file),
        "admin_key": _keys("create", "operator", "--role", "admin", file=file),
        "tenant_key": _keys("create", "acme", "--role", "call", "--tenant", "acme", file=file),
        "revoked_key": _keys("create", "former", "--role", "admin", file=file),
    }
    _keys("revoke", "former", file=file)
    return facts


def _keys(*arguments: str, file: Path) -> str:
    start = "import sys; from bridge.cli.main import main; sys.exit(main())"
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", start, "keys", *arguments, "--file", str(file), "--json"],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=KEYS_S,
        check=True,
    )
    return str(json.loads(done.stdout).get("key", ""))
