"""The bridge: it serves apps/work.py as it is."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from adapters.contract import APPS, ROOT, Adapter
from grpc_client import GrpcClient
from servers import first_line

if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from bridge.v1 import invoke_pb2


class BridgeClient(GrpcClient):
    """Deadlines go as `x-timeout-ms`; gRPC's own is a little later, so that the server's answer is seen."""

    call_path = "/bridge.v1.InvokeService/Call"
    stream_path = "/bridge.v1.InvokeService/StreamCall"
    grace_s = 0.25

    def request(self, function: str, arguments: dict[str, Any]) -> bytes:
        request = invoke_pb2.CallRequest(function=function)
        request.arguments.json = json.dumps(arguments)
        return request.SerializeToString()

    def result(self, reply: bytes) -> Any:
        return json.loads(invoke_pb2.CallResponse.FromString(reply).result.json)

    def metadata(self, timeout_s: float) -> list[tuple[str, str]]:
        return [("x-timeout-ms", str(int(timeout_s * 1000)))]


class Bridge(Adapter):
    name = "bridge"
    title = f"polyglot-bridge {version('polyglot-bridge')}"

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(ROOT)}

    def command(self, _port: int) -> list[str]:
        start = "import sys; from bridge.cli.main import main; sys.exit(main())"
        arguments = ["serve", str(APPS / "work.py"), "--config", str(APPS / "bridge.toml")]
        return [self.python, "-c", start, *arguments, "--address", "127.0.0.1:0", "--json"]

    async def client(self, output: Path, _port: int, limit_s: float) -> BridgeClient:
        return BridgeClient(json.loads(await first_line(output, limit_s))["address"])
