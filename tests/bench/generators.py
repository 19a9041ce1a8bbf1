"""Load generators: `h2load` where it is installed, else a client on grpcio's own core.

A generator keeps a number of calls in flight on one connection for some seconds and reports what was answered. Each
checks that the replies had the expected size. Owns no state between runs.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import grpc.aio
import uvloop
from scenarios import CALL_PATH, MESSAGE_LIMIT

WARM_UP_S = 0.2


class LoadError(Exception):
    """A run gave no usable result: calls failed, or replies had another size than they should."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one run reached."""

    calls_per_s: float
    p50_s: float
    calls: int = 0
    """All that were answered, those of the warm-up included."""
    server_cpu_s: float = 0.0
    """CPU seconds of the server and its workers for one call; unlike the others, hardly touched by a busy machine."""


class Generator(Protocol):
    name: str

    def run(
        self, address: str, request: bytes, reply_bytes: int, concurrency: int, duration_s: float, sessions: int = 0
    ) -> Result:
        """Loads `address` for `duration_s` after a warm-up; raises LoadError.

        With `sessions` the calls are spread over so many connections, each with a session of its own.
        """
        ...


class H2load:
    """Debian's nghttp2-client. It knows nothing of gRPC: the five bytes before a message are written here.

    Rate and median come from its log of single requests, since its own warm-up leaves the warm-up's bytes in the
    traffic that the size check needs.
    """

    name = "h2load"

    def run(
        self, address: str, request: bytes, reply_bytes: int, concurrency: int, duration_s: float, sessions: int = 0
    ) -> Result:
        headers = [[f"x-session-id: bench-{number}"] for number in range(sessions)] or [[]]
        each = concurrency // len(headers)
        with ThreadPoolExecutor(len(headers)) as threads:
            jobs = [threads.submit(self._run, address, request, reply_bytes, each, duration_s, one) for one in headers]
            results = [job.result() for job in jobs]
        return Result(
            calls_per_s=sum(one.calls_per_s for one in results),
            p50_s=statistics.median(one.p50_s for one in results),
            calls=sum(one.calls for one in results),
        )

    def _run(
        self, address: str, request: bytes, reply_bytes: int, concurrency: int, duration_s: float, headers: list[str]
    ) -> Result:
        with tempfile.TemporaryDirectory() as folder:
            body, log = Path(folder) / "body", Path(folder) / "log"
            body.write_bytes(struct.pack(">BI", 0, len(request)) + request)
            command = [
                *("h2load", "-c", "1", "-t", "1", "-m", str(concurrency), "-w", "24", "-W", "24"),
                *("-D", f"{(WARM_UP_S + duration_s) * 1000:.0f}ms", "-d", str(body), "--log-file", str(log)),
                *("-H", "content-type: application/grpc", "-H", "te: trailers"),
                *(part for header in headers for part in ("-H", header)),
                f"http://{address}{CALL_PATH}",
            ]
            done = subprocess.run(command, capture_output=True, text=True, timeout=duration_s + 30, check=False)
            lines = log.read_text().splitlines() if log.exists() else []
        if done.returncode != 0 or not lines:
            raise LoadError(f"h2load failed with exit code {done.returncode}: {done.stdout}{done.stderr}")
        check_replies(done.stdout, reply_bytes + 5, concurrency)
        return evaluate(lines, duration_s)


def check_replies(output: str, message_bytes: int, concurrency: int) -> None:
    """Raises LoadError unless every reply in h2load's summary carried a message of the right size."""
    requests = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    traffic = re.search(r"\((\d+)\) data$", output, re.MULTILINE)
    if requests is None or traffic is None or int(requests[1]) == 0:
        raise LoadError(f"h2load reports no successful calls:\n{output}")
    if any(int(requests[group]) for group in (2, 3, 4)):
        raise LoadError(f"h2load reports failed calls: {requests[0]}")
    # Replies that were under way at the end are in the traffic and not in the count.
    surplus = int(traffic[1]) - int(requests[1]) * message_bytes
    if not 0 <= surplus <= concurrency * message_bytes:
        mean = int(traffic[1]) / int(requests[1])
        raise LoadError(f"replies had {mean:.1f} bytes on average, expected {message_bytes}: some calls failed")


def evaluate(lines: Sequence[str], duration_s: float) -> Result:
    """The rate and median of h2load's log (start in us, HTTP status, duration in us) after the warm-up."""
    calls = [(int(start), int(duration)) for start, _, duration in (line.split("\t") for line in lines)]
    begin = min(start for start, _ in calls) + WARM_UP_S * 1e6
    end = begin + duration_s * 1e6
    durations = [duration for start, duration in calls if begin <= start + duration <= end]
    if not durations:
        raise LoadError(f"no call was answered within {duration_s} s")
    p50_s = statistics.median(durations) / 1e6
    return Result(calls_per_s=len(durations) / duration_s, p50_s=p50_s, calls=len(calls))


class GrpcClient:
    """grpc.aio on uvloop, in this process. It costs more per call than the bare echo, which flatters every ratio."""

    name = "grpc.aio client"

    def run(
        self, address: str, request: bytes, reply_bytes: int, concurrency: int, duration_s: float, sessions: int = 0
    ) -> Result:
        return uvloop.run(self._load(address, request, reply_bytes, concurrency, duration_s, sessions))

    async def _load(
        self, address: str, request: bytes, reply_bytes: int, concurrency: int, duration_s: float, sessions: int
    ) -> Result:
        latencies: list[float] = []
        warm_up_calls = 0
        options = (("grpc.max_receive_message_length", MESSAGE_LIMIT), ("grpc.use_local_subchannel_pool", 1))
        names = [(("x-session-id", f"bench-{number}"),) for number in range(sessions)] or [()]
        async with AsyncExitStack() as stack:
            opened = [grpc.aio.insecure_channel(address, options=options) for _ in names]
            calls = [(await stack.enter_async_context(one)).unary_unary(CALL_PATH) for one in opened]
            begin = time.perf_counter() + WARM_UP_S
            end = begin + duration_s

            async def caller(number: int) -> None:
                nonlocal warm_up_calls
                call, metadata = calls[number % len(names)], names[number % len(names)]
                now = time.perf_counter()
                while now < end:
                    reply = await call(request, metadata=metadata)
                    started, now = now, time.perf_counter()
                    if len(reply) != reply_bytes:
                        raise LoadError(f"a reply had {len(reply)} bytes, expected {reply_bytes}")
                    if begin <= started and now <= end:
                        latencies.append(now - started)
                    else:
                        warm_up_calls += 1

            await asyncio.gather(*map(caller, range(concurrency)))
        if not latencies:
            raise LoadError(f"no call was answered within {duration_s} s")
        answered = len(latencies) + warm_up_calls
        return Result(calls_per_s=len(latencies) / duration_s, p50_s=statistics.median(latencies), calls=answered)


def choose(name: str | None = None) -> Generator:
    """The generator named `h2load` or `grpc`; without a name, h2load where it is installed."""
    if name == "h2load" or (name is None and shutil.which("h2load")):
        return H2load()
    return GrpcClient()
