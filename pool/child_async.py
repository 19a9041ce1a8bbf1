"""A worker process for many calls at a time: an event loop for async functions, bounded threads for the others.

Loaded by `pool.child` only in pools whose concurrency is above 1, so that the others never import asyncio. A cancel
cancels the task of an async function and raises an exception in the thread of any other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from pool import frames, heap
from pool.asking import ASKING_CALL, ENDED, Deliver, check_size, following, refuse_on_loop, settle
from pool.entry import Answer, Entry, Result
from pool.errors import AskRefused, CallCancelled
from pool.frames import Request
from pool.idle import KeptMemory
from pool.offload import Offload, raise_in_thread, wait
from pool.own_memory import PAGE_BYTES, rss_pages, rss_reader
from pool.reader import FrameReader

THREADS = 32
WRITE_S = 3600.0


def serve(sock: socket.socket, reader: FrameReader, entry: Entry) -> int:
    """Answer calls until the front says stop or goes away."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Concurrent(sock, reader, entry).serve())
    os._exit(0)  # a thread of user code that never ends must not hold the process


class _Running:
    """A call in flight: its task, or its job and the thread that runs it, and the room of its stream."""

    __slots__ = ("asks", "begun", "cancelled", "credit", "job", "lock", "room", "task", "thread")

    def __init__(self) -> None:
        self.begun = False
        self.cancelled = False
        self.task: asyncio.Task[None] | None = None
        self.job: Future[Result] | None = None
        self.thread: int | None = None
        self.credit = frames.STREAM_WINDOW
        self.lock = threading.Lock()
        self.asks: dict[int, Deliver] | None = None
        self.room: SimpleQueue[None] = SimpleQueue()
        """Wakes the thread that waits for credit. Both are C code: an exception raised in a thread while it is inside
        of `threading.Condition` could leave that locked."""


def _end_on_bug(task: asyncio.Task[None]) -> None:
    """End this worker where answering itself failed: a call without an answer would wait for ever."""
    if not task.cancelled() and (error := task.exception()) is not None:
        traceback.print_exception(error)
        os._exit(70)


class _InThread:
    """Marks that a call runs in this thread, so that a cancel reaches it and no other call.

    Raises CallCancelled where the cancel came before the thread did.
    """

    def __init__(self, running: _Running) -> None:
        self._running = running
        self._ident = threading.get_ident()

    def __enter__(self) -> None:
        with self._running.lock:
            if self._running.cancelled:
                raise CallCancelled
            self._running.thread = self._ident

    def __exit__(self, *_: object) -> None:
        with self._running.lock:
            self._running.thread = None
            raise_in_thread(self._ident, None)


class Concurrent:
    """The event loop of a worker with many calls in flight."""

    def __init__(self, sock: socket.socket, reader: FrameReader, entry: Entry) -> None:
        self._sock = sock
        self._reader = reader
        self._entry = entry
        self._calls: dict[int, _Running] = {}
        self._statm = rss_reader()
        self._alone: _Running | None = None
        """The call that has run without any other from its start on: the worker's memory change is its own."""
        self._pages = 0
        self._kept = KeptMemory(self._statm)
        self._look: asyncio.TimerHandle | None = None
        self._stop = asyncio.Event()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="call")
        self._write = threading.Lock()
        self._room_made: dict[int, asyncio.Event] = {}
        self._last_ask = 0
        self.in_thread = Offload().run
        if (bind := getattr(entry, "bind", None)) is not None:
            bind(self)

    async def serve(self) -> None:
        """Read frames as they come; ends with the front or at its word."""
        self._loop = self.loop = asyncio.get_running_loop()
        self._sock.settimeout(WRITE_S)  # the loop makes the descriptor non-blocking: with a timeout, writes still wait
        self._deliver()
        self._loop.add_reader(self._sock.fileno(), self._readable)
        await self._stop.wait()
        self._loop.remove_reader(self._sock.fileno())

    def _readable(self) -> None:
        try:
            count = self._sock.recv_into(self._reader.space())
        except OSError:
            count = 0
        if count == 0:
            self._stop.set()
            return
        self._reader.filled(count)
        self._deliver()

    def _deliver(self) -> None:
        while (frame := self._reader.next()) is not None:
            kind, call_id, body = frame
            if kind in (frames.CALL, frames.STREAM):
                self._begin(frames.read_call(kind, call_id, body))
            elif kind == frames.CANCEL:
                self._cancel(call_id)
            elif kind == frames.CREDIT:
                self._add_credit(call_id, frames.read_credit(body))
            elif kind == frames.ANSWER:
                self._on_answer(call_id, body)
            elif kind == frames.STOP:
                self._stop.set()

    def _begin(self, request: Request) -> None:
        running = _Running()
        if self._calls:
            self._alone = None
        else:
            self._alone, self._pages = running, rss_pages(self._statm)
        self._calls[request.call_id] = running
        running.task = self._loop.create_task(self._answer(request, running))
        running.task.add_done_callback(_end_on_bug)

    def _cancel(self, call_id: int) -> None:
        running = self._calls.get(call_id)
        if running is None or running.task is None:
            return
        with running.lock:
            running.cancelled = True
            if running.thread is not None:
                raise_in_thread(running.thread, CallCancelled)
                running.room.put(None)
                for deliver in tuple((running.asks or {}).values()):
                    deliver(None)
            elif running.job is not None:
                running.job.cancel()  # where a thread takes it at this moment, `_InThread` sees the mark
            elif running.begun:
                running.task.cancel()  # before its first step a task that is cancelled would end without an answer

    def _add_credit(self, call_id: int, amount: int) -> None:
        running = self._calls.get(call_id)
        if running is None:
            return
        with running.lock:
            waits = running.credit <= 0
            running.credit += amount
        if waits:
            running.room.put(None)
        if (event := self._room_made.get(call_id)) is not None:
            event.set()

    async def _answer(self, request: Request, running: _Running) -> None:
        started = time.perf_counter_ns()
        running.begun = True
        ASKING_CALL.set(request.call_id)
        try:
            if running.cancelled:
                raise CallCancelled
            ok, meta, body = await self._run(request, running)
        except (asyncio.CancelledError, CallCancelled):
            ok, meta, body = False, b"", b""  # nobody reads it: it only says that the slot is free
        finally:
            self._calls.pop(request.call_id, None)
            if running.asks:
                self._end_asks(running)
        worker_ns = time.perf_counter_ns() - started
        change = None
        if self._alone is running:
            pages = rss_pages(self._statm)
            change = (pages - self._pages) * PAGE_BYTES
            if self._kept.worth(pages) and self._look is None:
                self._look = self._loop.call_later(heap.IDLE_S, self._give_back_if_idle)
        self._send(frames.result_head(request.call_id, ok, meta, len(body), worker_ns, change), body)

    def _give_back_if_idle(self) -> None:
        self._look = None
        if not self._calls:
            self._kept.give_back()

    async def _run(self, request: Request, running: _Running) -> Result:
        if not self._entry.is_async(request.function):
            work = self._stream_in_thread if request.stream else self._call_in_thread
            running.job = self._threads.submit(work, request, running)
            return await asyncio.wrap_future(running.job)
        if not request.stream:
            return await self._entry.acall(request.function, request.meta, request.body, request.timeout_s)
        items = self._entry.astream(request.function, request.meta, request.body, request.timeout_s)
        async with contextlib.aclosing(items):
            async for item in items:
                if isinstance(item, tuple):
                    return item
                if running.credit <= 0:
                    await self._await_credit(request.call_id, running)
                running.credit -= frames.chunk_cost(len(item))
                self._send(frames.HEADER.pack(len(item), frames.CHUNK, request.call_id), item)
        raise AssertionError("an entry's stream must end with its result")

    async def _await_credit(self, call_id: int, running: _Running) -> None:
        while running.credit <= 0:
            event = self._room_made[call_id] = asyncio.Event()
            try:
                await event.wait()
            finally:
                del self._room_made[call_id]

    def _call_in_thread(self, request: Request, running: _Running) -> Result:
        ASKING_CALL.set(request.call_id)
        with _InThread(running):
            return self._entry.call(request.function, request.meta, request.body, request.timeout_s)

    def _stream_in_thread(self, request: Request, running: _Running) -> Result:
        ASKING_CALL.set(request.call_id)
        with _InThread(running):
            items = self._entry.stream(request.function, request.meta, request.body, request.timeout_s)
            with contextlib.closing(items):
                return self._send_items(items, request, running)

    def _send_items(self, items: Iterator[bytes | Result], request: Request, running: _Running) -> Result:
        for item in items:
            if isinstance(item, tuple):
                return item
            while running.credit <= 0:
                running.room.get()
            with running.lock:
                running.credit -= frames.chunk_cost(len(item))
            self._send(frames.HEADER.pack(len(item), frames.CHUNK, request.call_id), item)
        raise AssertionError("an entry's stream must end with its result")

    def ask(self, name: str, body: bytes) -> Answer:
        """Ask the front and wait in this thread. Raises AskRefused; the call's cancel is raised in the thread."""
        refuse_on_loop()
        box: SimpleQueue[Answer | None] = SimpleQueue()
        running, ask_id = self._send_ask(name, body, box.put)
        try:
            while (answer := wait(box)) is None:
                if running.thread != threading.get_ident():  # else the cancel is raised here by now
                    raise AskRefused(ENDED)
        finally:
            (running.asks or {}).pop(ask_id, None)
        return answer

    async def aask(self, name: str, body: bytes) -> Answer:
        """Ask the front and await the answer, on the worker's loop or any other. Raises AskRefused."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()

        def deliver(answer: Answer | None) -> None:
            if loop is self._loop:
                settle(future, answer)
            else:
                with contextlib.suppress(RuntimeError):  # that loop has been closed
                    loop.call_soon_threadsafe(settle, future, answer)

        running, ask_id = self._send_ask(name, body, deliver)
        try:
            return await future
        finally:
            (running.asks or {}).pop(ask_id, None)

    def tell(self, name: str, body: bytes) -> None:
        """Ask the front, and wait for no answer. Raises AskRefused."""
        self._send_ask(name, body, None)

    def _send_ask(self, name: str, body: bytes, deliver: Deliver | None) -> tuple[_Running, int]:
        """Send what is asked; return its call and its id. Under the lock: its frame must precede the call's result."""
        call_id = ASKING_CALL.get()
        running = self._calls.get(call_id)
        if running is None:
            raise AskRefused(ENDED)
        encoded = check_size(name, body, len(running.asks or ()))
        with self._write:
            if self._calls.get(call_id) is not running or running.cancelled:
                raise AskRefused(ENDED)
            ask_id = frames.TOLD
            if deliver is not None:
                self._last_ask = ask_id = following(self._last_ask)
                if running.asks is None:
                    running.asks = {}
                running.asks[ask_id] = deliver
            head = frames.ask_head(call_id, ask_id, encoded, len(body))
            self._sock.sendall(head + body)
        return running, ask_id

    def _on_answer(self, call_id: int, body: memoryview) -> None:
        ask_id, answer = frames.read_answer(body)
        running = self._calls.get(call_id)
        if running is not None and (deliver := (running.asks or {}).pop(ask_id, None)) is not None:
            deliver(answer)

    def _end_asks(self, running: _Running) -> None:
        """Tell all who still wait for answers that none will come."""
        with self._write:
            asks, running.asks = running.asks, None
        for deliver in (asks or {}).values():
            deliver(None)

    def _send(self, head: bytes, body: bytes) -> None:
        """Write one frame whole. The socket blocks: the front always reads, and bounded credit keeps writes short."""
        with self._write:
            if len(body) <= frames.JOINED_BYTES:
                self._sock.sendall(head + body)
            else:
                self._sock.sendall(head)
                self._sock.sendall(body)
