"""A host of tools as a client of any language would be: one stream, messages in and out, and nothing done for it."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from bridge.v1 import program_pb2, tool_pb2
from bridge.v1.common_pb2 import Payload

APP = Path(__file__).with_name("tools_app.py")
CONFIG = """
[server]
drain_timeout_s = 10.0

[pools.general]
size = 1

[pools.llm]
size = 1

[pools.embeddings]
size = 0

[models.default]
model = "bridge/test"

[tool_hosts]
max_registrations = 8
max_per_tenant = 6
max_tools = 8
max_calls = 4
max_result_bytes = "2KiB"
resume_ttl_s = 20.0
"""


class Host:
    """One stream. What comes is read by a thread; the test takes it with `next`."""

    def __init__(self, rpc: Any, metadata: Any = ()) -> None:
        self._out: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._in: queue.SimpleQueue[Any] = queue.SimpleQueue()
        open_stream = rpc.channel.stream_stream(
            "/bridge.v1.ToolService/Host",
            request_serializer=lambda one: one if isinstance(one, bytes) else one.SerializeToString(),
            response_deserializer=tool_pb2.HostResponse.FromString,
        )
        self.stream = open_stream(iter(self._out.get, None), metadata=metadata, wait_for_ready=True)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.registered = tool_pb2.ToolsRegistered()

    def _read(self) -> None:
        try:
            for message in self.stream:
                self._in.put(message)
        except grpc.RpcError as error:
            self._in.put(error)
        else:
            self._in.put(None)

    def send(self, message: Any = None, **fields: Any) -> None:
        self._out.put(message if message is not None else tool_pb2.HostRequest(**fields))

    def register(self, *tools: tool_pb2.HostedTool, **fields: Any) -> tool_pb2.ToolsRegistered:
        self.send(register=tool_pb2.RegisterTools(tools=tools, **fields))
        self.registered = self.next("registered")
        return self.registered

    def next(self, kind: str, timeout: float = 20.0) -> Any:
        message = self._in.get(timeout=timeout)
        assert isinstance(message, tool_pb2.HostResponse), f"expected {kind}, the stream ended: {message}"
        assert message.WhichOneof("message") == kind, message
        return getattr(message, kind)

    def ended(self, timeout: float = 20.0) -> grpc.RpcError | None:
        """How the stream ended; None where it ended well. What else still comes is passed over."""
        while isinstance(message := self._in.get(timeout=timeout), tool_pb2.HostResponse):
            pass
        return message

    def answer(self, call: tool_pb2.HostedCall, value: Any) -> None:
        self.send(result=tool_pb2.HostedResult(id=call.id, json=json.dumps(value)))

    def fail(self, call: tool_pb2.HostedCall, message: str, kind: str = "") -> None:
        self.send(error=tool_pb2.HostedError(id=call.id, message=message, type=kind))

    def say_goodbye(self) -> None:
        self.send(goodbye=tool_pb2.HostGoodbye())

    def end_side(self) -> None:
        self._out.put(None)

    def break_off(self) -> None:
        self.stream.cancel()
        self.ended()

    def close(self) -> None:
        self.say_goodbye()
        self._out.put(None)
        self._reader.join(5.0)  # it ends well where the server takes the goodbye
        self.stream.cancel()
        self._reader.join()


@pytest.fixture
def host() -> Iterator[Callable[..., Host]]:
    """`host(rpc, *tools, metadata=...)` opens a stream; with tools, it registers them."""
    opened: list[Host] = []

    def one(rpc: Any, *tools: tool_pb2.HostedTool, metadata: Any = (), **fields: Any) -> Host:
        opened.append(Host(rpc, metadata))
        if tools:
            opened[-1].register(*tools, **fields)
        return opened[-1]

    yield one
    for each in opened:
        each.close()


@pytest.fixture
def run() -> Callable[..., Any]:
    """`run(rpc, program, *tools, of=host, ...)` begins a run and returns its future; `outputs(future)` its outputs."""

    def begin(
        rpc: Any, program: str, *tools: str, of: Any = None, metadata: Any = (), timeout: float = 30.0, **inputs: Any
    ) -> Any:
        request = program_pb2.RunRequest(program=program, inputs=Payload(json=json.dumps(inputs)), tools=tools)
        request.tool_registrations.extend([of.registered.registration] if of is not None else [])
        method = rpc.channel.unary_unary(
            "/bridge.v1.ProgramService/Run",
            request_serializer=program_pb2.RunRequest.SerializeToString,
            response_deserializer=program_pb2.RunResponse.FromString,
        )
        return method.future(request, metadata=metadata, timeout=timeout, wait_for_ready=True)

    return begin


@pytest.fixture(scope="module")
def tools_server(start_shared_server: Any) -> Any:
    return start_shared_server(APP, CONFIG)


@pytest.fixture
def client(tools_server: Any, connect: Any) -> Any:
    return connect(tools_server.address, own_connection=True)


@pytest.fixture
def tools_config() -> tuple[Path, str]:
    """The app and the configuration, for servers of a test's own."""
    return APP, CONFIG
