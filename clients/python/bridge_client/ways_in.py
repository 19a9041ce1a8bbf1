"""What lets a client in: TLS and an API key. Reads the files that they name; owns no state, opens no connection."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from bridge_client.options import ChannelOptions

Pem = str | os.PathLike[str] | bytes
"""The path of a PEM file, or its content as bytes."""

_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How the connection is encrypted. ``Tls()`` trusts the CAs that gRPC comes with."""

    ca: Pem | None = None
    """The CA that has signed the server's certificate."""
    certificate: Pem | None = None
    """This client's own certificate, where the server asks for one (mTLS)."""
    key: Pem | None = field(default=None, repr=False)
    """The key of that certificate, without a password."""
    server_name: str | None = None
    """The name that the server's certificate must have, where it is not the host of the address."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            missing = "key" if self.key is None else "certificate"
            msg = f"expected certificate and key together; {missing} is missing"
            raise ValueError(msg)

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC takes. Raises OSError for a file that can not be read, ValueError for one that is no PEM."""
        return grpc.ssl_channel_credentials(
            _read("ca", self.ca, b"CERTIFICATE-----"),
            _read("key", self.key, b"PRIVATE KEY-----"),
            _read("certificate", self.certificate, b"CERTIFICATE-----"),
        )


def encrypted(
    address: str, tls: Tls | None, credentials: grpc.ChannelCredentials | None, channel: ChannelOptions
) -> tuple[grpc.ChannelCredentials | None, ChannelOptions]:
    """The credentials and options of a channel to `address`; no credentials for plain text."""
    if tls is None:
        return credentials, channel
    if credentials is not None:
        msg = "expected tls or credentials, got both"
        raise ValueError(msg)
    if address.startswith("unix:"):
        msg = f"expected no tls for {address}: a unix socket is not encrypted, it does not leave the machine"
        raise ValueError(msg)
    if tls.server_name is not None:
        channel = replace(channel, extra=(("grpc.ssl_target_name_override", tls.server_name), *channel.extra))
    return tls.credentials(), channel


def read_key(key: str | None) -> str | None:
    """The API key: as it is given, or where ``env:NAME`` or ``file:PATH`` say. Raises ValueError or OSError."""
    if key is None:
        return None
    kind, _, name = key.partition(":")
    if kind == "env" and name:
        if value := os.environ.get(name, "").strip():
            return value
        msg = f"expected a key in the environment variable {name}, which is empty or not set"
        raise ValueError(msg)
    if kind == "file" and name:
        if value := Path(name).expanduser().read_text().strip():
            return value
        msg = f"expected a key in the file {name}, which is empty"
        raise ValueError(msg)
    return key


def _read(name: str, given: Pem | None, mark: bytes) -> bytes | None:
    if given is None:
        return None
    if isinstance(given, bytes):
        data = given
    else:
        with Path(given).expanduser().open("rb") as stream:
            data = stream.read(_MOST_BYTES)
    if mark not in data:
        where = "bytes that have none" if isinstance(given, bytes) else f"the file {os.fspath(given)}, which has none"
        msg = f"expected {name} in PEM, with '-----BEGIN {mark.decode()}', got {where}"
        raise ValueError(msg)
    return data
