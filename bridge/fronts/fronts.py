"""The fronts of a server: processes that take gRPC on one port, and pass every request on to this one.

Stands where `server.GrpcServer` stands with one front, with the same handlers. Owns the claim on the port, the fronts
and when one that has ended is replaced. Everything else, sessions, limits, health, metrics, stays one: it is in the
handlers, which run here.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from bridge.doors.failures import AddressInUse, ListenFailed
from bridge.fronts import wire
from bridge.fronts.front import LOOK_S, Front
from bridge.fronts.port import Claim
from bridge.fronts.served import Handlers
from bridge.telemetry import log
from pool.restart import Backoff, RestartOptions

if TYPE_CHECKING:
    from bridge.config import ServerConfig
    from bridge.doors.identity import TlsIdentity
    from bridge.server import Conversation, ServerOptions, Streaming, Unary

START_S = 60.0
"""How long a front may take to serve."""
END_S = 3.0
"""How much longer than it was given a front may take to end."""
SETTLED_S = 10.0
"""A front that has served so long ends its place's row of failures."""
HEALTH_LAST = {"/grpc.health.v1.Health/Check": b"\x08\x02", "/grpc.health.v1.Health/Watch": b"\x08\x02"}
"""What a front that has lost main says of its health: a HealthCheckResponse with NOT_SERVING."""


class Place:
    """Where one front stands after the other; at most one at a time."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.front: Front | None = None
        self.ends = 0
        """Fronts of this place that have ended although they were to serve."""
        self.backoff = Backoff(RestartOptions(), random.random)


class Fronts:
    """So many fronts. `start` once, then `serve`, then `stop`; `stop` alone is always safe."""

    def __init__(self, count: int, fatal: Callable[[BaseException], None]) -> None:
        """Make them; `fatal` is told of a bug in their supervision and must end the process."""
        self._fatal = fatal
        self._places = [Place(number) for number in range(count)]
        self._made = 0
        self._claim: Claim | None = None
        self._handlers: Handlers | None = None
        self._setup: wire.Setup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False

    def start(self, address: str) -> None:
        """Claim the port and start the processes, which import while the pools do. Raises ListenFailed."""
        try:
            self._claim = Claim(address)
        except OSError as error:
            raise AddressInUse(f"can not listen on {address}: {error.strerror or error}") from None
        for place in self._places:
            self._start(place)

    async def serve(
        self,
        options: ServerOptions,
        unary: Mapping[str, Unary],
        streaming: Mapping[str, Streaming],
        conversations: Mapping[str, Conversation],
        slow_reader_timeout_s: float,
    ) -> str:
        """Let the fronts serve; return the address with its real port once all do. Raises ListenFailed."""
        assert self._claim is not None
        self._handlers = Handlers(unary, streaming, conversations)
        self._setup = wire.Setup(
            address=self._claim.address,
            max_message_bytes=options.max_message_bytes,
            keepalive_time_s=options.keepalive_time_s,
            keepalive_timeout_s=options.keepalive_timeout_s,
            slow_reader_timeout_s=slow_reader_timeout_s,
            unary=self._handlers.unary,
            streaming=self._handlers.streaming,
            conversations=self._handlers.conversations,
            lost=HEALTH_LAST,
            tls=options.tls,
        )
        for place in self._places:
            if place.front is None:  # it has ended while the pools started: whatever it was may be over
                self._start(place)
        problems = await asyncio.gather(*(self._let_serve(front) for front in self.fronts))
        if any(problems):
            raise ListenFailed(next(filter(None, problems)))
        self._run(self._watch())
        return self._claim.address

    def serves(self, paths: Sequence[str]) -> bool:
        """Whether the fronts know all these paths; they learn them when they start."""
        known = {*self._handlers.unary, *self._handlers.streaming} if self._handlers is not None else set()
        return known.issuperset(paths)

    def renew(self, config: ServerConfig) -> None:
        """Take over settings that a reload has changed."""
        if self._setup is not None:
            self._renew(wire.Renew(config.slow_reader_timeout_s, self._setup.tls))

    def renew_tls(self, identity: TlsIdentity) -> None:
        """Show this identity from the next TLS handshake on."""
        if self._setup is not None:
            self._renew(wire.Renew(self._setup.slow_reader_timeout_s, identity))

    def _renew(self, renewed: wire.Renew) -> None:
        assert self._setup is not None
        self._setup = wire.changed(self._setup, renewed)
        for front in self.fronts:
            front.renew(renewed)

    @property
    def fronts(self) -> list[Front]:
        """Those that there are now, in the order of their places."""
        return [place.front for place in self._places if place.front is not None]

    @property
    def restarts(self) -> int:
        """How many fronts have ended although they were to serve."""
        return sum(place.ends for place in self._places)

    def drain(self) -> None:
        """Replace no front from now on: no more calls are taken."""
        self._draining = True

    async def stop(self, grace_s: float) -> None:
        """End the fronts: each sends what it has to send, within `grace_s`. Then let the port go."""
        self._draining = True
        for task in self._tasks:
            task.cancel()
        fronts = self.fronts
        for front in fronts:
            front.stop(grace_s)
        try:
            async with asyncio.timeout(grace_s + END_S):
                await asyncio.gather(*(front.ended.wait() for front in fronts))
        except TimeoutError:
            for front in fronts:
                front.kill("did not end in time")
            await asyncio.gather(*(front.ended.wait() for front in fronts))
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def _start(self, place: Place) -> None:
        self._made += 1
        try:
            place.front = Front(
                f"front-{self._made}", place.ends, partial(self._ended, place), _line, lambda: self._draining
            )
        except OSError as error:
            raise ListenFailed(f"a front could not be started: {error}") from None

    async def _let_serve(self, front: Front) -> str:
        assert self._setup is not None
        assert self._handlers is not None
        try:
            async with asyncio.timeout(START_S):
                return await front.setup(self._setup, self._handlers)
        except TimeoutError:
            front.kill(f"did not serve after {START_S:.0f} s")
            return f"{front.name} did not serve after {START_S:.0f} s"

    def _ended(self, place: Place, front: Front, cause: str) -> None:
        """A front has ended. Those of its clients' calls that ran have been ended too."""
        place.front = None
        if self._draining or self._setup is None:
            return
        place.ends += 1
        if time.monotonic() - front.started_at >= SETTLED_S:
            place.backoff.clear()
        pause_s = place.backoff.failed()
        again = f"another one starts in {pause_s:.1f} s" if pause_s else "another one starts"
        log(logging.WARNING, f"front ended: {cause}; its connections are lost, {again}", front=front.name)
        self._run(self._replace(place, pause_s))

    async def _replace(self, place: Place, pause_s: float) -> None:
        await asyncio.sleep(pause_s)
        try:
            self._start(place)
        except ListenFailed as error:
            log(logging.ERROR, str(error))
            self._run(self._replace(place, place.backoff.failed() or SETTLED_S))
            return
        front = place.front
        assert front is not None
        if problem := await self._let_serve(front):
            log(logging.ERROR, f"front does not serve: {problem}", front=front.name)
            front.kill(problem)
        else:
            log(logging.INFO, "front serves", front=front.name)

    async def _watch(self) -> None:
        """Look at the fronts, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            for front in self.fronts:
                front.look()

    def _run(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fatal(error)


def _line(front: str, line: str) -> None:
    log(logging.WARNING, line, front=front)
