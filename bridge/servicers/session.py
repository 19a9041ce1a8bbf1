"""SessionService: open, look at and close sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge import convert
from bridge.errors import bad_field
from bridge.v1 import session_pb2

if TYPE_CHECKING:
    from bridge.sessions import Sessions

LONGEST_TTL_S = 30 * 86400.0


class SessionServicer:
    """Answers from the open sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def open(self, request: session_pb2.OpenRequest) -> session_pb2.OpenResponse:
        """Answer SessionService.Open."""
        ttl_s = None
        if request.HasField("ttl"):
            ttl_s = request.ttl.seconds + request.ttl.nanos / 1e9
            if not 0 < ttl_s <= LONGEST_TTL_S:
                raise bad_field("ttl", f"expected more than 0 and at most {LONGEST_TTL_S:.0f} seconds, got {ttl_s:g}")
        return session_pb2.OpenResponse(session=convert.session_message(self._sessions.open(request.id, ttl_s)))

    def get(self, request: session_pb2.SessionServiceGetRequest) -> session_pb2.SessionServiceGetResponse:
        """Answer SessionService.Get."""
        session = convert.session_message(self._sessions.get(request.id))
        return session_pb2.SessionServiceGetResponse(session=session)

    def close(self, request: session_pb2.CloseRequest) -> session_pb2.CloseResponse:
        """Answer SessionService.Close."""
        self._sessions.close(request.id)
        return session_pb2.CloseResponse()
