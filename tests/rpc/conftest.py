"""A client that sees everything of a reply, a server that serves functions behaving badly, and gates that hold them.

Owns the shared server of these tests, which they may harm in ways that it must recover from.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from google.rpc.error_details_pb2 import BadRequest, DebugInfo, ErrorInfo, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status

from bridge.v1 import invoke_pb2, pool_pb2
from bridge.v1.common_pb2 import Payload, Receipt

ROOT = Path(__file__).resolve().parents[2]
MARK = "TEST_RUN_OF_RPC"
"""An environment variable that every process of a launched server inherits."""
APP = Path(__file__).parent / "served_app.py"
POOLED_APP = APP.with_name("pooled_app.py")
POOLS = f"""
[server]
max_message_bytes = "1MiB"
drain_timeout_s = 10.0

[pools.general]
size = 2
grace_s = 0.3

[pools.llm]
size = 1
modules = []

[pools.embeddings]
size = 0

[pools.narrow]
size = 1
queue_limit = 1
modules = ["{POOLED_APP}"]

[pools.small]
size = 1
memory_limit = "220MiB"
modules = ["{POOLED_APP}"]

[pools.many]
size = 1
concurrency = 16
grace_s = 0.3
modules = ["{POOLED_APP}"]

[sessions]
max_sessions = 50
"""
ALSO_WITH_FRONTS = {
    f"test_rpc_{name}.py"
    for name in (
        *("cancel", "large", "retries", "sessions", "sessions_strict", "slow_readers", "streams"),
        *("multiplex", "multiplex_flow", "stream_resume", "tools", "tools_faults", "gateway"),
    )
}
"""Files whose tests run against a server with two fronts as well: whatever goes through them in a way of its own."""
DETAILS = (ErrorInfo, BadRequest, RetryInfo, RequestInfo, DebugInfo)


@dataclass(kw_only=True)
class Outcome:
    """All that a caller sees of one call."""

    code: grpc.StatusCode
    message: str = ""
    values: list[Any] = field(default_factory=list)
    trailers: dict[str, str | bytes] = field(default_factory=dict)

    @property
    def value(self) -> Any:
        assert self.code is grpc.StatusCode.OK, f"{self.code}: {self.message}"
        (value,) = self.values
        return value

    @property
    def receipt(self) -> Receipt:
        return Receipt.FromString(self.trailers["bridge-receipt-bin"])

    def detail(self, kind: Any) -> Any:
        status = Status.FromString(self.trailers["grpc-status-details-bin"])
        assert status.code == self.code.value[0]
        assert status.message == self.message
        for packed in status.details:
            if packed.Is(kind.DESCRIPTOR):
                return kind.FromString(packed.value)
        return None

    @property
    def reason(self) -> str:
        info = self.detail(ErrorInfo)
        assert info.domain == "bridge"
        return info.reason

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self.detail(ErrorInfo).metadata)

    @property
    def violations(self) -> dict[str, str]:
        return {one.field: one.description for one in self.detail(BadRequest).field_violations}

    @property
    def retry_s(self) -> float | None:
        retry = self.detail(RetryInfo)
        return None if retry is None else retry.retry_delay.ToTimedelta().total_seconds()


def ended(call: Any, values: list[Any], error: grpc.RpcError | None = None) -> Outcome:
    source = error if error is not None else call
    trailers = {one.key: one.value for one in source.trailing_metadata() or ()}
    return Outcome(code=source.code(), message=source.details() or "", values=values, trailers=trailers)


class Rpc:
    """Calls a server and returns outcomes, never exceptions."""

    def __init__(self, address: str, *, own_connection: bool = False) -> None:
        """Clients of one process share a connection, but for those that want one of their own."""
        options = [("grpc.max_receive_message_length", -1), ("grpc.enable_retries", 0)]
        options.append(("grpc.use_local_subchannel_pool", int(own_connection)))
        self.address = address
        self.channel = grpc.insecure_channel(address, options=options)
        self._futures: list[Any] = []

    def unary(
        self, path: str, request: Any, response: Any, metadata: Sequence[tuple[str, str]] = (), timeout: float = 20.0
    ) -> Outcome:
        """Calls `service/Method` of the bridge with a message or with bytes."""
        data = request if isinstance(request, bytes) else request.SerializeToString()
        multicallable = self.channel.unary_unary(f"/bridge.v1.{path}", response_deserializer=response.FromString)
        try:
            reply, call = multicallable.with_call(data, metadata=metadata, timeout=timeout, wait_for_ready=True)
        except grpc.RpcError as error:
            return ended(None, [], error)
        return ended(call, [reply])

    def call(
        self, name: str, metadata: Sequence[tuple[str, str]] = (), timeout: float = 20.0, **arguments: Any
    ) -> Outcome:
        """Calls a function; the value is decoded."""
        request = invoke_pb2.CallRequest(function=name, arguments=Payload(json=json.dumps(arguments)))
        outcome = self.unary("InvokeService/Call", request, invoke_pb2.CallResponse, metadata, timeout)
        outcome.values = [json.loads(reply.result.json) for reply in outcome.values]
        return outcome

    def start(
        self, name: str, metadata: Sequence[tuple[str, str]] = (), timeout: float = 20.0, **arguments: Any
    ) -> Started:
        """Begins a call and returns at once."""
        request = invoke_pb2.CallRequest(function=name, arguments=Payload(json=json.dumps(arguments)))
        multicallable = self.channel.unary_unary(
            "/bridge.v1.InvokeService/Call",
            request_serializer=invoke_pb2.CallRequest.SerializeToString,
            response_deserializer=invoke_pb2.CallResponse.FromString,
        )
        future = multicallable.future(request, metadata=metadata, timeout=timeout, wait_for_ready=True)
        self._futures.append(future)  # grpc cancels a call that nobody holds
        return Started(future)

    def open_stream(
        self, name: str, metadata: Sequence[tuple[str, str]] = (), timeout: float = 20.0, **arguments: Any
    ) -> Any:
        """The grpc call of a stream, whose messages the test reads."""
        request = invoke_pb2.StreamCallRequest(function=name, arguments=Payload(json=json.dumps(arguments)))
        multicallable = self.channel.unary_stream(
            "/bridge.v1.InvokeService/StreamCall",
            request_serializer=invoke_pb2.StreamCallRequest.SerializeToString,
            response_deserializer=lambda data: json.loads(invoke_pb2.StreamCallResponse.FromString(data).item.json),
        )
        return multicallable(request, metadata=metadata, timeout=timeout, wait_for_ready=True)

    def stream(self, name: str, **options: Any) -> Outcome:
        """Calls a function that streams and reads all."""
        call, values = self.open_stream(name, **options), []
        try:
            values += call
        except grpc.RpcError as error:
            return ended(None, values, error)
        return ended(call, values)

    def pool(self, name: str) -> pool_pb2.Pool:
        request = pool_pb2.PoolServiceGetRequest(name=name)
        return self.unary("PoolService/Get", request, pool_pb2.PoolServiceGetResponse).value.pool

    def fronts(self) -> list[pool_pb2.Front]:
        """The fronts that serve, where the server has several."""
        reply = self.unary("PoolService/List", pool_pb2.PoolServiceListRequest(), pool_pb2.PoolServiceListResponse)
        return [front for front in reply.value.fronts if front.state == pool_pb2.FRONT_STATE_SERVING]

    def workers(self, pool: str) -> dict[str, int]:
        """The pool's ready workers and their process ids."""
        return {one.id: one.pid for one in self.pool(pool).workers if one.state == pool_pb2.WORKER_STATE_READY}


class Started:
    """A call in flight."""

    def __init__(self, future: Any) -> None:
        self.future = future

    def outcome(self, timeout: float = 20.0) -> Outcome:
        error = self.future.exception(timeout)
        if error is not None:
            return ended(None, [], error)
        return ended(self.future, [json.loads(self.future.result().result.json)])


class Held:
    """A function that runs and waits for the test."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.pid = int(connection.makefile().readline())

    def release(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)

    def wait_until_gone(self, timeout: float = 10.0) -> None:
        """Waits until the function has left, by return, cancel or the end of its process."""
        readable, _, _ = select.select([self.connection], [], [], timeout)
        assert readable, f"the function in process {self.pid} still runs after {timeout} s"
        with suppress(ConnectionResetError):
            assert self.connection.recv(1) == b""

    def close(self) -> None:
        self.connection.close()


class Gate:
    """Where functions that hold connect to."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10.0)
        self._held: list[Held] = []

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    def entered(self) -> Held:
        """Waits until a function has arrived."""
        connection, _ = self._listener.accept()
        connection.settimeout(10.0)
        self._held.append(Held(connection))
        return self._held[-1]

    def first_gone(self, among: list[Held], timeout: float = 10.0) -> Held:
        """Waits until one of these has left, and returns it."""
        readable, _, _ = select.select([held.connection for held in among], [], [], timeout)
        assert readable, f"all functions still run after {timeout} s"
        return next(held for held in among if held.connection is readable[0])

    def close(self) -> None:
        for held in self._held:
            held.close()
        self._listener.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.definition.path.name in ALSO_WITH_FRONTS and "fronts" in metafunc.fixturenames:
        metafunc.parametrize("fronts", [1, 2], ids=["1-front", "2-fronts"], indirect=True, scope="module")


@pytest.fixture(scope="module")
def fronts(request: pytest.FixtureRequest) -> int:
    return getattr(request, "param", 1)


@pytest.fixture
def gate() -> Iterator[Gate]:
    opened = Gate()
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def shared(start_shared_server: Any) -> Any:
    """One server with all the pools, for a module's tests: a pool gives up after ten deaths of workers in a minute."""
    return start_shared_server(APP, POOLS)


@pytest.fixture
def rpc(shared: Any, eventually: Any) -> Iterator[Rpc]:
    """A client of the shared server, which is whole again when the next test comes."""
    client = Rpc(shared.address)
    yield client
    whole = {"general": 2, "llm": 1, "narrow": 1, "small": 1, "many": 1}

    def is_whole() -> bool:
        pools = {name: client.pool(name) for name in whole}
        return all(len(client.workers(name)) == size and not pools[name].running for name, size in whole.items())

    eventually(is_whole, "all workers to be back and idle", 20.0)
    client.channel.close()


@pytest.fixture
def connect() -> Iterator[Any]:
    """`connect(address)`: a client of a server of the test's own."""
    clients: list[Rpc] = []

    def one(address: str, *, own_connection: bool = False) -> Rpc:
        clients.append(Rpc(address, own_connection=own_connection))
        return clients[-1]

    yield one
    for client in clients:
        client.channel.close()


@pytest.fixture
def connect_to_each(connect: Any) -> Any:
    """`connect_to_each(address)`: for each front of a server, by its id, a client that is connected to it."""

    def each(address: str) -> dict[str, Rpc]:
        observer = connect(address)
        found: dict[str, Rpc] = {}
        fronts = {front.id for front in observer.fronts()}
        assert len(fronts) > 1, "the server has one front only"
        while len(found) < len(fronts):
            client = connect(address, own_connection=True)
            client.call("bridge.echo")
            before = {front.id: front.calls for front in observer.fronts()}
            for _ in range(5):
                client.call("bridge.echo")
            (name,) = [front.id for front in observer.fronts() if front.calls >= before[front.id] + 5]
            found.setdefault(name, client)
        return found

    return each


class Launched:
    """A `bridge serve` that may fail to start."""

    def __init__(self, command: list[str], mark: str) -> None:
        self._mark = mark
        self.process = subprocess.Popen(
            command,
            env={**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT), MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.stdout = self.stderr = ""

    def wait(self, timeout: float = 60.0) -> int:
        """Waits for its end and returns the exit code; what it wrote is in `stdout` and `stderr` then."""
        self.stdout, self.stderr = self.process.communicate(timeout=timeout)
        return self.process.returncode

    def leftovers(self) -> list[psutil.Process]:
        """Processes of it that still run."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def end(self) -> None:
        for process in self.leftovers():
            with suppress(psutil.Error):
                process.kill()
        self.wait()


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Any]:
    """`launch(app, config, *arguments)` runs `bridge serve` and does not wait; `before` is code to run before it."""
    launched: list[Launched] = []

    def one(app: Path | str, config: str, *arguments: str, before: str = "") -> Launched:
        folder = tmp_path / f"launched{len(launched)}"
        folder.mkdir()
        if isinstance(app, str):
            (folder / "app.py").write_text(app)
            app = folder / "app.py"
        (folder / "bridge.toml").write_text(config)
        start = f"{before}\nfrom bridge.cli.main import main; main()"
        command = [sys.executable, "-c", start, "serve", str(app), "--config", str(folder / "bridge.toml")]
        if "--address" not in arguments:
            command += ["--address", "127.0.0.1:0"]
        launched.append(Launched([*command, *arguments], uuid.uuid4().hex))
        return launched[-1]

    yield one
    for each in launched:
        each.end()


@pytest.fixture
def served_app() -> Path:
    """The app that the shared server serves."""
    return APP


@pytest.fixture
def process() -> Any:
    """`process(pid)` of psutil, to send signals."""
    return psutil.Process


class Orders:
    """What the functions of routes_app.py are to do, by a line for each attempt, and how often they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self._path = folder

    def __call__(self, name: str, *lines: str) -> None:
        (self._path / f"{name}.does").write_text("\n".join(lines))

    def asked(self, name: str) -> int:
        return len(list(self._path.glob(f"{name}.began-*")))


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    folder = tmp_path / "orders"
    folder.mkdir()
    return Orders(folder)


@pytest.fixture
def figures() -> Any:
    """`figures(server, metric)`: the values of a metric of a server that serves metrics, by their labels as text."""

    def read(server: Any, metric: str) -> dict[str, float]:
        place = json.loads(server.wait_for_log("metrics at http"))["message"].removeprefix("metrics at ")
        with urllib.request.urlopen(place, timeout=5) as reply:
            lines = [line.rpartition(" ") for line in reply.read().decode().splitlines() if not line.startswith("#")]
        return {name.removeprefix(metric): float(value) for name, _, value in lines if name.partition("{")[0] == metric}

    return read
