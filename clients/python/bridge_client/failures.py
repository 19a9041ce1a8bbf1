"""Turns a failed RPC into the exception that the caller sees.

Reads `grpc-status-details-bin` (google.rpc.Status with ErrorInfo, BadRequest, RetryInfo, DebugInfo) and knows how
grpcio words the failures that never reached a server. Pure: takes facts, returns an exception. Owns no state.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from bridge_client import errors
from bridge_client.v1 import error_details_pb2, model_pb2, status_pb2

if TYPE_CHECKING:
    from collections.abc import Mapping

MessageT = TypeVar("MessageT", bound=Message)

Trailers = Iterable[tuple[str, str | bytes]]

_CODES = {code.value[0]: code.name for code in grpc.StatusCode}

DETAILS_KEY = "grpc-status-details-bin"

_NEVER_CONNECTED = (
    "failed to connect",
    "connections to all backends failing",
    "dns resolution failed",
    "name resolution failure",
    "connection refused",
    "no address added",
    "handshake",
)
"""How grpcio words an UNAVAILABLE whose request was never sent (lower case). Any other means: sent, then broken."""


_TOO_LARGE = re.compile(r"(?:(SERVER|CLIENT): )?(Received|Sent) message larger than max \((\d+) vs\.? (\d+)\)")
"""How grpcio words a RESOURCE_EXHAUSTED of its own: which side, which way, the message's bytes and the limit."""


class FailedRpc(Protocol):
    """What grpcio's sync and async errors have in common."""

    def code(self) -> grpc.StatusCode:
        """The status."""
        ...

    def details(self) -> str | None:
        """The status in words."""
        ...

    def trailing_metadata(self) -> Trailers | None:
        """The trailers, where any came."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFacts:
    """What the client knows of a call, for the messages of errors."""

    address: str
    path: str
    request_id: str
    timeout: float | None


def find(trailers: Trailers | None, key: str) -> str | bytes | None:
    """A trailer's value. Trailers are pairs in both of grpcio's forms; None where no reply came."""
    return next((value for found, value in trailers or () if found == key), None)


def to_error(failed: FailedRpc, facts: CallFacts) -> errors.BridgeError:
    """The exception for a failed RPC. Never raises: details that can not be read are ignored."""
    packed = find(failed.trailing_metadata(), DETAILS_KEY)
    code = failed.code().name
    text = failed.details() or ""
    if isinstance(packed, bytes):
        try:
            return _from_status(code, status_pb2.Status.FromString(packed), facts)
        except DecodeError:
            pass  # not the bridge's: a proxy's details are no reason to hide the failure itself
    return _from_transport(code, text, facts)


def of_status(packed: bytes, facts: CallFacts) -> errors.BridgeError:
    """The exception for a serialized google.rpc.Status. Never raises."""
    try:
        status = status_pb2.Status.FromString(packed)
    except DecodeError:
        return errors.UnexpectedReply("the server's failure can not be read", request_id=facts.request_id)
    code = _CODES.get(status.code, "UNKNOWN")
    return _from_status(code, status, facts)


def of_part(failure: model_pb2.Failure) -> errors.BridgeError:
    """The exception for the failure of one part of a call."""
    code = _CODES.get(failure.code, "UNKNOWN")
    cls = errors.BY_REASON.get(failure.reason) or errors.BY_CODE.get(code, errors.BridgeError)
    return cls(
        failure.message,
        code=code,
        reason=failure.reason,
        violations=tuple(errors.Violation(found.field, found.description) for found in failure.violations),
        metadata=dict(failure.metadata),
        retry_after_s=failure.retry_after_s if failure.HasField("retry_after_s") else None,
    )


def _from_status(code: str, status: status_pb2.Status, facts: CallFacts) -> errors.BridgeError:
    info = _unpack(status, error_details_pb2.ErrorInfo())
    request = _unpack(status, error_details_pb2.BadRequest())
    retry = _unpack(status, error_details_pb2.RetryInfo())
    debug = _unpack(status, error_details_pb2.DebugInfo())
    cls = errors.BY_REASON.get(info.reason) or errors.BY_CODE.get(code, errors.BridgeError)
    metadata: Mapping[str, str] = dict(info.metadata)
    return cls(
        status.message,
        code=code,
        reason=info.reason,
        violations=tuple(errors.Violation(found.field, found.description) for found in request.field_violations),
        metadata=metadata,
        retry_after_s=retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None,
        request_id=metadata.get("request_id") or facts.request_id,
        traceback=debug.detail or "\n".join(debug.stack_entries),
    )


def _unpack(status: status_pb2.Status, into: MessageT) -> MessageT:
    """The detail of that type; `into` stays empty where there is none."""
    for packed in status.details:
        if packed.TypeName() == into.DESCRIPTOR.full_name:
            packed.Unpack(into)
            break
    return into


def _from_transport(code: str, text: str, facts: CallFacts) -> errors.BridgeError:
    if code == "UNAVAILABLE":
        return _unavailable(text, facts)
    if code == "DEADLINE_EXCEEDED":
        limit = f"{facts.timeout:g} s" if facts.timeout is not None else "the server's limit"
        message = f"{facts.path}: no reply within {limit}; raise it with with_options(timeout=...)"
        return errors.DeadlineExceeded(message, request_id=facts.request_id)
    if code == "RESOURCE_EXHAUSTED" and (found := _TOO_LARGE.search(text)):
        return _too_large(found, facts)
    cls = errors.BY_CODE.get(code, errors.BridgeError)
    return cls(text or f"{facts.path} failed with {code}", code=code, request_id=facts.request_id)


def _too_large(found: re.Match[str], facts: CallFacts) -> errors.MessageTooLarge:
    """The exception for a message that gRPC itself refused, on either side; a bridge's own refusal has details."""
    side, what, size, limit = found.groups()
    if side == "SERVER":
        message = (
            f"{facts.path}: the request has {size} bytes, and the server takes in no more than {limit}, twice its "
            "server.max_message_bytes: raise that there, or send less at a time"
        )
    elif what == "Sent":
        message = (
            f"{facts.path}: the request has {size} bytes, and this client sends at most {limit}; raise it with "
            "connect(..., channel=ChannelOptions(max_message_bytes=...))"
        )
    else:
        message = (
            f"{facts.path}: the reply has {size} bytes, and this client takes at most {limit}; raise it with "
            "connect(..., channel=ChannelOptions(max_message_bytes=...)), or ask for results in parts with "
            "with_options(chunk_bytes=...)"
        )
    metadata = {"size_bytes": size, "limit_bytes": limit}
    return errors.MessageTooLarge(message, reason="MESSAGE_TOO_LARGE", metadata=metadata, request_id=facts.request_id)


def _handshake_hint(text: str) -> str:
    """What to do about a connection that was not made although somebody listens; empty where nothing is known."""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "its certificate is not trusted: give the CA that has signed it with tls=Tls(ca=...)"
    if "WRONG_VERSION_NUMBER" in text:
        return "it takes no TLS: leave tls out"
    if "Hostname Verification Check failed" in text or "Peer name" in text:
        return "its certificate has other names: use one of them in the address, or tls=Tls(server_name=...)"
    if "Socket closed" in text:
        return "it may take TLS alone, tls=Tls(ca=...), or ask for a certificate, Tls(..., certificate=..., key=...)"
    return ""


def _unavailable(text: str, facts: CallFacts) -> errors.BridgeError:
    if "failed to connect" in text and (hint := _handshake_hint(text)):
        return errors.CannotConnect(f"can not connect to {facts.address}; {hint} ({text})", request_id=facts.request_id)
    if any(words in text.lower() for words in _NEVER_CONNECTED):
        return errors.CannotConnect(
            f"no bridge answers at {facts.address} ({text}). Start one with "
            f"`bridge serve app.py --address {facts.address}` or `bridge demo`, or correct the address",
            request_id=facts.request_id,
        )
    return errors.ConnectionLost(
        f"the connection to {facts.address} broke during {facts.path} ({text or 'no details'}). "
        "The call may or may not have run",
        request_id=facts.request_id,
    )
