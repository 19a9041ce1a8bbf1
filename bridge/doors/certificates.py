"""Reads the files of a TLS identity, and says what is wrong with them before a client has to find out.

A pair of certificate and key is tried in a handshake in memory, by the same rules that clients have. Owns no state.
"""

from __future__ import annotations

import base64
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.doors.identity import TlsIdentity
from bridge.settings.errors import ConfigError
from bridge.settings.secret_references import is_reference, resolve_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.config import ServerConfig

MOST_BYTES = 1 << 20
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_ED25519 = b"\x06\x03\x2b\x65\x70"
"""The name of its algorithm in a key, which BoringSSL does not offer."""
_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which the module ssl does not name."""


class BadCertificate(Exception):
    """The files can not be used for TLS. The text names the setting and never holds a key."""


@dataclass(frozen=True, slots=True)
class Validity:
    """Of a server's certificate. Seconds of the system's clock."""

    not_before: float
    not_after: float
    names: tuple[str, ...]
    """The host names and IP addresses that clients may know the server by."""


def read_identity(config: ServerConfig, environ: Mapping[str, str]) -> TlsIdentity:
    """Read the files that the settings name. Raises BadCertificate."""
    assert config.tls_certificate is not None
    assert config.tls_key is not None
    return TlsIdentity(
        certificate=_read("tls_certificate", config.tls_certificate),
        key=_read_key(config.tls_key, environ),
        client_ca=None if config.tls_client_ca is None else _read("tls_client_ca", config.tls_client_ca),
    )


def _read(setting: str, name: str) -> bytes:
    try:
        with Path(name).expanduser().open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadCertificate(f"server.{setting}: can not read {name}: {error.strerror or error}") from None
    if len(data) > MOST_BYTES:
        raise BadCertificate(f"server.{setting}: {name} is larger than {MOST_BYTES} bytes; this is no PEM file")
    return data


def _read_key(text: str, environ: Mapping[str, str]) -> bytes:
    if not is_reference(text):
        return _read("tls_key", text)
    try:
        return resolve_secret(text, environ).encode() + b"\n"
    except ConfigError as error:
        raise BadCertificate(f"server.tls_key: {error.problems[0].message}") from None


def check(identity: TlsIdentity) -> Validity:
    """Return when the certificate is valid, and for which names. Raises BadCertificate.

    That it has expired, or is not valid yet, is for the caller to judge.
    """
    certificates = [match.decode("ascii", "replace") for match in _CERTIFICATE.findall(identity.certificate)]
    if not certificates:
        raise BadCertificate("server.tls_certificate: expected a PEM file with '-----BEGIN CERTIFICATE-----'")
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    try:
        for certificate in certificates:
            ssl.PEM_cert_to_DER_cert(certificate)
        client.load_verify_locations(cadata=certificates[0])
    except (ssl.SSLError, ValueError) as error:
        raise BadCertificate(f"server.tls_certificate: not a certificate: {_words(error)}") from None
    server = _server_side(identity)
    if identity.client_ca is not None:
        _check_client_ca(identity.client_ca)
    found = _handshake(server, client)
    names = tuple(str(name) for _, name in found.get("subjectAltName", ()))
    return Validity(ssl.cert_time_to_seconds(found["notBefore"]), ssl.cert_time_to_seconds(found["notAfter"]), names)


def der_of(identity: TlsIdentity) -> bytes:
    """Return the server's certificate as a handshake shows it, of an identity that has been checked."""
    return ssl.PEM_cert_to_DER_cert(_CERTIFICATE.findall(identity.certificate)[0].decode("ascii"))


def _server_side(identity: TlsIdentity) -> ssl.SSLContext:
    """Load certificate and key, which OpenSSL takes from files only: one in memory."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as stream:
            stream.write(identity.key.rstrip() + b"\n" + identity.certificate)
        server.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_refuse_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise BadCertificate("server.tls_key: this is not the key of the certificate in tls_certificate") from None
        if b"-----BEGIN " not in identity.key or b"PRIVATE KEY-----" not in identity.key:
            raise BadCertificate("server.tls_key: expected a PEM file with '-----BEGIN PRIVATE KEY-----'") from None
        raise BadCertificate(f"server.tls_certificate or tls_key can not be used: {_words(error)}") from None
    finally:
        os.close(descriptor)
    if _ED25519 in _der(identity.key)[:24]:
        raise BadCertificate("server.tls_key: gRPC takes no Ed25519 keys; use ECDSA (P-256) or RSA (2048 bits or more)")
    return server


def _der(key: bytes) -> bytes:
    body = re.search(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----(.+?)-----END", key, re.DOTALL)
    return base64.b64decode(body[1]) if body is not None else b""


def _refuse_password() -> str:
    raise BadCertificate(
        "server.tls_key: the key is encrypted; write it without a password, for the server's user only"
    )


def _check_client_ca(data: bytes) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(cadata=data.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise BadCertificate(f"server.tls_client_ca: expected a PEM file with certificates: {_words(error)}") from None


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, Any]:
    """Let a client that trusts the certificate itself connect, in memory; return the certificate as it sees it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = server.wrap_bio(to_server, to_client, server_side=True)
    here = client.wrap_bio(to_client, to_server)
    pending = [here, there]
    while pending:
        side = pending.pop(0)
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pending.append(side)
        except ssl.SSLError as error:
            raise BadCertificate(f"server.tls_certificate: clients would refuse it: {_words(error)}") from None
    return here.getpeercert() or {}


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return re.sub(r" ?\(_ssl\.c:\d+\)", "", str(error))
