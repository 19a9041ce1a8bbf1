"""TLS of grpcio's server: a port whose identity can be replaced while it serves.

grpcio asks for the identity at each handshake, in a thread of its own. Connections that stand keep the one that they
began with. Owns the identity that is served. Checks nothing: an identity comes here when it is known to be good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from bridge.doors.identity import TlsIdentity


class ServedIdentity:
    """The identity of one port."""

    def __init__(self, identity: TlsIdentity) -> None:
        self._newest = self._told = identity
        self.credentials: Any = grpc.dynamic_ssl_server_credentials(
            _configuration(identity),
            self._fetch,
            require_client_authentication=identity.client_ca is not None,
        )
        """For one port: they remember which identity that port has been told of."""

    def renew(self, identity: TlsIdentity) -> None:
        """Serve this one from the next handshake on. Whether clients need certificates stays as it was."""
        self._newest = identity

    def _fetch(self) -> Any:
        """Return what is new since grpcio asked last; None where nothing is."""
        newest = self._newest
        if newest is self._told:
            return None
        self._told = newest
        return _configuration(newest)


def _configuration(identity: TlsIdentity) -> Any:
    return grpc.ssl_server_certificate_configuration([(identity.key, identity.certificate)], identity.client_ca)
