"""What the front tells about its work: one log line per event that an operator acts on, and counters of calls.

Owns the counters. Pools' events and finished calls come in; log records go out, always with request, pool, worker and
function as fields of their own. `log_output` makes lines of them.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.anomalies.words import in_words
from bridge.errors import Code
from bridge.receipts.tallies import Tallies
from bridge.routing.breakers import State
from pool import events

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.anomalies.records import Anomaly
    from bridge.attempts.choice import BoundsChanged
    from bridge.call import Call
    from bridge.errors import BridgeError
    from bridge.routing.breakers import BreakerChanged

LOGGER = logging.getLogger("bridge")
MESSAGE_CHARACTERS = 1000
"""Of a failure's text, in a log line."""
ANOMALIES_KEPT = 10
"""Of each pool."""

Tap = Callable[["Call", "BridgeError | None"], None]
"""Is shown a call that has been answered, and its failure."""


_CALLERS_OWN = {
    Code.INVALID_ARGUMENT,
    Code.NOT_FOUND,
    Code.ALREADY_EXISTS,
    Code.PERMISSION_DENIED,
    Code.UNAUTHENTICATED,
    Code.UNIMPLEMENTED,
}
"""Failures that the caller can mend: news, but nothing that an operator must act on."""


_COUNTED: dict[type[events.PoolEvent], str] = {
    events.PoolFailed: "failed",
    events.PoolScaled: "scaled",
    events.WorkerRecycled: "replaced",
    events.ReplacementFailed: "replacement_failed",
    events.WorkerCondemned: "condemned",
    events.WorkerSuspended: "suspended",
    events.WorkerLetGo: "let_go",
}
"""Events by the label under which they count; starts and ends of processes have metrics of their own."""


class Telemetry:
    """Counts calls and logs events.

    `tallies` has what calls took, `exits` counts by pool and class of the cause, `events` by pool and name, `retries`
    by pool and whether the second attempt went well, `anomalies` by pool, kind and what was done, and `breakers` the
    changes of circuit breakers by key and new state.
    """

    def __init__(self) -> None:
        self.tallies = Tallies()
        self.exits: Counter[tuple[str, str]] = Counter()
        self.events: Counter[tuple[str, str]] = Counter()
        self.retries: Counter[tuple[str, bool]] = Counter()
        self.anomalies: Counter[tuple[str, str, str]] = Counter()
        self.last_anomalies: dict[str, deque[Anomaly]] = {}
        """The last of each pool, newest first."""
        self._tap: Tap | None = None
        self._log_calls = self._looks = False
        self.level_changed()
        self.breakers: Counter[tuple[str, str]] = Counter()

    def level_changed(self) -> None:
        """Take note that the log has another level now."""
        self._log_calls = LOGGER.isEnabledFor(logging.DEBUG)
        self._looks = self._log_calls or self._tap is not None

    def watch(self, tap: Tap | None) -> None:
        """Show every call that has been answered to `tap` from now on; None to nobody."""
        self._tap = tap
        self._looks = self._log_calls or tap is not None

    def finished(self, call: Call, code: int, failure: BridgeError | None = None) -> None:
        """Take note of a call that has been answered; what it has called and that still goes on ends with it."""
        if call.inside is not None:
            call.inside.close()
        self.tallies.add(call, code)
        if call.retried:
            self.retries[call.pool, failure is None] += 1
            log(logging.INFO, f"call retried: {call.reason}", **_fields(call, code, ""))
        if failure is not None:
            level = logging.INFO if code in _CALLERS_OWN else logging.WARNING
            log(level, f"call failed: {failure.message[:MESSAGE_CHARACTERS]}", **_fields(call, code, failure.reason))
            if self._tap is not None:
                self._tap(call, failure)
        elif self._looks:
            self._look(call, code)

    def _look(self, call: Call, code: int) -> None:
        """Show a call without a failure to who wants to see each: who has nobody pays nothing for it."""
        if self._tap is not None and code == 0:
            self._tap(call, None)
        if self._log_calls:
            log(logging.DEBUG, "call", **_fields(call, code, ""))

    def finished_packed(self, calls: Sequence[Call]) -> None:
        """Take note of calls of one function that ran in one pack, have called nothing and were answered well."""
        if self._log_calls:
            for call in calls:
                self.finished(call, 0)
        else:
            self.tallies.add_packed(calls)
            if self._looks:
                self._look_packed(calls)

    def _look_packed(self, calls: Sequence[Call]) -> None:
        """Show calls of a pack to who wants to see some."""
        for call in calls:
            if self._tap is None:
                return
            self._tap(call, None)

    def anomaly(self, anomaly: Anomaly) -> None:
        """Log an anomaly, count it, and keep it among the last."""
        finding = anomaly.finding
        done = finding.action if anomaly.acted else "none"
        self.anomalies[anomaly.pool, finding.kind, done] += 1
        self.last_anomalies.setdefault(anomaly.pool, deque(maxlen=ANOMALIES_KEPT)).appendleft(anomaly)
        known = {"worker": finding.worker, "function": finding.function, "provider": finding.provider}
        about = {name: value for name, value in known.items() if value}
        log(
            logging.WARNING,
            in_words(anomaly),
            pool=anomaly.pool,
            **about,
            anomaly=finding.kind,
            action=done,
            **finding.numbers,
        )

    def breaker_changed(self, event: BreakerChanged) -> None:
        """Log that a circuit breaker has opened or closed, and count it."""
        self.breakers[event.key, event.new.value] += 1
        figures = {"breaker": event.key, "calls": event.calls, "failures": event.failures}
        if event.new is State.OPEN:
            message = f"circuit breaker opened for {event.seconds:g} s: {event.cause}"
            log(logging.WARNING, message, **figures, seconds=event.seconds)
        else:
            words = "closed" if event.new is State.CLOSED else "half open"
            log(logging.INFO, f"circuit breaker {words}: {event.cause}", **figures)

    def bounds_changed(self, event: BoundsChanged) -> None:
        """Log that an alternative has left the bounds of its route, or is within them again."""
        if event.outside:
            message = f"alternative is outside the bounds of its route: {event.outside}"
            log(logging.WARNING, message, route=event.route, alternative=event.alternative)
        else:
            message = "alternative is within the bounds of its route again"
            log(logging.INFO, message, route=event.route, alternative=event.alternative)

    def trial_event(self, event: events.PoolEvent) -> None:
        """Log what a pool tells that serves nobody: only what its worker prints."""
        if isinstance(event, events.WorkerOutput):
            self.pool_event(event)

    def pool_event(self, event: events.PoolEvent) -> None:
        """Log what a pool tells, and count it."""
        if (counted := _COUNTED.get(type(event))) is not None:
            self.events[event.pool, counted] += 1
        match event:
            case events.WorkerOutput():
                log(logging.INFO, event.line, pool=event.pool, worker=event.worker, stream=event.stream)
            case events.OutputDropped():
                log(logging.WARNING, f"{event.lines} lines of output dropped", pool=event.pool, worker=event.worker)
            case events.WorkerSpawned():
                log(logging.DEBUG, f"worker started, pid {event.pid}", pool=event.pool, worker=event.worker)
            case events.WorkerReady():
                log(logging.INFO, f"worker ready after {event.seconds:.2f} s", pool=event.pool, worker=event.worker)
            case events.WorkerExited():
                self.exits[event.pool, exit_class(event)] += 1
                level = logging.DEBUG if event.expected else logging.WARNING
                log(level, f"worker ended: {event.report.cause}", pool=event.pool, worker=event.worker)
            case events.PoolFailed():
                log(logging.ERROR, f"pool failed: {event.cause}", pool=event.pool)
            case _:
                _replacement_event(event)


def exit_class(event: events.WorkerExited) -> str:
    """Return the kind of a worker's end, of which there are few: a label of a metric."""
    killed = event.report.killed
    if event.expected:
        return "ordered"
    if killed is not None:
        return "protocol" if killed.protocol else killed.kind
    return "signal" if event.report.signal else "exited"


def _replacement_event(event: events.PoolEvent) -> None:
    """Log what is not the start or the end of a process."""
    match event:
        case events.PoolScaled():
            log(logging.INFO, f"{event.old} workers become {event.new}: {event.cause}", pool=event.pool)
        case events.WorkerRecycled():
            message = f"worker replaced by {event.replacement}: {event.cause}"
            log(logging.INFO, message, pool=event.pool, worker=event.worker)
        case events.ReplacementFailed():
            again = "not tried again" if event.retry_s is None else f"tried again after {event.retry_s:.1f} s"
            message = f"the worker's replacement did not start, it stays; {again}: {event.cause}"
            log(logging.WARNING, message, pool=event.pool, worker=event.worker)
        case events.WorkerCondemned():
            log(logging.WARNING, f"worker is replaced: {event.cause}", pool=event.pool, worker=event.worker)
        case events.WorkerSuspended():
            message = "worker's process is stopped, as by SIGSTOP; it gets no calls"
            log(logging.WARNING, message, pool=event.pool, worker=event.worker)
        case events.WorkerLetGo():
            message = "worker is retired and waits no longer for the strict sessions that are bound to it"
            log(logging.INFO, message, pool=event.pool, worker=event.worker)
        case events.WorkerResumed():
            log(logging.INFO, "worker's process goes on", pool=event.pool, worker=event.worker)


def log(level: int, message: str, **fields: object) -> None:
    """Write one log record with fields."""
    LOGGER.log(level, "%s", message, extra={"fields": fields})


def _fields(call: Call, code: int, reason: str) -> dict[str, object]:
    known = (
        ("code", Code(code).name),
        ("reason", reason),
        ("request", call.identity.request_id),
        ("method", call.method),
        ("function", call.function),
        ("version", call.version),
        ("session", call.identity.session_id),
        ("key", call.identity.key_name),
        ("pool", call.pool),
        ("worker", call.worker),
    )
    fields: dict[str, object] = {name: value for name, value in known if value}
    fields["ms"] = round((time.perf_counter() - call.started_at) * 1e3, 3)
    return fields
