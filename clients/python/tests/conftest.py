"""A small real gRPC server whose answers the test writes, and one way to run a test on both clients."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import bridge_client
import grpc
import pytest


@dataclass
class Recorded:
    """One call as the server saw it."""

    path: str
    request: bytes
    metadata: dict[str, str | bytes]
    time_remaining: float | None


@dataclass
class StubBridge(grpc.GenericRpcHandler):
    """Answers each path with what the test has set: bytes, a list of bytes (a stream) or a function of
    (request, context) that returns either."""

    answers: dict = field(default_factory=dict)
    calls: list[Recorded] = field(default_factory=list)
    streams: set = field(default_factory=set)
    address: str = ""
    server: grpc.Server | None = None

    def service(self, details):
        answer = self.answers.get(details.method)
        if answer is None:
            return None

        def reply(request, context):
            self.calls.append(
                Recorded(details.method, request, dict(context.invocation_metadata()), context.time_remaining())
            )
            given = answer(request, context) if callable(answer) else answer
            return iter(given) if isinstance(given, list) else given

        if details.method in self.streams or isinstance(answer, list):
            return grpc.unary_stream_rpc_method_handler(reply)
        return grpc.unary_unary_rpc_method_handler(reply)

    def answer(self, method, answer, *, stream=False):
        """Set the answer of a method such as ``InvokeService/Call``."""
        path = method if method.startswith("/") else f"/bridge.v1.{method}"
        if hasattr(answer, "SerializeToString"):
            answer = answer.SerializeToString()
        if isinstance(answer, list):
            answer = [item if isinstance(item, bytes) else item.SerializeToString() for item in answer]
        self.answers[path] = answer
        if stream:
            self.streams.add(path)

    @property
    def last(self) -> Recorded:
        return self.calls[-1]


@pytest.fixture
def stub():
    bridge = StubBridge()
    # so_reuseport off: a parallel run must not share the port
    server = grpc.server(
        ThreadPoolExecutor(8), handlers=(bridge,), options=[("grpc.so_reuseport", 0), ("grpc.max_metadata_size", 65536)]
    )
    bridge.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    bridge.server = server
    yield bridge
    server.stop(None).wait()


class SyncRunner:
    """Runs a test's calls on the blocking client."""

    kind = "sync"

    def __init__(self, address):
        self.address = address

    def run(self, use, **options):
        """`use` is a function of the client that returns what a call returns."""
        with bridge_client.connect(self.address, **options) as client:
            return use(client)

    def collect(self, use, **options):
        """`use` returns a stream; all its items come back."""
        with bridge_client.connect(self.address, **options) as client:
            return list(use(client))


class AsyncRunner:
    """Runs the same calls on the asyncio client."""

    kind = "async"

    def __init__(self, address):
        self.address = address

    def run(self, use, **options):
        async def main():
            async with bridge_client.connect_async(self.address, **options) as client:
                return await use(client)

        return asyncio.run(main())

    def collect(self, use, **options):
        async def main():
            async with bridge_client.connect_async(self.address, **options) as client:
                return [item async for item in use(client)]

        return asyncio.run(main())


@pytest.fixture(params=[SyncRunner, AsyncRunner], ids=["sync", "async"])
def runner(request, stub):
    return request.param(stub.address)


@pytest.fixture
def seen_cancel():
    """A stream that sends 1, 2, 3 ... until its caller is gone, and an event that says that it has noticed."""
    gone = threading.Event()

    def endless(make_item):
        def answer(request, context):
            context.add_callback(gone.set)
            number = 0
            while context.is_active():
                number += 1
                yield make_item(number)

        return answer

    return endless, gone
