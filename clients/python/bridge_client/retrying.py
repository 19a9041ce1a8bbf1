"""Whether a failed call is made again, and when. Pure: owns nothing, waits for nothing.

A call is repeated where its caller has said how often (`retries`) and that it may run twice (`idempotency_key`), where
the server says when it may be tried again (RetryInfo), and where that is before the call's deadline.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge_client.errors import BridgeError
    from bridge_client.options import CallOptions

LEAST_S = 0.001
"""What a try must have left of the deadline."""


@dataclass(slots=True, kw_only=True)
class Tries:
    """The tries of one call, all with one request id and one deadline."""

    options: CallOptions
    """Those of the next try."""
    left: int
    until: float | None
    """The deadline, on the clock of `time.monotonic`."""

    def wait_s(self, error: BridgeError) -> float | None:
        """Seconds to wait before the next try; None where there is none. Counts it."""
        wait_s = error.retry_after_s
        if wait_s is None or self.left == 0:
            return None
        if self.until is not None and time.monotonic() + wait_s + LEAST_S >= self.until:
            return None
        self.left -= 1
        return wait_s

    def begin(self) -> CallOptions:
        """The options of a try that starts now, with what is left of the deadline."""
        if self.until is not None:
            self.options = replace(self.options, timeout=max(LEAST_S, self.until - time.monotonic()))
        return self.options


def tries_of(options: CallOptions) -> Tries | None:
    """The tries of a call that may be repeated; None where it may not."""
    if not options.retries or options.idempotency_key is None:
        return None
    named: dict[str, Any] = {} if options.request_id is not None else {"request_id": uuid.uuid4().hex}
    until = None if options.timeout is None else time.monotonic() + options.timeout
    return Tries(options=replace(options, **named), left=options.retries, until=until)
