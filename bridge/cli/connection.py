"""A command's connection to a server: one channel, its stubs, and errors turned into exit codes.

Owns the channel. The only place of the command line that handles gRPC errors.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

# Keeps the C core from writing its own lines about connections into a command's output.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from bridge.cli.failures import ExitCode, Failure
from bridge.cli.output import last_words
from bridge.cli.ways_in import UNIX, handshake_hint, way_in_of

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from google.protobuf.message import Message

    from bridge.v1.common_pb2 import Receipt

    Metadata = Sequence[tuple[str, str]]
    Reply = TypeVar("Reply", bound=Message)

DEFAULT_ADDRESS = "127.0.0.1:50051"
ANSWER_TIMEOUT_S = 15.0
"""For questions that a server answers itself, without a worker."""
SHOWN_STDERR_LINES = 10
NO_KEY = frozenset(("CREDENTIALS_MISSING", "CREDENTIALS_INVALID", "CREDENTIALS_REVOKED"))
"""Reasons of a server that wants a key, or another one."""

LOOPBACK = ("127.", "localhost:", "[::1]:", UNIX)
"""How addresses begin that no proxy can reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trailers:
    """What came with a reply."""

    receipt: Receipt | None = None
    route: str = ""
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """The parts of a `google.rpc.Status`."""

    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: tuple[tuple[str, str], ...] = ()
    retry_after_s: float | None = None
    traceback: str = ""


class Connection:
    """A channel to one server. Use it as a context manager."""

    def __init__(self, address: str) -> None:
        """Make the channel; it connects at the first question. Raises Failure."""
        self.address = address
        credentials = way_in_of(address).credentials()
        self._metadata = way_in_of(address).metadata()
        arguments = channel_arguments(address)
        if credentials is None:
            self.channel: Any = grpc.insecure_channel(address, options=arguments)
        else:
            self.channel = grpc.secure_channel(address, credentials, options=arguments)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()

    def ask(self, method: str, request: Message, reply: type[Reply], timeout_s: float = ANSWER_TIMEOUT_S) -> Reply:
        """Return the reply to a question that needs no worker, such as "PoolService/List". Raises Failure."""
        try:
            return cast(
                "Reply", self._unary(method, request, reply)(request, timeout=timeout_s, metadata=self._metadata)
            )
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED and not encoded_details(error):
                raise no_connection(self.address, f"no answer within {timeout_s:.3g} s") from None
            raise to_failure(error, self.address) from None

    def call(
        self, method: str, request: Message, reply: type[Reply], timeout_s: float | None, metadata: Metadata = ()
    ) -> tuple[Reply, Trailers]:
        """Return the reply of a call and what came with it. Raises Failure."""
        unary = self._unary(method, request, reply)
        try:
            answer, call = unary.with_call(request, timeout=timeout_s, metadata=(*metadata, *self._metadata))
        except grpc.RpcError as error:
            raise to_failure(error, self.address) from None
        return answer, read_trailers(call.trailing_metadata())

    def begin(self, method: str, request: Message, reply: type[Message], timeout_s: float) -> Any:
        """Begin a call and return grpc's future of it; `to_failure` says what its exception means."""
        return self._unary(method, request, reply).future(request, timeout=timeout_s, metadata=self._metadata)

    def stream(
        self, method: str, request: Message, reply: type[Reply], timeout_s: float | None, metadata: Metadata = ()
    ) -> Generator[Reply, None, Trailers]:
        """Yield the replies of a stream and return what came with them. Raises Failure."""
        path = _path(method)
        opened = self.channel.unary_stream(
            path, request_serializer=type(request).SerializeToString, response_deserializer=reply.FromString
        )
        replies = opened(request, timeout=timeout_s, metadata=(*metadata, *self._metadata))
        try:
            yield from replies
        except grpc.RpcError as error:
            raise to_failure(error, self.address) from None
        finally:
            replies.cancel()
        return read_trailers(replies.trailing_metadata())

    def _unary(self, method: str, request: Message, reply: type[Message]) -> Any:
        return self.channel.unary_unary(
            _path(method), request_serializer=type(request).SerializeToString, response_deserializer=reply.FromString
        )


def channel_arguments(address: str) -> list[tuple[str, int]]:
    """Return how a channel to an address is made."""
    arguments = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    return [*arguments, ("grpc.enable_http_proxy", 0)] if address.startswith(LOOPBACK) else arguments


def _path(method: str) -> str:
    return f"/{method}" if "." in method else f"/bridge.v1.{method}"


def read_trailers(metadata: Sequence[tuple[str, str | bytes]] | None) -> Trailers:
    """Return what the server said about a call in its trailing metadata."""
    from bridge.v1.common_pb2 import Receipt

    values = dict(metadata or ())
    receipt = None
    encoded = values.get("bridge-receipt-bin")
    if isinstance(encoded, bytes):
        try:
            receipt = Receipt.FromString(encoded)
        except DecodeError:
            receipt = None
    return Trailers(
        receipt=receipt, route=str(values.get("bridge-route", "")), worker=str(values.get("bridge-worker", ""))
    )


def no_connection(address: str, cause: str) -> Failure:
    """Return the failure for a server that is not there, or does not let this client in."""
    hint = handshake_hint(cause)
    return Failure(
        ExitCode.NO_CONNECTION,
        f"cannot connect to {address}; {hint or 'start a server with: bridge serve app.py'}",
        lines=(cause,) if cause else (),
        fields={"address": address, "code": "UNAVAILABLE", "cause": cause},
    )


def to_failure(error: Any, address: str) -> Failure:
    """Return the failure that a gRPC error stands for."""
    code: grpc.StatusCode = error.code()
    encoded = encoded_details(error)
    message = error.details() or ""
    if not encoded and code is grpc.StatusCode.UNAVAILABLE:
        return no_connection(address, message)
    if not encoded and code is grpc.StatusCode.UNIMPLEMENTED:
        return Failure(
            ExitCode.NO_CONNECTION,
            f"the server at {address} does not offer this; is it a bridge server of this version?",
            lines=(message,),
            fields={"address": address, "code": code.name},
        )
    if not encoded and code is grpc.StatusCode.DEADLINE_EXCEEDED and "deadline exceeded" in message.lower():
        message = "the time was up before the call had ended; the server stops it"  # gRPC's own text says less
    details = read_details(encoded)
    lines = [f"{path}: {problem}" if path else problem for path, problem in details.violations]
    if len(lines) == 1 and message.endswith(lines[0]):
        lines = []  # the message has said it
    if details.retry_after_s is not None:
        lines.append(f"try again in {details.retry_after_s:g} s")
    if stderr := details.metadata.get("stderr", ""):
        lines += [
            "the worker's last lines on stderr:",
            *(f"  {line}" for line in last_words(stderr, SHOWN_STDERR_LINES)),
        ]
    if details.reason in NO_KEY:
        lines.append("give a key: --key env:NAME, file:PATH or the key itself, or BRIDGE_KEY in the environment")
    lines += details.traceback.splitlines()
    fields: dict[str, Any] = {"code": code.name, "reason": details.reason, "metadata": details.metadata}
    if details.violations:
        fields["violations"] = [{"field": path, "description": problem} for path, problem in details.violations]
    if details.retry_after_s is not None:
        fields["retry_after_s"] = details.retry_after_s
    title = " ".join(part for part in (code.name, details.reason) if part)
    exit_code = ExitCode.DEADLINE if code is grpc.StatusCode.DEADLINE_EXCEEDED else ExitCode.FAILED
    failure = Failure(exit_code, f"{title}: {message}", lines=tuple(lines), fields=fields)
    failure.fields["message"] = message
    return failure


def read_details(encoded: bytes) -> Details:
    """Return the parts of an encoded `google.rpc.Status`; what can not be read is left out."""
    try:
        status = status_pb2.Status.FromString(encoded)
    except DecodeError:
        return Details()
    values: dict[str, Any] = {}
    for item in status.details:
        info, bad, retry, debug = (
            error_details_pb2.ErrorInfo(),
            error_details_pb2.BadRequest(),
            error_details_pb2.RetryInfo(),
            error_details_pb2.DebugInfo(),
        )
        if item.Unpack(info):
            values |= {"reason": info.reason, "metadata": dict(info.metadata)}
        elif item.Unpack(bad):
            values["violations"] = tuple((entry.field, entry.description) for entry in bad.field_violations)
        elif item.Unpack(retry):
            values["retry_after_s"] = retry.retry_delay.ToTimedelta().total_seconds()
        elif item.Unpack(debug):
            values["traceback"] = "\n".join([*debug.stack_entries, debug.detail]).strip("\n")
    return Details(**values)


def encoded_details(error: Any) -> bytes:
    """Return the encoded `google.rpc.Status` that came with an error; empty where none did."""
    value = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    return value if isinstance(value, bytes) else b""
