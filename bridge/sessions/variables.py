"""The variables of one session: typed, versioned, watched. Pure but for waking those who watch.

Owns the values, in memory: they end with the session and with the server. Versions count the changes of the whole
session, so that a variable that was deleted and made anew never has an old number again.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from dataclasses import dataclass

from bridge.errors import BridgeError, Code, bad_field
from bridge.sessions.values import Kind, widened

NAME_RULE = "expected 1 to 128 letters, digits, '.', '_', ':' or '-'"
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}")
OVERHEAD = 100
"""What a variable takes beside its name and value, about, in bytes."""
CHANGES_KEPT = 256
"""Changes that wait for one watcher before those that newer ones outdate are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableLimits:
    """How much there may be. Sizes in bytes."""

    variables: int = 64
    """Of one session."""
    value_bytes: int = 64 << 10
    session_bytes: int = 1 << 20
    total_bytes: int = 256 << 20
    """Of all sessions."""
    watchers: int = 32
    """Of one session."""


class Budget:
    """What all sessions' variables take, and may take."""

    __slots__ = ("limits", "used")

    def __init__(self, limits: VariableLimits) -> None:
        self.limits = limits
        self.used = 0


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable at one moment; its value is MessagePack."""

    name: str
    kind: Kind
    packed: bytes
    version: int

    @property
    def size(self) -> int:
        """What it counts for, in bytes."""
        return len(self.name) + len(self.packed) + OVERHEAD


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one variable; `variable` is None where it was deleted, `skipped` counts changes left out before."""

    name: str
    version: int
    variable: Variable | None
    skipped: int = 0

    @property
    def size(self) -> int:
        """What it holds, in bytes."""
        return OVERHEAD if self.variable is None else self.variable.size


class Watcher:
    """Who watches: gets every change in order, unless it is so slow that some are outdated before it has read them."""

    __slots__ = ("_bound", "_most_bytes", "_pending", "_size", "_skipped", "_waiter", "known", "reason")

    def __init__(self, known: set[str], most_bytes: int) -> None:
        self.known = known
        """Variables that it has been told of, or will be by what is pending."""
        self.reason = ""
        """Why no more changes come; empty while they do."""
        self._pending: deque[Change] = deque()
        self._size = self._skipped = 0
        self._bound = CHANGES_KEPT
        self._most_bytes = most_bytes
        self._waiter: asyncio.Future[None] | None = None

    def put(self, change: Change) -> None:
        """Add a change."""
        self._pending.append(change)
        self._size += change.size
        if len(self._pending) > self._bound or self._size > self._most_bytes:
            self._drop_outdated()
        self._wake()

    def _drop_outdated(self) -> None:
        """Keep of each variable the last change, in the order of those. What is left is bounded by the variables."""
        last: dict[str, Change] = {}
        skipped = self._skipped
        for change in self._pending:
            skipped += last.pop(change.name, None) is not None
            last[change.name] = change
        kept = [c for c in last.values() if c.variable is not None or c.name in self.known]
        skipped += len(last) - len(kept)
        self._pending = deque(Change(c.name, c.version, c.variable) for c in kept)
        self._skipped = skipped
        self._size = sum(change.size for change in kept)
        self._bound = max(CHANGES_KEPT, 2 * len(kept))
        self._most_bytes = max(self._most_bytes, 2 * self._size)

    def end(self, reason: str) -> None:
        """Say that no change follows, and why."""
        self.reason = reason
        self._wake()

    async def take(self) -> list[Change]:
        """Return the changes that have come, waiting for one; an empty list at the end."""
        while not self._pending and not self.reason:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        taken, self._pending, self._size = list(self._pending), deque(), 0
        if taken and self._skipped:
            first = taken[0]
            taken[0] = Change(first.name, first.version, first.variable, self._skipped)
            self._skipped = 0
        for change in taken:
            (self.known.discard if change.variable is None else self.known.add)(change.name)
        return taken

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Variables:
    """The variables of one session."""

    __slots__ = ("_budget", "_variables", "_watchers", "size", "version")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._variables: dict[str, Variable] = {}
        self._watchers: list[Watcher] = []
        self.size = 0
        """What they take, in bytes."""
        self.version = 0
        """The number of the last change."""

    def __len__(self) -> int:
        return len(self._variables)

    def find(self, name: str) -> Variable | None:
        """Return a variable, or None."""
        return self._variables.get(name)

    def get(self, name: str) -> Variable:
        """Return a variable. Raises UNKNOWN_VARIABLE."""
        variable = self._variables.get(name)
        if variable is None:
            shown = f"variable '{name}'" if _NAME.fullmatch(name) else "variable of this name"
            raise BridgeError(Code.NOT_FOUND, "UNKNOWN_VARIABLE", f"the session has no {shown}")
        return variable

    def all(self) -> list[Variable]:
        """Return all, in the order of their names."""
        return [self._variables[name] for name in sorted(self._variables)]

    def set(
        self, name: str, kind: Kind, packed: bytes, expected_version: int | None = None, *, replace_type: bool = False
    ) -> Variable:
        """Write a variable; return it as it is now.

        Raises VERSION_MISMATCH, VARIABLE_TYPE, VARIABLE_LIMIT, or SCHEMA_MISMATCH for a name that can not be.
        """
        if not _NAME.fullmatch(name):
            raise bad_field("name", NAME_RULE)
        old = self._variables.get(name)
        self._check_version(name, old, expected_version)
        if old is not None and old.kind != kind and not replace_type:
            wide = widened(packed) if (old.kind, kind) == ("float", "int") else None
            if wide is None:
                raise _wrong_type(name, old.kind, kind)
            kind, packed = old.kind, wide
        variable = Variable(name, kind, packed, self.version + 1)
        self._check_room(old, variable)
        self._resize(variable.size - (0 if old is None else old.size))
        self._variables[name] = variable
        self._changed(name, variable)
        return variable

    def delete(self, name: str, expected_version: int | None = None) -> int:
        """Delete a variable; return the number of the change. Raises UNKNOWN_VARIABLE or VERSION_MISMATCH."""
        old = self.get(name)
        self._check_version(name, old, expected_version)
        del self._variables[name]
        self._resize(-old.size)
        self._changed(name, None)
        return self.version

    def watch(self) -> Watcher:
        """Begin to watch; the changes from now on come. Raises WATCH_LIMIT. Call `unwatch` in the end."""
        limit = self._budget.limits.watchers
        if len(self._watchers) >= limit:
            message = f"{limit} watch this session, which is the limit; end some, or raise sessions.max_watchers"
            raise BridgeError(Code.RESOURCE_EXHAUSTED, "WATCH_LIMIT", message, metadata={"limit": str(limit)})
        watcher = Watcher(set(self._variables), 2 * self._budget.limits.session_bytes)
        self._watchers.append(watcher)
        return watcher

    def unwatch(self, watcher: Watcher) -> None:
        """Tell a watcher no more."""
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def end(self, reason: str) -> None:
        """Drop everything; those who watch hear why."""
        self._resize(-self.size)
        self._variables.clear()
        for watcher in self._watchers:
            watcher.end(reason)

    def _changed(self, name: str, variable: Variable | None) -> None:
        self.version += 1
        if self._watchers:
            change = Change(name, self.version, variable)
            for watcher in self._watchers:
                watcher.put(change)

    def _resize(self, difference: int) -> None:
        self.size += difference
        self._budget.used += difference

    @staticmethod
    def _check_version(name: str, old: Variable | None, expected: int | None) -> None:
        version = 0 if old is None else old.version
        if expected is not None and expected != version:
            there = f"version {version}" if version else "no value"
            message = f"'{name}' was expected to have version {expected}, and has {there}; read it, and decide anew"
            raise BridgeError(Code.ABORTED, "VERSION_MISMATCH", message, metadata={"version": str(version)})

    def _check_room(self, old: Variable | None, new: Variable) -> None:
        limits, more = self._budget.limits, new.size - (0 if old is None else old.size)
        if old is None and len(self._variables) >= limits.variables:
            raise _full("max_variables", limits.variables, f"the session has {limits.variables} variables")
        if self.size + more > limits.session_bytes:
            what = f"the session's variables would take {self.size + more} bytes of {limits.session_bytes}"
            raise _full("max_session_bytes", limits.session_bytes, what)
        if self._budget.used + more > limits.total_bytes:
            what = f"all sessions' variables would take more than {limits.total_bytes} bytes"
            raise _full("max_total_bytes", limits.total_bytes, what)


def _full(setting: str, limit: int, what: str) -> BridgeError:
    message = f"{what}, which is the limit; delete some, or raise sessions.{setting}"
    metadata = {"limit": str(limit), "setting": f"sessions.{setting}"}
    return BridgeError(Code.RESOURCE_EXHAUSTED, "VARIABLE_LIMIT", message, metadata=metadata)


def _wrong_type(name: str, old: Kind, new: Kind) -> BridgeError:
    message = f"'{name}' holds a {old}, and a {new} was to be written; ask for replace_type if that is meant"
    return BridgeError(
        Code.FAILED_PRECONDITION, "VARIABLE_TYPE", message, metadata={"type": old, "got": new, "variable": name}
    )
