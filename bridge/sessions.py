"""Sessions: which worker the calls of one session go to.

Owns the map from session to worker and epoch, with its TTL and its bound. A session prefers its worker; when that is
lost it goes on elsewhere with a higher epoch, and the reply says so.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable

from bridge.errors import BridgeError, Code, bad_field, bad_metadata

ID_RULE = "expected 1 to 128 letters, digits, '.', '_', ':' or '-'"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Session:
    """One session. `workers` has its worker in each pool that it has used; `used_at` is monotonic."""

    __slots__ = ("calls", "epoch", "id", "opened_at", "ttl_s", "used_at", "workers")

    def __init__(self, session_id: str, ttl_s: float, now: float) -> None:
        self.id = session_id
        self.ttl_s = ttl_s
        self.opened_at = time.time()
        self.used_at = now
        self.workers: dict[str, str] = {}
        self.epoch = 0
        self.calls = 0

    def ran_on(self, pool: str, worker: str) -> None:
        """Take note of the worker that serves the session now; another one than before raises the epoch."""
        before = self.workers.get(pool)
        if before != worker:
            self.workers[pool] = worker
            if before is not None:
                self.epoch += 1


class Sessions:
    """All open sessions. Expired ones are gone for every purpose, whether or not they have been swept."""

    def __init__(self, ttl_s: float, limit: int, now: Callable[[], float] = time.monotonic) -> None:
        self._ttl_s = ttl_s
        self._limit = limit
        self._now = now
        self._sessions: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def open(self, session_id: str, ttl_s: float | None) -> Session:
        """Open a session; an empty id gets a new one. Raises ALREADY_EXISTS, INVALID_ARGUMENT or SESSION_LIMIT."""
        session_id = session_id or uuid.uuid4().hex
        if not _ID.fullmatch(session_id):
            raise bad_field("id", ID_RULE)
        if self._live(session_id) is not None:
            message = f"session '{session_id}' is open already; close it first or choose another id"
            raise BridgeError(Code.ALREADY_EXISTS, "SESSION_EXISTS", message)
        return self._add(session_id, self._ttl_s if ttl_s is None else ttl_s)

    def get(self, session_id: str) -> Session:
        """Return an open session. Raises NOT_FOUND."""
        session = self._live(session_id)
        if session is None:
            shown = f"session '{session_id}'" if _ID.fullmatch(session_id) else "a session of this id"
            message = f"{shown} is not open: it was never opened, was closed, or was without a call for its ttl"
            raise BridgeError(Code.NOT_FOUND, "UNKNOWN_SESSION", message)
        return session

    def use(self, session_id: str) -> Session:
        """Return the session of a call, opened by the call where it is new."""
        session = self._live(session_id)
        if session is None:
            if not _ID.fullmatch(session_id):
                raise bad_metadata("x-session-id", ID_RULE)
            session = self._add(session_id, self._ttl_s)
        session.used_at = self._now()
        session.calls += 1
        return session

    def close(self, session_id: str) -> None:
        """End a session. Raises NOT_FOUND."""
        self.get(session_id)
        del self._sessions[session_id]

    def sweep(self) -> None:
        """Drop what has expired."""
        now = self._now()
        for session in [s for s in self._sessions.values() if now - s.used_at > s.ttl_s]:
            del self._sessions[session.id]

    def _live(self, session_id: str) -> Session | None:
        session = self._sessions.get(session_id)
        if session is not None and self._now() - session.used_at > session.ttl_s:
            del self._sessions[session_id]
            return None
        return session

    def _add(self, session_id: str, ttl_s: float) -> Session:
        if len(self._sessions) >= self._limit:
            self.sweep()
        if len(self._sessions) >= self._limit:
            message = f"{self._limit} sessions are open, which is the limit; close some, or raise sessions.max_sessions"
            raise BridgeError(Code.RESOURCE_EXHAUSTED, "SESSION_LIMIT", message, metadata={"limit": str(self._limit)})
        session = self._sessions[session_id] = Session(session_id, ttl_s, self._now())
        return session
