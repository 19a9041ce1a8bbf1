"""What functions ask about their session's variables: the front's end of `handlers.sessions`.

Bodies are MessagePack arrays, values MessagePack inside of them. Owns nothing.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from bridge.errors import BridgeError, Code
from bridge.sessions import values
from bridge.sessions.variables import VariableLimits, Variables

if TYPE_CHECKING:
    from bridge.asks import AtOnce
    from bridge.call import Call
    from bridge.sessions.sessions import Sessions

_Set = tuple[str, bytes, int | None, bool]
_Delete = tuple[str, int | None]
_encode = msgspec.msgpack.Encoder().encode
_name = msgspec.msgpack.Decoder(str).decode
_set_request = msgspec.msgpack.Decoder(_Set).decode
_delete_request = msgspec.msgpack.Decoder(_Delete).decode


def session_asks(sessions: Sessions, limits: VariableLimits) -> dict[str, AtOnce]:
    """Return the answers by name."""
    return {
        "session.get": partial(_get, sessions),
        "session.set": partial(_set, sessions, limits),
        "session.delete": partial(_delete, sessions),
        "session.names": partial(_names, sessions),
    }


def _variables(sessions: Sessions, call: Call) -> Variables:
    if call.session is None:
        message = "the call belongs to no session; name one in the metadata x-session-id (bridge call: --session)"
        raise BridgeError(Code.FAILED_PRECONDITION, "NO_SESSION", message)
    return sessions.variables(call.session)


def _get(sessions: Sessions, call: Call, body: bytes) -> bytes:
    variable = _variables(sessions, call).find(_name(body))
    return _encode(None if variable is None else (variable.packed, variable.version))


def _set(sessions: Sessions, limits: VariableLimits, call: Call, body: bytes) -> bytes:
    name, packed, expected_version, replace_type = _set_request(body)
    variables = _variables(sessions, call)
    kind, packed = values.of_packed(packed, limits.value_bytes)
    return _encode(variables.set(name, kind, packed, expected_version, replace_type=replace_type).version)


def _delete(sessions: Sessions, call: Call, body: bytes) -> bytes:
    name, expected_version = _delete_request(body)
    variables = _variables(sessions, call)
    if variables.find(name) is None and not expected_version:
        return _encode(False)
    variables.delete(name, expected_version)
    return _encode(True)


def _names(sessions: Sessions, call: Call, _body: bytes) -> bytes:
    return _encode([variable.name for variable in _variables(sessions, call).all()])
