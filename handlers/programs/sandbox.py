"""Where code that a model wrote may run: not at all, unless the operator allows it and there is a sandbox.

Owns nothing. A sandbox is a process without the host's files and network; a plain subprocess is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from handlers.errors import HandlerError

if TYPE_CHECKING:
    from collections.abc import Callable

OFF = (
    "This program runs code that a language model writes, and the server does not allow that: "
    "set allow_code = true in [programs] of bridge.toml"
)


def unavailable(message: str) -> HandlerError:
    """Return the failure of a program that needs a sandbox; the message says what is missing."""
    return HandlerError(message, code="FAILED_PRECONDITION", reason="SANDBOX_UNAVAILABLE")


def interpreter(*, allowed: bool) -> Callable[[], Any]:
    """Return what makes a sandbox for code. Raises SANDBOX_UNAVAILABLE."""
    if not allowed:
        raise unavailable(OFF)
    raise unavailable("This program runs code that a language model writes, and there is no sandbox for it here.")
