"""`bridge call`: describes the function, reads the arguments by its schema, calls it and prints what comes back.

Owns nothing beyond one command. A program goes through ProgramService where a model is named or its fields are
streamed; everything else goes through InvokeService.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from bridge.cli import arguments
from bridge.cli.connection import ANSWER_TIMEOUT_S, Connection, Trailers
from bridge.cli.failures import ExitCode, Failure
from bridge.cli.output import Output, clean
from bridge.cli.receipts import receipt_fields, receipt_lines
from bridge.v1 import common_pb2, invoke_pb2, program_pb2

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from google.protobuf.message import Message

    AnyMessage = TypeVar("AnyMessage", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What was typed."""

    name: str
    pairs: tuple[str, ...]
    json_args: str | None
    address: str
    timeout_s: float | None
    session: str | None
    model: str | None
    budget: tuple[str, ...]
    stream: bool
    receipt: bool


class _Clock:
    """The time left of `--timeout`, over all requests of the command."""

    def __init__(self, timeout_s: float | None) -> None:
        self._ends = None if timeout_s is None else time.monotonic() + timeout_s

    def left_s(self, at_most: float | None = None) -> float | None:
        left = None if self._ends is None else max(0.001, self._ends - time.monotonic())
        return left if at_most is None else at_most if left is None else min(left, at_most)


def run(options: CallOptions, output: Output) -> int:
    """Call a function. Raises Failure."""
    if options.timeout_s is not None and options.timeout_s <= 0:
        raise Failure(ExitCode.USAGE, f"--timeout expects seconds above 0, got {options.timeout_s:g}")
    clock = _Clock(options.timeout_s)
    with Connection(options.address) as connection:
        info = describe(connection, options.name, clock.left_s())
        is_program = info.kind == common_pb2.FUNCTION_KIND_PROGRAM
        if options.model is not None and not is_program:
            raise Failure(ExitCode.USAGE, f"--model is for programs; '{info.name}' is a function")
        schema = json.loads(info.arguments_schema or "{}")
        values = arguments.parse(options.pairs, options.json_args, schema)
        payload = common_pb2.Payload(json=json.dumps(values, ensure_ascii=True))
        metadata = [("x-session-id", options.session)] if options.session else []
        metadata += map(_budget, options.budget)
        call = _Call(connection, output, payload, clock.left_s(), metadata)
        if is_program and options.stream:
            trailers = call.program_fields(info.name, options.model or "")
        elif is_program and options.model is not None:
            trailers = call.program(info.name, options.model)
        elif info.streaming or options.stream:
            trailers = call.items(info.name)
        else:
            trailers = call.function(info.name)
    if options.receipt and not output.machine:
        output.note("\n".join(receipt_lines(trailers)))
    return ExitCode.OK


def describe(connection: Connection, name: str, timeout_s: float | None = None) -> common_pb2.FunctionInfo:
    """Return a function with its schemas. Raises Failure, with the server's "did you mean"."""
    request = invoke_pb2.DescribeFunctionRequest(function=name)
    at_most = ANSWER_TIMEOUT_S if timeout_s is None else timeout_s
    reply = connection.ask("InvokeService/DescribeFunction", request, invoke_pb2.DescribeFunctionResponse, at_most)
    return reply.function


def _budget(given: str) -> tuple[str, str]:
    """Return the metadata of a limit such as `tokens=1000`. Raises Failure; the server checks the number."""
    name, equals, value = given.partition("=")
    if name not in ("usd", "tokens", "calls") or not equals:
        raise Failure(ExitCode.USAGE, f"--budget expects usd=N, tokens=N or calls=N, got '{given}'")
    return f"x-budget-{name}", value


def payload_value(payload: common_pb2.Payload) -> Any:
    """Return the value of a JSON payload; text that Python's parser refuses comes back as text."""
    try:
        return json.loads(payload.json or "null", parse_constant=str)
    except (ValueError, RecursionError):
        return payload.json


def _drain(replies: Generator[AnyMessage, None, Trailers], each: Callable[[AnyMessage], None]) -> Trailers:
    """Hand every reply of a stream to `each` and return what came at its end."""
    while True:
        try:
            reply = next(replies)
        except StopIteration as end:
            trailers: Trailers = end.value
            return trailers
        each(reply)


class _Call:
    """One call and the printing of its results."""

    def __init__(
        self,
        connection: Connection,
        output: Output,
        payload: common_pb2.Payload,
        timeout_s: float | None,
        metadata: Sequence[tuple[str, str]],
    ) -> None:
        self.connection = connection
        self.output = output
        self.payload = payload
        self.timeout_s = timeout_s
        self.metadata = metadata

    def function(self, name: str) -> Trailers:
        request = invoke_pb2.CallRequest(function=name, arguments=self.payload)
        reply, trailers = self.connection.call(
            "InvokeService/Call", request, invoke_pb2.CallResponse, self.timeout_s, self.metadata
        )
        self._result(payload_value(reply.result), trailers)
        return trailers

    def items(self, name: str) -> Trailers:
        request = invoke_pb2.StreamCallRequest(function=name, arguments=self.payload)
        replies = self.connection.stream(
            "InvokeService/StreamCall", request, invoke_pb2.StreamCallResponse, self.timeout_s, self.metadata
        )
        trailers = _drain(replies, self._item)
        self._end(trailers)
        return trailers

    def program(self, name: str, model: str) -> Trailers:
        request = program_pb2.RunRequest(program=name, inputs=self.payload, model=model)
        reply, trailers = self.connection.call(
            "ProgramService/Run", request, program_pb2.RunResponse, self.timeout_s, self.metadata
        )
        self._result(payload_value(reply.outputs), trailers)
        return trailers

    def program_fields(self, name: str, model: str) -> Trailers:
        request = program_pb2.StreamRunRequest(program=name, inputs=self.payload, model=model)
        replies = self.connection.stream(
            "ProgramService/StreamRun", request, program_pb2.StreamRunResponse, self.timeout_s, self.metadata
        )
        trailers = _drain(replies, _FieldPrinter(self.output).event)
        self._end(trailers)
        return trailers

    def _item(self, reply: invoke_pb2.StreamCallResponse) -> None:
        value = payload_value(reply.item)
        self.output.json({"item": value} if self.output.machine else value)

    def _result(self, value: Any, trailers: Trailers) -> None:
        if self.output.machine:
            self.output.json({"result": value, **receipt_fields(trailers)})
        else:
            self.output.value(value)

    def _end(self, trailers: Trailers) -> None:
        if self.output.machine:
            self.output.json({"end": True, **receipt_fields(trailers)})


class _FieldPrinter:
    """Prints a program's fields as they grow: to stderr for people, who get the final outputs on stdout."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.field = ""

    def event(self, event: program_pb2.StreamRunResponse) -> None:
        if event.HasField("field_delta"):
            self._delta(event.field_delta)
        elif event.HasField("final"):
            if self.field and not self.output.machine:
                self.output.side.out("")
            outputs = payload_value(event.final.outputs)
            if self.output.machine:
                self.output.json({"outputs": outputs})
            else:
                self.output.value(outputs)

    def _delta(self, delta: program_pb2.FieldDelta) -> None:
        if self.output.machine:
            self.output.json(
                {"field": delta.field, "predictor": delta.predictor, "text": delta.text, "last": delta.last}
            )
            return
        if delta.field != self.field:
            self.output.side.out(("\n" if self.field else "") + clean(delta.field) + ": ", end="")
            self.field = delta.field
        self.output.side.out(clean(delta.text), end="")
