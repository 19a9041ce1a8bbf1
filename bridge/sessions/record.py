"""What a session is: its record, its limits, and the names of its modes and ends. Pure."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Literal

from bridge.errors import BridgeError, Code
from bridge.sessions.variables import VariableLimits

if TYPE_CHECKING:
    from bridge.sessions.line import Line
    from bridge.sessions.variables import Variables

ID_RULE = "expected 1 to 128 letters, digits, '.', '_', ':' or '-'"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")

Mode = Literal["hint", "strict"]
Ended = Literal["closed", "expired", "evicted", "moved"]


def is_id(text: str) -> bool:
    """Return whether a session may have this id."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How many sessions there may be, and for how long. Seconds."""

    ttl_s: float = 3600.0
    sessions: int = 10_000
    per_tenant: int | None = None
    calls: int = 128
    """Calls of one session that may wait or run at a time: all go to one worker, and share its pool's queue."""
    evict_idle_s: float | None = None
    """At the limit, a session that has been idle this long makes room; None refuses instead."""
    variables: VariableLimits = field(default_factory=VariableLimits)


class Session:
    """One session. `workers` has its worker in each pool that it has used; `used_at` is monotonic."""

    __slots__ = (
        "calls",
        "ended",
        "epoch",
        "id",
        "line",
        "lost",
        "lost_worker",
        "mode",
        "number",
        "opened_at",
        "ordered",
        "programs",
        "running",
        "tenant",
        "ttl_s",
        "used_at",
        "variables",
        "workers",
    )

    def __init__(
        self,
        session_id: str,
        ttl_s: float,
        now: float,
        tenant: str = "",
        mode: Mode = "hint",
        ordered: bool = False,
        number: int = 0,
    ) -> None:
        self.id = session_id
        self.ttl_s = ttl_s
        self.tenant = tenant
        self.mode = mode
        self.ordered = ordered
        self.number = number
        self.opened_at = time.time()
        self.used_at = now
        self.workers: dict[str, str] = {}
        self.epoch = 0
        self.calls = 0
        self.running = 0
        """Calls that wait or run: a session with such does not expire."""
        self.lost = ""
        """Why a strict session is refused, as the reason of its error."""
        self.lost_worker = ""
        self.ended: Ended | Literal[""] = ""
        self.programs: dict[str, int] | None = None
        """The definitions, by their numbers, of the created programs that it has run: it stays with them."""
        self.variables: Variables | None = None
        self.line: Line | None = None
        """Where its calls stand in line, if they are to run in order."""

    @property
    def expires_at(self) -> float:
        """When it ends unless it is used before, on the clock of `used_at`."""
        return inf if self.running else self.used_at + self.ttl_s

    def ran_on(self, pool: str, worker: str) -> None:
        """Take note of the worker that serves the session now; another one than before raises the epoch."""
        before = self.workers.get(pool)
        if before != worker:
            self.workers[pool] = worker
            if before is not None:
                self.epoch += 1

    def refusal(self) -> BridgeError:
        """Return the error of a call of a strict session whose worker is lost."""
        metadata = {"session": self.id, "worker": self.lost_worker}
        anew = "what it kept there is gone; close the session and open it anew"
        if self.lost == "SESSION_MOVED":
            message = f"worker {self.lost_worker}, to which the session is bound, was retired: {anew}"
            return BridgeError(Code.ABORTED, "SESSION_MOVED", message, metadata=metadata)
        message = f"worker {self.lost_worker}, to which the session is bound, has died: {anew}"
        return BridgeError(Code.ABORTED, "SESSION_LOST", message, metadata=metadata)
