"""The work that every server of the scorecard offers: echo, sleep, spin, allocate, crash, hang, stream.

The same plain Python functions in all of them; the apps beside this file only put them behind their server. A function
that is given the path of a mark writes there what it does: `start PID`, a dot for each step, `end` when it is through.
So the suite sees from outside whether work has begun, goes on, or has stopped, whatever the server says.
"""

import ctypes
import itertools
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

STEP_S = 0.05


def _write(mark: str, text: str) -> None:
    if mark:
        with Path(mark).open("a") as file:
            file.write(text)


def echo(text: str) -> str:
    """Return the text."""
    return text


def sleep(seconds: float, mark: str = "") -> int:
    """Wait, as code does that waits for a device or a database. Returns the worker's process id."""
    _write(mark, f"start {os.getpid()}\n")
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, STEP_S))
        _write(mark, ".")
    _write(mark, "end")
    return os.getpid()


def spin(seconds: float, mark: str = "") -> int:
    """Compute in pure Python. Returns the worker's process id."""
    _write(mark, f"start {os.getpid()}\n")
    end = time.monotonic() + seconds
    step = 0.0
    while (now := time.monotonic()) < end:
        if now > step:
            step = now + STEP_S
            _write(mark, ".")
    _write(mark, "end")
    return os.getpid()


def allocate(mebibytes: int, hold_s: float, mark: str = "") -> int:
    """Fill memory and hold it for a while. Returns how many bytes."""
    _write(mark, f"start {os.getpid()}\n")
    held = []
    for _ in range(mebibytes):
        held.append(b"x" * (1 << 20))
        time.sleep(0.001)  # about 1 GiB/s, so that no machine is filled before anyone can look
    time.sleep(hold_s)
    _write(mark, "end")
    return sum(map(len, held))


def crash(how: str, mark: str = "") -> None:
    """End the worker: `kill` by SIGKILL, `exit` by os._exit(0), `segfault` by a wild pointer."""
    _write(mark, f"start {os.getpid()}\n")
    if how == "exit":
        os._exit(0)
    if how == "segfault":
        ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGKILL)


def hang(mark: str = "") -> int:
    """Never return and never let go of the GIL, as a C extension with a bug."""
    _write(mark, f"start {os.getpid()}\n")
    return sum(itertools.repeat(0, 1 << 62))


def stream(count: int, kibibytes: int, pause_s: float, mark: str = "") -> Iterator[str]:
    """Send `count` texts of that size each, with a pause before each."""
    _write(mark, f"start {os.getpid()}\n")
    text = "x" * (kibibytes << 10)
    for _ in range(count):
        time.sleep(pause_s)
        _write(mark, ".")
        yield text
    _write(mark, "end")
