"""How a command ends: its exit codes, and `Failure`, which ends it with a message.

Owns no state. Imports nothing heavy: every command needs it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """The exit codes of every command. They are part of the interface and do not change."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_CONNECTION = 3
    DEADLINE = 4
    UNHEALTHY = 5
    INTERRUPTED = 130


class Failure(Exception):
    """Ends a command: `message` in one line, `lines` below it, and `fields` for machines."""

    def __init__(
        self,
        code: ExitCode,
        message: str,
        *,
        lines: tuple[str, ...] = (),
        fields: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.lines = lines
        self.fields = fields or {}

    def as_fields(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return {"error": {"exit_code": int(self.code), "message": self.message, **self.fields}}
