"""Answers of one model that are kept for a while, and the questions that are being asked: each once, whoever asks.

A question is asked by the first who comes; those who come while it is asked wait for its answer. Failures are not kept:
those who waited share the failure of the provider, and where who asked has gone, the next of them asks. Owns the
answers, within a bound of bytes, and the questions that are open. It knows bytes and digests, not what they mean.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

ENTRY_BYTES = 300
"""What an answer takes beside its own bytes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and for whom it was made. `made_at` is on the cache's clock."""

    data: bytes
    made_at: float
    origin: str


@dataclass(slots=True, eq=False)
class Flight:
    """A question that is being asked, and who waits for its answer: None tells one of them to ask it."""

    key: bytes
    origin: str
    waiting: deque[asyncio.Future[Answer | None]] = field(default_factory=deque)

    def pass_on(self) -> bool:
        """Let the next who waits ask; return whether there is one."""
        while self.waiting:
            future = self.waiting.popleft()
            if not future.done():
                future.set_result(None)
                return True
        return False


class AnswerCache:
    """The answers of one model."""

    def __init__(self, ttl_s: float, most_bytes: int, clock: Callable[[], float]) -> None:
        self.ttl_s = ttl_s
        self.bytes = 0
        self.hits = self.shared = self.misses = 0
        self._most_bytes = most_bytes
        self._clock = clock
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()
        self._flights: dict[bytes, Flight] = {}

    def __len__(self) -> int:
        return len(self._answers)

    async def find(self, key: bytes, origin: str) -> Answer | Flight:
        """Return the answer, after waiting for it where it is asked for; or a flight, for who has to ask.

        Raises the failure of who has asked, where that is everybody's.
        """
        if (known := self._known(key)) is not None:
            self.hits += 1
            return known
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = Flight(key, origin)
            self.misses += 1
            return flight
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        flight.waiting.append(future)
        try:
            found = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None and future.result() is None:
                self.give_up(flight)
            raise
        if found is None:
            self.misses += 1
            flight.origin = origin
            return flight
        self.shared += 1
        return found

    def answered(self, flight: Flight, data: bytes) -> None:
        """Keep an answer and give it to who waits; where it is none to keep, the next of them asks."""
        if not data:
            self.give_up(flight)
            return
        self._close(flight)
        answer = Answer(data, self._clock(), flight.origin)
        self._keep(flight.key, answer)
        for future in flight.waiting:
            if not future.done():
                future.set_result(answer)

    def failed(self, flight: Flight, error: Exception) -> None:
        """Give a failure to who waits."""
        self._close(flight)
        for future in flight.waiting:
            if not future.done():
                future.set_exception(error)

    def give_up(self, flight: Flight) -> None:
        """Say that who has asked will never tell: the next who waits asks."""
        if not flight.pass_on():
            self._close(flight)

    def _close(self, flight: Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    def _known(self, key: bytes) -> Answer | None:
        known = self._answers.get(key)
        if known is None:
            return None
        if self._clock() - known.made_at >= self.ttl_s:
            self._drop(key)
            return None
        self._answers.move_to_end(key)
        return known

    def _keep(self, key: bytes, answer: Answer) -> None:
        self._drop(key)
        size = len(answer.data) + ENTRY_BYTES
        if size > self._most_bytes:
            return
        self._answers[key] = answer
        self.bytes += size
        while self.bytes > self._most_bytes:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: bytes) -> None:
        known = self._answers.pop(key, None)
        if known is not None:
            self.bytes -= len(known.data) + ENTRY_BYTES
