"""Circuit breakers for operators: what PoolService.List says of them, and the orders OpenBreaker and CloseBreaker.

Whoever reaches the server may give these orders: there are no roles yet.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING

from bridge.conversion.routes import breaker_message
from bridge.errors import bad_field
from bridge.v1 import pool_pb2
from handlers.errors import Unknown

if TYPE_CHECKING:
    from bridge.routing.breakers import BreakerSnapshot
    from bridge.routing.parts import RouteParts

List = Callable[[pool_pb2.PoolServiceListRequest], pool_pb2.PoolServiceListResponse]

USUAL_S = 60.0
LONGEST_S = 86400.0
KEY_CHARACTERS = 300
"""Of an unknown breaker's key, in its error."""
CAUSE = "an operator has opened it"


class BreakerServicer:
    """Answers from the breakers of one front."""

    def __init__(self, routes: RouteParts) -> None:
        self._routes = routes

    def beside(self, pools: List) -> List:
        """Return the answer of PoolService.List, with all breakers that calls have met beside the pools."""

        def answer(request: pool_pb2.PoolServiceListRequest) -> pool_pb2.PoolServiceListResponse:
            reply = pools(request)
            reply.breakers.extend(breaker_message(one) for one in self._routes.breakers.snapshot())
            return reply

        return answer

    def open(self, request: pool_pb2.OpenBreakerRequest) -> pool_pb2.OpenBreakerResponse:
        """Answer PoolService.OpenBreaker."""
        self._check(request.key)
        seconds = USUAL_S
        if request.HasField("duration"):
            seconds = request.duration.seconds + request.duration.nanos / 1e9
        if not 0 < seconds <= LONGEST_S:
            raise bad_field("duration", f"expected more than 0 and up to {LONGEST_S:.0f} seconds, got {seconds:g}")
        self._routes.breakers.open(request.key, request.cause or CAUSE, seconds)
        return pool_pb2.OpenBreakerResponse(breaker=breaker_message(self._find(request.key)))

    def close(self, request: pool_pb2.CloseBreakerRequest) -> pool_pb2.CloseBreakerResponse:
        """Answer PoolService.CloseBreaker."""
        self._check(request.key)
        return pool_pb2.CloseBreakerResponse(
            closed=self._routes.breakers.close(request.key, "an operator has closed it")
        )

    def _find(self, key: str) -> BreakerSnapshot:
        return next(one for one in self._routes.breakers.snapshot() if one.key == key)

    def _check(self, key: str) -> None:
        known = self._routes.keys()
        if key in known:
            return
        shown = repr(key[:KEY_CHARACTERS])
        similar = difflib.get_close_matches(key[:KEY_CHARACTERS], known, n=1)
        message = f"There is no circuit breaker {shown}" + (f"; did you mean {similar[0]!r}?" if similar else "")
        raise Unknown(message, reason="UNKNOWN_BREAKER", metadata={"did_you_mean": similar[0]} if similar else None)
