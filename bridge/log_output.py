"""How log records become lines on stderr: for people or as JSON, one record one line, whatever its text holds.

Owns the queue of lines that are not yet written, and the thread that writes them: a log that nobody reads (a full pipe,
a stopped terminal) must not stop the server, so lines beyond the queue's bound are dropped and counted.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

LINES = 10_000
"""Lines that may wait to be written."""
FLUSH_S = 1.0
"""How long an ending server waits for its last lines to be written."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class HumanFormatter(logging.Formatter):
    """Lines for a terminal: time, level, message, fields. Control characters are escaped: no text can forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, and below it the traceback where there is one."""
        fields = getattr(record, "fields", {})
        parts = [self.formatTime(record, "%H:%M:%S"), f"{record.levelname.lower():7}", escape(record.getMessage())]
        line = " ".join(parts)
        if fields:
            line = f"{line}  {' '.join(f'{key}={escape(str(value))}' for key, value in fields.items())}"
        if record.exc_info:
            line += "".join(f"\n  {escape(part)}" for part in self.formatException(record.exc_info).splitlines())
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object per line. Times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        data: dict[str, object] = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            data["exception"] = self.formatException(record.exc_info)
        return json.dumps(data, default=str)


def escape(text: str) -> str:
    """Return a text in one line, its control characters as Python's escapes."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


class LineWriter(logging.Handler):
    """Writes lines to a stream from a thread of its own; `emit` never waits for the stream."""

    def __init__(self, stream: TextIO, lines: int = LINES) -> None:
        super().__init__()
        self._stream = stream
        self._queue: queue.Queue[str] = queue.Queue(lines)
        self._dropped = 0
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record's line, or count it as dropped."""
        try:
            if self._dropped:
                self._queue.put_nowait(f"... {self._dropped} log lines were dropped: nobody read them")
                self._dropped = 0
            self._queue.put_nowait(self.format(record))
        except queue.Full:
            self._dropped += 1
        except (TypeError, ValueError, KeyError, AttributeError):  # a library's record whose arguments do not fit
            self.handleError(record)

    def _write_all(self) -> None:
        while True:
            line = self._queue.get()
            try:
                self._stream.write(f"{line}\n")
                self._stream.flush()
            except (OSError, ValueError):
                pass  # closed, or its reader has gone: there is nowhere left to say so
            finally:
                self._queue.task_done()

    def flush(self) -> None:
        """Wait until what is queued has been written, for a bounded time."""
        with self._queue.all_tasks_done:
            self._queue.all_tasks_done.wait_for(lambda: not self._queue.unfinished_tasks, FLUSH_S)

    @property
    def is_stuck(self) -> bool:
        """Whether lines still wait to be written: after `flush` that says that nobody reads them."""
        return self._queue.unfinished_tasks > 0


@contextmanager
def log_to_stderr(level: str, style: str) -> Iterator[LineWriter]:
    """Send the bridge's log, and the warnings of libraries, to stderr while the block runs.

    `style` is human, json, or auto: human where stderr is a terminal.
    """
    handler = LineWriter(sys.stderr)
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    set_log(level, style)
    try:
        yield handler
    finally:
        handler.flush()
        root.handlers[:] = before


def set_log(level: str, style: str) -> None:
    """Change the level and the style of the log that `log_to_stderr` writes."""
    if style == "auto":
        style = "human" if sys.stderr.isatty() else "json"
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LineWriter):
            handler.setFormatter(HumanFormatter() if style == "human" else JsonFormatter())
    logging.getLogger("bridge").setLevel(level.upper())
