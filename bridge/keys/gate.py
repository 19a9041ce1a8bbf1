"""The gate that every request goes through where the server has keys, whichever way it has come in.

It stands around the handlers of all methods, as the transport or a front calls them: nothing that is served is beside
it. It lets through who may, as the caller that the key names, and keeps the key itself to itself. Owns the streams that
are open, which end when their key does. Where there are no keys there is no gate.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.errors import BridgeError
from bridge.interceptors.errors import refuse
from bridge.interceptors.identity import CALLER, VerifiedName
from bridge.keys import key_file, ring
from bridge.keys.key_file import KeyFileProblem
from bridge.keys.ring import Caller, KeyRing
from bridge.keys.roles import Need, needs
from bridge.server import UNKNOWN, Answer
from bridge.telemetry import log

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator, Mapping

    from bridge.server import Conversation, Metadata, Read, Streaming, Unary, Write
    from bridge.telemetry import Telemetry

LOOK_S = 0.5
"""How often the key file is looked at."""
_HEADER = "authorization"
_OURS = frozenset((_HEADER, CALLER))
_OURS_AND_TENANT = _OURS | {"x-tenant"}
_ONLY_LOOK = ("List", "Get")
"""How the names of methods begin that change nothing."""
_UNIMPLEMENTED = Answer(None, (), 12, "Method not found!")
"""In grpc's own words."""


class _Open:
    """A stream that is open."""

    __slots__ = ("caller", "is_ended", "task")

    def __init__(self, caller: Caller, task: asyncio.Task[object]) -> None:
        self.caller = caller
        self.task = task
        self.is_ended = False

    def end(self) -> None:
        """Its key has been revoked."""
        self.is_ended = True
        self.task.cancel()


class Gate:
    """Checks keys. `open` first, `learn` what is served, then `unary`, `streaming` and `conversations` guard it."""

    def __init__(self, path: Path, telemetry: Telemetry) -> None:
        self._ring = KeyRing(path)
        self._telemetry = telemetry
        self._needs: dict[str, Need] = {}
        self._streams: set[_Open] = set()
        self._problem = ""
        self.refused: Counter[str] = Counter()
        """Requests that were refused, by reason."""

    @property
    def keys(self) -> tuple[int, int]:
        """How many keys are valid, and how many are revoked."""
        return self._ring.valid, self._ring.revoked

    @property
    def is_stale(self) -> bool:
        """Whether the file says something that can not be used, and the keys are those of before."""
        return bool(self._problem)

    def open(self) -> None:
        """Read the keys. Raises KeyFileProblem."""
        self._ring.read()
        if mode := key_file.is_readable_by_others(self._ring.path):
            path = self._ring.path
            message = f"others may read the key file {path} (its mode is {mode}); the fix: chmod 600 {path}"
            log(logging.WARNING, message, event="keys_readable")
        valid, revoked = self.keys
        message = f"API keys that may be used: {valid}, revoked: {revoked}; calls without one are refused"
        log(logging.INFO, message, event="keys_read")

    def learn(self, services: Iterable[str], files: Iterable[bytes]) -> None:
        """Take note of services that are served from now on; see `roles.needs`."""
        self._needs |= needs(services, files)

    def look(self) -> None:
        """Read the keys again where their file has changed; open streams whose key is no more what it was end."""
        try:
            changed = self._ring.read()
        except KeyFileProblem as problem:
            if str(problem) != self._problem:
                self._problem = str(problem)
                log(logging.ERROR, f"the API keys stay as they were: {problem}", event="keys_rejected")
            return
        if changed is None and not self._problem:
            return
        self._problem = ""
        if changed is None:
            log(logging.INFO, "the key file can be used again, and says the same", event="keys_recovered")
            return
        log(logging.INFO, f"API keys read anew; those that may be used: {changed.valid}", event="keys_read")
        for name in changed.ended:
            log(logging.INFO, "API key revoked", event="key_revoked", key=name)
        for stream in [one for one in self._streams if one.caller.id in changed.ids]:
            stream.end()

    async def watch(self) -> None:
        """Look at the file for as long as the server runs."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()

    def refuse(self, path: str, metadata: Metadata) -> Answer | None:
        """Return the answer to a request that the gate will refuse, for who wants to know before reading it."""
        need = self._needs.get(path, Need.ADMIN)
        if need is not Need.NOTHING:
            try:
                self._admit(metadata, need, method := _method(path if path in self._needs else UNKNOWN))
            except BridgeError as error:
                return self._refusal(error, method, b"", metadata)
        return None

    def unary(self, handlers: Mapping[str, Unary]) -> dict[str, Unary]:
        """Return the same methods behind the gate."""
        return {path: self._unary(path, handler) for path, handler in handlers.items()}

    def streaming(self, handlers: Mapping[str, Streaming]) -> dict[str, Streaming]:
        """Return the same methods behind the gate."""
        return {path: self._streaming(path, handler) for path, handler in handlers.items()}

    def conversations(self, handlers: Mapping[str, Conversation]) -> dict[str, Conversation]:
        """Return the same methods behind the gate, and what answers for methods that there are not."""

        async def unknown(_metadata: Metadata, _remaining_s: float | None, _read: Read, _write: Write) -> Answer:
            return _UNIMPLEMENTED

        everything = {**handlers, UNKNOWN: unknown}
        return {path: self._conversation(path, handler) for path, handler in everything.items()}

    def _unary(self, path: str, handler: Unary) -> Unary:
        need, method = self._needs.get(path, Need.ADMIN), _method(path)
        if need is Need.NOTHING:
            return handler

        tells = need is Need.ADMIN and not method.rpartition("/")[2].startswith(_ONLY_LOOK)

        def guarded(request: bytes, metadata: Metadata, remaining_s: float | None) -> Awaitable[Answer]:
            try:
                known = _known(caller := self._admit(metadata, need, method), metadata)
            except BridgeError as error:
                return self._refused(error, method, request, metadata)
            if tells:
                log(logging.INFO, f"{method} by '{caller.name}'", event="admin_call", method=method, key=caller.name)
            return handler(request, known, remaining_s)

        return guarded

    def _streaming(self, path: str, handler: Streaming) -> Streaming:
        need, method = self._needs.get(path, Need.ADMIN), _method(path)
        if need is Need.NOTHING:
            return handler

        async def guarded(request: bytes, metadata: Metadata, remaining_s: float | None, write: Write) -> Answer:
            try:
                with self._open(metadata, need, method) as known:
                    return await handler(request, known, remaining_s, write)
            except BridgeError as error:
                return await self._refused(error, method, request, metadata)

        return guarded

    def _conversation(self, path: str, handler: Conversation) -> Conversation:
        need, method = self._needs.get(path, Need.ADMIN), _method(path)

        async def guarded(metadata: Metadata, remaining_s: float | None, read: Read, write: Write) -> Answer:
            try:
                with self._open(metadata, need, method) as known:
                    return await handler(known, remaining_s, read, write)
            except BridgeError as error:
                return await self._refused(error, method, b"", metadata)

        return guarded

    def _admit(self, metadata: Metadata, need: Need, method: str) -> Caller:
        """Return who calls. Raises what the caller is told where it may not."""
        header: str | bytes | None = None
        for key, value in metadata:
            if key == _HEADER:
                if header is not None:
                    raise ring.invalid("there is more than one 'authorization'")
                header = value
        if header is None:
            raise ring.missing()
        caller = self._ring.caller(header if isinstance(header, str) else header.decode("latin-1"))
        if caller.may < need:
            raise ring.role_missing(caller, need, method)
        return caller

    @contextmanager
    def _open(self, metadata: Metadata, need: Need, method: str) -> Iterator[Metadata]:
        """Let a stream in that the current task runs; it ends with CREDENTIALS_REVOKED when its key does."""
        caller, task = self._admit(metadata, need, method), asyncio.current_task()
        assert task is not None
        stream = _Open(caller, task)
        self._streams.add(stream)
        try:
            yield _known(caller, metadata)
        except asyncio.CancelledError:
            if not stream.is_ended or task.uncancel() > 0:  # the client's own cancel goes on
                raise
            raise ring.ended(caller.name) from None
        finally:
            self._streams.discard(stream)

    async def _refused(self, error: BridgeError, method: str, request: bytes, metadata: Metadata) -> Answer:
        return self._refusal(error, method, request, metadata)

    def _refusal(self, error: BridgeError, method: str, request: bytes, metadata: Metadata) -> Answer:
        self.refused[error.reason] += 1
        return refuse(error, method, request, metadata, self._telemetry, error.metadata.get("key", ""))


def _known(caller: Caller, metadata: Metadata) -> Metadata:
    """Return the metadata as handlers get it: who calls in place of the key, and the tenant that the key fixes."""
    name = (CALLER, VerifiedName(caller.name))
    if caller.tenant is None:
        return (*(pair for pair in metadata if pair[0] not in _OURS), name)
    kept = (pair for pair in metadata if pair[0] not in _OURS_AND_TENANT)
    return (*kept, name, ("x-tenant", caller.tenant))


def _method(path: str) -> str:
    """Return a method's name as the log and the metrics have it."""
    return "(no such method)" if path == UNKNOWN else path.removeprefix("/bridge.v1.").removeprefix("/")
