"""Operations on sessions and their variables. Pure: each function makes the `Operation` of one RPC."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

from bridge_client import convert
from bridge_client.invoke import PAGE_SIZE, Page
from bridge_client.reading import enum_name
from bridge_client.session_records import (
    SessionInfo,
    Variable,
    VariableChange,
    VariableDeleted,
    VariableSnapshot,
    WatchEnd,
    WatchEvent,
)
from bridge_client.v1 import session_pb2
from bridge_client.values import decode_value, encode_value
from bridge_client.wire import Operation, UnknownEvent, operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge_client.options import SessionMode

_MODES: Mapping[str, session_pb2.SessionMode] = {
    "hint": session_pb2.SESSION_MODE_HINT,
    "strict": session_pb2.SESSION_MODE_STRICT,
}
_FORM = session_pb2.PAYLOAD_FORM_MSGPACK


def open_session(
    session_id: str | None, ttl: float | None, mode: SessionMode, *, ordered: bool
) -> Operation[SessionInfo]:
    """Open a session; the server makes an id where none is given."""
    if mode not in _MODES:
        msg = f"expected a mode of {', '.join(_MODES)}, got {mode!r}"
        raise ValueError(msg)
    request = session_pb2.OpenRequest(id=session_id or "", mode=_MODES[mode], ordered=ordered)
    if ttl is not None:
        if not 0 < ttl < datetime.timedelta.max.total_seconds():
            msg = f"expected a ttl of more than 0 seconds, or None for the server's default, got {ttl!r}"
            raise ValueError(msg)
        request.ttl.FromTimedelta(datetime.timedelta(seconds=ttl))
    return operation(
        "SessionService/Open",
        request,
        session_pb2.OpenResponse,
        lambda reply: convert.session_info(reply.session),
    )


def get_session(session_id: str) -> Operation[SessionInfo]:
    """A session."""
    return operation(
        "SessionService/Get",
        session_pb2.SessionServiceGetRequest(id=session_id),
        session_pb2.SessionServiceGetResponse,
        lambda reply: convert.session_info(reply.session),
    )


def list_sessions(page_token: str) -> Operation[Page[SessionInfo]]:
    """One page of the open sessions."""

    def read(reply: session_pb2.SessionServiceListResponse) -> Page[SessionInfo]:
        return Page(items=tuple(map(convert.session_info, reply.sessions)), next_token=reply.next_page_token)

    request = session_pb2.SessionServiceListRequest(page_size=PAGE_SIZE, page_token=page_token)
    return operation("SessionService/List", request, session_pb2.SessionServiceListResponse, read)


def close_session(session_id: str) -> Operation[None]:
    """End a session."""
    return operation(
        "SessionService/Close", session_pb2.CloseRequest(id=session_id), session_pb2.CloseResponse, lambda _: None
    )


def get_variable(session_id: str, name: str) -> Operation[Variable]:
    """A variable."""
    request = session_pb2.GetVariableRequest(session_id=session_id, name=name, form=_FORM)
    return operation(
        "SessionService/GetVariable",
        request,
        session_pb2.GetVariableResponse,
        lambda reply: _variable(reply.variable),
    )


def set_variable(
    session_id: str, name: str, value: Any, expected_version: int | None, *, replace_type: bool
) -> Operation[int]:
    """Write a variable."""
    request = session_pb2.SetVariableRequest(
        session_id=session_id,
        name=name,
        value=encode_value(value),
        expected_version=expected_version,
        replace_type=replace_type,
    )
    return operation(
        "SessionService/SetVariable", request, session_pb2.SetVariableResponse, lambda reply: int(reply.version)
    )


def list_variables(session_id: str) -> Operation[tuple[Variable, ...]]:
    """All variables."""
    request = session_pb2.ListVariablesRequest(session_id=session_id, form=_FORM)
    return operation(
        "SessionService/ListVariables",
        request,
        session_pb2.ListVariablesResponse,
        lambda reply: tuple(map(_variable, reply.variables)),
    )


def delete_variable(session_id: str, name: str, expected_version: int | None) -> Operation[int]:
    """Delete a variable."""
    request = session_pb2.DeleteVariableRequest(session_id=session_id, name=name, expected_version=expected_version)
    return operation(
        "SessionService/DeleteVariable", request, session_pb2.DeleteVariableResponse, lambda reply: int(reply.version)
    )


def watch(session_id: str) -> Operation[WatchEvent]:
    """The variables as they are, then each change."""
    request = session_pb2.SessionServiceWatchRequest(id=session_id, form=_FORM)
    return operation("SessionService/Watch", request, session_pb2.SessionServiceWatchResponse, _event)


def _event(reply: session_pb2.SessionServiceWatchResponse) -> WatchEvent:
    match reply.WhichOneof("event"):
        case "snapshot":
            found = reply.snapshot
            return VariableSnapshot(variables=tuple(map(_variable, found.variables)), version=found.version)
        case "change" if reply.change.deleted:
            gone = reply.change
            return VariableDeleted(name=gone.variable.name, version=gone.version, skipped=gone.skipped)
        case "change":
            change = reply.change
            return VariableChange(variable=_variable(change.variable), version=change.version, skipped=change.skipped)
        case "end":
            return WatchEnd(reason=reply.end.reason)
    raise UnknownEvent


def _variable(message: session_pb2.SessionVariable) -> Variable:
    return Variable(
        name=message.name,
        type=enum_name(session_pb2.VariableType, message.type, "VARIABLE_TYPE_"),
        value=decode_value(message.value),
        version=message.version,
    )
