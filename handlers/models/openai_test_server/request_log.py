"""What the test server was asked and how each request ended, for tests to wait for and look at.

Owns the log. Several threads write, any thread reads; waiting is by condition, never by sleeping.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Outcome = Literal["open", "answered", "failed", "cut", "client_left"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """One request, as it stands."""

    number: int
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: dict[str, Any]
    outcome: Outcome = "open"
    """``open`` while it is answered; ``client_left`` where the client went before the end."""
    status: int | None = None
    chunks_sent: int = 0

    @property
    def model(self) -> str:
        """The model that was asked."""
        return str(self.body.get("model", ""))


class RequestLog:
    """The requests in the order of their arrival."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: list[RecordedRequest] = []

    def open(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> RecordedRequest:
        """Record a request that has come in."""
        with self._changed:
            record = RecordedRequest(number=len(self._requests), path=path, headers=headers, body=body)
            self._requests.append(record)
            self._changed.notify_all()
            return record

    def update(self, record: RecordedRequest, **changes: Any) -> None:
        """Change a recorded request, found by its number."""
        with self._changed:
            self._requests[record.number] = replace(self._requests[record.number], **changes)
            self._changed.notify_all()

    def count(self, model: str) -> int:
        """Return how many requests have named `model`."""
        with self._changed:
            return sum(1 for request in self._requests if request.model == model)

    def snapshot(self) -> tuple[RecordedRequest, ...]:
        """Return the requests so far."""
        with self._changed:
            return tuple(self._requests)

    def wait_for(
        self, condition: Callable[[tuple[RecordedRequest, ...]], bool], timeout_s: float
    ) -> tuple[RecordedRequest, ...]:
        """Wait until `condition` holds for the requests, and return them. Raises TimeoutError."""
        with self._changed:
            if self._changed.wait_for(lambda: condition(tuple(self._requests)), timeout_s):
                return tuple(self._requests)
            seen = ", ".join(f"{one.path} {one.model} {one.outcome}" for one in self._requests) or "none"
        raise TimeoutError(f"not seen within {timeout_s} s; requests: {seen}")
