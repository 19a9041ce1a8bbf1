"""The front's end of the socket to one worker: frames out at once, frames in by callback.

Owns the socket and the bytes not yet written. It knows frames but not what they mean. Bytes are written where they
stand: only what the socket refuses waits, in order, for writability.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable

from pool.errors import FrameError
from pool.frames import FROM_WORKER, HEADER_SIZE
from pool.reader import FrameReader

SMALL = 16384
"""Up to this many bytes, head and body are joined: one copy is cheaper than a gathered write."""


class Channel:
    """One socket to a worker. `on_frame(kind, call_id, body)` gets each frame; its body is valid only in the call.

    `on_closed(why)` is called once when the worker closes its end or breaks the protocol; `why` is "" for the former.
    """

    __slots__ = ("_closed", "_loop", "_on_closed", "_on_frame", "_reader", "_sock", "_unsent")

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        on_frame: Callable[[int, int, memoryview], None],
        on_closed: Callable[[str], None],
        limit: int,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = loop
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._reader = FrameReader(limit, kinds=FROM_WORKER)
        self._unsent: deque[memoryview] = deque()
        self._closed = False
        loop.add_reader(sock.fileno(), self._readable)

    def send(self, head: bytes, body: bytes = b"") -> None:
        """Send one frame, or what of it fits now and the rest when the socket takes it. No-op once closed."""
        if self._closed:
            return
        if self._unsent:
            self._unsent.append(memoryview(head))
            if body:
                self._unsent.append(memoryview(body))
            return
        total = len(head) + len(body)
        try:
            sent = self._sock.send(head + body) if total <= SMALL else self._sock.sendmsg((head, body))
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the worker has gone; its exit is noticed on its own
        if sent < total:
            self._keep(head, body, sent)

    def _keep(self, head: bytes, body: bytes, sent: int) -> None:
        for part in (head, body):
            if sent < len(part):
                self._unsent.append(memoryview(part)[sent:])
            sent = max(0, sent - len(part))
        self._loop.add_writer(self._sock.fileno(), self._writable)

    def _writable(self) -> None:
        while self._unsent:
            part = self._unsent[0]
            try:
                sent = self._sock.send(part)
            except BlockingIOError:
                return
            except OSError:
                self._unsent.clear()
                break
            if sent < len(part):
                self._unsent[0] = part[sent:]
                return
            self._unsent.popleft()
        self._loop.remove_writer(self._sock.fileno())

    def _readable(self) -> None:
        """Read what is there, once: the loop comes back for more, so that no worker starves the others."""
        reader = self._reader
        try:
            count = self._sock.recv_into(reader.space())
        except BlockingIOError:
            return
        except OSError:
            count = 0
        if count == 0:
            self._end("")
            return
        self._deliver(count)

    def _deliver(self, count: int) -> None:
        """Take so many bytes that have been read; pass on the frames that are whole."""
        reader, on_frame = self._reader, self._on_frame
        reader.filled(count)
        try:
            while (frame := reader.next()) is not None:
                on_frame(*frame)
                if self._closed:
                    return
        except FrameError as error:
            self._end(str(error))

    def drain_input(self) -> None:
        """Deliver what the worker had written before it died."""
        while not self._closed:
            self._readable_or_end()

    def _readable_or_end(self) -> None:
        try:
            count = self._sock.recv_into(self._reader.space())
        except OSError:
            count = 0
        if count == 0:
            self.close()
            return
        self._deliver(count)

    def _end(self, why: str) -> None:
        on_closed = self._on_closed
        self.close()
        on_closed(why)

    def close(self) -> None:
        """Close the socket; nothing is delivered any more. May be called again.

        The buffer and the callbacks are let go: they are in a cycle with the worker, and garbage is collected seldom.
        """
        if self._closed:
            return
        self._closed = True
        self._reader = FrameReader(buffer_size=HEADER_SIZE)
        self._on_frame, self._on_closed = _nobody, _nobody
        self._loop.remove_reader(self._sock.fileno())
        if self._unsent:
            self._unsent.clear()
            self._loop.remove_writer(self._sock.fileno())
        self._sock.close()


def _nobody(*_told: object) -> None:
    return
