"""Between the records of sessions and the API's messages: pure functions, one per pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.conversion.calls import set_duration
from bridge.errors import bad_field
from bridge.sessions import values
from bridge.v1 import session_pb2 as pb

if TYPE_CHECKING:
    from google.protobuf.duration_pb2 import Duration

    from bridge.sessions.record import Mode, Session
    from bridge.sessions.variables import Change, Variable
    from handlers.codec import Form

LONGEST_TTL_S = 30 * 86400.0
_TYPES = {
    "bool": pb.VARIABLE_TYPE_BOOL,
    "int": pb.VARIABLE_TYPE_INT,
    "float": pb.VARIABLE_TYPE_FLOAT,
    "string": pb.VARIABLE_TYPE_STRING,
    "bytes": pb.VARIABLE_TYPE_BYTES,
    "list": pb.VARIABLE_TYPE_LIST,
    "map": pb.VARIABLE_TYPE_MAP,
}


def session_mode(mode: pb.SessionMode) -> Mode:
    """Return the mode that a request asks for. Raises SCHEMA_MISMATCH for an unknown number."""
    if mode not in pb.SessionMode.values():
        raise bad_field("mode", f"expected SESSION_MODE_HINT or SESSION_MODE_STRICT, got {mode}")
    return "strict" if mode == pb.SESSION_MODE_STRICT else "hint"


def ttl_s(ttl: Duration) -> float:
    """Return a session's time to live in seconds. Raises SCHEMA_MISMATCH for one that can not be."""
    seconds: float = ttl.seconds + ttl.nanos / 1e9
    if not 0 < seconds <= LONGEST_TTL_S:
        raise bad_field("ttl", f"expected more than 0 and at most {LONGEST_TTL_S:.0f} seconds, got {seconds:g}")
    return seconds


def form(wanted: pb.PayloadForm) -> Form:
    """Return the form that a request wants values in. Raises SCHEMA_MISMATCH for an unknown number."""
    if wanted not in pb.PayloadForm.values():
        raise bad_field("form", f"expected PAYLOAD_FORM_JSON or PAYLOAD_FORM_MSGPACK, got {wanted}")
    return "msgpack" if wanted == pb.PAYLOAD_FORM_MSGPACK else "json"


def session_message(session: Session, idle_s: float) -> pb.Session:
    """Describe a session that has been without a call for `idle_s` seconds."""
    message = pb.Session(
        id=session.id,
        mode=pb.SESSION_MODE_STRICT if session.mode == "strict" else pb.SESSION_MODE_HINT,
        workers=session.workers,
        epoch=session.epoch,
        calls=session.calls,
        tenant=session.tenant,
        ordered=session.ordered,
        running=session.running,
        lost=session.lost,
    )
    if session.variables is not None:
        message.variables = len(session.variables)
        message.variable_bytes = session.variables.size
    message.opened_at.FromNanoseconds(int(session.opened_at * 1e9))
    set_duration(message.ttl, session.ttl_s)
    set_duration(message.idle, idle_s)
    return message


def variable_message(variable: Variable, form: Form) -> pb.SessionVariable:
    """Describe a variable."""
    value = values.to_payload(variable.packed, form)
    return pb.SessionVariable(name=variable.name, type=_TYPES[variable.kind], value=value, version=variable.version)


def snapshot_message(variables: list[Variable], version: int, form: Form) -> pb.SessionServiceWatchResponse:
    """Describe all variables at one moment."""
    found = [variable_message(variable, form) for variable in variables]
    return pb.SessionServiceWatchResponse(snapshot=pb.VariableSnapshot(variables=found, version=version))


def change_message(change: Change, form: Form) -> pb.SessionServiceWatchResponse:
    """Describe a change."""
    if change.variable is None:
        variable = pb.SessionVariable(name=change.name)
    else:
        variable = variable_message(change.variable, form)
    told = pb.VariableChange(
        variable=variable, deleted=change.variable is None, version=change.version, skipped=change.skipped
    )
    return pb.SessionServiceWatchResponse(change=told)
