"""The exceptions that calls raise: one tree, by reason where the bridge gives one, else by gRPC status code.

Pure records. How an error is read from a reply is in `bridge_client.failures`; nothing here knows of gRPC.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Violation:
    """One argument that does not fit."""

    field: str
    """Path of the argument, such as ``items[2].name``."""
    description: str
    """What was expected and what was got."""


class BridgeError(Exception):
    """A call failed. Every other exception of this package is a subclass.

    Catch by reason (`QueueFull`), by code (`ResourceExhausted`) or all (`BridgeError`).
    """

    default_code: ClassVar[str] = "UNKNOWN"

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        reason: str = "",
        violations: tuple[Violation, ...] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
        request_id: str = "",
        traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        """What was expected, what was got, and the fix."""
        self.code = code or self.default_code
        """The gRPC status by name, such as ``NOT_FOUND``."""
        self.reason = reason
        """The bridge's reason, such as ``UNKNOWN_FUNCTION``; empty where the failure did not come from a bridge, except
        ``MESSAGE_TOO_LARGE``, which gRPC finds out by itself too."""
        self.violations = violations
        """One entry per argument that does not fit, for `InvalidArgument`."""
        self.metadata = dict(metadata or {})
        """Further facts by name, such as ``pool``, ``signal`` or ``limit_bytes``."""
        self.retry_after_s = retry_after_s
        """Seconds to wait before it makes sense to try again; None where the server does not say."""
        self.request_id = request_id
        """Identifies the call in the server's logs."""
        self.traceback = traceback
        """The Python traceback on the server; empty unless the server is told to show it."""

    def __str__(self) -> str:
        head = f"{self.code} {self.reason}: {self.message}" if self.reason else f"{self.code}: {self.message}"
        lines = [f"  {violation.field}: {violation.description}" for violation in self.violations]
        return "\n".join([head, *lines])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(code={self.code!r}, reason={self.reason!r}, message={self.message!r})"


# By status code.


class InvalidArgument(BridgeError):
    """An argument does not fit: see `violations`."""

    default_code = "INVALID_ARGUMENT"


class NotFound(BridgeError):
    """No such function, program, session or pool; the message suggests a name."""

    default_code = "NOT_FOUND"


class AlreadyExists(BridgeError):
    """What should be made exists."""

    default_code = "ALREADY_EXISTS"


class FailedPrecondition(BridgeError):
    """The server is not in a state in which this call can work; trying again does not help."""

    default_code = "FAILED_PRECONDITION"


class OutOfRange(BridgeError):
    """A value is outside its range."""

    default_code = "OUT_OF_RANGE"


class Aborted(BridgeError):
    """The call was given up on the way; it may or may not have had effects."""

    default_code = "ABORTED"


class ResourceExhausted(BridgeError):
    """A limit was met; the message names it and the setting that raises it."""

    default_code = "RESOURCE_EXHAUSTED"


class Unavailable(BridgeError):
    """The server can not answer now; see `retry_after_s`."""

    default_code = "UNAVAILABLE"


class DeadlineExceeded(BridgeError):
    """The call took longer than its timeout; the reason says where, such as ``IN_QUEUE`` or ``IN_WORKER``."""

    default_code = "DEADLINE_EXCEEDED"


class Cancelled(BridgeError):
    """The call was cancelled."""

    default_code = "CANCELLED"


class Unauthenticated(BridgeError):
    """No token, or a bad one."""

    default_code = "UNAUTHENTICATED"


class PermissionDenied(BridgeError):
    """The token does not allow this."""

    default_code = "PERMISSION_DENIED"


class Unimplemented(BridgeError):
    """The server does not know this call: it is older than the client, or not a bridge."""

    default_code = "UNIMPLEMENTED"


class Internal(BridgeError):
    """The bridge itself failed."""

    default_code = "INTERNAL"


class DataLoss(BridgeError):
    """Data was lost or damaged."""

    default_code = "DATA_LOSS"


# By reason.


class SchemaMismatch(InvalidArgument):
    """The arguments do not fit the function's signature: one violation per argument."""


class QueueFull(ResourceExhausted):
    """Every worker of the pool is busy and no more calls may wait; try again after `retry_after_s`."""


class WorkerMemoryLimit(ResourceExhausted):
    """The worker used more memory than it may and was ended."""


class MessageTooLarge(ResourceExhausted):
    """A request or a reply is larger than allowed."""


class BudgetExceeded(ResourceExhausted):
    """The call's budget is spent."""


class DeadlineUnreachable(ResourceExhausted):
    """The call would have waited longer than its timeout, so it was not begun."""


class WorkerCrashed(BridgeError):
    """The worker died in the call. The code is UNAVAILABLE where repeating does no harm, else ABORTED."""

    default_code = "ABORTED"


class WorkerProtocol(Internal):
    """The worker sent what the bridge does not understand."""


class ResultInvalid(Internal):
    """The function's result does not fit its own signature."""


class InputQuarantined(FailedPrecondition):
    """The input has killed several workers and is not tried again."""


class ExtraMissing(FailedPrecondition):
    """The server lacks an optional part; the message has the install line."""


class SessionLost(Aborted):
    """The session's worker is gone, and what it knew with it."""


class SessionMoved(Aborted):
    """The session went to another worker."""


class PoolUnavailable(Unavailable):
    """No worker of the pool is ready; the message has the cause."""


class ShuttingDown(Unavailable):
    """The server takes no new calls."""


class UserException(BridgeError):
    """The function raised. `metadata["type"]` is the exception's class; the code is UNKNOWN or what it maps to."""


class ProviderError(BridgeError):
    """The language model's provider failed. The code is UNAVAILABLE or RESOURCE_EXHAUSTED."""

    default_code = "UNAVAILABLE"


# Made by the client.


class CannotConnect(Unavailable):
    """No server answers at the address; the call did not happen."""


class ConnectionLost(Unavailable):
    """The connection broke during the call; it may or may not have had effects."""


class UnexpectedReply(BridgeError):
    """The server sent what this client does not understand: they are probably of different versions."""

    default_code = "INTERNAL"


BY_CODE: Mapping[str, type[BridgeError]] = {
    cls.default_code: cls
    for cls in (
        InvalidArgument, NotFound, AlreadyExists, FailedPrecondition, OutOfRange, Aborted, ResourceExhausted,
        Unavailable, DeadlineExceeded, Cancelled, Unauthenticated, PermissionDenied, Unimplemented, Internal, DataLoss,
    )
}  # fmt: skip
"""The class of a failure that has a code but no reason that is known here; UNKNOWN is `BridgeError` itself."""

BY_REASON: Mapping[str, type[BridgeError]] = {
    "SCHEMA_MISMATCH": SchemaMismatch,
    "QUEUE_FULL": QueueFull,
    "WORKER_MEMORY_LIMIT": WorkerMemoryLimit,
    "WORKER_CRASHED": WorkerCrashed,
    "INPUT_QUARANTINED": InputQuarantined,
    "SESSION_LOST": SessionLost,
    "SESSION_MOVED": SessionMoved,
    "BUDGET_EXCEEDED": BudgetExceeded,
    "USER_EXCEPTION": UserException,
    "PROVIDER_ERROR": ProviderError,
    "SHUTTING_DOWN": ShuttingDown,
    "POOL_UNAVAILABLE": PoolUnavailable,
    "EXTRA_MISSING": ExtraMissing,
    "DEADLINE_UNREACHABLE": DeadlineUnreachable,
    "MESSAGE_TOO_LARGE": MessageTooLarge,
    "RESULT_INVALID": ResultInvalid,
    "WORKER_PROTOCOL": WorkerProtocol,
}
"""The class of a failure with a reason; a reason that is not here goes by its code."""
