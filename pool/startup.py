"""What a worker process does before its first call: limits and signals, the socket kept private, the entry opened.

Imported by the child: standard library, frames and the entry's protocol only.
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
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module

from pool import frames, heap
from pool.entry import Entry
from pool.reader import FrameReader

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a worker may take: set before any code of the user runs."""

    nice: int = 0
    cpus: tuple[int, ...] = ()
    """The CPUs that it may run on; empty for those of its parent."""
    data_bytes: int = 0
    """RLIMIT_DATA; 0 sets none."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Limits:
        """Return the limits from a command line: NICE CPUS DATA_LIMIT."""
        nice, cpus, data_bytes = arguments
        return cls(nice=int(nice), cpus=tuple(map(int, filter(None, cpus.split(",")))), data_bytes=int(data_bytes))


def harden(parent: int, limits: Limits) -> None:
    """Die with the parent, keep to the limits, write no core, be the kernel's first choice out of memory.

    Raises ValueError where a limit can not be set.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # the parent died before the line above
    heap.keep()
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the front's to handle
    # A service manager may send this to all processes: the front decides what becomes of calls. Not SIG_IGN, which
    # programs that user code starts would inherit.
    signal.signal(signal.SIGTERM, lambda _signal, _frame: None)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # a worker that wakes does not push the front, which has woken it, off its core
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    _limit(limits)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("500")


def _limit(limits: Limits) -> None:
    if limits.nice:
        os.nice(limits.nice)
    if limits.cpus:
        there = os.sched_getaffinity(0)
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, limits.cpus)  # leaves out silently what is not there, unless nothing is
        if os.sched_getaffinity(0) != set(limits.cpus):
            raise ValueError(f"expected CPUs among {sorted(there)}, got {sorted(limits.cpus)}; correct the pool's cpus")
    if limits.data_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (limits.data_bytes, limits.data_bytes))


def keep_private(sock: socket.socket, control: int) -> None:
    """Keep the front's descriptors from programs that user code starts, and from forks of this process."""
    sock.set_inheritable(False)
    os.set_inheritable(control, False)
    os.register_at_fork(after_in_child=sock.close)  # a fork that returns from its call must not answer it again


def next_frame(sock: socket.socket, reader: FrameReader) -> tuple[int, int, memoryview] | None:
    """Wait for the next frame; None when the front has gone."""
    while (frame := reader.next()) is None:
        count = sock.recv_into(reader.space(), 0, socket.MSG_WAITALL if reader.is_large else 0)
        if count == 0:
            return None
        reader.filled(count)
    return frame


def open_entry(body: memoryview) -> Entry:
    """Load what an INIT frame names."""
    (size,) = struct.unpack_from("<H", body)
    module, _, attribute = str(body[2 : 2 + size], "utf-8").partition(":")
    entry: Entry = getattr(import_module(module), attribute)(bytes(body[2 + size :]))
    return entry


def report_failure(sock: socket.socket, error: BaseException) -> None:
    """Tell the front why this worker could not start, in one line and an error's `detail` or traceback; then end."""
    if (detail := getattr(error, "detail", None)) is not None:
        cause = str(error)
    else:
        cause, detail = f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error))
    text = f"{' '.join(cause.split())}\n{detail}"
    sock.sendall(frames.pack(frames.FAILED, 0, text.encode("utf-8", "replace")))
    os._exit(1)  # a thread that the module started must not hold the process
