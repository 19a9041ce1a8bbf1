"""What can be wrong with a configuration, as values: `Problem`, and `ConfigError` that carries all of them at once.

Owns no state. Must not know the tree of settings, files or the environment.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake and where it is. `line` and `column` count from 1 and are 0 where the source is not a file."""

    file: str
    """The file, or the source in words: "environment variable BRIDGE_X", "command line", "default"."""
    key: str
    message: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(part for part in (place, self.key, self.message) if part)


class ConfigError(Exception):
    """The configuration can not be used. The text has one line for each problem."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
