"""One end of the socket between the main process and a front: frames in and out, none held up by a large one.

Owns the buffers of the socket, and the large messages that are under way in either direction. Both ends use it; it
knows how long frames are and not what they mean.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

from bridge.fronts.wire import HEADER, MOST_META_BYTES, PART, PART_BYTES
from pool.errors import FrameError
from pool.exact import unwritten

OnFrame = Callable[[int, int, int, bytes, bytes, float], None]
"""Gets (kind, request id, number, meta, body, deadline) of each frame; never a PART."""

_HEADER_BYTES = HEADER.size
_ROOM = 2 * (_HEADER_BYTES + MOST_META_BYTES + PART_BYTES)
"""Of the buffer for what comes in: the longest frame, and one more so that it is seldom moved."""
HIGH_BYTES = 1 << 20
"""No part of a large message goes out while more than this waits for the socket."""
JOINED_BYTES = 16 << 10
"""Up to this many bytes a frame is one piece: a copy is cheaper than one more piece to write."""

Frame = tuple[bytes, bytes, bytes]
"""Header, meta and body."""


class _Incoming:
    """A large message that comes in parts. `view` goes before `body`, whose memory it is."""

    __slots__ = ("body", "filled", "head", "view")

    def __init__(self, head: tuple[int, int, int, bytes, float], size: int) -> None:
        self.head = head
        self.body, self.view = unwritten(size)
        self.filled = 0


class _Outgoing:
    """A large message that goes out in parts. What its request sends meanwhile comes after it."""

    __slots__ = ("at", "behind", "view")

    def __init__(self, body: bytes) -> None:
        self.view = memoryview(body)
        self.at = 0
        self.behind: deque[Frame] = deque()


class Link(asyncio.BufferedProtocol):
    """Sends and receives frames. `on_closed(why)` is called once; `why` is "" where the other end has closed it."""

    def __init__(
        self,
        on_frame: OnFrame,
        on_closed: Callable[[str], None],
        largest: int,
        wants: Callable[[int], bool] = lambda _request: True,
    ) -> None:
        """Take no body above `largest` bytes, and no large message of a request that `wants` denies."""
        self._on_frame = on_frame
        self._on_closed = on_closed
        self._largest = largest
        self._wants = wants
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        """What this turn of the loop has brought so far."""
        self._closed = False
        self._paused = False
        self._buffer = bytearray(_ROOM)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0
        self._incoming: dict[int, _Incoming] = {}
        self._direct: _Incoming | None = None
        """What the socket is read into, for so many bytes more."""
        self._direct_left = 0
        self._outgoing: dict[int, _Outgoing] = {}
        self._turns: deque[int] = deque()
        """The requests of large messages that go out, a part of each in turn."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not registered as one
        self._transport.set_write_buffer_limits(high=HIGH_BYTES)
        if self._closed:
            self._transport.close()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that the other end has gone, or why it was left."""
        if not self._closed:
            self._end_with(str(exc) if exc is not None else "")

    def eof_received(self) -> bool:
        """Let the socket be closed."""
        return False

    def close(self) -> None:
        """Send what is to be sent, and close; nothing is delivered any more, `on_closed` is not called."""
        if self._transport is not None and not self._closed:
            self._flush()
            self._transport.close()
        self._closed = True

    @property
    def is_closed(self) -> bool:
        """Whether nothing comes or goes any more."""
        return self._closed

    # what goes out

    def send(
        self, kind: int, request: int, number: int = 0, meta: bytes = b"", body: bytes = b"", deadline: float = 0.0
    ) -> None:
        """Send a frame; nothing happens once the link is closed."""
        if self._closed:
            return
        head = HEADER.pack(kind, request, number, len(meta), len(body), deadline)
        if self._outgoing and (large := self._outgoing.get(request)) is not None:
            large.behind.append((head, meta, body))
            return
        if not self._out:
            self._loop.call_soon(self._flush)
        if len(body) <= JOINED_BYTES:
            self._out += (head, meta, body)
        else:
            self._send_more(request, (head, meta, body))

    def _flush(self) -> None:
        """Write what this turn of the loop has brought, in one piece."""
        out = self._out
        if out and self._transport is not None:
            self._transport.write(b"".join(out))
            out.clear()

    def _send_more(self, request: int, frame: Frame) -> None:
        head, meta, body = frame
        self._out += (head, meta)
        if len(body) <= JOINED_BYTES:
            self._out.append(body)
            return
        self._flush()
        assert self._transport is not None
        if len(body) <= PART_BYTES:
            self._transport.write(body)
            return
        self._outgoing[request] = _Outgoing(body)
        self._turns.append(request)
        self._pump()

    def _pump(self) -> None:
        """Send parts of large messages, of each in turn, while the socket takes them."""
        assert self._transport is not None
        self._flush()
        while self._turns and not self._paused and not self._closed:
            request = self._turns.popleft()
            large = self._outgoing.get(request)
            if large is None:
                continue  # it was forgotten
            part = large.view[large.at : large.at + PART_BYTES]
            large.at += len(part)
            self._transport.write(HEADER.pack(PART, request, 0, 0, len(part), 0.0))
            self._transport.write(part)
            if large.at < len(large.view):
                self._turns.append(request)
                continue
            del self._outgoing[request]
            while large.behind:
                self._send_more(request, large.behind.popleft())
                self._flush()
                if (next_large := self._outgoing.get(request)) is not None:
                    next_large.behind = large.behind
                    break

    def pause_writing(self) -> None:
        """The socket takes no more for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """The socket takes more."""
        self._paused = False
        self._pump()

    def forget(self, request: int) -> None:
        """Send no more of the large message of a request, nor what was to come after it."""
        self._outgoing.pop(request, None)

    # what comes in

    def drop(self, request: int) -> None:
        """Give up the large message of a request that is coming in; the rest of it is passed over."""
        self._incoming.pop(request, None)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes belong."""
        if self._direct is not None:
            filled = self._direct.filled
            return self._direct.view[filled : filled + self._direct_left]
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what has been read."""
        if (incoming := self._direct) is not None:
            incoming.filled += nbytes
            self._direct_left -= nbytes
            if self._direct_left == 0:
                self._direct = None
                self._completed(incoming)
            return
        self._end += nbytes
        try:
            self._deliver()
        except FrameError as error:
            self._end_with(str(error))

    def _deliver(self) -> None:
        start, end, view, on_frame = self._start, self._end, self._view, self._on_frame
        while end - start >= _HEADER_BYTES:
            kind, request, number, meta_size, size, deadline = HEADER.unpack_from(view, start)
            meta_at = start + _HEADER_BYTES
            body_at = meta_at + meta_size
            if meta_size > MOST_META_BYTES or size > self._largest:
                raise FrameError(f"a frame of {meta_size} and {size} bytes, the limit is {self._largest}")
            if kind == PART and (incoming := self._incoming.get(request)) is not None:
                start = min(end, body_at + size)
                self._take_part(incoming, view[body_at:start], size)
                continue
            stop = body_at + size if size <= PART_BYTES else body_at
            if stop > end:
                break
            start = stop
            meta = bytes(view[meta_at:body_at])
            if size > PART_BYTES:
                if self._wants(request):
                    self._incoming[request] = _Incoming((kind, request, number, meta, deadline), size)
            elif kind != PART:
                on_frame(kind, request, number, meta, bytes(view[body_at:stop]), deadline)
                if self._closed:
                    return
        self._keep(start, end)

    def _keep(self, start: int, end: int) -> None:
        """Keep what has not come as a whole, with room behind it."""
        if start == end:
            start = end = 0
        elif end == len(self._buffer):
            self._buffer[: end - start] = self._buffer[start:end]
            start, end = 0, end - start
        self._start, self._end = start, end

    def _take_part(self, incoming: _Incoming, there: memoryview, size: int) -> None:
        """Take what is there of a part; what is missing is read straight to where it belongs."""
        at = incoming.filled
        if at + size > len(incoming.view):
            raise FrameError(f"a part of {size} bytes where {len(incoming.view) - at} were to come")
        incoming.view[at : at + len(there)] = there
        incoming.filled += len(there)
        if len(there) < size:
            self._direct, self._direct_left = incoming, size - len(there)
        else:
            self._completed(incoming)

    def _completed(self, incoming: _Incoming) -> None:
        """Deliver a large message, where that was its last part."""
        kind, request, number, meta, deadline = incoming.head
        if incoming.filled < len(incoming.view) or self._incoming.get(request) is not incoming:
            return
        del self._incoming[request]
        del incoming.view
        self._on_frame(kind, request, number, meta, incoming.body, deadline)

    def _end_with(self, why: str) -> None:
        on_closed = self._on_closed
        self.close()
        self._incoming.clear()
        self._outgoing.clear()
        self._on_frame, self._on_closed = _nobody, _nobody
        on_closed(why)


def _nobody(*_told: object) -> None:
    return
