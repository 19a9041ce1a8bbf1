"""What the front tells about its work: one log line per event that an operator acts on, and counters of calls.

Owns the counters. Pools' events and finished calls come in; log records go out. Logs go to stderr, as lines for people
or as JSON lines, always with request, pool, worker and function as fields of their own.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from typing import TYPE_CHECKING

from pool import events

if TYPE_CHECKING:
    from bridge.call import Call

LOGGER = logging.getLogger("bridge")


class Telemetry:
    """Counts calls and logs events. `calls` counts by function and status code."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, int]] = Counter()
        self._log_calls = LOGGER.isEnabledFor(logging.DEBUG)

    def finished(self, call: Call, code: int, message: str = "") -> None:
        """Take note of a call that has been answered."""
        self.calls[call.function, code] += 1
        if code and code != 1:
            log(logging.INFO, f"call failed: {message}", **_fields(call), code=code)
        elif self._log_calls:
            log(logging.DEBUG, "call", **_fields(call), code=code)

    def pool_event(self, event: events.PoolEvent) -> None:
        """Log what a pool tells."""
        match event:
            case events.WorkerOutput():
                log(logging.INFO, event.line, pool=event.pool, worker=event.worker, stream=event.stream)
            case events.OutputDropped():
                log(logging.WARNING, f"{event.lines} lines of output dropped", pool=event.pool, worker=event.worker)
            case events.WorkerSpawned():
                log(logging.DEBUG, f"worker started, pid {event.pid}", pool=event.pool, worker=event.worker)
            case events.WorkerReady():
                log(logging.INFO, f"worker ready after {event.seconds:.2f} s", pool=event.pool, worker=event.worker)
            case events.WorkerExited():
                level = logging.DEBUG if event.expected else logging.WARNING
                log(level, f"worker ended: {event.report.cause}", pool=event.pool, worker=event.worker)
            case events.PoolFailed():
                log(logging.ERROR, f"pool failed: {event.cause}", pool=event.pool)


def log(level: int, message: str, **fields: object) -> None:
    """Write one log record with fields."""
    LOGGER.log(level, "%s", message, extra={"fields": fields})


def _fields(call: Call) -> dict[str, object]:
    fields: dict[str, object] = {"request": call.identity.request_id, "function": call.function}
    known = (("session", call.identity.session_id), ("pool", call.pool), ("worker", call.worker))
    fields.update((name, value) for name, value in known if value)
    return fields


class HumanFormatter(logging.Formatter):
    """Lines for a terminal: time, level, message, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        fields = getattr(record, "fields", {})
        tail = " ".join(f"{key}={value}" for key, value in fields.items())
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.getMessage()}"
        line = f"{line}  {tail}" if tail else line
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        data: dict[str, object] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            data["exception"] = self.formatException(record.exc_info)
        return json.dumps(data, default=str)


def configure_log(level: str, style: str) -> None:
    """Send the bridge's log to stderr. `style` is human, json, or auto: human where stderr is a terminal."""
    if style == "auto":
        style = "human" if sys.stderr.isatty() else "json"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(HumanFormatter() if style == "human" else JsonFormatter())
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(level.upper())
