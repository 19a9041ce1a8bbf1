"""Puts load on a server: closed loops (so many calls at a time) and open ones (so many a second, at random times).

Owns the channel of one run. In an open loop a call's latency counts from when it was due, so that a server that stands
still is not spared the calls that came meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import uvloop

from bridge.cli.benchmark_figures import Step
from bridge.cli.connection import channel_arguments, encoded_details, read_details, read_trailers
from bridge.cli.ways_in import way_in_of

WARM_UP_S = 0.3
SAMPLED = 8
"""Of so many calls the receipt of one is read: to read all would slow the client."""
MOST_OPEN = 10_000
"""Calls of an open loop that may be in flight; those beyond it are counted as errors."""
SEED = 20
AFTER_ERROR_S = 0.01
"""A closed loop pauses so long after a call that failed: failures are quick, and are not to make the load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One call, to be made again and again."""

    path: str
    request: bytes
    streaming: bool
    timeout_s: float


def run_step(address: str, work: Work, step: Step, seconds: float, tick: Callable[[float], None]) -> Step:
    """Put a load on a server for some seconds, after a warm-up; `tick` gets the seconds that have passed."""
    return uvloop.run(_Run(address, work, step, seconds, tick).run())


def _channel(address: str, options: list[tuple[str, int]]) -> Any:
    credentials = way_in_of(address).credentials()
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=options)
    return grpc.aio.secure_channel(address, credentials, options=options)


class _Run:
    def __init__(self, address: str, work: Work, step: Step, seconds: float, tick: Callable[[float], None]) -> None:
        self._address = address
        self._metadata = way_in_of(address).metadata()
        self._work = work
        self._measured = step
        self._seconds = seconds
        self._tick = tick
        self._calls = 0
        self._begin = 0.0
        self._end = 0.0

    async def run(self) -> Step:
        options = [*channel_arguments(self._address), ("grpc.use_local_subchannel_pool", 1)]
        async with _channel(self._address, options) as channel:
            self._call: Any = (channel.unary_stream if self._work.streaming else channel.unary_unary)(self._work.path)
            self._begin = time.perf_counter() + WARM_UP_S
            self._end = self._begin + self._seconds
            ticking = asyncio.create_task(self._keep_ticking())
            if self._measured.rate is not None:
                await self._open_loop(self._measured.rate)
            else:
                await asyncio.gather(*(self._closed_loop() for _ in range(self._measured.concurrency or 1)))
            ticking.cancel()
        self._measured.seconds = self._seconds
        return self._measured

    async def _keep_ticking(self) -> None:
        cpu_s = None
        while True:
            await asyncio.sleep(0.1)
            now = time.perf_counter()
            if now >= self._begin:
                cpu_s = time.process_time() if cpu_s is None else cpu_s
                self._measured.client_cpu_s = time.process_time() - cpu_s
                self._tick(min(now - self._begin, self._seconds))

    async def _closed_loop(self) -> None:
        while (now := time.perf_counter()) < self._end:
            if not await self._one(now):
                await asyncio.sleep(AFTER_ERROR_S)

    async def _open_loop(self, rate: float) -> None:
        due, loop = time.perf_counter(), asyncio.get_running_loop()
        chance = random.Random(SEED)  # noqa: S311 (arrivals, no secrets; the same in every run)
        running: set[asyncio.Task[bool]] = set()
        while due < self._end:
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if len(running) < MOST_OPEN:
                # a timer may be early: then the call counts from when it is sent
                task = loop.create_task(self._one(min(due, time.perf_counter())))
                running.add(task)
                task.add_done_callback(running.discard)
            else:
                self._failed(due, "NOT_SENT: too many calls in flight in this client")
            due += chance.expovariate(rate)
        if running:
            await asyncio.wait(running)

    async def _one(self, due: float) -> bool:
        """Make a call that was due at that time and count it, unless it belongs to the warm-up; False on failure."""
        try:
            call = self._call(self._work.request, timeout=self._work.timeout_s, metadata=self._metadata)
            if self._work.streaming:
                async for _ in call:
                    pass
            else:
                await call
        except grpc.RpcError as error:
            self._failed(due, reason_of(error))
            return False
        now = time.perf_counter()
        if due < self._begin or (now > self._end and self._measured.rate is None):
            return True
        latency_s = now - due
        self._measured.latencies.add(latency_s)
        self._calls += 1
        if self._calls % SAMPLED == 1:
            receipt = read_trailers(await call.trailing_metadata()).receipt
            if receipt is not None:
                parts = (receipt.total_us, receipt.queue_us, receipt.worker_us, receipt.model_us)
                self._measured.split.add(latency_s, *(part / 1e6 for part in parts))
        return True

    def _failed(self, due: float, reason: str) -> None:
        if due >= self._begin:
            self._measured.errors[reason] += 1


def reason_of(error: Any) -> str:
    """Return a failed call's status code and, where the bridge gave one, its reason."""
    details = read_details(encoded_details(error))
    return f"{error.code().name} {details.reason}".strip()
