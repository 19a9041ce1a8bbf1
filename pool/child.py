"""A worker process for one call at a time: read a frame, call the entry, write a frame.

Started as `python -P -m pool.child SOCKET CONTROL PARENT MODE NICE`. It imports only frames, errors and the standard
library; what it serves is loaded by the name in its first frame. In MODE `concurrent` it hands over to
`pool.child_async`. Nothing that user code prints can reach the socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import resource
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from typing import Protocol

from pool import frames
from pool.errors import CallCancelled
from pool.frames import FrameReader, Request

Result = tuple[bool, bytes, bytes]
"""(ok, meta, body) of a finished call."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_IDS = struct.Struct("<Q")


class Entry(Protocol):
    """What a worker serves. Failures of user code are results with ok=False, never exceptions.

    `stream` and `astream` yield the chunks and at last the result. `is_async` says which of the two sorts to use.
    """

    def warm_up(self) -> None:
        """Load what the first call would wait for."""
        ...

    def catalogue(self) -> bytes:
        """Return what is served, opaque to the pool."""
        ...

    def is_async(self, function: str) -> bool:
        """Return whether a function runs on the event loop."""
        ...

    def call(self, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Result:
        """Run a unary call."""
        ...

    def stream(self, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Iterator[bytes | Result]:
        """Run a streaming call."""
        ...

    async def acall(self, function: str, meta: bytes, body: bytes, timeout_s: float | None) -> Result:
        """Run a unary call on the event loop."""
        ...

    def astream(
        self, function: str, meta: bytes, body: bytes, timeout_s: float | None
    ) -> AsyncIterator[bytes | Result]:
        """Run a streaming call on the event loop."""
        ...


def main(arguments: list[str]) -> int:
    """Run a worker; return its exit status."""
    sock_fd, control, parent, mode, nice = arguments
    harden(int(parent), int(nice))
    sock = socket.socket(fileno=int(sock_fd))
    reader = FrameReader()
    first = next_frame(sock, reader)
    if first is None:
        return 0
    sys.excepthook = lambda _type, error, _traceback: report_failure(sock, error)
    entry = open_entry(sock, first[2])
    sys.excepthook = sys.__excepthook__
    if mode == "concurrent":
        from pool.child_async import serve

        return serve(sock, reader, entry)
    return Blocking(sock, reader, entry, int(control)).serve()


def harden(parent: int, nice: int) -> None:
    """Die with the parent, write no core, take no new privileges, be the kernel's first choice out of memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # the parent died before the line above
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the front's to handle
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if nice:
        os.nice(nice)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("500")


def next_frame(sock: socket.socket, reader: FrameReader) -> tuple[int, int, memoryview] | None:
    """Wait for the next frame; None when the front has gone."""
    while (frame := reader.next()) is None:
        count = sock.recv_into(reader.space())
        if count == 0:
            return None
        reader.filled(count)
    return frame


def open_entry(sock: socket.socket, body: memoryview) -> Entry:
    """Load and warm up what the INIT frame names, and report the catalogue."""
    (size,) = struct.unpack_from("<H", body)
    module, _, attribute = str(body[2 : 2 + size], "utf-8").partition(":")
    entry: Entry = getattr(import_module(module), attribute)(bytes(body[2 + size :]))
    entry.warm_up()
    sock.sendall(frames.pack(frames.READY, 0, entry.catalogue()))
    return entry


def report_failure(sock: socket.socket, error: BaseException) -> None:
    """Tell the front why this worker could not start; `detail` of the error replaces its traceback."""
    detail = getattr(error, "detail", "") or "".join(traceback.format_exception(error))
    sock.sendall(frames.pack(frames.FAILED, 0, detail.encode("utf-8", "replace")))


def rss_reader() -> int:
    """Open this process's memory figures for `rss_pages`."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)


def rss_pages(descriptor: int) -> int:
    """Return the resident memory in pages."""
    return int(os.pread(descriptor, 64, 0).split(b" ", 2)[1])


class Blocking:
    """The loop of a worker with one call in flight. A signal that names the running call raises in it."""

    def __init__(self, sock: socket.socket, reader: FrameReader, entry: Entry, control: int) -> None:
        self._sock = sock
        self._reader = reader
        self._entry = entry
        self._control = control
        self._running = 0
        self._credit = 0
        self._statm = rss_reader()
        self._page = resource.getpagesize()
        self._pages = rss_pages(self._statm)
        signal.signal(signal.SIGUSR1, self._on_cancel)

    def serve(self) -> int:
        """Answer calls until the front says stop or goes away."""
        while (frame := next_frame(self._sock, self._reader)) is not None:
            kind, call_id, body = frame
            if kind in (frames.CALL, frames.STREAM):
                self._answer(frames.read_call(kind, call_id, body))
            elif kind == frames.STOP:
                return 0
            # a CREDIT for a call that has ended is stale
        return 0

    def _on_cancel(self, _signal: int, _frame: object) -> None:
        """Raise in the running call where it is the one that the control pipe names."""
        try:
            data = os.read(self._control, 8 * 512)
        except BlockingIOError:
            return
        if self._running and any(_IDS.unpack_from(data, at)[0] == self._running for at in range(0, len(data) - 7, 8)):
            self._running = 0
            raise CallCancelled

    def _answer(self, request: Request) -> None:
        started = time.perf_counter_ns()
        try:
            self._running = request.call_id
            ok, meta, body = self._stream(request) if request.stream else self._call(request)
            self._running = 0
        except CallCancelled:
            ok, meta, body = False, b"", b""  # nobody reads it: it only says that the slot is free
        finally:
            self._running = 0
        worker_ns = time.perf_counter_ns() - started
        pages = rss_pages(self._statm)
        change, self._pages = (pages - self._pages) * self._page, pages
        head = frames.result_head(request.call_id, ok, meta, len(body), worker_ns, change)
        self._send(head, body)

    def _call(self, request: Request) -> Result:
        return self._entry.call(request.function, request.meta, request.body, request.timeout_s)

    def _stream(self, request: Request) -> Result:
        self._credit = frames.STREAM_WINDOW
        for item in self._entry.stream(request.function, request.meta, request.body, request.timeout_s):
            if isinstance(item, tuple):
                return item
            self._await_credit(request.call_id)
            self._credit -= frames.chunk_cost(len(item))
            self._send_chunk(request.call_id, item)
        raise AssertionError("an entry's stream must end with its result")

    def _send_chunk(self, call_id: int, item: bytes) -> None:
        """Send a whole chunk: a cancel must not tear a frame, so it waits until the frame is out."""
        running, self._running = self._running, 0
        self._send(frames.HEADER.pack(len(item), frames.CHUNK, call_id), item)
        self._running = running

    def _await_credit(self, call_id: int) -> None:
        """Wait until the reader has room; a cancel interrupts the wait."""
        while self._credit <= 0:
            frame = next_frame(self._sock, self._reader)
            if frame is None:
                os._exit(0)  # the front has gone
            kind, for_call, body = frame
            if kind == frames.CREDIT and for_call == call_id:
                self._credit += frames.read_credit(body)

    def _send(self, head: bytes, body: bytes) -> None:
        if len(body) <= 65536:
            self._sock.sendall(head + body)
        else:
            self._sock.sendall(head)
            self._sock.sendall(body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
