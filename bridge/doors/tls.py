"""The server's TLS identity while it runs: read at the start, looked at again and again, replaced when it is good.

What is new and can not be used is told once, and the identity that is served stays. Owns which identity is served and
what was wrong with the last. Knows nothing of who serves it: they are told.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from bridge.doors.certificates import BadCertificate, Validity, check, read_identity
from bridge.doors.failures import ListenFailed
from bridge.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bridge.config import ServerConfig
    from bridge.doors.identity import TlsIdentity

SETTLE_S = 1.0
"""What can not be used is looked at once more: certificate and key are two files, written one after the other."""
SOON_S = 14 * 86400.0
"""A certificate that ends within this time is told of; a short one, when this part of its time is left."""
SOON_PART = 0.1


@dataclass(slots=True)
class TlsState:
    """What is served, for `bridge status` and the metrics."""

    validity: Validity
    problem: str = ""
    """What is wrong with the files now; they are not served."""
    renewals: int = 0
    failures: int = 0
    """Changes of the files that could not be served."""


class Tls:
    """`start`, then `watch` for ever; `look` looks now. Without TLS in the settings there is none of this."""

    def __init__(self, config: ServerConfig, environ: Mapping[str, str], served: Callable[[TlsIdentity], None]) -> None:
        """Read the files. `served` is told of each identity after the first. Raises ListenFailed."""
        self._config = config
        self._environ = environ
        self._served = served
        self._wanted = asyncio.Event()
        self._told_of_end = ""
        try:
            self.identity = read_identity(config, environ)
            self.state = TlsState(check(self.identity))
        except BadCertificate as error:
            raise ListenFailed(str(error)) from None
        self._tell_of_end()

    def look(self) -> None:
        """Look at the files now, not only when it is time."""
        self._wanted.set()

    def renew(self, config: ServerConfig) -> None:
        """Take over how often the files are looked at, and look."""
        self._config = config
        self.look()

    async def watch(self) -> None:
        """Look at the files again and again; never ends."""
        while True:
            try:
                async with asyncio.timeout(self._config.tls_reload_s):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()
            await self._look()

    async def _look(self) -> None:
        """Serve what is new and good; else say what is wrong with it, once."""
        before = self.state.problem
        fresh = await asyncio.to_thread(self._read)
        if isinstance(fresh, str) and fresh != before:
            await asyncio.sleep(SETTLE_S)
            fresh = await asyncio.to_thread(self._read)
        self.state.problem = fresh if isinstance(fresh, str) else ""
        if isinstance(fresh, tuple):
            self._serve(*fresh)
        elif fresh is None and before:
            log(logging.INFO, "the TLS certificate in the files is again the one that is served", event="tls_recovered")
        elif fresh is not None and fresh != before:
            self.state.failures += 1
            message = f"the new TLS certificate is not served, the one before it stays: {fresh}"
            log(logging.ERROR, message, event="tls_rejected")
        self._tell_of_end()

    def _read(self) -> tuple[TlsIdentity, Validity] | str | None:
        """Return what is new and good, or what is wrong with it; None where nothing is new. For a thread."""
        try:
            identity = read_identity(self._config, self._environ)
            if identity == self.identity:
                return None
            validity = check(identity)
        except BadCertificate as error:
            return str(error)
        now = time.time()
        if not validity.not_before <= now < validity.not_after:
            return f"server.tls_certificate: it {_span(validity, now)}"
        return identity, validity

    def _serve(self, identity: TlsIdentity, validity: Validity) -> None:
        self.identity = identity
        self.state.validity = validity
        self.state.renewals += 1
        self._served(identity)
        names = ", ".join(validity.names) or "no name"
        message = f"new TLS certificate for {names}, valid until {_date(validity.not_after)}"
        log(logging.INFO, message, event="tls_renewed")

    def _tell_of_end(self) -> None:
        """Say that the certificate ends soon, or has ended: each once."""
        now, validity = time.time(), self.state.validity
        word = _word(validity, now)
        if word and self._told_of_end != f"{word} {validity.not_after}":
            self._told_of_end = f"{word} {validity.not_after}"
            log(logging.WARNING, f"the TLS certificate that is served {_span(validity, now)}", event=f"tls_{word}")


def _word(validity: Validity, now: float) -> str:
    """Return what an operator must know of a certificate's time; empty where nothing."""
    if now >= validity.not_after:
        return "expired"
    if now < validity.not_before:
        return "early"
    soon_s = min(SOON_S, SOON_PART * (validity.not_after - validity.not_before))
    return "ends_soon" if validity.not_after - now < soon_s else ""


def _span(validity: Validity, now: float) -> str:
    if now < validity.not_before:
        return f"is not valid before {_date(validity.not_before)}; is the clock right?"
    if now < validity.not_after:
        return f"ends at {_date(validity.not_after)}; renew it"
    return f"has expired at {_date(validity.not_after)}; clients refuse it"


def _date(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M UTC")
