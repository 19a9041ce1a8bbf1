"""Runs of programs that outlive their stream: kept for a while, so that a client that was cut off can take them up.

Owns the resumable runs: their events, bounded in number, bytes and time, and the task that reads them from the worker.
A run belongs to its tenant and to whoever knows its token. Only requests that ask for it come here; every other stream
goes its usual way.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import aclosing
from math import inf
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from bridge.errors import BridgeError, Code, malformed
from bridge.interceptors.errors import guard_nested, guard_shown
from bridge.interceptors.identity import identify
from bridge.programs.resume_run import Reader, Run
from bridge.servicers.forward import PACKAGE
from bridge.servicers.local import local_of_tenant
from bridge.v1 import program_pb2 as pb
from handlers.values.outgoing import varint

if TYPE_CHECKING:
    from bridge.call import Call
    from bridge.dispatch import Dispatcher
    from bridge.server import Answer, Metadata, Streaming, Unary, Write
    from bridge.settings.program_table import ProgramsConfig
    from bridge.telemetry import Telemetry
    from bridge.upkeep.slow_readers import SlowReaders

STREAM_RUN, RESUME_RUN, CANCEL_RUN = "ProgramService/StreamRun", "ProgramService/ResumeRun", "ProgramService/CancelRun"
_ASKS = b"\x40\x01"
"""`resumable` as it stands in a request that sets it; other requests may hold these bytes by chance."""
_TOKEN = b"\xa2\x01"
"""The tag of `resume_token`."""
_EVENT = b"\x0a"
"""The tag of the event in a ResumeRunResponse."""
Begin = Callable[[str, bytes, "Metadata", float | None], "Call"]
Shown = tuple["Call", BridgeError | None]


class ResumableRuns:
    """The resumable runs of one server."""

    def __init__(
        self,
        begin: Begin,
        dispatcher: Dispatcher,
        telemetry: Telemetry,
        readers: SlowReaders,
        limits: Callable[[], ProgramsConfig],
    ) -> None:
        self._begin = begin
        self._dispatcher = dispatcher
        self._telemetry = telemetry
        self._readers = readers
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._runs: dict[str, Run] = {}

    def streams(self, others: Mapping[str, Streaming]) -> dict[str, Streaming]:
        """Return the streams by path; that of `others` answers StreamRun for those that do not ask to resume."""
        usual = others[PACKAGE + STREAM_RUN]
        kept = guard_shown(STREAM_RUN, self._start, self._telemetry)

        async def stream_run(request: bytes, metadata: Metadata, remaining_s: float | None, write: Write) -> Answer:
            handler = kept if _ASKS in request and _asks(request) else usual
            return await handler(request, metadata, remaining_s, write)

        resume = guard_shown(RESUME_RUN, self._resume, self._telemetry)
        return {PACKAGE + STREAM_RUN: stream_run, PACKAGE + RESUME_RUN: resume}

    def unary(self) -> dict[str, Unary]:
        """Return the other RPCs by path."""
        return {PACKAGE + CANCEL_RUN: local_of_tenant(CANCEL_RUN, pb.CancelRunRequest, self._cancel, self._telemetry)}

    async def _start(self, request: bytes, metadata: Metadata, remaining_s: float | None, write: Write) -> Shown:
        call = self._begin(STREAM_RUN, request, metadata, remaining_s)
        self._make_room()
        limits, token = self._limits(), secrets.token_urlsafe(24)
        run = self._runs[token] = Run(token, call, limits.resume_max_events, limits.resume_max_bytes)
        run.task = self._loop.create_task(guard_nested(self._pump(run), call, self._telemetry))
        run.task.add_done_callback(run.ended)
        reader = Reader(0)
        try:
            return await self._show(run, reader, write, call.deadline)
        finally:
            if not reader.may_know:  # nobody knows its token
                self._forget(run)

    async def _pump(self, run: Run) -> None:
        """Read a run's events from its worker."""
        async with aclosing(self._dispatcher.stream(run.call)) as batches:
            async for messages in batches:
                for message in messages:
                    first = run.last == 0
                    await run.add(message + _field(_TOKEN, run.token.encode()) if first else message)

    async def _resume(self, request: bytes, metadata: Metadata, _remaining_s: float | None, write: Write) -> Shown:
        identity = identify(metadata)
        try:
            asked = pb.ResumeRunRequest.FromString(request)
        except DecodeError:
            raise malformed("ResumeRunRequest") from None
        run = self._find(asked.token, identity.tenant)
        run.check(asked.after_sequence)

        async def wrapped(message: bytes) -> None:
            await write(_field(_EVENT, message))

        return await self._show(run, Reader(asked.after_sequence), wrapped, inf)

    async def _show(self, run: Run, reader: Reader, write: Write, deadline: float) -> Shown:
        """Write a run's events to one client, until the run has ended."""
        run.attach(reader)
        try:
            with self._readers.stream(deadline) as writing:
                while True:
                    news = run.news
                    if (message := run.after(reader.after)) is not None:
                        writing.since = self._loop.time()
                        reader.may_know = True
                        await write(message)
                        writing.since = None
                        reader.after += 1
                        run.read()
                    elif run.is_over:
                        return run.call, run.failure
                    else:
                        await news.wait()
        finally:
            if run.detach(reader):
                run.expiry = self._loop.call_later(self._limits().resume_ttl_s, self._forget, run)

    def _cancel(self, request: pb.CancelRunRequest, tenant: str) -> pb.CancelRunResponse:
        run = self._find(request.token, tenant)
        return pb.CancelRunResponse(cancelled=run.cancel())

    def _find(self, token: str, tenant: str) -> Run:
        run = self._runs.get(token)
        if run is None or run.call.identity.tenant != tenant:
            message = (
                "there is no run with this token: it was not taken up within programs.resume_ttl_s "
                f"({self._limits().resume_ttl_s:g} s), the server was started anew, or it is another tenant's"
            )
            raise BridgeError(Code.NOT_FOUND, "RESUME_EXPIRED", message)
        return run

    def _make_room(self) -> None:
        """Forget runs that have ended and that nobody reads, the oldest first, where there are too many."""
        limit = self._limits().resume_max_runs
        for run in [run for run in self._runs.values() if run.is_over and not run.readers]:
            if len(self._runs) < limit:
                break
            self._forget(run)
        if len(self._runs) >= limit:
            message = f"there are {len(self._runs)} resumable runs, as many as programs.resume_max_runs allows"
            raise BridgeError(Code.RESOURCE_EXHAUSTED, "RESUME_LIMIT", message, retry_after_s=1.0)

    def _forget(self, run: Run) -> None:
        """End a run that nobody waits for any more."""
        self._runs.pop(run.token, None)
        run.cancel()
        if run.expiry is not None:
            run.expiry.cancel()


def _asks(request: bytes) -> bool:
    try:
        return pb.StreamRunRequest.FromString(request).resumable
    except DecodeError:
        return False  # the worker says what is wrong with it


def _field(tag: bytes, data: bytes) -> bytes:
    return b"".join((tag, varint(len(data)), data))
