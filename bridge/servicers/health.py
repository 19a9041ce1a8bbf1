"""`grpc.health.v1`: Check, List and Watch over `bridge.health`, which judges at every question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from bridge.server import Answer, Metadata, Streaming, Unary, Write

if TYPE_CHECKING:
    from bridge.health import Health

SERVICE = "grpc.health.v1.Health"
WATCH_S = 0.5
"""How often a watcher's name is judged again."""

_NOT_FOUND = 5
_INVALID_ARGUMENT = 3
_UNAVAILABLE = 14
_Status = health_pb2.HealthCheckResponse


class HealthServicer:
    """Answers health questions. Open to all: it tells names and verdicts only."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def handlers(self) -> tuple[dict[str, Unary], dict[str, Streaming]]:
        """Return the handlers by path."""
        unary: dict[str, Unary] = {f"/{SERVICE}/Check": self._check, f"/{SERVICE}/List": self._list}
        return unary, {f"/{SERVICE}/Watch": self._watch}

    async def _check(self, request: bytes, _metadata: Metadata, _remaining_s: float | None) -> Answer:
        name = _name(request)
        if name is None:
            return Answer(None, (), _INVALID_ARGUMENT, "the request is not a valid HealthCheckRequest message")
        serving = self._health.serving(name)
        if serving is None:
            known = ", ".join(repr(each) for each in self._health.names())
            return Answer(None, (), _NOT_FOUND, f"no health is known for '{name}'; known: {known}")
        return Answer(_response(serving).SerializeToString())

    async def _list(self, _request: bytes, _metadata: Metadata, _remaining_s: float | None) -> Answer:
        statuses = {name: _response(self._health.serving(name)) for name in self._health.names()}
        return Answer(health_pb2.HealthListResponse(statuses=statuses).SerializeToString())

    async def _watch(self, request: bytes, _metadata: Metadata, _remaining_s: float | None, write: Write) -> Answer:
        name = _name(request)
        if name is None:
            return Answer(None, (), _INVALID_ARGUMENT, "the request is not a valid HealthCheckRequest message")
        told = None
        while True:
            response = _response(self._health.serving(name))
            if response.status != told:
                told = response.status
                await write(response.SerializeToString())
            if not await self._health.look_again(WATCH_S):
                return Answer(None, (), _UNAVAILABLE, "the server is shutting down")


def _name(request: bytes) -> str | None:
    try:
        return str(health_pb2.HealthCheckRequest.FromString(request).service)
    except DecodeError:
        return None


def _response(serving: bool | None) -> health_pb2.HealthCheckResponse:
    if serving is None:
        return _Status(status=_Status.SERVICE_UNKNOWN)
    return _Status(status=_Status.SERVING if serving else _Status.NOT_SERVING)
