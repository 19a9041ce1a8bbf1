"""The failures of the front, each with the code and reason its caller sees. `status` turns all others into these."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """gRPC status codes by their numbers on the wire."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class BridgeError(Exception):
    """A failure as the caller will see it."""

    def __init__(
        self,
        code: Code,
        reason: str,
        message: str,
        *,
        violations: tuple[tuple[str, str], ...] = (),
        metadata: dict[str, str] | None = None,
        retry_after_s: float | None = None,
        traceback: str = "",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.violations = violations
        self.metadata = metadata or {}
        self.retry_after_s = retry_after_s
        self.traceback = traceback


class StoreError(Exception):
    """A file or directory that the server keeps can not be used; the message says why and what to do."""


def bad_metadata(key: str, description: str) -> BridgeError:
    """Return the error of a metadata value that can not be used."""
    return BridgeError(
        Code.INVALID_ARGUMENT, "BAD_METADATA", f"metadata '{key}': {description}", violations=((key, description),)
    )


def bad_field(path: str, description: str) -> BridgeError:
    """Return the error of a request's field that can not be used."""
    message = f"{path}: {description}"
    return BridgeError(Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH", message, violations=((path, description),))


def malformed(what: str) -> BridgeError:
    """Return the error of a request that is no message of its type."""
    return BridgeError(Code.INVALID_ARGUMENT, "MALFORMED_REQUEST", f"the request is not a valid {what} message")


def request_too_large(size: int, limit: int) -> BridgeError:
    """Return the error of a request that is larger than it may be; sizes in bytes."""
    message = f"the request has {size} bytes, more than server.max_message_bytes ({limit}) allows"
    metadata = {"size_bytes": str(size), "limit_bytes": str(limit)}
    return BridgeError(Code.RESOURCE_EXHAUSTED, "MESSAGE_TOO_LARGE", message, metadata=metadata)
