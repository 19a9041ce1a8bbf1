"""The faults as a table: what is injected, what is expected, how long it may take in all, and the code that judges.

Every server meets the same table. Each has two workers that run one call at a time, 16 places for waiting calls and,
where it has such a thing, a memory limit of 256 MiB per worker.
"""

from __future__ import annotations

from dataclasses import dataclass

from rows import deaths, hangs, pressure, stopping
from scene import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One row. `limit_s` bounds the whole of it; a fault that `ends` the server leaves none behind."""

    name: str
    injected: str
    expected: str
    run: Row
    limit_s: float = 30.0
    ends: bool = False
    load: bool = False
    """Whether it needs the machine to itself, so that its figures mean something."""


FAULTS = (
    Fault(
        name="killed_in_call",
        injected="SIGKILL of a worker in a call",
        expected="error within 1 s, other calls unharmed, next call within 5 s",
        run=deaths.killed_in_call,
    ),
    Fault(
        name="killed_idle",
        injected="SIGKILL of an idle worker",
        expected="no later call fails, two workers again within 10 s",
        run=deaths.killed_idle,
    ),
    Fault(
        name="killed_all",
        injected="SIGKILL of all workers at once",
        expected="serves within 10 s, without a restart of the server",
        run=deaths.killed_all,
    ),
    Fault(
        name="killed_under_load",
        injected="SIGKILL of a worker, 16 callers",
        expected="only the call that it ran fails, none hangs, a replacement answers within 5 s",
        run=deaths.killed_under_load,
        limit_s=300.0,
        load=True,
    ),
    Fault(
        name="exits",
        injected="`os._exit(0)` in a function",
        expected="error within 1 s, other calls unharmed, next call within 5 s",
        run=deaths.exits,
    ),
    Fault(
        name="segfaults",
        injected="a segmentation fault in a function",
        expected="error within 1 s, other calls unharmed, next call within 5 s",
        run=deaths.segfaults,
    ),
    Fault(
        name="poisoned",
        injected="an input that kills its worker, sent 12 times",
        expected="other inputs are served all the time, two workers in the end",
        run=deaths.poisoned,
        limit_s=60.0,
    ),
    Fault(
        name="hangs",
        injected="a function that holds the GIL for ever",
        expected="deadline answered within 0.5 s, others served, place filled within 10 s, health OK at last",
        run=hangs.hangs,
    ),
    Fault(
        name="stopped",
        injected="SIGSTOP of an idle worker",
        expected="replaced or not healthy within 5 s; calls end at their deadline",
        run=hangs.stopped,
    ),
    Fault(
        name="all_hung",
        injected="all workers hang",
        expected="health says OK for at most 15 s meanwhile; serves again within 30 s",
        run=hangs.all_hung,
        limit_s=45.0,
    ),
    Fault(
        name="all_stopped",
        injected="SIGSTOP of all workers",
        expected="health says OK for at most 15 s meanwhile; serves again within 30 s",
        run=hangs.all_stopped,
        limit_s=45.0,
    ),
    Fault(
        name="ballooned",
        injected="a function takes 512 MiB, the limit is 256 MiB",
        expected="the call fails and says memory, others unharmed",
        run=pressure.ballooned,
    ),
    Fault(
        name="cancelled_sleeping",
        injected="client cancels a call that sleeps",
        expected="its work stops within 2 s",
        run=stopping.cancelled_sleeping,
    ),
    Fault(
        name="cancelled_looping",
        injected="client cancels a call in a Python loop",
        expected="its work stops within 2 s",
        run=stopping.cancelled_looping,
    ),
    Fault(
        name="expired_sleeping",
        injected="deadline of a call that sleeps",
        expected="answered within 0.5 s, its work stops within 2 s",
        run=stopping.expired_sleeping,
    ),
    Fault(
        name="expired_looping",
        injected="deadline of a call in a Python loop",
        expected="answered within 0.5 s, its work stops within 2 s",
        run=stopping.expired_looping,
    ),
    Fault(
        name="expired_in_queue",
        injected="deadline of a call that waits for a worker",
        expected="answered within 0.5 s, never executed",
        run=stopping.expired_in_queue,
    ),
    Fault(
        name="cancelled_in_queue",
        injected="client cancels a call that waits for a worker",
        expected="never executed",
        run=stopping.cancelled_in_queue,
    ),
    Fault(
        name="overloaded",
        injected="ten times the calls that it can answer",
        expected="each call answered within 2 s or refused within 0.5 s (p95)",
        run=pressure.overloaded,
        load=True,
    ),
    Fault(
        name="stream_killed",
        injected="SIGKILL of a worker in a stream",
        expected="the reader gets an error, never a clean end",
        run=pressure.stream_killed,
    ),
    Fault(
        name="read_slowly",
        injected="the reader of a stream stops reading",
        expected="the producer is suspended: at most 32 MiB ahead",
        run=pressure.read_slowly,
        limit_s=40.0,
    ),
    Fault(
        name="reader_left",
        injected="the reader of a stream leaves",
        expected="the producer stops within 2 s",
        run=pressure.reader_left,
    ),
    Fault(
        name="terminated",
        injected="SIGTERM with a call running",
        expected="the call ends well, exit code 0, no process left",
        run=stopping.terminated,
        ends=True,
    ),
    Fault(
        name="front_killed",
        injected="SIGKILL of the server's first process",
        expected="no process of it is left after 2 s",
        run=stopping.front_killed,
        ends=True,
    ),
)
