"""Measures how workers start: from a crash to the first good call on the replacement, and the memory of eight workers.

`python tests/bench/starts.py [--out FILE] [--kills N] [--gate]`. Forked workers are measured beside spawned ones. Real
pools of the bridge are used, without gRPC in front: what is measured lies behind it. The app of the second part
imports torch, DSPy and LiteLLM. Every kill counts as the first in a row, so that no pause of the restarts is in it.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT))

from bridge.config import load_config  # noqa: E402
from bridge.pools import plan  # noqa: E402
from bridge.v1.invoke_pb2 import CallRequest  # noqa: E402
from handlers.contract import CallMeta  # noqa: E402
from pool.errors import PoolError  # noqa: E402
from pool.events import WorkerReady  # noqa: E402
from pool.limits import proportional_bytes  # noqa: E402
from pool.options import PoolOptions  # noqa: E402
from pool.pool import Pool  # noqa: E402
from pool.restart import RestartOptions  # noqa: E402

LIBRARIES_APP = Path(__file__).with_name("starts_app.py")
SMALL_APP = "def nap(seconds: float) -> float:\n    import time\n    time.sleep(seconds)\n    return seconds\n"
META = msgspec.msgpack.encode(CallMeta("InvokeService/Call"))
NAP_S = 0.005
CALLERS = 16
SETTLED_S = 0.3
"""A worker that lived this long ends the row of deaths; kills are further apart than that."""
QUIET_S = 0.5
"""After that the template has forked a worker ahead."""
TARGET_CRASH_MS = 50.0
TARGET_PSS = 0.25


def options_of(app: Path, size: int, start: str, folder: Path) -> PoolOptions:
    """The options that the bridge itself makes of a configuration, with restarts that count each kill for itself."""
    config = folder / f"{start}-{size}.toml"
    config.write_text(
        f'[pools.general]\nsize = {size}\nstart = "{start}"\n[pools.llm]\nsize = 0\n[pools.embeddings]\nsize = 0\n'
    )
    (options,) = plan(load_config(config, environ={}), (str(app),), {}).pools
    return dataclasses.replace(options, restart=RestartOptions(settled_s=SETTLED_S, budget=10_000))


class Server:
    """A pool, and calls to it."""

    def __init__(self, options: PoolOptions) -> None:
        self.options = options
        self.changed = asyncio.Event()
        self.pool = Pool(options, listener=self._listen, fatal=self._fatal)

    def _listen(self, event: object) -> None:
        if isinstance(event, WorkerReady):
            self.changed.set()

    def _fatal(self, error: BaseException) -> None:
        raise error

    async def start(self) -> float:
        started = time.perf_counter()
        await self.pool.start()
        while self.pool.ready_workers < self.options.size:
            self.changed.clear()
            await self.changed.wait()
        return time.perf_counter() - started

    async def call(self, function: str, argument: bytes, prefer: str | None = None) -> str:
        """Call once; the worker that answered. Raises PoolError."""
        request = CallRequest(function=function)
        request.arguments.json = argument.decode()
        served: list[str] = []
        deadline = asyncio.get_running_loop().time() + 60
        call = self.pool.submit(
            function, META, request.SerializeToString(), deadline, prefer=prefer, on_launch=served.append
        )
        try:
            reply = await call.future
        finally:
            self.pool.release(call)
        if not reply.ok:
            raise RuntimeError(f"{function} failed: {reply.meta!r}")
        return served[-1]


async def with_server(options: PoolOptions, use: Callable[[Server], Awaitable[Any]]) -> Any:
    server = Server(options)
    try:
        seconds = await server.start()
        return seconds, await use(server)
    finally:
        await server.pool.stop()


async def crashes(server: Server, kills: int) -> dict[str, Any]:
    """Kill one of the workers under load, again and again; milliseconds to the first good call on its replacement."""
    known = {worker.id for worker in server.pool.snapshot().workers}
    first: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    lost = 0

    async def caller() -> None:
        nonlocal lost
        while True:
            try:
                worker = await server.call("nap", b'{"seconds": %f}' % NAP_S)
            except PoolError:
                lost += 1
                continue
            if worker not in known and not first.done():
                first.set_result(time.perf_counter())

    callers = [asyncio.ensure_future(caller()) for _ in range(CALLERS)]
    taken = []
    try:
        for _ in range(kills):
            await asyncio.sleep(SETTLED_S * 1.5)
            first = asyncio.get_running_loop().create_future()
            known = {worker.id for worker in server.pool.snapshot().workers}
            killed = time.perf_counter()
            os.kill(server.pool.snapshot().workers[0].pid, signal.SIGKILL)
            taken.append((await asyncio.wait_for(first, 120) - killed) * 1000)
    finally:
        for each in callers:
            each.cancel()
        await asyncio.wait(callers)
    how = server.pool.snapshot()
    return {"kills": kills, "lost_calls": lost, "how": dataclasses.asdict(how.started), **spread(taken)}


def spread(taken: list[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        "p50_ms": round(statistics.median(ordered), 1),
        "p90_ms": round(ordered[int(0.9 * (len(ordered) - 1))], 1),
        "max_ms": round(ordered[-1], 1),
    }


def _is_template(process: psutil.Process) -> bool:
    try:
        return "pool.template_child" in process.cmdline()
    except psutil.Error:  # it has ended since it was listed
        return False


async def memory(server: Server, rounds: int = 5) -> dict[str, Any]:
    """Proportional memory after work, in MiB: of all workers, and of the template with the worker that is ahead."""
    for worker in server.pool.snapshot().workers:
        for seed in range(rounds):
            assert await server.call("work", b'{"seed": %d}' % seed, prefer=worker.id) == worker.id
    await asyncio.sleep(QUIET_S)
    pids = [worker.pid for worker in server.pool.snapshot().workers]
    templates = [each.pid for each in psutil.Process().children(recursive=True) if _is_template(each)]
    parts = {"workers": sum(map(proportional_bytes, pids)), "template": sum(map(proportional_bytes, templates))}
    figures = {f"{name}_mib": round(value / 2**20, 1) for name, value in parts.items()}
    return {**figures, "total_mib": round(sum(parts.values()) / 2**20, 1), "count": len(pids)}


async def measure(kills: int, workers: int, folder: Path) -> dict[str, Any]:
    small = folder / "small_app.py"
    small.write_text(SMALL_APP)
    found: dict[str, Any] = {}
    for name, app in (("small", small), ("libraries", LIBRARIES_APP)):
        for start in ("template", "spawn"):
            number = kills if start == "template" or name == "small" else max(3, kills // 8)
            options = options_of(app, 2, start, folder)
            seconds, crash = await with_server(options, lambda server, number=number: crashes(server, number))
            found[f"crash_{name}_{start}"] = {**crash, "start_s": round(seconds, 2)}
            print(f"crash_{name}_{start}", found[f"crash_{name}_{start}"], flush=True)
    for start in ("template", "spawn"):
        seconds, held = await with_server(options_of(LIBRARIES_APP, workers, start, folder), memory)
        found[f"memory_{start}"] = {**held, "start_s": round(seconds, 2)}
        print(f"memory_{start}", found[f"memory_{start}"], flush=True)
    ratio = found["memory_template"]["total_mib"] / found["memory_spawn"]["total_mib"]
    found["memory_ratio"] = round(ratio, 4)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure how workers start.")
    parser.add_argument("--kills", type=int, default=24, help="workers to kill in each measurement (24)")
    parser.add_argument("--workers", type=int, default=8, help="workers whose memory is measured (8)")
    parser.add_argument("--out", type=Path, default=ROOT / "bench-starts.json", help="where to write the figures")
    parser.add_argument("--gate", action="store_true", help="exit with 1 where a target is missed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(given.kills, given.workers, Path(folder)))
    crash = max(found[f"crash_{name}_template"]["p50_ms"] for name in ("small", "libraries"))
    good = crash <= TARGET_CRASH_MS and found["memory_ratio"] <= TARGET_PSS
    found["targets"] = {"crash_p50_ms": TARGET_CRASH_MS, "memory_ratio": TARGET_PSS, "met": good}
    given.out.write_text(json.dumps(found, indent=2) + "\n")
    print(f"crash to the first good call, p50: {crash} ms (target {TARGET_CRASH_MS:g})")
    print(f"memory of {given.workers} forked workers over spawned: {found['memory_ratio']} (target {TARGET_PSS})")
    return int(given.gate and not good)


if __name__ == "__main__":
    sys.exit(main())
