"""PoolService: the pools as they stand, those that miss an extra included."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bridge import convert_pools as convert
from bridge.errors import bad_field
from bridge.v1 import pool_pb2
from handlers.errors import Unknown

if TYPE_CHECKING:
    from handlers.registry import Snapshot
    from pool.pool import Pool


NAME_CHARACTERS = 64
"""Of an unknown pool's name, in its error."""


class PoolServicer:
    """Answers from the pools. `missing` maps the name of a pool that was not made to the extra it needs."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        missing: Mapping[str, str],
        snapshot: Callable[[], Snapshot],
        cancel: Callable[[str], int],
    ) -> None:
        self._pools = pools
        self._missing = missing
        self._snapshot = snapshot
        self._cancel = cancel

    def list(self, _request: pool_pb2.PoolServiceListRequest) -> pool_pb2.PoolServiceListResponse:
        """Answer PoolService.List."""
        names = sorted([*self._pools, *self._missing])
        return pool_pb2.PoolServiceListResponse(pools=[self._message(name) for name in names])

    def get(self, request: pool_pb2.PoolServiceGetRequest) -> pool_pb2.PoolServiceGetResponse:
        """Answer PoolService.Get."""
        if request.name not in self._pools and request.name not in self._missing:
            raise _unknown(request.name, sorted([*self._pools, *self._missing]))
        return pool_pb2.PoolServiceGetResponse(pool=self._message(request.name))

    def cancel(self, request: pool_pb2.CancelRequest) -> pool_pb2.CancelResponse:
        """Answer PoolService.Cancel."""
        if not request.request_id:
            raise bad_field("request_id", "expected the request id of a call")
        cancelled = self._cancel(request.request_id)
        if not cancelled:
            shown = repr(request.request_id[:NAME_CHARACTERS])
            raise Unknown(f"There is no call with the request id {shown} now: it has ended", reason="UNKNOWN_CALL")
        return pool_pb2.CancelResponse(cancelled=cancelled)

    def _message(self, name: str) -> pool_pb2.Pool:
        pool = self._pools.get(name)
        if pool is None:
            return convert.missing_pool(name, self._missing[name])
        functions = [spec.name for spec in self._snapshot().functions if spec.pool == name]
        return convert.pool_message(pool.options, pool.snapshot(), functions)


def _unknown(name: str, names: list[str]) -> Unknown:
    shown = repr(name[:NAME_CHARACTERS])
    if similar := difflib.get_close_matches(name[:NAME_CHARACTERS], names, n=1):
        message = f"There is no pool {shown}; did you mean {similar[0]!r}?"
        return Unknown(message, reason="UNKNOWN_POOL", metadata={"did_you_mean": similar[0]})
    return Unknown(f"There is no pool {shown}; there is {', '.join(names)}", reason="UNKNOWN_POOL")
