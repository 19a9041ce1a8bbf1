"""`bridge status`: the health of a server, its pools and workers, and how workers ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health_pb2

from bridge.cli.breakers import news
from bridge.cli.connection import Connection
from bridge.cli.failures import ExitCode
from bridge.cli.messages import plain
from bridge.cli.output import Output, clean, duration, last_words, size, table
from bridge.v1 import pool_pb2

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

FRONT_COLUMNS = ("FRONT", "PID", "STATE", "OPEN", "CALLS", "CPU", "MEMORY", "LOOP LAG", "RESTARTS")
SHOWN_EXITS = 3
SHOWN_STDERR_LINES = 5
SHOWN_GROWTH = 3
SHOWN_CALLS = 10
SHOWN_ANOMALIES = 3
OLD_CALL_S = 1.0
"""Younger calls are gone before anybody could cancel them."""
GROWTH_BYTES = 16 << 20
"""Less than this is no news: every process grows a little."""


def run(address: str, watch_s: float | None, output: Output) -> int:
    """Show the state of a server, again every `watch_s` seconds if that is given. Raises Failure."""
    with Connection(address) as connection:
        while True:
            health, seen = ask_all(connection)
            if output.machine:
                output.json({"health": health, **plain(seen)})
            else:
                if watch_s is not None and output.console.is_terminal:
                    output.console.clear()
                _show(output, address, health, seen)
            if watch_s is None:
                return ExitCode.OK if health == "SERVING" else ExitCode.UNHEALTHY
            time.sleep(watch_s)


def ask_all(connection: Connection) -> tuple[str, pool_pb2.PoolServiceListResponse]:
    """Return the server's health by name, its pools and the calls that run or wait. Raises Failure."""
    question = health_pb2.HealthCheckRequest(service="")
    reply = connection.ask("grpc.health.v1.Health/Check", question, health_pb2.HealthCheckResponse)
    seen = connection.ask("PoolService/List", pool_pb2.PoolServiceListRequest(), pool_pb2.PoolServiceListResponse)
    name: str = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
    return name, seen


def _show(output: Output, address: str, health: str, seen: pool_pb2.PoolServiceListResponse) -> None:
    from rich.text import Text

    pools = seen.pools
    colour = "green" if health == "SERVING" else "bold red"
    output.show(Text.assemble(f"{clean(address)}  ", (health, colour)))
    columns = ("POOL", "STATE", "WORKERS", "STARTED BY", "RUNNING", "QUEUED", "CALLS", "RESTARTS", "PROOF", "CAUSE")
    output.show(table(columns, [_pool_row(pool) for pool in pools]))
    workers = [_worker_row(worker) for pool in pools for worker in pool.workers]
    if seen.fronts:
        output.show(table(FRONT_COLUMNS, [front_row(front, front.calls) for front in seen.fronts]))
    if workers:
        output.show(table(("WORKER", "PID", "STATE", "RUNNING", "CALLS", "MEMORY", "AGE", "NOTE"), workers))
    if calls := [_call_row(call) for call in seen.open_calls if call.age.ToTimedelta().total_seconds() >= OLD_CALL_S]:
        output.show(table(("REQUEST ID", "FUNCTION", "POOL", "WORKER", "FOR"), calls[:SHOWN_CALLS]))
    for line in news(seen.breakers):
        output.line(line)
    for pool in pools:
        _show_news(output, pool)


def _show_news(output: Output, pool: pool_pb2.Pool) -> None:
    """Show what an operator may have to act on, each in a line of its own."""
    name = clean(pool.name)
    if pool.start_reason:
        output.line(f"{name}: workers are not forked from a template: {clean(pool.start_reason)}")
    if pool.memory_limit_bytes and pool.cgroups:
        output.line(f"{name}: at most {size(pool.memory_limit_bytes)} a worker; cgroups: {clean(pool.cgroups)}")
    for growth in pool.growth[:SHOWN_GROWTH]:
        if growth.grown_bytes >= GROWTH_BYTES:
            calls = "1 call" if growth.calls == 1 else f"{growth.calls} calls"
            output.line(f"{name}: {clean(growth.function)} grew the heap by {size(growth.grown_bytes)} in {calls}")
    for anomaly in pool.anomalies[:SHOWN_ANOMALIES]:
        output.line(f"{name}: {_ago(anomaly.age)} ago: {clean(anomaly.cause)}")
    for refused in pool.quarantine:
        output.line(
            f"{name}: an input of {clean(refused.function)} is refused for {_ago(refused.left)} more: it killed "
            f"{refused.deaths} workers; to let it run: bridge pool release {name} {clean(refused.fingerprint)}"
        )
    for end in [end for end in pool.exits if not end.ordered][:SHOWN_EXITS]:
        output.line(f"{clean(end.worker)} ended {_ago(end.age)} ago: {clean(end.cause)}")
        for line in last_words(end.stderr_tail, SHOWN_STDERR_LINES):
            output.line(f"  | {clean(line)}")


def _pool_row(pool: pool_pb2.Pool) -> tuple[Any, ...]:
    ready = sum(worker.state == pool_pb2.WORKER_STATE_READY for worker in pool.workers)
    proof = f"{_ago(pool.proof_age)} ago" if pool.HasField("proof_age") else "none yet"
    scales = f" ({pool.min_size} to {pool.max_size})" if pool.max_size > pool.min_size else ""
    return (
        pool.name,
        pool_state(pool),
        f"{ready}/{pool.size}{scales}",
        pool.start_kind,
        f"{pool.running}/{pool.size * pool.concurrency}",
        f"{pool.queued}/{pool.queue_limit}",
        pool.calls,
        pool.restarts,
        proof,
        pool.cause,
    )


def _worker_row(worker: pool_pb2.Worker) -> tuple[Any, ...]:
    return (
        worker.id,
        worker.pid,
        worker_state(worker),
        worker.running,
        worker.calls,
        size(worker.rss_bytes),
        _ago(worker.age),
        f"to be replaced: {worker.recycle_reason}" if worker.recycle_reason else "",
    )


def _call_row(call: pool_pb2.OpenCall) -> tuple[Any, ...]:
    where = call.pool or "the front"
    return (call.request_id, call.function, where, call.worker or ("waits" if call.pool else ""), _ago(call.age))


def front_row(front: pool_pb2.Front, calls: object) -> tuple[Any, ...]:
    """Return the columns of a front, with its calls or calls per second."""
    state = pool_pb2.FrontState.Name(front.state).removeprefix("FRONT_STATE_").lower()
    lag, cpu = _ago(front.loop_lag), _ago(front.cpu)
    return (front.id, front.pid, state, front.open_calls, calls, cpu, size(front.rss_bytes), lag, front.restarts)


def worker_state(worker: pool_pb2.Worker) -> str:
    """Return a worker's state in a word."""
    return pool_pb2.WorkerState.Name(worker.state).removeprefix("WORKER_STATE_").lower()


def pool_state(pool: pool_pb2.Pool) -> str:
    """Return a pool's state in words."""
    return pool_pb2.PoolState.Name(pool.state).removeprefix("POOL_STATE_").lower().replace("_", " ")


def _ago(age: Duration) -> str:
    return duration(age.ToTimedelta().total_seconds())
