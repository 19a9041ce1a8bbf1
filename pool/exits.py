"""How a worker ended, told for people: pure functions from an exit status and what was known before to a report."""

import signal
from dataclasses import dataclass

from pool.errors import PoolError, Stopped, WorkerLost, WorkerMemoryLimit, WorkerProtocol

SIGNALS = {member.value: member.name for member in signal.Signals}


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """The front ended the worker on purpose; `why` is told to callers and operators."""

    why: str
    memory_bytes: int | None = None
    """The resident memory that broke the limit, where that was the reason."""
    protocol: bool = False
    """Whether the worker broke the frame protocol."""
    stopped: bool = False
    """Whether the pool was told to stop: nothing is wrong with the worker."""


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
