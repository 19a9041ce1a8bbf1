"""The failures that handlers raise on purpose, each with the code and reason that the caller will see.

An exception of any other class that leaves a handler is the user's own and becomes USER_EXCEPTION. Messages say what
was expected, what was got, and the fix. Codes are gRPC status names; the table is in docs/reference/errors.md.
"""

from __future__ import annotations

from handlers.contract import ErrorRecord


class HandlerError(Exception):
    """A failure with a code and a reason. Subclasses fix both; instances may override them."""

    code = "INTERNAL"
    reason = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        reason: str | None = None,
        violations: tuple[tuple[str, str], ...] = (),
        metadata: dict[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.reason = reason or type(self).reason
        self.violations = violations
        self.metadata = metadata or {}
        self.retry_after_s = retry_after_s

    def to_record(self) -> ErrorRecord:
        """Return this failure as a value."""
        return ErrorRecord(
            code=self.code,
            reason=self.reason,
            message=str(self),
            violations=self.violations,
            metadata=self.metadata,
            retry_after_s=self.retry_after_s,
        )


def of_record(record: ErrorRecord) -> HandlerError:
    """Return the failure that a record stands for."""
    return HandlerError(
        record.message,
        code=record.code,
        reason=record.reason,
        violations=record.violations,
        metadata=record.metadata,
        retry_after_s=record.retry_after_s,
    )


class BadInput(HandlerError):
    """The request does not fit the schema; `violations` holds one pair (field path, description) per mistake."""

    code = "INVALID_ARGUMENT"
    reason = "SCHEMA_MISMATCH"


class ResultInvalid(HandlerError):
    """A function returned what its annotations do not promise."""

    code = "INTERNAL"
    reason = "RESULT_INVALID"


class Unknown(HandlerError):
    """A name that does not exist. Pass `reason="UNKNOWN_MODEL"` and the like, and say which names exist."""

    code = "NOT_FOUND"
    reason = "UNKNOWN_FUNCTION"


class ExtraMissing(HandlerError):
    """A library that an extra brings is not installed."""

    code = "FAILED_PRECONDITION"
    reason = "EXTRA_MISSING"

    @classmethod
    def of(cls, what: str, extra: str) -> ExtraMissing:
        """Say that `what` needs the extra, with the line that installs it."""
        install = f"pip install 'polyglot-bridge[{extra}]'"
        return cls(
            f"{what} needs the extra '{extra}', which is not installed. Install it: {install}",
            metadata={"extra": extra, "install": install},
        )


class ProviderError(HandlerError):
    """A model's provider failed. Metadata has `provider` and, where there was one, the HTTP `status`."""

    code = "UNAVAILABLE"
    reason = "PROVIDER_ERROR"


def too_large(size: int, limit: int) -> HandlerError:
    """Return the error of a response message that is larger than it may be; sizes in bytes."""
    message = (
        f"a response message has {size} bytes, more than the {limit} that may be sent; raise server.max_message_bytes, "
        "return less at a time, or call with StreamCall and chunk_bytes"
    )
    metadata = {"size_bytes": str(size), "limit_bytes": str(limit)}
    return HandlerError(message, code="RESOURCE_EXHAUSTED", reason="MESSAGE_TOO_LARGE", metadata=metadata)
