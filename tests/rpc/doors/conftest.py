"""Certificates that tests make for themselves, and clients that use them."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SMALL = """
[pools.general]
size = 1

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""
ADD = "def add(a: int, b: int) -> int:\n    return a + b\n"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str = "server") -> dict[str, str]:
        """Writes both as an issuer's tool would: each file replaced at once. Returns them as settings of a server."""
        for end, data in (("pem", self.certificate), ("key", self.key)):
            new = folder / f"{name}.{end}.new"
            new.write_bytes(data)
            new.rename(folder / f"{name}.{end}")
        return {"tls_certificate": str(folder / f"{name}.pem"), "tls_key": str(folder / f"{name}.key")}


class Authority:
    """A CA that lives as long as the test."""

    def __init__(self, name: str = "CA of a test") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder(self._name, self._name, self._key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=30))
            .not_valid_after(now + datetime.timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.certificate = made.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str = "localhost", days: float = 90, client: bool = False, edwards: bool = False) -> Pair:
        """A certificate for the server on loopback, or for a client, that began 30 days ago and ends in `days`."""
        key = ed25519.Ed25519PrivateKey.generate() if edwards else ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        alternatives = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        made = (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=30))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return Pair(made.public_bytes(serialization.Encoding.PEM), key.private_bytes(*plain))


@pytest.fixture(scope="session")
def authority():
    return Authority()


@pytest.fixture(scope="session")
def another_authority():
    return Authority("another CA")


@pytest.fixture
def served_certificate():
    """`served_certificate(address)`: the DER certificate that the server shows in a new handshake."""

    def ask(address: str, tried: ssl.SSLContext | None = None) -> bytes:
        context = tried or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), 5) as plain, context.wrap_socket(plain) as secured:
            return secured.getpeercert(binary_form=True)

    return ask


@pytest.fixture
def add_over():
    """`add_over(channel, wait_s)`: 2 + 3, by the server at the other end."""
    from bridge.v1 import invoke_pb2
    from bridge.v1.common_pb2 import Payload

    def add(channel: grpc.Channel, timeout_s: float = 20.0) -> int:
        call = channel.unary_unary(
            "/bridge.v1.InvokeService/Call",
            request_serializer=invoke_pb2.CallRequest.SerializeToString,
            response_deserializer=invoke_pb2.CallResponse.FromString,
        )
        request = invoke_pb2.CallRequest(function="add", arguments=Payload(json=b'{"a": 2, "b": 3}'))
        return int(call(request, timeout=timeout_s).result.json)

    return add


def tls_channel(address: str, ca: bytes | None, client: Pair | None = None) -> grpc.Channel:
    """A channel of its own: grpc shares connections between channels that look the same to it."""
    pair = (None, None) if client is None else (client.key, client.certificate)
    return grpc.secure_channel(
        address,
        grpc.ssl_channel_credentials(ca, *pair),
        options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)],
    )


@pytest.fixture(scope="session")
def open_channel():
    return tls_channel


@pytest.fixture(scope="session")
def add_app():
    return ADD


@pytest.fixture(scope="session")
def small_config():
    return SMALL
