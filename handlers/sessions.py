"""The session of the running call, as user code sees it: `from bridge import session`.

Its variables live in the front and are shared by all workers and pools: each access is one question to the front. Owns
no state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from handlers import codec
from handlers.context import current
from handlers.errors import BadInput, HandlerError

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

HOOK_MARK = "__bridge_session_end__"
Hook = TypeVar("Hook", bound=Callable[..., Any])


class VersionMismatch(HandlerError):
    """A variable has another version than was expected. Left uncaught, the call fails with ABORTED."""

    code = "ABORTED"
    reason = "VERSION_MISMATCH"


@dataclass(frozen=True, slots=True)
class Versioned:
    """A variable's value with its version, for a later `set` that expects it."""

    value: Any
    version: int


class CurrentSession:
    """The session that the running call belongs to; the variants with an `a` are for async functions.

    Values are bool, int (64 bits), float, str, bytes, lists, and dicts with keys that are str. What fails raises
    HandlerError with a `reason`, as docs/reference/errors.md lists them: NO_SESSION where the call has none.
    """

    @property
    def id(self) -> str:
        """The session's id; empty where the call has no session."""
        return current().meta.session_id

    @property
    def epoch(self) -> int:
        """How often the session has been moved to another worker: what was kept in this process may be gone."""
        return current().meta.session_epoch

    @property
    def mode(self) -> str:
        """`hint` or `strict`; empty where the call has no session."""
        return current().meta.session_mode

    def get(self, name: str, default: Any = None) -> Any:
        """Return a variable's value, or the default where there is none."""
        found = self.read(name)
        return default if found is None else found.value

    def read(self, name: str) -> Versioned | None:
        """Return a variable's value and version, or None."""
        return _versioned(current().ask("session.get", _encode(name)))

    def set(self, name: str, value: Any, expected_version: int | None = None, *, replace_type: bool = False) -> int:
        """Write a variable; return its new version.

        `expected_version` is the version that it must have now, 0 for none. A value of another type than the old one
        is refused (VARIABLE_TYPE) without `replace_type`. Raises VersionMismatch and HandlerError.
        """
        try:
            return int(_decode(current().ask("session.set", _set(name, value, expected_version, replace_type))))
        except HandlerError as error:
            raise _own(error) from None

    def delete(self, name: str, expected_version: int | None = None) -> bool:
        """Delete a variable; return whether there was one. Raises VersionMismatch and HandlerError."""
        try:
            return bool(_decode(current().ask("session.delete", _encode((name, expected_version)))))
        except HandlerError as error:
            raise _own(error) from None

    def names(self) -> list[str]:
        """Return the names of all variables, sorted."""
        return list(_decode(current().ask("session.names", b"")))

    async def aget(self, name: str, default: Any = None) -> Any:
        """Do as `get` in an async function."""
        found = await self.aread(name)
        return default if found is None else found.value

    async def aread(self, name: str) -> Versioned | None:
        """Do as `read` in an async function."""
        return _versioned(await current().aask("session.get", _encode(name)))

    async def aset(
        self, name: str, value: Any, expected_version: int | None = None, *, replace_type: bool = False
    ) -> int:
        """Do as `set` in an async function."""
        try:
            return int(_decode(await current().aask("session.set", _set(name, value, expected_version, replace_type))))
        except HandlerError as error:
            raise _own(error) from None

    async def adelete(self, name: str, expected_version: int | None = None) -> bool:
        """Do as `delete` in an async function."""
        try:
            return bool(_decode(await current().aask("session.delete", _encode((name, expected_version)))))
        except HandlerError as error:
            raise _own(error) from None

    async def anames(self) -> list[str]:
        """Do as `names` in an async function."""
        return list(_decode(await current().aask("session.names", b"")))


session = CurrentSession()
"""The session of whichever call runs where it is used."""


def on_session_end(hook: Hook, /) -> Hook:
    """Declare a function that is told when a session which ran in this process has ended: (session_id, reason).

    Sync or async; it is not served. Reasons are closed, expired, evicted, and moved where a strict session's worker is
    retired. Raises TypeError for what is no function.
    """
    if isinstance(hook, type) or not callable(hook):
        raise TypeError(f"@on_session_end: expected a function, got {type(hook).__name__} {hook!r:.60}")
    setattr(hook, HOOK_MARK, True)
    return hook


def _set(name: str, value: Any, expected_version: int | None, replace_type: bool) -> bytes:
    payload = codec.encode_value(value, "msgpack")
    if payload.tensors:
        raise BadInput("expected a value without arrays; a session's variable may hold lists or bytes")
    return _encode((name, payload.msgpack, expected_version, replace_type))


def _versioned(answer: bytes) -> Versioned | None:
    found = _decode(answer)
    return None if found is None else Versioned(_decode(found[0]), found[1])


def _own(error: HandlerError) -> HandlerError:
    if error.reason != VersionMismatch.reason:
        return error
    return VersionMismatch(str(error), metadata=error.metadata)
