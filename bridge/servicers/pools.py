"""PoolService: the pools as they stand, those that miss an extra included, and an operator's orders to them.

Whoever reaches the server may give these orders: there are no roles yet.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bridge.conversion import pools as convert
from bridge.conversion.fronts import front_message
from bridge.errors import bad_field
from bridge.v1 import pool_pb2
from handlers.errors import ExtraMissing, Unknown

if TYPE_CHECKING:
    from bridge.anomalies.records import Anomaly
    from bridge.dispatch import Dispatcher
    from bridge.fronts.front import Front
    from handlers.registry import Snapshot
    from pool.pool import Pool


MOST_WORKERS = 1024
MOST_OPEN_CALLS = 20
LONGEST_DRAIN_S = 86400.0
NAME_CHARACTERS = 64
"""Of an unknown pool's name, in its error."""


class PoolServicer:
    """Answers from the pools. `missing` returns the extras that pools need which were not made, by pool."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        missing: Callable[[], Mapping[str, str]],
        snapshot: Callable[[], Snapshot],
        calls: Dispatcher,
        drain_timeout_s: Callable[[], float],
        anomalies: Mapping[str, Iterable[Anomaly]],
        fronts: Callable[[], Sequence[Front]] = tuple,
    ) -> None:
        self._pools, self._missing = pools, missing
        self._snapshot, self._calls = snapshot, calls
        self._drain_timeout_s = drain_timeout_s
        self._anomalies, self._fronts = anomalies, fronts

    def list(self, _request: pool_pb2.PoolServiceListRequest) -> pool_pb2.PoolServiceListResponse:
        """Answer PoolService.List."""
        names = sorted([*self._pools, *self._missing()])
        open_calls = [convert.open_call(call) for call in self._calls.oldest(MOST_OPEN_CALLS)]
        pools, fronts = map(self._message, names), map(front_message, self._fronts())
        return pool_pb2.PoolServiceListResponse(pools=pools, open_calls=open_calls, fronts=fronts)

    def get(self, request: pool_pb2.PoolServiceGetRequest) -> pool_pb2.PoolServiceGetResponse:
        """Answer PoolService.Get."""
        if request.name not in self._missing():
            self._find(request.name)
        return pool_pb2.PoolServiceGetResponse(pool=self._message(request.name))

    def scale(self, request: pool_pb2.ScaleRequest) -> pool_pb2.ScaleResponse:
        """Answer PoolService.Scale."""
        pool, now = self._find(request.name), self._find(request.name).snapshot()
        if request.HasField("size") == (request.HasField("min_size") or request.HasField("max_size")):
            raise bad_field("size", "expected either size, or one or both of min_size and max_size")
        least = request.min_size if request.HasField("min_size") else now.least
        most = request.max_size if request.HasField("max_size") else now.most
        if request.HasField("size"):
            least = most = request.size
        if not 1 <= least <= most <= MOST_WORKERS:
            expected = f"expected 1 <= min_size <= max_size <= {MOST_WORKERS}, got {least} and {most}"
            raise bad_field("size" if request.HasField("size") else "max_size", expected)
        pool.resize(least, most)
        return pool_pb2.ScaleResponse(pool=self._message(request.name))

    async def drain(self, request: pool_pb2.DrainRequest) -> pool_pb2.DrainResponse:
        """Answer PoolService.Drain. The pool stays drained also where the caller does not wait for the end."""
        pool = self._find(request.name)
        timeout_s = self._drain_timeout_s()
        if request.HasField("timeout"):
            timeout_s = request.timeout.seconds + request.timeout.nanos / 1e9
            if not 0 <= timeout_s <= LONGEST_DRAIN_S:
                raise bad_field("timeout", f"expected 0 to {LONGEST_DRAIN_S:.0f} seconds, got {timeout_s:g}")
        drained = await pool.drain(timeout_s)
        return pool_pb2.DrainResponse(drained=drained, pool=self._message(request.name))

    def resume(self, request: pool_pb2.ResumeRequest) -> pool_pb2.ResumeResponse:
        """Answer PoolService.Resume."""
        self._find(request.name).resume()
        return pool_pb2.ResumeResponse(pool=self._message(request.name))

    async def restart(self, request: pool_pb2.RestartRequest) -> pool_pb2.RestartResponse:
        """Answer PoolService.Restart. A caller who does not wait for the end ends nothing."""
        pool = self._find(request.name)
        try:
            replaced = await asyncio.shield(pool.restart(request.worker or None))
        except ValueError as error:
            raise Unknown(str(error), reason="UNKNOWN_WORKER") from None
        return pool_pb2.RestartResponse(replaced=replaced, pool=self._message(request.name))

    def cancel(self, request: pool_pb2.CancelRequest) -> pool_pb2.CancelResponse:
        """Answer PoolService.Cancel."""
        if not request.request_id:
            raise bad_field("request_id", "expected the request id of a call")
        cancelled = self._calls.cancel(request.request_id)
        if not cancelled:
            shown = repr(request.request_id[:NAME_CHARACTERS])
            raise Unknown(
                f"There is no call with the request id {shown} now: it has ended, or there was none",
                reason="UNKNOWN_CALL",
            )
        return pool_pb2.CancelResponse(cancelled=cancelled)

    def release_input(self, request: pool_pb2.ReleaseInputRequest) -> pool_pb2.ReleaseInputResponse:
        """Answer PoolService.ReleaseInput."""
        pool, wanted = self._find(request.name), request.fingerprint
        if not wanted:
            refused = [one.fingerprint for one in pool.snapshot().quarantine]
            return pool_pb2.ReleaseInputResponse(released=sum(map(pool.release_input, refused)))
        if not pool.release_input(wanted):
            shown = repr(wanted[:NAME_CHARACTERS])
            message = f"pool '{request.name}' refuses no input with the fingerprint {shown}; bridge status lists them"
            raise Unknown(message, reason="UNKNOWN_INPUT")
        return pool_pb2.ReleaseInputResponse(released=1)

    def _find(self, name: str) -> Pool:
        """Return a pool that there is. Raises UNKNOWN_POOL, or EXTRA_MISSING."""
        if name in self._missing():
            raise ExtraMissing.of(f"pool '{name}'", self._missing()[name])
        pool = self._pools.get(name)
        if pool is None:
            raise _unknown(name, sorted([*self._pools, *self._missing()]))
        return pool

    def _message(self, name: str) -> pool_pb2.Pool:
        pool = self._pools.get(name)
        if pool is None:
            return convert.missing_pool(name, self._missing()[name])
        functions = [spec.name for spec in self._snapshot().functions if spec.pool == name]
        return convert.pool_message(pool.options, pool.snapshot(), functions, self._anomalies.get(name, ()))


def _unknown(name: str, names: list[str]) -> Unknown:
    shown = repr(name[:NAME_CHARACTERS])
    if similar := difflib.get_close_matches(name[:NAME_CHARACTERS], names, n=1):
        message = f"There is no pool {shown}; did you mean {similar[0]!r}?"
        return Unknown(message, reason="UNKNOWN_POOL", metadata={"did_you_mean": similar[0]})
    return Unknown(f"There is no pool {shown}; there is {', '.join(names)}", reason="UNKNOWN_POOL")
