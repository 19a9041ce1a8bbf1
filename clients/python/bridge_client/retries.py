"""When a failed call is tried again: only where it may be, and where the server says when to. Does no IO.

Owns the count of the attempts of one call, and the time by which it must have ended.
"""

from __future__ import annotations

import random
import time
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

from bridge_client.errors import BridgeError, CannotConnect

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge_client.options import CallOptions

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
JITTER = 0.2
"""Pauses are longer by up to this share, so that clients that failed together do not come back together."""


class Repetition:
    """The attempts at one call. All have one request id, and together the time of one call."""

    def __init__(
        self,
        options: CallOptions,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._options = replace(options, request_id=options.request_id or uuid.uuid4().hex)
        self._clock = clock
        self._chance = chance
        self._ends = None if options.timeout is None else clock() + options.timeout
        self._made = 0

    def next_options(self) -> CallOptions:
        """The options of the next attempt: what is left of the time."""
        self._made += 1
        if self._ends is None or self._made == 1:
            return self._options
        return replace(self._options, timeout=max(0.001, self._ends - self._clock()))

    def pause_after(self, error: BridgeError) -> float | None:
        """How long to wait before another attempt, in seconds; None where there is to be none.

        A call that never left this machine may always be repeated; one that did only where the server has said when to
        try again, and the caller that it may run twice.
        """
        if self._made > self._options.retries:
            return None
        if isinstance(error, CannotConnect):
            pause = min(FIRST_PAUSE_S * 2.0 ** (self._made - 1), LONGEST_PAUSE_S)
        elif error.retry_after_s is not None and self._options.may_run_twice:
            pause = error.retry_after_s
        else:
            return None
        pause *= 1 + JITTER * self._chance()
        return pause if self._ends is None or self._clock() + pause < self._ends else None
