"""The one rule for names that callers use: functions, programs, metrics."""

from __future__ import annotations

import re

MAX_LENGTH = 128
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}\Z")


def check(name: str) -> None:
    """Raise ValueError, saying what is wrong, unless a name may be served."""
    if not _NAME.match(name):
        got = f"{len(name)} characters" if len(name) > MAX_LENGTH else repr(name)
        raise ValueError(f"expected a name of 1 to {MAX_LENGTH} ASCII letters, digits, '_', '.' or '-', got {got}")
