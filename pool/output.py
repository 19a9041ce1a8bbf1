"""What a worker writes to stdout and stderr, cut into lines, labelled by the caller, limited in rate.

Owns the two pipes' read ends and the last lines of stderr. Never blocks and never lets a worker that floods its pipes
fill the log: lines above the rate are counted and dropped, the pipe is drained all the same.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable

READ_BYTES = 65536
LINE_BYTES = 4096
TAIL_LINES = 40


class Output:
    """Reads one worker's pipes. `on_line(stream, line)` gets each line, `on_dropped(count)` how many did not fit."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pipes: dict[str, int],
        on_line: Callable[[str, str], None],
        on_dropped: Callable[[int], None],
        lines_per_s: int = 200,
    ) -> None:
        self._loop = loop
        self._pipes = dict(pipes)
        self._rest = dict.fromkeys(pipes, b"")
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._on_line = on_line
        self._on_dropped = on_dropped
        self._lines_per_s = lines_per_s
        self._window = (0.0, 0)
        self._dropped = 0
        for stream, descriptor in pipes.items():
            loop.add_reader(descriptor, self._readable, stream)

    @property
    def tail(self) -> str:
        """The last lines of stderr."""
        return "\n".join(self._tail)

    def _readable(self, stream: str) -> bool:
        """Read once; return whether there may be more."""
        try:
            data = os.read(self._pipes[stream], READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._close(stream)
            return False
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        if len(rest) > LINE_BYTES:
            lines, rest = [*lines, rest], b""
        self._rest[stream] = rest
        for line in lines:
            self._line(stream, line)
        return True

    def _line(self, stream: str, raw: bytes) -> None:
        line = raw[:LINE_BYTES].decode("utf-8", "backslashreplace").rstrip("\r")
        if stream == "stderr":
            self._tail.append(line)
        start, count = self._window
        now = self._loop.time()
        if now - start >= 1.0:
            self._report_dropped()
            start, count = now, 0
        self._window = (start, count + 1)
        if count < self._lines_per_s:
            self._on_line(stream, line)
        else:
            self._dropped += 1

    def _report_dropped(self) -> None:
        if self._dropped:
            self._on_dropped(self._dropped)
            self._dropped = 0

    def finish(self) -> None:
        """Read what the dead worker left and close the pipes. A grandchild that holds them is not waited for."""
        for stream in list(self._pipes):
            reads = 0
            while stream in self._pipes and reads < 64 and self._readable(stream):
                reads += 1
            if self._rest[stream]:
                self._line(stream, self._rest[stream])
            self._close(stream)
        self._report_dropped()

    def _close(self, stream: str) -> None:
        descriptor = self._pipes.pop(stream, None)
        if descriptor is not None:
            self._loop.remove_reader(descriptor)
            os.close(descriptor)
