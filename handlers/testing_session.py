"""A session for unit tests: `with in_session("s1", {"count": 3}) as variables:` around `handlers.testing.call`.

Its variables are a plain dict, in place of those that a server keeps: versions are counted, but types and sizes are not
checked, and nobody else writes. Owns no state beyond the block.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class LocalSession:
    """Answers what `bridge.session` asks, from a dict."""

    def __init__(self, session_id: str, variables: dict[str, Any]) -> None:
        self.id = session_id
        self.variables = variables
        self._versions: dict[str, int] = {}
        self._changes = 0

    def ask(self, name: str, body: bytes) -> tuple[bool, bytes]:
        """Answer at once."""
        if name == "session.names":
            return True, _encode(sorted(self.variables))
        if name == "session.get":
            variable = _decode(body)
            if variable not in self.variables:
                return True, _encode(None)
            return True, _encode((_encode(self.variables[variable]), self._version(variable)))
        if name in ("session.set", "session.delete"):
            return self._change(name, *_decode(body))
        return _failed("UNIMPLEMENTED", "UNKNOWN_METHOD", f"a unit test has nobody who answers '{name}'")

    async def aask(self, name: str, body: bytes) -> tuple[bool, bytes]:
        """Answer async code."""
        return self.ask(name, body)

    def tell(self, name: str, body: bytes) -> None:
        """Take in what waits for no answer."""
        self.ask(name, body)

    def _change(self, name: str, variable: str, *rest: Any) -> tuple[bool, bytes]:
        expected = rest[1] if name == "session.set" else rest[0]
        version = self._version(variable)
        if expected is not None and expected != version:
            what = f"'{variable}' was expected to have version {expected}, and has {version}"
            return _failed("ABORTED", "VERSION_MISMATCH", what)
        self._changes += 1
        if name == "session.delete":
            self._versions.pop(variable, None)
            return True, _encode(self.variables.pop(variable, _encode) is not _encode)
        self.variables[variable] = _decode(rest[0])
        self._versions[variable] = self._changes
        return True, _encode(self._changes)

    def _version(self, variable: str) -> int:
        """Return a variable's version; what the test has put there itself counts as a change of its own."""
        if variable not in self.variables:
            return 0
        if variable not in self._versions:
            self._changes += 1
            self._versions[variable] = self._changes
        return self._versions[variable]


CURRENT: ContextVar[LocalSession | None] = ContextVar("test_session", default=None)


@contextmanager
def in_session(session_id: str = "test", variables: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
    """Let calls of `handlers.testing` in this block belong to a session; gives the dict of its variables."""
    session = LocalSession(session_id, {} if variables is None else variables)
    token = CURRENT.set(session)
    try:
        yield session.variables
    finally:
        CURRENT.reset(token)


def _failed(code: str, reason: str, message: str) -> tuple[bool, bytes]:
    return False, msgspec.json.encode({"code": code, "reason": reason, "message": message})
