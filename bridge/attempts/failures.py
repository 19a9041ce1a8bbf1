"""What the failure of an attempt means: whether it counts against what ran, and whether another may follow. A table.

Pure: knows reasons and codes, not calls.
"""

from __future__ import annotations

from collections.abc import Collection

from bridge.errors import BridgeError, Code

NOT_STARTED = frozenset(
    {
        "BREAKER_OPEN",
        "POOL_UNAVAILABLE",
        "QUEUE_FULL",
        "DEADLINE_UNREACHABLE",
        "IN_QUEUE",
        "INPUT_QUARANTINED",
        "SHUTTING_DOWN",
    }
)
"""Reasons of calls of which nothing has run: these may be repeated whatever the function does."""
BREAKS = frozenset(
    {"PROVIDER_ERROR", "POOL_UNAVAILABLE", "IN_WORKER", "WORKER_CRASHED", "WORKER_MEMORY_LIMIT", "WORKER_PROTOCOL"}
)
"""What a breaker counts as a failure. What a function raises is its answer, and a full queue is no fault of it."""
UNJUDGED = frozenset({"BREAKER_OPEN", "QUEUE_FULL", "DEADLINE_UNREACHABLE", "IN_QUEUE", "SHUTTING_DOWN", "CANCELLED"})
"""What says nothing of how good an alternative is."""
_CALLERS_OWN = frozenset({Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.ALREADY_EXISTS, Code.UNIMPLEMENTED})
_MAY_PASS = frozenset({Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED, Code.DEADLINE_EXCEEDED, Code.ABORTED, Code.INTERNAL})


def has_begun(failure: BridgeError) -> bool:
    """Whether something of the call has run, as it has of one that meets a failure by a nested call or a model."""
    if failure.reason not in NOT_STARTED or "nested_function" in failure.metadata:
        return True
    return failure.reason == "BREAKER_OPEN" and failure.metadata.get("breaker", "").startswith("provider/")


def callers_own(failure: BridgeError) -> bool:
    """Whether the request itself is wrong: any alternative would say the same."""
    return failure.code in _CALLERS_OWN


def breaks(failure: BridgeError) -> bool:
    """Whether a breaker counts it."""
    return failure.reason in BREAKS and not callers_own(failure)


def judged(failure: BridgeError) -> bool:
    """Whether it counts as a failed call in the figures of an alternative."""
    if callers_own(failure) or failure.code is Code.CANCELLED:
        return False
    return failure.reason not in UNJUDGED or (failure.reason == "BREAKER_OPEN" and has_begun(failure))


def may_repeat(failure: BridgeError, on: Collection[str], *, idempotent: bool) -> bool:
    """Whether the same may be tried again: it is asked for, does no harm, and may have another end."""
    if failure.reason not in on or callers_own(failure) or not (idempotent or not has_begun(failure)):
        return False
    return failure.reason != "PROVIDER_ERROR" or failure.code in _MAY_PASS


def may_fall_back(failure: BridgeError, on: Collection[str], *, idempotent: bool) -> bool:
    """Whether something else may be tried: it is asked for and does no harm."""
    return failure.reason in on and not callers_own(failure) and (idempotent or not has_begun(failure))
