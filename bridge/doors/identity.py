"""What a server shows in a TLS handshake, and what it asks of its clients: a value. No IO."""

from __future__ import annotations

import msgspec


class TlsIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """PEM texts. Never printed: one of them is the private key."""

    certificate: bytes
    """The server's certificate, then those between it and its CA."""
    key: bytes
    client_ca: bytes | None = None
    """Given: clients need a certificate that one of these CAs signed."""

    def __repr__(self) -> str:
        return "TlsIdentity(...)"
