"""A client of streams of many calls, as tests of any language's clients would have to write it.

Owns the streams that a test opens.
"""

from __future__ import annotations

import json
import queue
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from bridge.v1 import invoke_pb2
from bridge.v1.common_pb2 import ROUTE_POOLED, Receipt


class Answer:
    """One call's answer, with its receipt put together."""

    def __init__(self, result: Any, shared: Any) -> None:
        self.id = result.id
        self.ok = result.WhichOneof("outcome") == "response"
        self.value = json.loads(result.response.result.json) if self.ok else None
        self.status = None if self.ok else Status.FromString(result.error)
        self.receipt = Receipt()
        if result.shared_receipt:
            self.receipt.CopyFrom(shared[result.shared_receipt - 1])
        self.receipt.MergeFrom(result.receipt)

    @property
    def reason(self) -> str:
        info = ErrorInfo()
        for detail in self.status.details:
            if detail.Is(ErrorInfo.DESCRIPTOR):
                detail.Unpack(info)
        return info.reason

    @property
    def packed(self) -> bool:
        """Whether it was; a call that ran by itself has the change of the worker's memory."""
        return self.receipt.route == ROUTE_POOLED and not self.receipt.HasField("memory_change_bytes")


class Mux:
    """A stream as a client has it."""

    def __init__(self, rpc: Any, metadata: Any = ()) -> None:
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        open_stream = rpc.channel.stream_stream(
            "/bridge.v1.InvokeService/Multiplex",
            request_serializer=lambda one: one if isinstance(one, bytes) else one.SerializeToString(),
            response_deserializer=invoke_pb2.MultiplexResponse.FromString,
        )
        self.call = open_stream(iter(self._requests.get, None), metadata=metadata, timeout=60)
        self.next_id = 1
        self.max_open_calls = self.messages = 0

    def learn(self, function: str = "act", **arguments: Any) -> None:
        """Makes the server know that a function is quick: it packs its calls from then on."""
        arguments = arguments or {"how": "quick"}
        for _ in range(60):
            self.send(*[self.request(function, **arguments) for _ in range(8)])
            if sum(answer.packed for answer in self.answers(8)) == 8:
                return
        pytest.fail("the calls are not packed")

    def request(self, function: str, options: Any = None, **arguments: Any) -> Any:
        call = invoke_pb2.MultiplexCall(id=self.next_id)
        call.request.function = function
        call.request.arguments.json = json.dumps(arguments)
        if options:
            call.options.CopyFrom(invoke_pb2.MultiplexOptions(**options))
        self.next_id += 1
        return call

    def send(self, *calls: Any, cancel: tuple[int, ...] = ()) -> list[int]:
        self._requests.put(invoke_pb2.MultiplexRequest(calls=calls, cancelled_ids=cancel))
        return [call.id for call in calls]

    def raw(self, data: bytes) -> None:
        self._requests.put(data)

    def end(self) -> None:
        self._requests.put(None)

    def answers(self, count: int) -> list[Answer]:
        found: list[Answer] = []
        while len(found) < count:
            message = next(self.call)
            self.messages += 1
            found += [Answer(result, message.shared_receipts) for result in message.results]
        assert len(found) == count
        return found

    def failure(self) -> grpc.RpcError:
        with pytest.raises(grpc.RpcError) as caught:
            list(self.call)
        return caught.value


@pytest.fixture
def multiplex() -> Iterator[Any]:
    """`multiplex(rpc, metadata)` opens a stream of many calls and takes its greeting."""
    opened: list[Mux] = []

    def one(rpc: Any, metadata: Sequence[tuple[str, str]] = ()) -> Mux:
        opened.append(Mux(rpc, metadata))
        opened[-1].max_open_calls = next(opened[-1].call).max_open_calls
        return opened[-1]

    yield one
    for stream in opened:
        stream.end()
        stream.call.cancel()
