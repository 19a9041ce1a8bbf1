"""Takes samples of the calls that are answered: so many of each pool between two looks, and then no more.

The front shows it calls by `Telemetry.watch`. Once every pool has its share it is taken off again, so a server under
load pays for a few calls a second and nothing for all others. Owns the samples until they are taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bridge.anomalies.records import Sample
from bridge.errors import Code

if TYPE_CHECKING:
    from bridge.call import Call
    from bridge.errors import BridgeError
    from bridge.telemetry import Tap

_FAULTS = {Code.UNKNOWN, Code.INTERNAL, Code.UNAVAILABLE, Code.ABORTED, Code.DATA_LOSS}
"""Codes of failures that no caller can mend,"""
_OF_LIMITS = {"WORKER_MEMORY_LIMIT", "PROVIDER_ERROR"}
"""of RESOURCE_EXHAUSTED only these reasons,"""
_ORDERS = {
    "SHUTTING_DOWN",
    "SESSION_LOST",
    "SESSION_MOVED",
    "SLOW_READER",
    "POOL_UNAVAILABLE",
    "BREAKER_OPEN",
}
"""and never these, which say nothing of the function or its worker."""


class Sampler:
    """Takes the samples of one server. `watch` is `Telemetry.watch`.

    `places` has for configured models, as a failure names them, the provider at the place where its calls count.
    """

    def __init__(self, watch: Callable[[Tap | None], None], places: Mapping[str, str] | None = None) -> None:
        self._watch = watch
        self.places = places or {}
        self._room: dict[str, int] = {}
        self._open = 0
        """Pools of which more samples are wanted."""
        self._samples: dict[str, list[Sample]] = {}

    def begin(self, room: Mapping[str, int]) -> None:
        """Take up to so many samples of each pool from now on; what was taken before is dropped."""
        self._samples = {pool: [] for pool in room}
        self._room = dict(room)
        self._open = len(room)
        self._watch(self.take if room else None)

    def drain(self, pool: str) -> list[Sample]:
        """Return the samples of a pool since the last `begin`."""
        return self._samples.pop(pool, [])

    def take(self, call: Call, failure: BridgeError | None) -> None:
        """Look at a call that has been answered."""
        room = self._room.get(call.pool, 0)
        samples = self._samples.get(call.pool)
        if not room or samples is None or not call.worker or call.spec is None:
            return
        sample = _sample(call, failure, self.places)
        if sample is None:
            return
        samples.append(sample)
        self._room[call.pool] = room - 1
        if room == 1:
            self._open -= 1
            if not self._open:
                self._watch(None)


def _sample(call: Call, failure: BridgeError | None, places: Mapping[str, str]) -> Sample | None:
    """Return what is worth knowing of a call; None where its failure is the caller's own, or an order's."""
    assert call.spec is not None
    late = failure is not None and failure.reason == "IN_WORKER"
    failed = failure is not None and not late
    if failure is not None and failed and not _is_fault(failure):
        return None
    if late:
        seconds = 0.0 if call.leased_at is None else time.perf_counter() - call.leased_at
    else:
        seconds = 0.0 if call.spec.streaming else call.worker_ns / 1e9
    return Sample(
        pool=call.pool,
        worker=call.worker,
        function=call.spec.name,
        size=call.bytes_in.bit_length() // 2,
        seconds=seconds,
        failed=failed,
        late=late,
        provider=_provider(failure, places) if failure is not None and failed else "",
        tenant=call.identity.tenant,
        bound=call.session is not None,
    )


def _is_fault(failure: BridgeError) -> bool:
    if failure.code == Code.RESOURCE_EXHAUSTED:
        return failure.reason in _OF_LIMITS
    return failure.code in _FAULTS and failure.reason not in _ORDERS


def _provider(failure: BridgeError, places: Mapping[str, str]) -> str:
    """Return whose failure it is, by the name of the breaker that counts it: a server of one's own has its own."""
    name = failure.metadata.get("provider", "")
    return places.get(failure.metadata.get("configuration", ""), name) if name else ""
