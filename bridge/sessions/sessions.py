"""Sessions: which worker the calls of one session go to, how firmly, and for how long.

Owns the table of sessions with its bounds, their tenants, their variables, and which worker a strict one is bound to. A
session of mode `hint` prefers its worker and goes on elsewhere with a higher epoch; a `strict` one is refused when its
worker is lost, until it is closed. Memory only: sessions end with the server.
"""

from __future__ import annotations

import heapq
import itertools
import time
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator

from bridge.errors import BridgeError, Code, bad_field, bad_metadata
from bridge.sessions.record import ID_RULE, Ended, Mode, Session, SessionLimits, is_id
from bridge.sessions.variables import Budget, Variables

EMPTY_ROWS = 64
"""Rows of ended sessions that may stay in the order of expiry, beside one per open session."""


Bound = list[tuple[str, str]]
"""Pools and the workers in them that a strict session is bound to."""


def _no_end(_session: Session, _reason: Ended, _bound: Bound) -> None:
    """Nobody wants to know."""


class Sessions:
    """All open sessions. Expired ones are gone for every purpose, whether or not they have been swept.

    `hold(pool, worker)` hears of each worker that a strict session is bound to; `on_end` of each session that has
    ended, why, and what it was bound to.
    """

    def __init__(
        self,
        limits: SessionLimits,
        *,
        now: Callable[[], float] = time.monotonic,
        on_end: Callable[[Session, Ended, Bound], None] = _no_end,
        hold: Callable[[str, str], None] = lambda _pool, _worker: None,
    ) -> None:
        self._limits = limits
        self._now = now
        self._on_end = on_end
        self._hold = hold
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        """By id; who was used last stands last."""
        self._tenants: Counter[str] = Counter()
        self._expiry: list[tuple[float, int, Session]] = []
        """A heap with one row per session, which may name a moment that is too early: it is looked at again then."""
        self._bound: dict[tuple[str, str], set[Session]] = {}
        self._numbers = itertools.count(1)
        self._budget = Budget(limits.variables)

    def __len__(self) -> int:
        return len(self._sessions)

    @property
    def variable_bytes(self) -> int:
        """What all variables take, in bytes."""
        return self._budget.used

    # -- opening and finding --------------------------------------------------------------------------------------

    def open(
        self,
        session_id: str,
        ttl_s: float | None = None,
        *,
        tenant: str = "",
        mode: Mode = "hint",
        ordered: bool = False,
    ) -> Session:
        """Open a session; an empty id gets a new one. Raises ALREADY_EXISTS, INVALID_ARGUMENT or SESSION_LIMIT."""
        session_id = session_id or uuid.uuid4().hex
        if not is_id(session_id):
            raise bad_field("id", ID_RULE)
        if self._live(session_id) is not None:
            message = f"session '{session_id}' is open already; close it first or choose another id"
            raise BridgeError(Code.ALREADY_EXISTS, "SESSION_EXISTS", message)
        return self._add(session_id, self._limits.ttl_s if ttl_s is None else ttl_s, tenant, mode, ordered)

    def get(self, session_id: str, tenant: str = "") -> Session:
        """Return an open session of a tenant. Raises NOT_FOUND, for another tenant's too."""
        session = self._live(session_id)
        if session is None or session.tenant != tenant:
            raise _unknown(session_id)
        return session

    def use(self, session_id: str, tenant: str = "", mode: Mode | None = None, ordered: bool | None = None) -> Session:
        """Return the session of a call that begins, opened by the call where it is new; `left` ends the call.

        Raises NOT_FOUND for another tenant's session, BAD_METADATA where it is open in another way than the call says,
        QUEUE_FULL where it has all the calls that it may have.
        """
        session = self._live(session_id)
        if session is None:
            if not is_id(session_id):
                raise bad_metadata("x-session-id", ID_RULE)
            session = self._add(session_id, self._limits.ttl_s, tenant, mode or "hint", bool(ordered))
        elif session.tenant != tenant:
            raise _unknown(session_id)
        elif mode is not None and mode != session.mode:
            raise bad_metadata("x-session-mode", f"the session is open with '{session.mode}'; close it to change that")
        elif ordered is not None and ordered != session.ordered:
            said = "1" if session.ordered else "0"
            raise bad_metadata("x-session-ordered", f"the session is open with '{said}'; close it to change that")
        if session.running >= self._limits.calls:
            raise _busy(session, self._limits.calls)
        session.used_at = self._now()
        self._sessions.move_to_end(session.id)
        session.calls += 1
        session.running += 1
        return session

    def use_again(self, session: Session) -> Session:
        """Return the session of a call that another call of the session makes: it goes with its caller."""
        session.calls += 1
        session.running += 1
        return session

    def left(self, session: Session) -> None:
        """Say that a call of a session has ended: its ttl counts from here."""
        session.running -= 1
        if not session.ended:
            session.used_at = self._now()
            self._sessions.move_to_end(session.id)

    def touch(self, session: Session) -> None:
        """Say that a session is used now."""
        session.used_at = self._now()
        self._sessions.move_to_end(session.id)

    @staticmethod
    def check_open(session: Session) -> None:
        """Raise NOT_FOUND where a session has ended while one of its calls goes on."""
        if session.ended:
            raise _unknown(session.id)

    def variables(self, session: Session) -> Variables:
        """Return the variables of an open session; made where it has none yet. Raises NOT_FOUND after its end."""
        self.check_open(session)
        if session.variables is None:
            session.variables = Variables(self._budget)
        return session.variables

    def page(self, tenant: str, size: int, after: int) -> tuple[list[Session], int]:
        """Return sessions in the order of their opening behind number `after`, and the last number, 0 at the end.

        Those of one tenant, or all where it is empty.
        """
        self.sweep()
        found = heapq.nsmallest(size + 1, self._shown(tenant, after), key=lambda session: session.number)
        return (found, 0) if len(found) <= size else (found[:size], found[size - 1].number)

    def _shown(self, tenant: str, after: int) -> Iterator[Session]:
        return (s for s in self._sessions.values() if s.number > after and (not tenant or s.tenant == tenant))

    def idle_s(self, session: Session) -> float:
        """Return the seconds since its last call ended, 0 while one runs."""
        return 0.0 if session.running else self._now() - session.used_at

    # -- the worker of a strict session ---------------------------------------------------------------------------

    def bind(self, session: Session, pool: str, worker: str) -> None:
        """Bind a strict session to its worker in a pool."""
        session.workers[pool] = worker
        self._bound.setdefault((pool, worker), set()).add(session)
        self._hold(pool, worker)

    def worker_gone(self, pool: str, worker: str, *, moved: bool) -> list[Session]:
        """Refuse what is bound to a worker from now on: it died, or (`moved`) was retired. Return those sessions."""
        sessions = self._bound.pop((pool, worker), set())
        for session in sessions:
            session.lost = session.lost or ("SESSION_MOVED" if moved else "SESSION_LOST")
            session.lost_worker = session.lost_worker or worker
            del session.workers[pool]
        return list(sessions)

    # -- ends -----------------------------------------------------------------------------------------------------

    def close(self, session_id: str, tenant: str = "") -> Session:
        """End a session and return it. Raises NOT_FOUND."""
        session = self.get(session_id, tenant)
        self._end(session, "closed")
        return session

    def sweep(self) -> None:
        """End what has expired."""
        now = self._now()
        while self._expiry and self._expiry[0][0] < now:
            _, number, session = heapq.heappop(self._expiry)
            if session.ended:
                continue
            if session.expires_at < now:
                self._end(session, "expired")
            else:
                again = now + session.ttl_s if session.running else session.expires_at
                heapq.heappush(self._expiry, (again, number, session))

    def stop(self) -> None:
        """Tell all who watch that the server ends."""
        for session in self._sessions.values():
            if session.variables is not None:
                session.variables.end("stopping")

    def _live(self, session_id: str) -> Session | None:
        session = self._sessions.get(session_id)
        if session is not None and not session.running and session.expires_at < self._now():
            self._end(session, "expired")
            return None
        return session

    def _end(self, session: Session, reason: Ended) -> None:
        session.ended = reason
        del self._sessions[session.id]
        self._tenants[session.tenant] -= 1
        if not self._tenants[session.tenant]:
            del self._tenants[session.tenant]
        if len(self._expiry) > 2 * len(self._sessions) + EMPTY_ROWS:
            self._expiry = [row for row in self._expiry if not row[2].ended]
            heapq.heapify(self._expiry)
        if session.variables is not None:
            session.variables.end(reason)
        self._on_end(session, reason, self._unbind(session) if session.mode == "strict" else [])

    def _unbind(self, session: Session) -> Bound:
        found = [place for place in session.workers.items() if session in self._bound.get(place, ())]
        for place in found:
            self._bound[place].discard(session)
            if not self._bound[place]:
                del self._bound[place]
        return found

    def _add(self, session_id: str, ttl_s: float, tenant: str, mode: Mode, ordered: bool) -> Session:
        limits = self._limits
        if len(self._sessions) >= limits.sessions:
            self.sweep()
        if limits.per_tenant is not None and self._tenants[tenant] >= limits.per_tenant:
            self.sweep()
            if self._tenants[tenant] >= limits.per_tenant:
                raise _too_many(f"the tenant has {limits.per_tenant} sessions", "max_per_tenant", limits.per_tenant)
        if len(self._sessions) >= limits.sessions and not self._evict():
            raise _too_many(f"{limits.sessions} sessions are open", "max_sessions", limits.sessions)
        session = Session(session_id, ttl_s, self._now(), tenant, mode, ordered, next(self._numbers))
        self._sessions[session_id] = session
        self._tenants[tenant] += 1
        heapq.heappush(self._expiry, (session.expires_at, session.number, session))
        return session

    def _evict(self) -> bool:
        """End the session that has been idle longest, if that is long enough to make room."""
        idle_s = self._limits.evict_idle_s
        if idle_s is None:
            return False
        for session in self._sessions.values():
            if not session.running:
                if self._now() - session.used_at < idle_s:
                    return False
                self._end(session, "evicted")
                return True
        return False


def _too_many(what: str, setting: str, limit: int) -> BridgeError:
    message = f"{what}, which is the limit; close some, or raise sessions.{setting}"
    metadata = {"limit": str(limit), "setting": f"sessions.{setting}"}
    return BridgeError(Code.RESOURCE_EXHAUSTED, "SESSION_LIMIT", message, metadata=metadata)


def _busy(session: Session, limit: int) -> BridgeError:
    message = (
        f"{limit} calls of session '{session.id}' wait or run, which is the limit; send fewer at a time, or raise "
        "sessions.max_calls"
    )
    metadata = {"session": session.id, "limit": str(limit)}
    return BridgeError(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", message, metadata=metadata, retry_after_s=0.2)


def _unknown(session_id: str) -> BridgeError:
    shown = f"session '{session_id}'" if is_id(session_id) else "a session of this id"
    message = f"{shown} is not open: it was never opened, was closed, or was without a call for its ttl"
    return BridgeError(Code.NOT_FOUND, "UNKNOWN_SESSION", message)
