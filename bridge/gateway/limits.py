"""How many requests and tokens a model may take in a minute, and how many requests at a time.

Exact: in no sixty seconds do more requests begin, or more tokens get reserved, than is allowed, whichever worker asks.
A request that is under way counts as it was reserved, and as what it has used once that is known. Who has to wait
stands in line in the order of arrival. Owns the line and the log of the last minute; the clock and the timer are given
to it.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bridge.errors import BridgeError, Code

if TYPE_CHECKING:
    from bridge.settings.model_tables import ModelConfig

WINDOW_S = 60.0
RETRY_S = 1.0
"""What a caller is told to wait where it is not known when a running request ends."""
Later = Callable[[float, Callable[[], None]], asyncio.TimerHandle]
"""Calls something in so many seconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model may take; None for no limit."""

    requests: int | None = None
    tokens: int | None = None
    at_once: int | None = None

    @classmethod
    def of(cls, model: ModelConfig) -> Limits:
        """Return those of the configuration."""
        return cls(model.requests_per_minute, model.tokens_per_minute, model.max_concurrent)

    def __bool__(self) -> bool:
        return (self.requests, self.tokens, self.at_once) != (None, None, None)


class Entry:
    """One request that has begun. `tokens` are those that count."""

    __slots__ = ("at", "ended", "tokens")

    def __init__(self, at: float, tokens: int) -> None:
        self.at = at
        self.tokens = tokens
        self.ended = False


class Window:
    """The requests of the last minute and those that run. No line, no waiting: it only says how long to wait."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.running = 0
        self.tokens = 0
        """Those of the entries in the log."""
        self.log: deque[Entry] = deque()

    def wait_s(self, now: float, tokens: int) -> float:
        """Return the seconds until such a request might begin; 0 for now, infinity for when another one ends.

        One that wants more tokens than a minute has may begin once there was none for a minute.
        """
        self._forget(now)
        limits, log = self.limits, self.log
        if limits.at_once is not None and self.running >= limits.at_once:
            return math.inf
        until = now
        if limits.requests is not None and len(log) >= limits.requests:
            until = log[len(log) - limits.requests].at + WINDOW_S
        if limits.tokens is not None and self.tokens and self.tokens + tokens > limits.tokens:
            until = max(until, self._tokens_at(limits.tokens - tokens))
        return max(0.0, until - now)

    def begin(self, now: float, tokens: int) -> Entry:
        """Let a request begin."""
        self.running += 1
        entry = Entry(now, tokens)
        if self.limits.requests is not None or self.limits.tokens is not None:
            self.log.append(entry)
            self.tokens += tokens
        return entry

    def end(self, entry: Entry, tokens: int | None) -> None:
        """Let it end; None where it is not known what it has used."""
        if entry.ended:
            return
        entry.ended = True
        self.running -= 1
        if tokens is not None and self.log and entry.at >= self.log[0].at:
            self.tokens += tokens - entry.tokens
            entry.tokens = tokens

    def _forget(self, now: float) -> None:
        while self.log and self.log[0].at + WINDOW_S <= now:
            self.tokens -= self.log.popleft().tokens

    def _tokens_at(self, allowed: int) -> float:
        """Return when no more than so many tokens are left of the log."""
        left = self.tokens
        for entry in self.log:
            left -= entry.tokens
            if left <= allowed or left <= 0:
                return entry.at + WINDOW_S
        return 0.0


class Limiter:
    """The window of one model, and who waits for it."""

    def __init__(self, name: str, limits: Limits, clock: Callable[[], float], later: Later) -> None:
        self.window = Window(limits)
        self.refused = 0
        self.waited = 0
        self._name = name
        self._clock = clock
        self._later = later
        self._line: deque[tuple[int, asyncio.Future[Entry]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._line)

    def last_minute(self) -> tuple[int, int]:
        """Return how many requests, and tokens, there were in the last minute, where either is limited."""
        self.window.wait_s(self._clock(), 0)
        return len(self.window.log), self.window.tokens

    async def enter(self, tokens: int, patience_s: float) -> Entry:
        """Let a request begin, after a wait of at most so many seconds. Raises MODEL_RATE_LIMITED."""
        now = self._clock()
        wait_s = self.window.wait_s(now, tokens)
        if not self._line and wait_s == 0.0:
            return self.window.begin(now, tokens)
        if patience_s <= 0 or (wait_s > patience_s and not math.isinf(wait_s)):
            raise self._limited(wait_s)
        future: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        place = (tokens, future)
        self._line.append(place)
        self.waited += 1
        self._serve()
        timer = self._later(patience_s, lambda: self._too_late(future))
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.leave(future.result(), None)
            raise
        finally:
            timer.cancel()
            if place in self._line:
                self._line.remove(place)
                self._serve()

    def leave(self, entry: Entry, tokens: int | None) -> None:
        """Let a request end, which has used so many tokens; None where that is not known."""
        self.window.end(entry, tokens)
        self._serve()

    def _serve(self) -> None:
        """Let begin whose turn has come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._line:
            tokens, future = self._line[0]
            if future.done():
                self._line.popleft()
                continue
            now = self._clock()
            wait_s = self.window.wait_s(now, tokens)
            if wait_s > 0:
                if not math.isinf(wait_s):
                    self._timer = self._later(wait_s, self._serve)
                return
            self._line.popleft()
            future.set_result(self.window.begin(now, tokens))

    def _too_late(self, future: asyncio.Future[Entry]) -> None:
        if not future.done():
            future.set_exception(self._limited(self.window.wait_s(self._clock(), 0)))

    def _limited(self, wait_s: float) -> BridgeError:
        self.refused += 1
        limits, window = self.window.limits, self.window
        known = {
            "requests_per_minute": (limits.requests, len(window.log)),
            "tokens_per_minute": (limits.tokens, window.tokens),
            "max_concurrent": (limits.at_once, window.running),
        }
        told = ", ".join(f"{name} is {most} ({taken} taken)" for name, (most, taken) in known.items() if most)
        retry_s = RETRY_S if math.isinf(wait_s) else max(wait_s, 0.001)
        message = (
            f"the limits of models.{self._name} leave no room for a request in time: {told}, {len(self._line)} "
            "waiting; raise them, allow more time (max_wait_s, the call's deadline), or ask less often"
        )
        metadata = {"model": self._name} | {name: str(most) for name, (most, _) in known.items() if most}
        return BridgeError(
            Code.RESOURCE_EXHAUSTED, "MODEL_RATE_LIMITED", message, metadata=metadata, retry_after_s=retry_s
        )
