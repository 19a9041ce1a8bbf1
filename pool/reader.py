"""Cutting the stream of bytes between the front and a worker into frames: no IO.

Owns the bytes of frames that have not come as a whole. It knows where in a frame its message begins and nothing else of
what frames mean.
"""

from typing import cast

from pool.errors import FrameError
from pool.exact import unwritten
from pool.frames import HEADER, HEADER_SIZE, MAX_FRAME_BYTES, Large, prefix_size

_read_header = HEADER.unpack_from


class FrameReader:
    """Cuts a stream of bytes into frames. The owner reads into `space()` and then calls `filled(n)`.

    Small frames come out of one reused buffer. The message of a larger frame is read straight into bytes of its exact
    size: nothing is copied twice and nothing grows by appending.
    """

    __slots__ = (
        *("_big", "_big_body", "_big_filled", "_big_head"),
        *("_buffer", "_end", "_kinds", "_limit", "_start", "_view"),
    )

    def __init__(
        self, limit: int = MAX_FRAME_BYTES, buffer_size: int = 65536, kinds: frozenset[int] | None = None
    ) -> None:
        self._limit = limit
        self._kinds = kinds
        self._buffer = bytearray(buffer_size)
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._big: memoryview | None = None
        """Where what is missing of a large frame belongs. It goes before `_big_body`, whose memory it is."""
        self._big_body: memoryview | Large | None = None
        self._big_filled = 0
        self._big_head = (0, 0)

    def space(self) -> memoryview:
        """Return where the next bytes belong; never empty."""
        if self._big is not None:
            return self._big[self._big_filled :]
        if self._start == self._end:
            self._start = self._end = 0
            return self._view
        if self._end == len(self._buffer):
            self._buffer[: self._end - self._start] = self._buffer[self._start : self._end]
            self._end -= self._start
            self._start = 0
        return self._view[self._end :]

    def filled(self, count: int) -> None:
        """Say that `count` bytes were read into `space()`."""
        if self._big is not None:
            self._big_filled += count
        else:
            self._end += count

    @property
    def has_some(self) -> bool:
        """Whether bytes are here that have not been returned."""
        return self._big is not None or self._start < self._end

    @property
    def is_large(self) -> bool:
        """Whether what comes next belongs to a frame that is larger than the buffer."""
        return self._big is not None

    def next(self) -> tuple[int, int, memoryview] | None:
        """Return the next whole frame as (kind, call id, body), or None. The body is valid until `space` is called.

        `frames.read_call`, `read_result` and `read_chunk` read it: of those kinds it may be a `Large`.

        Raises FrameError where a frame states more than the limit, or is not of the `kinds` that are expected and has
        not come as a whole: text that user code wrote to the socket must not be taken for the head of a huge frame.
        """
        if self._big is not None:
            if self._big_filled < len(self._big):
                return None
            body, self._big_body, self._big = self._big_body, None, None
            assert body is not None
            return (*self._big_head, cast(memoryview, body))  # those who get a Large expect it
        body_at = self._start + HEADER_SIZE
        if body_at > self._end:
            return None
        length, kind, call_id = _read_header(self._buffer, self._start)
        if length > self._limit:
            raise FrameError(f"a frame of {length} bytes, the limit is {self._limit}")
        end = body_at + length
        if end <= self._end:
            self._start = end
            return kind, call_id, self._view[body_at:end]
        if self._kinds is not None and kind not in self._kinds:
            raise FrameError(f"a frame of unknown kind {kind}")
        if HEADER_SIZE + length > len(self._buffer):
            self._begin_big(length, kind, call_id, body_at)
        return None

    def _begin_big(self, length: int, kind: int, call_id: int, body_at: int) -> None:
        """Make room for a large frame, once it is known where its message begins."""
        there = self._view[body_at : self._end]
        size = prefix_size(kind, there)
        if (size is None or size > len(there)) and self._end - self._start < len(self._buffer):
            return
        if size is None or not 0 <= size <= min(len(there), length - 2):
            self._big_body = self._big = memoryview(bytearray(length))
            size = 0
        else:
            payload, self._big = unwritten(length - size)
            self._big_body = Large(bytes(there[:size]), payload)
        self._big_filled = len(there) - size
        self._big[: self._big_filled] = there[size:]
        self._big_head = (kind, call_id)
        self._start = self._end = 0
