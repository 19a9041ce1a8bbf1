"""What the end of an attempt tells: breakers, figures and counters hear of it. Owns nothing.

Breakers and figures judge differently: what a function raises is an answer, so no fault of it that a breaker would
count, but a call that did not go well.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from bridge.attempts.failures import breaks, judged
from bridge.attempts.record import cost_usd
from bridge.errors import BridgeError
from bridge.routing.breakers import by_order

if TYPE_CHECKING:
    from bridge.attempts.plan import Means, Step
    from bridge.attempts.record import Tried
    from bridge.call import Call
    from bridge.dispatch import Runner
    from bridge.routing.routes import Alternative


class Attempt:
    """One attempt that runs. `call` is its own record; `tickets` are of the breakers that let it through."""

    __slots__ = ("body", "call", "runner", "started", "step", "tickets", "tried")

    def __init__(self, step: Step, call: Call, tried: Tried, tickets: dict[str, int]) -> None:
        self.step = step
        self.call = call
        self.tried = tried
        self.tickets = tickets
        self.runner: Runner | None = None
        self.body = b""
        self.started = time.perf_counter()


class Judge:
    """Judges the attempts of one route."""

    __slots__ = ("_means", "_route")

    def __init__(self, route: str, means: Means) -> None:
        self._route = route
        self._means = means

    def let_through(self, alternative: Alternative) -> dict[str, int]:
        """Pass the breakers of an alternative; return their tickets. Raises BREAKER_OPEN."""
        breakers = self._means.breakers
        tickets: dict[str, int] = {}
        try:
            for key in alternative.keys:
                tickets[key] = breakers.enter(key)
        except BridgeError:
            for key, ticket in tickets.items():
                breakers.leave(key, ticket)
            self._means.counters.attempts[self._route, alternative.label, "refused"] += 1
            raise
        return tickets

    def well(self, attempt: Attempt, seconds: float) -> None:
        """It has answered."""
        self._tell(attempt, "ok", sound=True)
        self._observe(attempt, seconds, ok=True)

    def failed(self, attempt: Attempt, failure: BridgeError, seconds: float) -> None:
        """It has failed."""
        usual_s = self._means.stats.quantile(self._route, attempt.tried.alternative, 0.95) or 0.0
        if failure.reason == "IN_WORKER" and seconds < usual_s:  # its caller allowed too little: no fault of it
            self._tell(attempt, "failed", sound=None)
        elif breaks(failure):
            self._tell(attempt, "failed", sound=False)
            self._observe(attempt, seconds, ok=False)
        elif judged(failure):
            self._tell(attempt, "failed", sound=True, well=False)
            self._observe(attempt, seconds, ok=False)
        else:
            self._tell(attempt, "failed", sound=None)

    def cancelled(self, attempt: Attempt, longer_than_s: float | None) -> None:
        """It was cancelled; where it lost against another, it is known that it would have taken longer than this."""
        self._tell(attempt, "cancelled", sound=None)
        if longer_than_s is not None:
            self._observe(attempt, longer_than_s, ok=True)

    def _tell(self, attempt: Attempt, outcome: str, *, sound: bool | None, well: bool = True) -> None:
        """Count it, and tell its breakers whether what they guard is sound; None where nobody knows.

        `well` is False where its answer was a failure all the same, which counts for a breaker that opens by order.
        """
        self._means.counters.attempts[self._route, attempt.tried.alternative, outcome] += 1
        for key, ticket in attempt.tickets.items():
            if sound is None:
                self._means.breakers.leave(key, ticket)
            else:
                self._means.breakers.record(key, sound and (well or not by_order(key)), ticket)

    def _observe(self, attempt: Attempt, seconds: float, *, ok: bool) -> None:
        label, cost = attempt.tried.alternative, cost_usd(attempt.call.meta)
        self._means.stats.observe(self._route, label, seconds=seconds, ok=ok, cost_usd=cost)
