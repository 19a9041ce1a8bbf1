"""`bridge pool ...` and `bridge cancel`: orders to a running server. Owns nothing."""

from __future__ import annotations

from bridge.cli.connection import Connection
from bridge.cli.failures import ExitCode
from bridge.cli.output import Output
from bridge.v1 import pool_pb2


def run_cancel(request_id: str, address: str, output: Output) -> int:
    """End the calls of a request id. Raises Failure, also where there is none."""
    with Connection(address) as connection:
        request = pool_pb2.CancelRequest(request_id=request_id)
        reply = connection.ask("PoolService/Cancel", request, pool_pb2.CancelResponse)
    if output.machine:
        output.json({"request_id": request_id, "cancelled": reply.cancelled})
    else:
        output.line("cancelled" if reply.cancelled == 1 else f"cancelled {reply.cancelled} calls of this request id")
    return ExitCode.OK
