"""`bridge top`: the workers of a server as a live table; on a pipe, or with `--json`, one table or line per refresh.

Owns what the last refresh saw: rates are differences. Ends on Ctrl-C, and with a message when the server goes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bridge.cli.connection import Connection
from bridge.cli.failures import ExitCode, Failure
from bridge.cli.messages import plain
from bridge.cli.output import Output, clean, duration, size, table
from bridge.cli.status import FRONT_COLUMNS, SHOWN_ANOMALIES, ask_all, front_row, pool_state, worker_state
from bridge.v1 import pool_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.duration_pb2 import Duration
    from rich.console import Group, RenderableType

WORKER_COLUMNS = ("WORKER", "PID", "STATE", "RUNNING", "CALLS/S", "MEMORY", "AGE", "LAST ANSWER", "NOTE")
POOL_COLUMNS = ("POOL", "STATE", "READY", "RUNNING", "QUEUED", "CALLS/S", "RESTARTS", "PROOF")
_COLOURS = {"ready": "green", "starting": "yellow", "draining": "yellow", "suspended": "bold red", "failed": "bold red"}


@dataclass(frozen=True, slots=True)
class View:
    """What one refresh saw. `at` is in seconds of `time.monotonic()`."""

    health: str
    pools: tuple[pool_pb2.Pool, ...]
    at: float
    fronts: tuple[pool_pb2.Front, ...] = ()

    def counts(self) -> dict[str, int]:
        """Return the calls answered by each pool and each worker."""
        found = {f"pool {pool.name}": pool.calls for pool in self.pools}
        found |= {front.id: front.calls for front in self.fronts}
        return found | {worker.id: worker.calls for pool in self.pools for worker in pool.workers}


def run(address: str, interval_s: float, output: Output, *, once: bool) -> int:
    """Show the workers until Ctrl-C, or once. Raises Failure where the server is not there or goes."""
    with Connection(address) as connection:
        before = look(connection)
        try:
            time.sleep(interval_s)
            if once:
                after = look(connection)
                _print(output, address, after, rates(before, after))
                return ExitCode.OK
            if output.machine or not output.console.is_terminal:
                _stream(connection, interval_s, output, before)
            else:
                _live(connection, interval_s, output, before)
        except KeyboardInterrupt:
            pass
        except Failure as failure:
            raise _gone(failure, address) from None
    return ExitCode.OK


def look(connection: Connection) -> View:
    """Ask the server. Raises Failure."""
    health, seen = ask_all(connection)
    return View(health, tuple(seen.pools), time.monotonic(), tuple(seen.fronts))


def rates(before: View, after: View) -> dict[str, float]:
    """Return calls per second by pool and worker; a worker that is new is counted from 0."""
    seconds = max(1e-6, after.at - before.at)
    old = before.counts()
    return {name: max(0, count - old.get(name, 0)) / seconds for name, count in after.counts().items()}


def _stream(connection: Connection, interval_s: float, output: Output, before: View) -> None:
    while True:
        after = look(connection)
        _print(output, connection.address, after, rates(before, after))
        before = after
        time.sleep(interval_s)


def _live(connection: Connection, interval_s: float, output: Output, before: View) -> None:
    from rich.live import Live

    after = look(connection)
    first = picture(connection.address, after, rates(before, after), live=True)
    live = Live(first, console=output.console, auto_refresh=False, screen=True)
    try:  # not `with`: Ctrl-C while the first picture is drawn must give the terminal back, too
        live.start(refresh=True)
        while True:
            time.sleep(interval_s)
            before, after = after, look(connection)
            live.update(picture(connection.address, after, rates(before, after), live=True), refresh=True)
    finally:
        live.stop()


def _print(output: Output, address: str, view: View, per_second: Mapping[str, float]) -> None:
    if output.machine:
        fields = {"health": view.health, "pools": [_fields(pool, per_second) for pool in view.pools]}
        if view.fronts:
            fields["fronts"] = [
                {**plain(front), "calls_per_s": round(per_second[front.id], 3)} for front in view.fronts
            ]
        output.json(fields)
    else:
        output.show(picture(address, view, per_second))


def _fields(pool: pool_pb2.Pool, per_second: Mapping[str, float]) -> dict[str, Any]:
    fields = plain(pool)
    fields["calls_per_s"] = round(per_second[f"pool {pool.name}"], 3)
    for worker in fields["workers"]:
        worker["calls_per_s"] = round(per_second[worker["id"]], 3)
    return {key: fields[key] for key in fields if key not in ("functions", "exits")}


def picture(address: str, view: View, per_second: Mapping[str, float], *, live: bool = False) -> Group:
    """Return what a person sees of one refresh."""
    from rich.console import Group
    from rich.text import Text

    colour = "green" if view.health == "SERVING" else "bold red"
    head = Text.assemble(f"{clean(address)}  ", (view.health, colour), f"  {time.strftime('%H:%M:%S')}")
    if live:
        head.append("  Ctrl-C ends this")
    pools = table(POOL_COLUMNS, [_pool_row(pool, per_second) for pool in view.pools])
    workers = [_worker_row(worker, per_second) for pool in view.pools for worker in pool.workers]
    parts: list[RenderableType] = [head, Text(), pools, Text(), table(WORKER_COLUMNS, workers)]
    if view.fronts:
        fronts = [front_row(front, _rate(per_second[front.id])) for front in view.fronts]
        columns = ("CALLS/S" if column == "CALLS" else column for column in FRONT_COLUMNS)
        parts += [Text(), table(tuple(columns), fronts)]
    return Group(*parts, *_anomalies(view))


def _anomalies(view: View) -> Iterable[RenderableType]:
    """Return the last anomalies, the newest first, a line each."""
    from rich.text import Text

    told = [(anomaly.age.ToTimedelta(), pool.name, anomaly) for pool in view.pools for anomaly in pool.anomalies]
    for _, name, anomaly in sorted(told, key=lambda one: one[0])[:SHOWN_ANOMALIES]:
        yield Text(f"{clean(name)}: {_ago(anomaly.age)} ago: {clean(anomaly.cause)}", style="yellow")


def _pool_row(pool: pool_pb2.Pool, per_second: Mapping[str, float]) -> tuple[Any, ...]:
    ready = sum(worker.state == pool_pb2.WORKER_STATE_READY for worker in pool.workers)
    return (
        pool.name,
        _coloured(pool_state(pool)),
        f"{ready}/{pool.size}",
        pool.running,
        pool.queued,
        _rate(per_second[f"pool {pool.name}"]),
        pool.restarts,
        _ago(pool.proof_age) if pool.HasField("proof_age") else "",
    )


def _worker_row(worker: pool_pb2.Worker, per_second: Mapping[str, float]) -> tuple[Any, ...]:
    return (
        worker.id,
        worker.pid,
        _coloured(worker_state(worker)),
        worker.running,
        _rate(per_second[worker.id]),
        size(worker.rss_bytes),
        _ago(worker.age),
        _ago(worker.since_answer) if worker.HasField("since_answer") else "",
        worker.recycle_reason,
    )


def _coloured(state: str) -> Any:
    from rich.text import Text

    return Text(clean(state), style=_COLOURS.get(state, ""))


def _rate(per_second: float) -> str:
    return f"{per_second:.1f}" if per_second < 100 else f"{per_second:.0f}"


def _ago(age: Duration) -> str:
    return duration(age.ToTimedelta().total_seconds())


def _gone(failure: Failure, address: str) -> Failure:
    """A server that was there and is not any more has ended: that is no mistake in the address."""
    if failure.code is not ExitCode.NO_CONNECTION and failure.fields.get("code") != "CANCELLED":
        return failure
    return Failure(
        ExitCode.NO_CONNECTION, f"the server at {address} has gone", lines=failure.lines, fields=failure.fields
    )
