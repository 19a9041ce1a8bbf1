"""How a worker ended, told for people: pure functions from an exit status and what was known before to a report."""

import signal
from dataclasses import dataclass
from typing import Literal

from pool.errors import PoolError, Stopped, WorkerLost, WorkerMemoryLimit, WorkerProtocol, mebibytes

SIGNALS = {member.value: member.name for member in signal.Signals}


Kind = Literal["overdue", "hung", "suspended", "stalled", "start", "retired", "memory", "killed"]
"""Why the front kills, in a word: a call past its grace, no answer, a process that was stopped, `stall_after_s`, a
start that failed, a retired worker that did not end, memory; anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """Why a worker was killed: by the front, or by the kernel for lack of memory. Callers and operators are told."""

    why: str
    memory_bytes: int | None = None
    """The resident memory that broke the limit, where that was the reason."""
    protocol: bool = False
    """Whether the worker broke the frame protocol."""
    stopped: bool = False
    """Whether the pool was told to stop: nothing is wrong with the worker."""
    kind: Kind = "killed"

    @property
    def blamed(self) -> bool:
        """Whether the call that ran is to blame, and not its caller's cancel or deadline, or an operator."""
        return self.protocol or self.memory_bytes is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReport:
    """The end of a worker. `exited_at` is on the monotonic clock, in seconds."""

    worker: str
    pid: int
    cause: str
    signal: str
    exit_code: int | None
    stderr_tail: str
    exited_at: float
    killed: Killed | None = None
    ordered: bool = False
    """Whether it ended because it was told to."""


def over_memory(used: int, limit: int) -> Killed:
    """Return why the front kills a worker that holds more than its hard limit, in bytes."""
    why = f"held {mebibytes(used)} of resident memory, its limit is {mebibytes(limit)}"
    return Killed(why=why, memory_bytes=used, kind="memory")


def out_of_memory(used: int, limit: int | None) -> Killed:
    """Return why the kernel has killed a worker: `limit`, in bytes, is its hard limit where that was what ran out."""
    if limit is None:
        why = "killed by the kernel: the machine, or a limit around the bridge, was out of memory"
        return Killed(why=why, kind="memory")
    why = f"out of memory in its cgroup: held {mebibytes(used)}, its limit is {mebibytes(limit)}"
    return Killed(why=why, memory_bytes=used, kind="memory")


def describe(status: int | None, killed: Killed | None) -> tuple[str, str, int | None]:
    """Return (cause, signal name or "", exit code or None) of an exit status as `Popen.returncode` gives it."""
    name, code = "", status
    if status is not None and status < 0:
        name, code = SIGNALS.get(-status, f"signal {-status}"), None
    if killed is not None:
        return killed.why, name, code
    if name == "SIGKILL":
        return "killed by SIGKILL that the bridge did not send (maybe the kernel, out of memory)", name, code
    if name:
        return f"killed by {name}", name, code
    return f"exited with code {code}", name, code


def loss(pool: str, function: str, report: ExitReport, memory_limit_bytes: int) -> PoolError:
    """Return what is told to the caller of a function that ran in a worker when it ended."""
    killed = report.killed
    if killed is not None and killed.memory_bytes is not None:
        return WorkerMemoryLimit(pool, report.worker, function, killed.memory_bytes, memory_limit_bytes)
    if killed is not None and killed.protocol:
        return WorkerProtocol(pool, report.worker, killed.why)
    if killed is not None and killed.stopped:
        return Stopped(pool)
    return WorkerLost(
        pool,
        report.worker,
        function,
        report.cause,
        signal=report.signal,
        exit_code=report.exit_code,
        stderr=report.stderr_tail,
    )
