"""The variables of a session: `client.variables` of a view that belongs to one, sync and async. Owns no state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge_client import session_operations as operations

if TYPE_CHECKING:
    from bridge_client.async_wire import AsyncStream, AsyncWire
    from bridge_client.options import CallOptions
    from bridge_client.session_records import Variable, WatchEvent
    from bridge_client.sync_wire import Stream, SyncWire


class Variables:
    """The variables that functions in all workers and clients share, for as long as a session lives."""

    def __init__(self, wire: SyncWire) -> None:
        self._wire = wire
        self._session_id = session_of(wire.options)

    def get(self, name: str) -> Variable:
        """A variable with its value. Raises `NotFound` where there is none."""
        return self._wire.unary(operations.get_variable(self._session_id, name))

    def set(self, name: str, value: Any, *, expected_version: int | None = None, replace_type: bool = False) -> int:
        """Give a variable a value and return its version.

        With `expected_version` only if that is its version now, 0 for one that must not be there. Raises `Aborted`
        VERSION_MISMATCH else, and `BridgeError` VARIABLE_TYPE for a value of another type, unless `replace_type`.
        """
        request = operations.set_variable(self._session_id, name, value, expected_version, replace_type=replace_type)
        return self._wire.unary(request)

    def list(self) -> tuple[Variable, ...]:
        """All variables, in the order of names."""
        return self._wire.unary(operations.list_variables(self._session_id))

    def delete(self, name: str, *, expected_version: int | None = None) -> int:
        """Delete a variable and return the number of the change. Raises `NotFound` where there is none."""
        return self._wire.unary(operations.delete_variable(self._session_id, name, expected_version))

    def watch(self) -> Stream[WatchEvent]:
        """The variables as they are (`VariableSnapshot`), each change as it comes, at last why no more come.

        It ends with the view's timeout: `with_options(timeout=None)` watches for as long as the session lives.
        """
        return self._wire.stream(operations.watch(self._session_id))


class AsyncVariables:
    """The variables that functions in all workers and clients share, for as long as a session lives."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire
        self._session_id = session_of(wire.options)

    async def get(self, name: str) -> Variable:
        """A variable with its value. Raises `NotFound` where there is none."""
        return await self._wire.unary(operations.get_variable(self._session_id, name))

    async def set(
        self, name: str, value: Any, *, expected_version: int | None = None, replace_type: bool = False
    ) -> int:
        """Give a variable a value and return its version.

        With `expected_version` only if that is its version now, 0 for one that must not be there. Raises `Aborted`
        VERSION_MISMATCH else, and `BridgeError` VARIABLE_TYPE for a value of another type, unless `replace_type`.
        """
        request = operations.set_variable(self._session_id, name, value, expected_version, replace_type=replace_type)
        return await self._wire.unary(request)

    async def list(self) -> tuple[Variable, ...]:
        """All variables, in the order of names."""
        return await self._wire.unary(operations.list_variables(self._session_id))

    async def delete(self, name: str, *, expected_version: int | None = None) -> int:
        """Delete a variable and return the number of the change. Raises `NotFound` where there is none."""
        return await self._wire.unary(operations.delete_variable(self._session_id, name, expected_version))

    def watch(self) -> AsyncStream[WatchEvent]:
        """The variables as they are (`VariableSnapshot`), each change as it comes, at last why no more come.

        It ends with the view's timeout: `with_options(timeout=None)` watches for as long as the session lives.
        """
        return self._wire.stream(operations.watch(self._session_id))


def session_of(options: CallOptions) -> str:
    """The session of a view. Raises ValueError where it has none."""
    if options.session_id is None:
        msg = "expected a client of a session; use session(...), or with_options(session_id=...)"
        raise ValueError(msg)
    return options.session_id
