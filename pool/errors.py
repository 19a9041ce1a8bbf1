"""The failures of the mechanism. User code that raises is no failure here: it is a `Reply` whose `ok` is false.

Knows nothing of gRPC or handlers; the child imports it, so it imports nothing. Each message says what happened and,
where there is one, the setting that changes it.
"""


class PoolError(Exception):
    """Anything that kept a pool from answering a call."""


class QueueFull(PoolError):
    """As many calls wait as may wait, or as many bytes; or the call waited and gave way to another.

    `exceeded` is "calls" or "bytes", `waiting` and `queued_bytes` what waited then.
    """

    def __init__(
        self,
        pool: str,
        limit: int,
        retry_after_s: float,
        *,
        waiting: int | None = None,
        queued_bytes: int = 0,
        limit_bytes: int = 0,
        size: int = 0,
        exceeded: str = "calls",
        displaced: bool = False,
    ) -> None:
        waiting = limit if waiting is None else waiting
        if exceeded == "bytes":
            state = (
                f"pool '{pool}' has requests of {mebibytes(queued_bytes)} waiting, its limit is "
                f"{mebibytes(limit_bytes)}, and this one has {mebibytes(size)}; raise pools.{pool}.queue_bytes"
            )
        else:
            state = f"pool '{pool}' has {waiting} calls waiting, which is its limit; raise pools.{pool}.queue_limit"
        if displaced:
            state = f"the call gave way to one of a higher priority or of a tenant with fewer calls: {state}"
        super().__init__(f"{state} or its size, or send fewer calls at a time")
        self.pool = pool
        self.limit = limit
        self.retry_after_s = retry_after_s
        self.waiting = waiting
        self.queued_bytes = queued_bytes
        self.limit_bytes = limit_bytes
        self.exceeded = exceeded
        self.displaced = displaced


class DeadlineUnreachable(PoolError):
    """The call was not taken: by the measured service times its deadline would pass before its end."""

    def __init__(self, pool: str, predicted_s: float, remaining_s: float) -> None:
        super().__init__(
            f"the call has {remaining_s:.3f} s until its deadline, but pool '{pool}' would need about "
            f"{predicted_s:.3f} s for those that wait before it and for itself; allow more time, or send it when there "
            "is less to do"
        )
        self.pool = pool
        self.predicted_s = predicted_s
        self.remaining_s = remaining_s


class Quarantined(PoolError):
    """The same function with the same arguments has killed workers; it is refused for a while."""

    def __init__(self, pool: str, function: str, fingerprint: str, deaths: int, left_s: float) -> None:
        super().__init__(
            f"'{function}' with these arguments has killed {deaths} workers of pool '{pool}', so it is refused for "
            f"{left_s:.0f} s more; mend the function, or release the input {fingerprint} by hand"
        )
        self.pool = pool
        self.function = function
        self.fingerprint = fingerprint
        self.deaths = deaths
        self.left_s = left_s


class CancelledByOperator(PoolError):
    """Somebody who runs the server has cancelled the call."""

    def __init__(self, pool: str) -> None:
        super().__init__(f"an operator has cancelled the call in pool '{pool}'")
        self.pool = pool


class DeadlineExceeded(PoolError):
    """The call's deadline passed; `where` is IN_QUEUE (it never started) or IN_WORKER."""

    def __init__(self, pool: str, where: str) -> None:
        stage = "while it waited for a worker" if where == "IN_QUEUE" else "while a worker ran it"
        super().__init__(f"the deadline passed {stage} of pool '{pool}'")
        self.pool = pool
        self.where = where


class Stopped(PoolError):
    """The pool is draining or has stopped."""

    def __init__(self, pool: str) -> None:
        super().__init__(f"pool '{pool}' takes no more calls: it is drained, or the server is shutting down")
        self.pool = pool


class PoolUnavailable(PoolError):
    """The pool's workers do not start."""

    def __init__(self, pool: str, cause: str, retry_after_s: float) -> None:
        super().__init__(f"pool '{pool}' has no worker: {cause}")
        self.pool = pool
        self.cause = cause
        self.retry_after_s = retry_after_s


class StartFailed(PoolError):
    """A worker could not start. `detail` has what it said, such as a traceback of the user's module."""

    def __init__(self, pool: str, cause: str, detail: str) -> None:
        super().__init__(f"a worker of pool '{pool}' did not start: {cause}")
        self.pool = pool
        self.cause = cause
        self.detail = detail


class WorkerLost(PoolError):
    """The worker died while it ran the call."""

    def __init__(
        self, pool: str, worker: str, function: str, cause: str, *, signal: str, exit_code: int | None, stderr: str
    ) -> None:
        super().__init__(f"worker {worker} died while it ran '{function}': {cause}")
        self.pool = pool
        self.worker = worker
        self.function = function
        self.cause = cause
        self.signal = signal
        self.exit_code = exit_code
        self.stderr = stderr


class WorkerGone(PoolError):
    """The call was for one worker alone, which takes no more calls. It has not started."""

    def __init__(self, pool: str, worker: str) -> None:
        super().__init__(f"worker {worker} of pool '{pool}' takes no more calls, and this one was for it alone")
        self.pool = pool
        self.worker = worker


class WorkerMemoryLimit(PoolError):
    """The worker was ended because it took more memory than it may."""

    def __init__(self, pool: str, worker: str, function: str, used_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"worker {worker} was ended while it ran '{function}': it held {mebibytes(used_bytes)} of resident memory, "
            f"its limit is {mebibytes(limit_bytes)}; raise pools.{pool}.memory_limit or send less at a time"
        )
        self.pool = pool
        self.worker = worker
        self.function = function
        self.used_bytes = used_bytes
        self.limit_bytes = limit_bytes


class WorkerProtocol(PoolError):
    """The worker sent what no worker may send; it is replaced."""

    def __init__(self, pool: str, worker: str, what: str) -> None:
        super().__init__(f"worker {worker} broke the frame protocol: {what}")
        self.pool = pool
        self.worker = worker
        self.what = what


class AskRefused(RuntimeError):
    """What runs here can ask the front nothing, or not this; the message says why."""


class FrameError(ValueError):
    """Bytes that are no frame."""


class CallCancelled(BaseException):
    """Raised in a worker's running code when nobody waits for its answer any more."""

    ends_call = True
    """How an entry, which does not know this class, tells a cancel from a failure of user code."""


def mebibytes(size: int) -> str:
    """Return a number of bytes for people: MiB, with the bytes beside it."""
    return f"{size / 2**20:,.1f} MiB ({size} bytes)"
