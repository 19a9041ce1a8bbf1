"""Servers with keys, and with TLS too, for what clients show of both; the Elixir client, compiled where it can be."""

from __future__ import annotations

import datetime
import ipaddress
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ROOT = Path(__file__).resolve().parents[2]
ELIXIR = ROOT / "clients/elixir"
PREPARE_S = 400.0
MISSING_STATUS = 3
Mix = Callable[..., subprocess.Popen[str]]
TLS = """
[server]
tls_certificate = "{certificate}"
tls_key = "{key}"
"""
CONFIG = """
[keys]
file = "{keys}"

[models.default]
model = "bridge/test"

[pools.general]
size = 1

[pools.llm]
size = 1

[pools.embeddings]
size = 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """The demo app behind TLS and keys, and what lets a client in."""

    address: str
    ca: Path
    key: str


def _certificate(folder: Path, name: str, issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None):
    """Writes NAME.pem and NAME.key, signed by the issuer or by itself; returns name and key to sign others with."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer or (subject, key)
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(signer[0], subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(signer[1], hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.key").write_bytes(key.private_bytes(*plain))
    return subject, key


def make_key(folder: Path) -> str:
    """A new key, which is written to keys.json in the folder."""
    start = "import sys; from bridge.cli.main import main; sys.exit(main())"
    create = ["keys", "create", "shop", "--role", "call", "--file", str(folder / "keys.json")]
    made = subprocess.run([sys.executable, "-c", start, *create], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert made.returncode == 0, made.stderr
    return made.stdout.strip()


@pytest.fixture(scope="module")
def keyed(start_shared_server, tmp_path_factory):
    """The demo app behind keys, in plain text."""
    folder = tmp_path_factory.mktemp("keyed")
    key = make_key(folder)
    server = start_shared_server(ROOT / "examples/demo_app.py", CONFIG.format(keys=folder / "keys.json"))
    return Guarded(address=server.address, ca=folder, key=key)


@pytest.fixture(scope="module")
def guarded(start_shared_server, tmp_path_factory):
    """The demo app behind TLS and keys."""
    folder = tmp_path_factory.mktemp("guarded")
    _certificate(folder, "server", _certificate(folder, "ca", None))
    key = make_key(folder)
    files = {"certificate": folder / "server.pem", "key": folder / "server.key", "keys": folder / "keys.json"}
    server = start_shared_server(ROOT / "examples/demo_app.py", (TLS + CONFIG).format(**files))
    return Guarded(address=server.address, ca=folder / "ca.pem", key=key)


@pytest.fixture(scope="session")
def mix() -> Mix:
    """Starts `mix` in the Elixir client's folder, compiled; skips where something is missing, and says what."""
    prepared = subprocess.run(
        ["sh", "conformance/prepare.sh"], cwd=ELIXIR, capture_output=True, text=True, timeout=PREPARE_S, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if prepared.returncode == MISSING_STATUS:
        pytest.skip(f"missing: {prepared.stdout.splitlines()[-1]}")
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    server = str(Path(sys.executable).parent / "bridge")

    def start(*words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["mix", *words],
            cwd=ELIXIR,
            env={
                **os.environ,
                "BRIDGE_ELIXIR_SERVER": server,
                "PYTHONPATH": str(ROOT),
                "MIX_QUIET": "1",
                **environment,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
