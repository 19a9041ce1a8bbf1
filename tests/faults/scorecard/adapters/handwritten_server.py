"""A hand-written server on grpc.aio and ProcessPoolExecutor: apps/handwritten.py."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from adapters.contract import APPS, Adapter
from grpc_client import GrpcClient
from servers import first_line


class HandwrittenClient(GrpcClient):
    call_path = "/scorecard.Work/Call"
    stream_path = "/scorecard.Work/Stream"

    def request(self, function: str, arguments: dict[str, Any]) -> bytes:
        return json.dumps([function, arguments]).encode()

    def result(self, reply: bytes) -> Any:
        return json.loads(reply)


class Handwritten(Adapter):
    name = "handwritten"
    title = f"grpc.aio {version('grpcio')} + ProcessPoolExecutor"

    def command(self, _port: int) -> list[str]:
        return [self.python, str(APPS / "handwritten.py")]

    async def client(self, output: Path, _port: int, limit_s: float) -> HandwrittenClient:
        return HandwrittenClient((await first_line(output, limit_s)).strip())
