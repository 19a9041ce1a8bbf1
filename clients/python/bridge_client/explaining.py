"""`client.explain`: the records of a routing decision, and the operation that asks for one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge_client.reading import enum_name, read
from bridge_client.v1 import common_pb2, invoke_pb2
from bridge_client.values import encode_arguments
from bridge_client.wire import Operation, operation

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredTimes:
    """What was measured of calls, in microseconds. Old calls count less."""

    samples: float
    """How many fresh calls it is worth."""
    mean_us: int
    p50_us: int
    p99_us: int
    min_request_bytes: int
    """The calls that count had requests from this size."""
    max_request_bytes: int
    """Up to this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """How long a call is predicted to take on one way, in microseconds."""

    total_us: int
    queue_us: int
    transfer_us: int
    service_us: int
    burden_us: int
    """What ways are compared by: the total, and what its time in the front costs the calls that wait for the front."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One way that a call may go."""

    function: str
    route: str
    """``native`` or ``pooled``."""
    pool: str
    chosen: bool
    excluded: str
    """Why it may not go this way; empty where it may."""
    prediction: Prediction | None
    """None where nothing is known."""
    service: MeasuredTimes | None
    """How long calls of such a size run there."""
    transfer: MeasuredTimes | None
    """How long they are on the way; None for the front."""
    workers: int
    """Workers of the pool that take calls."""
    waiting: int
    """Calls that wait for one."""
    wait_us: int
    """How long a call that came now would wait."""
    worker: str
    """The worker that the session has there."""
    weight: float | None
    cost_usd: float | None
    failure_rate: float | None
    breaker: str
    """The state of its circuit breaker; empty where it has none."""
    copies_only: bool
    """Whether it only gets copies of calls, whose answers are thrown away."""
    label: str
    """Its name in receipts and figures, where the function has a route."""
    fallback: bool
    """Whether it is asked only where the others have failed."""
    attempts: MeasuredTimes | None
    """How long attempts have taken, from the route to there and back; None where there were none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontLoad:
    """How busy the front process is, and what it may take on."""

    busy: float
    """Which part of the time its event loop is busy, 0 to 1."""
    lag_us: int
    """How late the event loop is."""
    native_running: int
    """Calls that run in it."""
    native_limit: int
    max_request_bytes: int
    """Requests that are larger go to a worker."""
    max_p99_us: int
    """Calls that are placed by measurement go to a worker where 1 of 100 took longer than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Where a call would go, and why. The first alternative is the chosen one."""

    function: str
    placement: str
    request_bytes: int
    reason: str
    alternatives: tuple[Alternative, ...]
    front: FrontLoad | None
    """How busy the front is; None where that does not count."""

    @property
    def front_busy(self) -> float | None:
        """Which part of the time the front's event loop is busy, 0 to 1; None where that does not count."""
        return None if self.front is None else self.front.busy

    @property
    def chosen(self) -> Alternative | None:
        """The way that the call would go; None where there is none."""
        return next((one for one in self.alternatives if one.chosen), None)


def explain(function: str, arguments: Mapping[str, Any]) -> Operation[Explanation]:
    """Ask where a call with keyword arguments would go. Only the size of the arguments is sent."""
    size = invoke_pb2.CallRequest(function=function, arguments=encode_arguments(arguments)).ByteSize()
    request = invoke_pb2.ExplainRequest(function=function, request_bytes=size)
    return operation("InvokeService/Explain", request, invoke_pb2.ExplainResponse, explanation)


def explanation(message: invoke_pb2.ExplainResponse) -> Explanation:
    """A routing decision."""
    return Explanation(
        function=message.function,
        placement=enum_name(common_pb2.Placement, message.placement, "PLACEMENT_"),
        request_bytes=message.request_bytes,
        reason=message.reason,
        alternatives=tuple(map(_alternative, message.alternatives)),
        front=read(FrontLoad, message.front) if message.HasField("front") else None,
    )


def _alternative(message: invoke_pb2.Alternative) -> Alternative:
    return Alternative(
        function=message.function,
        route=enum_name(common_pb2.Route, message.route, "ROUTE_"),
        pool=message.pool,
        chosen=message.chosen,
        excluded=message.excluded,
        prediction=read(Prediction, message.prediction) if message.HasField("prediction") else None,
        service=read(MeasuredTimes, message.service) if message.HasField("service") else None,
        transfer=read(MeasuredTimes, message.transfer) if message.HasField("transfer") else None,
        workers=message.load.workers,
        waiting=message.load.waiting,
        wait_us=message.load.wait_us,
        worker=message.worker,
        weight=message.weight if message.HasField("weight") else None,
        cost_usd=message.cost_usd if message.HasField("cost_usd") else None,
        failure_rate=message.failure_rate if message.HasField("failure_rate") else None,
        breaker=message.breaker,
        copies_only=message.copies_only,
        label=message.label,
        fallback=message.fallback,
        attempts=read(MeasuredTimes, message.attempts) if message.HasField("attempts") else None,
    )
