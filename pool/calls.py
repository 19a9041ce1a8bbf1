"""A call inside a pool, and what the queue wants of a worker. Records and a protocol; nothing here acts by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from pool.entry import Answer
from pool.errors import PoolError
from pool.frames import CALL, Reply
from pool.streams import StreamBuffer

if TYPE_CHECKING:
    from pool.tokens import Tokens
    from pool.turns import Account, Lane

HIGH, NORMAL, LOW = 1, 0, -1
"""The priorities of calls."""


class Call:
    """A call from its submission to its end. `future` has its reply; `buffer` is set where it streams.

    `queued` is set while it waits in the queue; `lined` while it waits in the socket of `worker`, from where it may
    still be taken back. `number` is its place in the order of arrival. `launched_at` is in seconds of
    `time.perf_counter()`, 0 before. `lane` and `work_s` are the queue's while it waits; `account` and `charge_s` are
    set once it had its turn among several tenants or priorities. `context` is whatever the submitter wants to find
    again in `on_ask`, which answers what the call asks while it runs; `asking` has its asks that are not answered yet.
    """

    lane: Lane
    work_s: float
    charge_s: float

    kind = CALL
    """Of its frame, where it does not stream."""
    more = 0
    """Ids that it takes beside its own."""

    __slots__ = (
        "abandoned",
        "account",
        "asking",
        "body",
        "bucket",
        "buffer",
        "charge_s",
        "context",
        "deadline",
        "function",
        "future",
        "grace",
        "id",
        "lane",
        "launched_at",
        "lined",
        "meta",
        "number",
        "on_ask",
        "on_launch",
        "pinned",
        "priority",
        "queued",
        "tenant",
        "work_s",
        "worker",
    )

    def __init__(
        self,
        function: str,
        meta: bytes,
        body: bytes,
        deadline: float | None,
        future: asyncio.Future[Reply],
        stream: bool = False,
        on_launch: Callable[[str], None] | None = None,
        priority: int = NORMAL,
        tenant: str = "",
    ) -> None:
        self.function = function
        self.meta = meta
        self.body = body
        self.deadline = deadline
        self.future = future
        self.on_launch = on_launch
        self.priority = priority
        self.tenant = tenant
        self.account: Account | None = None
        self.buffer = StreamBuffer(future) if stream else None
        self.worker: Slots | None = None
        self.pinned: str | None = None
        self.asking: dict[int, asyncio.Handle | asyncio.Task[Answer]] | None = None
        self.on_ask: AskHandler | None = None
        self.context: object = None
        self.grace: asyncio.TimerHandle | None = None
        self.lined = self.queued = self.abandoned = False
        self.bucket: set[Call] | None = None
        self.id = self.number = 0
        self.launched_at = 0.0

    def arm(self, tokens: Tokens) -> None:
        """Give each member a token, where it is a pack that is about to be sent."""

    def sift(self, check: Callable[[str, bytes], PoolError | None]) -> PoolError | None:
        """Return why `check` refuses a call that waits, by function and body."""
        return check(self.function, self.body)

    def fail(self, error: PoolError) -> None:
        """End a call that has no reply, unless it has ended."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # a caller that has left must not make asyncio complain


AskHandler = Callable[[Call, str, bytes], Answer | Coroutine[Any, Any, Answer]]
"""Answers what a running call asks: (call, name, bytes) to (ok, bytes), at once or awaited."""


class Slots(Protocol):
    """A worker as the queue sees it. `free` is how many more calls it may be given now."""

    @property
    def id(self) -> str:
        """Its name, unique within the pool."""
        ...

    @property
    def answered(self) -> int:
        """Calls that have ended on it: what does not grow does not move."""
        ...

    @property
    def free(self) -> int:
        """Slots that are not taken."""
        ...

    @property
    def lined(self) -> int:
        """Calls that are lined up behind those that run."""
        ...

    @property
    def line_room(self) -> int:
        """How many more calls may be lined up now; 0 where a slot is free."""
        ...

    def take(self) -> None:
        """Reserve a slot."""
        ...

    def launch(self, call: Call) -> None:
        """Send a call into a taken slot; its end gives the slot back."""
        ...

    def line_up(self, call: Call) -> None:
        """Send a call ahead of its turn."""
        ...

    def take_back(self, *, pinned: bool = True) -> Call | None:
        """Return the call that was lined up last, or None where it can not be had any more, or is `pinned`."""
        ...

    def expire(self, call: Call) -> None:
        """End a running call whose deadline has passed."""
        ...

    def abandon(self, call: Call) -> None:
        """Say that nobody waits for a running call any more."""
        ...
