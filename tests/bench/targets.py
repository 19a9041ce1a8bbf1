"""Starts and stops the servers under load, each a process of its own, and proves that they answer as they should.

Owns those processes. The bridge runs an app without functions of its own, so that only the bridge is measured, with
every default on except the pools that the echo does not use.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import psutil
from scenarios import BARE, CALL_PATH, CONTENDERS, MESSAGE_LIMIT, SESSIONS, Contender

from bridge.v1 import pool_pb2, pool_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
STOP_S = 20.0
NO_FUNCTIONS = '"""An app without functions of its own."""\n'
CONFIG = """\
[pools.general]
size = {workers}
queue_limit = 2000

[pools.llm]
size = 0

[pools.embeddings]
size = 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A contender and the address of the server that plays it."""

    contender: Contender
    address: str
    pid: int

    def cpu_s(self) -> float:
        """CPU seconds that the server and the workers it has now have used."""
        server = psutil.Process(self.pid)
        times = [process.cpu_times() for process in (server, *server.children(recursive=True))]
        return sum(one.user + one.system for one in times)


class TargetError(Exception):
    """A server did not start, or answered wrongly; the message says which one and how."""


@contextmanager
def process(name: str, command: list[str], folder: Path) -> Iterator[tuple[str, int]]:
    """Runs a server for the length of the block; SIGTERM at the end, SIGKILL if it must be.

    Yields the first line that it prints, and its process id.
    """
    log = folder / f"{name}.log"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    with log.open("w") as stderr:
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    watchdog = threading.Timer(START_S, child.kill)
    watchdog.start()
    try:
        assert child.stdout is not None
        first = child.stdout.readline()
        watchdog.cancel()
        if not first:
            raise TargetError(f"{name} did not start within {START_S:.0f} s; it wrote:\n{log.read_text()[-4000:]}")
        yield first, child.pid
    finally:
        watchdog.cancel()
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextmanager
def bare_echo(folder: Path, name: str = BARE) -> Iterator[tuple[str, int]]:
    """Yields the address and the process id of a bare echo server."""
    with process(name, [sys.executable, str(Path(__file__).with_name("bare_echo.py"))], folder) as (first, pid):
        yield first.strip(), pid


@contextmanager
def bridge(folder: Path, workers: int, name: str = "bridge", source: str = NO_FUNCTIONS) -> Iterator[tuple[str, int]]:
    """Yields the address and the process id of a bridge with `workers` workers in its general pool."""
    app, config = folder / f"{name}_app.py", folder / f"{name}.toml"
    app.write_text(source)
    config.write_text(CONFIG.format(workers=workers))
    start = "import sys; from bridge.cli.main import main; sys.exit(main())"
    arguments = ["serve", str(app), "--address", "127.0.0.1:0", "--config", str(config), "--json"]
    with process(name, [sys.executable, "-c", start, *arguments], folder) as (first, pid):
        address = json.loads(first)["address"]
        wait_for_workers(address, workers)
        yield address, pid


def wait_for_workers(address: str, workers: int) -> None:
    """The server is ready with its first worker; the load needs all of them. Raises TargetError."""
    deadline = time.monotonic() + START_S
    with grpc.insecure_channel(address) as channel:
        pools = pool_pb2_grpc.PoolServiceStub(channel)
        while True:
            pool = pools.Get(pool_pb2.PoolServiceGetRequest(name="general"), timeout=20).pool
            ready = [worker for worker in pool.workers if worker.state == pool_pb2.WORKER_STATE_READY]
            if len(ready) == workers:
                return
            if time.monotonic() > deadline:
                raise TargetError(f"{len(ready)} of {workers} workers are ready after {START_S:.0f} s")
            time.sleep(0.05)


@contextmanager
def targets(workers: int, wanted: set[str], *, calibrate: bool) -> Iterator[dict[str, Target]]:
    """Yields where each of the wanted contenders is to be reached. To calibrate, a second bare echo stands in for the
    bridge."""
    servers = {CONTENDERS[name].server for name in wanted}
    running: dict[str, tuple[str, int]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for server in sorted(servers):
            if server == BARE or calibrate:
                running[server] = stack.enter_context(bare_echo(folder, server))
            else:
                running[server] = stack.enter_context(
                    bridge(folder, SESSIONS if server == "affinity" else workers, server)
                )
        yield {
            name: Target(contender=replace(contender, route=None) if calibrate else contender, address=at, pid=pid)
            for name, contender in CONTENDERS.items()
            if name in wanted
            for at, pid in (running[contender.server],)
        }


def verify(target: Target, size: int) -> None:
    """Makes one call with a real client: load generators do not look at gRPC statuses, so a server that refuses
    every call would seem fast. Raises TargetError on a wrong reply or route."""
    contender = target.contender
    options = (("grpc.max_receive_message_length", MESSAGE_LIMIT), ("grpc.use_local_subchannel_pool", 1))
    expected = contender.response(size)
    with grpc.insecure_channel(target.address, options=options) as channel:
        call = channel.unary_unary(CALL_PATH)
        try:
            reply, state = call.with_call(contender.request(size), timeout=20)
        except grpc.RpcError as error:
            raise TargetError(f"{contender.name} fails with {error.code()}: {error.details()}") from error
    if reply != expected:
        raise TargetError(f"{contender.name} answers {len(reply)} bytes that are not the expected {len(expected)}")
    route = dict(state.trailing_metadata() or ()).get("bridge-route")
    if route != contender.route:
        raise TargetError(f"{contender.name} was routed {route!r}, expected {contender.route!r}")
