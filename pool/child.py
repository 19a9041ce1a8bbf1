"""A worker process for one call at a time: read a frame, call the entry, write a frame.

Started as `python -P -m pool.child SOCKET CONTROL TOKENS PARENT MODE NICE CPUS DATA_LIMIT`. It imports only frames,
errors, tokens, the entry's protocol and the standard library; what it serves is loaded by the name in its first frame.
In MODE `concurrent` it hands over to `pool.child_async`. Nothing that user code prints can reach the socket.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from collections import deque
from types import FrameType
from typing import TYPE_CHECKING

from pool import frames, heap, packed
from pool.asking import ASKING_CALL, ENDED, Deliver, Holding, check_size, following, refuse_on_loop, settle
from pool.chunked import Keeper
from pool.entry import Answer, Entry, Result
from pool.errors import AskRefused, CallCancelled
from pool.frames import Request
from pool.idle import KeptMemory
from pool.own_memory import PAGE_BYTES, rss_pages, rss_reader
from pool.reader import FrameReader
from pool.startup import Limits, harden, keep_private, next_frame, open_entry, report_failure
from pool.tokens import Tokens

if TYPE_CHECKING:
    import asyncio

_IDS = struct.Struct("<Q")
_IDLE_MS = heap.IDLE_S * 1000
_CALLS = frozenset(kind | lined for kind in (frames.CALL, frames.STREAM, frames.PACK) for lined in (0, frames.LINED))


def main(arguments: list[str]) -> int:
    """Run a worker; return its exit status."""
    sock_fd, control, tokens, parent, mode, *limits = arguments
    sock = socket.socket(fileno=int(sock_fd))
    sys.excepthook = lambda _type, error, _traceback: report_failure(sock, error)
    harden(int(parent), Limits.parse(limits))
    keep_private(sock, int(control))
    shared = Tokens(int(tokens))
    os.close(int(tokens))
    reader = FrameReader()
    first = next_frame(sock, reader)
    if first is None:
        return 0
    entry = open_entry(first[2])
    return run(sock, reader, entry, int(control), shared, concurrent=mode == "concurrent")


def run(
    sock: socket.socket, reader: FrameReader, entry: Entry, control: int, tokens: Tokens, *, concurrent: bool
) -> int:
    """Warm the entry up, report its catalogue and answer calls to the end; return the exit status."""
    entry.warm_up()
    sock.sendall(frames.pack(frames.READY, 0, entry.catalogue()))
    sys.excepthook = sys.__excepthook__
    if concurrent:
        from pool.child_async import serve

        return serve(sock, reader, entry)
    return Blocking(sock, reader, entry, control, tokens).serve()


class Blocking(Holding):
    """The loop of a worker with one call in flight. A signal interrupts the call that the control pipe names.

    `_running` is the call that may be interrupted at this very moment: 0 between calls, and while a frame is read or
    written, because a frame that is cut in two ends the worker. A cancel that comes meanwhile is remembered.
    """

    def __init__(self, sock: socket.socket, reader: FrameReader, entry: Entry, control: int, tokens: Tokens) -> None:
        self._sock = sock
        self._tokens = tokens
        self._reader = reader
        self._entry = entry
        self._control = control
        self._running = self._cancelled = self._credit = 0
        self._ahead: deque[tuple[int, int, frames.Body]] = deque()
        self._call_id = 0
        self._asks: dict[int, Deliver] = {}
        self._last_ask = 0
        self._watched: asyncio.AbstractEventLoop | None = None
        self._thread = threading.get_ident()
        self._readable = select.poll()
        self._readable.register(sock, select.POLLIN)
        self._statm = rss_reader()
        self._kept = KeptMemory(self._statm)
        self._pages = rss_pages(self._statm)
        signal.signal(signal.SIGUSR1, self._on_cancel)
        if (bind := getattr(entry, "bind", None)) is not None:
            bind(self)

    def serve(self) -> int:
        """Answer calls until the front says stop or goes away."""
        while True:
            if self._ahead:
                frame: tuple[int, int, frames.Body] | None = self._ahead.popleft()
            else:
                if self._kept.worth(self._pages) and not (self._reader.has_some or self._readable.poll(_IDLE_MS)):
                    self._pages = self._kept.give_back()
                frame = next_frame(self._sock, self._reader)
            if frame is None:
                return 0
            kind, call_id, body = frame
            if kind in _CALLS:
                if kind & frames.LINED and not self._tokens.take():
                    self._send(frames.result_head(call_id, False, b"", 0, 0, None), b"")  # it was taken back
                    continue
                request = frames.read_call(kind, call_id, body)
                if kind & ~frames.LINED == frames.PACK:
                    self._answer_pack(request)
                else:
                    self._answer(request)
            elif kind == frames.STOP:
                return 0
            # a CREDIT or an ANSWER for a call that has ended is stale

    def _on_cancel(self, _signal: int, frame: FrameType | None) -> None:
        """Interrupt the running call where it is the one that the control pipe names.

        Of several names the highest counts: calls are begun in the order of their ids, so it is the newest call's.
        """
        try:
            data = os.read(self._control, 8 * 512)
        except OSError:
            return
        named = [call_id for (call_id,) in _IDS.iter_unpack(data)]
        self._cancelled = max(self._cancelled, *named, 0)
        if self._running and (self._running == self._cancelled or self._running in named):
            self._running = 0
            if not self._entry.interrupt(frame):
                raise CallCancelled

    def _interruptible(self, call_id: int) -> None:
        """Let a cancel interrupt the call from here on; one that has come already does so now."""
        self._running = call_id
        if self._cancelled == call_id:
            self._running = 0
            raise CallCancelled

    def _answer(self, request: Request) -> None:
        started = time.perf_counter_ns()
        self._call_id = request.call_id
        ASKING_CALL.set(request.call_id)
        try:
            self._interruptible(request.call_id)
            ok, meta, body = self._stream(request) if request.stream else self._call(request)
            self._running = 0
        except CallCancelled:
            self._running = 0
            ok, meta, body = False, b"", b""  # nobody reads it: it only says that the slot is free
        self._call_id = 0
        if self._asks:
            self._end_asks()
        worker_ns = time.perf_counter_ns() - started
        pages = rss_pages(self._statm)
        change, self._pages = (pages - self._pages) * PAGE_BYTES, pages
        head = frames.result_head(request.call_id, ok, meta, len(body), worker_ns, change)
        self._send(head, body)

    def _answer_pack(self, request: Request) -> None:
        """Run the members one after another, while the front leaves them here."""
        began = time.perf_counter_ns()
        rest = packed.run(request, self._tokens, self._member, self._send)
        pages = rss_pages(self._statm)
        change, self._pages = (pages - self._pages) * PAGE_BYTES, pages
        end = frames.result_head(request.call_id, True, b"", 0, time.perf_counter_ns() - began, change)
        self._send(rest, end)

    def _member(self, request: Request, index: int, meta: bytes, body: bytes) -> Result | None:
        """Run a member of a pack under an id of its own; None where nobody waits for it any more."""
        self._call_id = call_id = request.call_id + index
        ASKING_CALL.set(call_id)
        result: Result | None = None
        try:
            self._interruptible(call_id)
            # once it may be interrupted: the front marks a member first and signals then, so none slips through
            if not self._tokens.dropped[request.meta[0]] >> index & 1:
                result = self._entry.call(request.function, meta, body, request.timeout_s)
            self._running = 0
        except CallCancelled:
            self._running = 0
            result = None
        self._call_id = 0
        if self._asks:
            self._end_asks()
        return result

    def _call(self, request: Request) -> Result:
        return self._entry.call(request.function, request.meta, request.body, request.timeout_s)

    def _stream(self, request: Request) -> Result:
        self._credit = frames.STREAM_WINDOW
        items = self._entry.stream(request.function, request.meta, request.body, request.timeout_s)
        keeper = Keeper(self._tokens.outbox, request.call_id, self._send)
        with contextlib.closing(items):
            for item in items:
                self._running = 0
                if isinstance(item, tuple):
                    keeper.flush()
                    return item
                if self._credit <= 0:
                    keeper.flush()
                    self._await_credit(request.call_id)
                self._credit -= frames.chunk_cost(len(item))
                keeper.add(item)
                self._interruptible(request.call_id)
        raise AssertionError("an entry's stream must end with its result")

    def _await_credit(self, call_id: int) -> None:
        """Wait until the reader has room; a cancel interrupts the wait. Calls that come meanwhile are put by."""
        self._put_by(call_id)
        while self._credit <= 0:
            self._receive(call_id)
            self._put_by(call_id)

    def _put_by(self, call_id: int) -> None:
        """Take the frames that have come whole: credit and answers where they belong, calls to be begun later."""
        while (frame := self._reader.next()) is not None:
            kind, for_call, body = frame
            if kind == frames.CREDIT:
                if for_call == call_id:
                    self._credit += frames.read_credit(body)
            elif kind == frames.ANSWER:
                ask_id, answer = frames.read_answer(body)
                if (deliver := self._asks.pop(ask_id, None)) is not None and for_call == call_id:
                    deliver(answer)
            else:
                self._ahead.append((kind, for_call, frames.lasting(body)))

    def _receive(self, call_id: int) -> None:
        self._interruptible(call_id)
        self._readable.poll()
        self._running = 0
        self._take_bytes()

    def _take_bytes(self) -> None:
        count = self._sock.recv_into(self._reader.space())
        if count == 0:
            os._exit(0)  # the front has gone
        self._reader.filled(count)

    def ask(self, name: str, body: bytes) -> Answer:
        """Ask the front and wait for the answer. Raises AskRefused, or CallCancelled where a cancel comes meanwhile."""
        refuse_on_loop()
        box: list[Answer | None] = []
        call_id, ask_id = self._send_ask(name, body, box.append)
        try:
            while not box:
                self._receive(call_id)
                self._put_by(call_id)
        finally:
            self._asks.pop(ask_id, None)
        self._interruptible(call_id)
        answer = box[0]
        if answer is None:
            raise AskRefused(ENDED)
        return answer

    async def aask(self, name: str, body: bytes) -> Answer:
        """Ask the front; the answer is read by the loop that runs in this thread. Raises as `ask` does."""
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()

        def deliver(answer: Answer | None) -> None:
            if not loop.is_closed():
                settle(future, answer)

        _, ask_id = self._send_ask(name, body, deliver)
        self._watch(loop)
        try:
            return await future
        finally:
            if self._asks.get(ask_id) is deliver:
                del self._asks[ask_id]
            if not self._asks:
                self._watch(None)

    def tell(self, name: str, body: bytes) -> None:
        """Ask the front, and wait for no answer. Raises AskRefused."""
        self._send_ask(name, body, None)

    def _send_ask(self, name: str, body: bytes, deliver: Deliver | None) -> tuple[int, int]:
        """Send what is asked; return the ids of the call and of the ask."""
        if threading.get_ident() != self._thread:
            raise AskRefused("a worker that runs one call at a time asks in the thread of the call, not in another one")
        call_id = self._call_id
        if not call_id or ASKING_CALL.get() != call_id:
            raise AskRefused(ENDED)
        encoded = check_size(name, body, len(self._asks))
        ask_id = frames.TOLD
        if deliver is not None:
            self._last_ask = ask_id = following(self._last_ask)
            self._asks[ask_id] = deliver
        self._running = 0
        self._send(frames.ask_head(call_id, ask_id, encoded, len(body)), body)
        self._interruptible(call_id)
        return call_id, ask_id

    def _watch(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Let a loop read the socket while its tasks wait for answers."""
        if loop is not self._watched:
            if self._watched is not None and not self._watched.is_closed():
                self._watched.remove_reader(self._sock.fileno())
            if loop is not None:
                loop.add_reader(self._sock.fileno(), self._on_readable)
            self._watched = loop

    def _on_readable(self) -> None:
        """Read what has come, for a loop: no cancel may raise in here, so one that comes is passed on at the end."""
        call_id, self._running = self._call_id, 0
        self._take_bytes()
        self._put_by(call_id)
        if not call_id:
            return
        self._running = call_id
        if self._cancelled == call_id and self._running:
            self._running = 0
            if not self._entry.interrupt(None):
                self._end_asks()

    def _end_asks(self) -> None:
        """Tell all who still wait for answers that none will come."""
        asks, self._asks = self._asks, {}
        for deliver in asks.values():
            deliver(None)
        self._watch(None)

    def _send(self, head: bytes, body: bytes) -> None:
        if len(body) <= frames.JOINED_BYTES:
            self._sock.sendall(head + body)
        else:
            self._sock.sendall(head)
            self._sock.sendall(body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
