"""Clients by gRPC: what is common to servers that speak it, and grpc.health.v1."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import grpc.aio
from calling import CallFailed
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

HEALTH_S = 1.0
_KINDS = {grpc.StatusCode.DEADLINE_EXCEEDED: "deadline", grpc.StatusCode.RESOURCE_EXHAUSTED: "refused"}


def failure(error: grpc.aio.AioRpcError) -> CallFailed:
    kind = _KINDS.get(error.code(), "error")
    if kind == "refused" and "memory" in (error.details() or "").lower():
        kind = "error"
    return CallFailed(kind, f"{error.code().name}{reason(error)}: {error.details()}")


def reason(error: grpc.aio.AioRpcError) -> str:
    """The reason in the error's details, with a space before it; empty where the server sends none."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b"")
    for detail in status_pb2.Status.FromString(details).details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return f" {info.reason}"
    return ""


class GrpcClient:
    """Calls `call_path` and `stream_path` with bytes that a subclass makes and reads."""

    call_path: str
    stream_path: str
    grace_s = 0.0
    """How long after its deadline a call waits for the server's own answer."""

    def __init__(self, address: str) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 500)]
        self._channel = grpc.aio.insecure_channel(address, options=options)
        self._call = self._channel.unary_unary(self.call_path)
        self._stream = self._channel.unary_stream(self.stream_path)
        self._health = health_pb2_grpc.HealthStub(self._channel)

    def request(self, function: str, arguments: dict[str, Any]) -> bytes:
        raise NotImplementedError

    def result(self, reply: bytes) -> Any:
        raise NotImplementedError

    def metadata(self, _timeout_s: float) -> list[tuple[str, str]]:
        return []

    async def call(self, function: str, arguments: dict[str, Any], timeout_s: float) -> Any:
        metadata = self.metadata(timeout_s)
        try:
            reply = await self._call(
                self.request(function, arguments), timeout=timeout_s + self.grace_s, metadata=metadata
            )
        except grpc.aio.AioRpcError as error:
            raise failure(error) from error
        return self.result(reply)

    async def stream(self, function: str, arguments: dict[str, Any], timeout_s: float) -> AsyncGenerator[int, None]:
        call = self._stream(self.request(function, arguments), timeout=timeout_s, metadata=self.metadata(timeout_s))
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                yield len(message)
        except grpc.aio.AioRpcError as error:
            raise failure(error) from error
        finally:
            call.cancel()

    async def healthy(self) -> bool:
        try:
            reply = await self._health.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_S)
        except grpc.aio.AioRpcError:
            return False
        return reply.status == health_pb2.HealthCheckResponse.SERVING

    async def close(self) -> None:
        async with asyncio.timeout(5):
            await self._channel.close()
