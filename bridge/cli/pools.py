"""`bridge pool ...` and `bridge cancel`: orders to a running server, and what came of them. Owns nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.cli.connection import Connection
from bridge.cli.failures import ExitCode, Failure
from bridge.cli.messages import plain
from bridge.cli.output import Output, clean
from bridge.v1 import pool_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

RESTART_TIMEOUT_S = 3600.0
"""Workers start one after the other, and each may take its pool's start_timeout_s."""
DRAIN_MARGIN_S = 15.0
DRAIN_S = 30.0


def run_scale(name: str, size: int | None, least: int | None, most: int | None, address: str, output: Output) -> int:
    """Set a pool's size or bounds. Raises Failure."""
    if (size is None) == (least is None and most is None):
        raise Failure(
            ExitCode.USAGE,
            "say how many workers",
            lines=(f"bridge pool scale {clean(name)} 4", f"bridge pool scale {clean(name)} --min 2 --max 8"),
        )
    request = pool_pb2.ScaleRequest(name=name, size=size, min_size=least, max_size=most)
    with Connection(address) as connection:
        pool = connection.ask("PoolService/Scale", request, pool_pb2.ScaleResponse).pool
    many = str(pool.min_size) if pool.min_size == pool.max_size else f"{pool.min_size} to {pool.max_size}"
    words = "1 worker" if many == "1" else f"{many} workers"
    return _tell(output, pool, f"pool {clean(pool.name)} is to have {words} until the server ends or reloads")


def run_drain(name: str, timeout_s: float | None, address: str, output: Output) -> int:
    """Let a pool take no more calls and wait for those that run; UNHEALTHY where they did not end in time."""
    request = pool_pb2.DrainRequest(name=name)
    if timeout_s is not None:
        request.timeout.FromNanoseconds(int(timeout_s * 1e9))
    patience_s = (DRAIN_S if timeout_s is None else timeout_s) + DRAIN_MARGIN_S
    with Connection(address) as connection, output.waiting(f"draining pool {clean(name)}"):
        reply = connection.ask("PoolService/Drain", request, pool_pb2.DrainResponse, max(patience_s, DRAIN_S * 4))
    resume = f"bridge pool resume {clean(name)} lets it serve again"
    if reply.drained:
        return _tell(output, reply.pool, f"pool {clean(name)} takes no calls and none runs; {resume}", drained=True)
    running = reply.pool.running
    _tell(output, reply.pool, f"pool {clean(name)} takes no calls, but {running} still run; {resume}", drained=False)
    return ExitCode.UNHEALTHY


def run_resume(name: str, address: str, output: Output) -> int:
    """Let a drained pool take calls again. Raises Failure."""
    with Connection(address) as connection:
        request = pool_pb2.ResumeRequest(name=name)
        pool = connection.ask("PoolService/Resume", request, pool_pb2.ResumeResponse).pool
    return _tell(output, pool, f"pool {clean(pool.name)} takes calls again")


def run_restart(name: str, worker: str | None, address: str, output: Output) -> int:
    """Replace a pool's workers, or one. Raises Failure."""
    request = pool_pb2.RestartRequest(name=name, worker=worker or "")
    what = f"worker {clean(worker)}" if worker else f"the workers of pool {clean(name)}, one after the other"
    with Connection(address) as connection, output.waiting(f"replacing {what}"):
        reply = connection.ask("PoolService/Restart", request, pool_pb2.RestartResponse, RESTART_TIMEOUT_S)
    count = "1 worker was replaced" if reply.replaced == 1 else f"{reply.replaced} workers were replaced"
    return _tell(output, reply.pool, f"{count} in pool {clean(name)}", replaced=reply.replaced)


def run_release(name: str, fingerprint: str | None, address: str, output: Output) -> int:
    """Let an input run again that is refused, or all of a pool. Raises Failure."""
    with Connection(address) as connection:
        request = pool_pb2.ReleaseInputRequest(name=name, fingerprint=fingerprint or "")
        reply = connection.ask("PoolService/ReleaseInput", request, pool_pb2.ReleaseInputResponse)
    if output.machine:
        output.json({"pool": name, "released": reply.released})
    else:
        output.line("1 input may run again" if reply.released == 1 else f"{reply.released} inputs may run again")
    return ExitCode.OK


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


def _tell(output: Output, pool: pool_pb2.Pool, words: str, **fields: object) -> int:
    """Say in words, or as the pool's fields, what an order has done."""
    if output.machine:
        known: Mapping[str, object] = plain(pool)
        output.json({**fields, "pool": {key: known[key] for key in known if key not in ("functions", "exits")}})
    else:
        output.line(words)
    return ExitCode.OK
