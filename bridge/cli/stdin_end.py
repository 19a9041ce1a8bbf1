"""Ends a server when its standard input does: a sidecar goes with the program that started it, however that one ended.

Owns one thread that reads what nobody uses; the end is a SIGTERM to the process itself, which drains. Knows nothing of
servers.
"""

from __future__ import annotations

import os
import signal
import threading

_CHUNK_BYTES = 65_536


def end_with_stdin(descriptor: int = 0) -> None:
    """Send this process SIGTERM when `descriptor` ends or breaks; returns at once."""
    threading.Thread(target=_watch, args=(descriptor,), name="stdin-end", daemon=True).start()


def _watch(descriptor: int) -> None:
    try:
        while os.read(descriptor, _CHUNK_BYTES):
            pass
    except OSError:
        pass  # it was closed, or is a terminal that has gone: whoever held it has left
    os.kill(os.getpid(), signal.SIGTERM)
