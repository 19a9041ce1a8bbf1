"""Checks of what lets callers in, for `bridge doctor`: TLS files, what a running server shows, keys, the unix socket.

Owns nothing.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.cli.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.config import Config, ServerConfig
    from bridge.settings.door_tables import KeysConfig

SOON_S = 14 * 86400.0
ASK_S = 3.0


def check_socket(path: str) -> Finding:
    """Check that a server could listen on a unix socket."""
    from bridge.doors.failures import ListenFailed
    from bridge.doors.socket_file import look

    try:
        stale = look(path)
    except ListenFailed as error:
        return Finding("problem", "unix socket", str(error), "stop what listens there, or set server.unix_socket")
    detail = "left behind by a server that is gone; the next one takes it over" if stale else "free"
    return Finding("ok", "unix socket", f"{path} is {detail}")


def check_open(config: Config) -> Iterator[Finding]:
    """Say who can reach the server over a network."""
    from bridge.settings.door_tables import is_loopback

    server = config.server
    if not server.address or is_loopback(server.address):
        return
    missing = [] if server.tls_certificate else ["TLS"]
    missing += [] if config.keys.file else ["keys"]
    if missing:
        detail = f"other machines can reach {server.address}, without {' and '.join(missing)} (server.insecure)"
        yield Finding("note", "network", detail, "see docs/howto/tls.md, or keep it on 127.0.0.1")
    else:
        yield Finding("ok", "network", f"other machines can reach {server.address}, by TLS and with a key")


def check_keys(keys: KeysConfig) -> Iterator[Finding]:
    """Say whether the key file can be used, and how many keys there are."""
    if keys.file is None:
        return
    from bridge.keys import key_file

    path = Path(keys.file)
    try:
        found, mode = key_file.read(path), key_file.is_readable_by_others(path)
    except key_file.KeyFileProblem as problem:
        yield Finding("problem", "keys", str(problem), "correct the file, or remove keys.file")
        return
    valid = [one for one in found if one.revoked is None]
    detail = f"{len(valid)} API keys may be used, {len(found) - len(valid)} are revoked"
    if mode:
        yield Finding("note", "keys", f"{detail}; others may read {path} (its mode is {mode})", f"chmod 600 {path}")
    elif not valid:
        yield Finding("note", "keys", f"{detail}: nobody can call this server", "make one: bridge keys create")
    elif not any(one.may_administer for one in valid):
        yield Finding("note", "keys", f"{detail}; none has the role admin", "make one: bridge keys create --role admin")
    else:
        yield Finding("ok", "keys", detail)


def check_tls(server: ServerConfig) -> Iterator[Finding]:
    """Say whether the TLS files can be served, until when, and whether a server that runs shows them."""
    if server.tls_certificate is None:
        return
    from bridge.doors.certificates import BadCertificate, check, der_of, read_identity

    try:
        identity = read_identity(server, os.environ)
        validity = check(identity)
    except BadCertificate as error:
        yield Finding("problem", "TLS", str(error), "correct the files, or remove the settings")
        return
    now, until = time.time(), datetime.fromtimestamp(validity.not_after, UTC).strftime("%Y-%m-%d %H:%M UTC")
    names = ", ".join(validity.names) or "no name"
    if now >= validity.not_after:
        yield Finding("problem", "TLS", f"the certificate for {names} has expired at {until}", "renew it")
    elif now < validity.not_before:
        yield Finding("problem", "TLS", f"the certificate for {names} is not valid yet", "is the clock right?")
    elif validity.not_after - now < SOON_S:
        yield Finding("note", "TLS", f"the certificate for {names} ends at {until}", "renew it")
    else:
        clients = "; clients need one too" if server.tls_client_ca else ""
        yield Finding("ok", "TLS", f"a certificate for {names} until {until}{clients}")
    yield from _check_shown(server, der_of(identity))


def _check_shown(server: ServerConfig, first: bytes) -> Iterator[Finding]:
    """Compare with what a server that runs shows; nothing where none answers."""
    shown = _shown(server.address)
    if shown is None:
        return
    if shown == first:
        yield Finding("ok", "TLS shown", f"the server on {server.address} shows this certificate")
    else:
        detail = f"the server on {server.address} still shows another certificate"
        fix = "wait for tls_reload_s, or look for tls_rejected in its log"
        yield Finding("note", "TLS shown", detail, fix)


def _shown(address: str) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it is only looked at
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))  # noqa: S104
    try:
        with socket.create_connection((target, int(port)), ASK_S) as plain, context.wrap_socket(plain) as secured:
            return secured.getpeercert(binary_form=True)
    except (OSError, ValueError):
        return None
