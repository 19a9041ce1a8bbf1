"""What standing budgets have spent, kept in a file over restarts: `[spending] file`.

Written a moment after something was spent, whole, beside itself and renamed, so that a crash leaves the old or the new
one; what was spent in the last moment before a crash is not in it. One server at a time has the file. What can not be
read is left as it is and named in the error: a budget is never silently fresh.

Owns the file and the order to write it. Knows nothing of how budgets count.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bridge.errors import StoreError
from bridge.telemetry import log
from handlers.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WRITE_S = 1.0
"""How long after a change the file is written: the most that a crash forgets."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What one holder has spent of one budget in the period that ends at `ends_at` (seconds since 1970)."""

    budget: str
    scope: str
    """What the budget counts: another scope under the same name is another budget."""
    tenant: str
    holder: str
    ends_at: float
    requests: int
    tokens: int
    pico_usd: int


class Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file, as JSON."""

    spent: tuple[Spent, ...]
    version: int = 1


_decode = msgspec.json.Decoder(Content).decode


class SpentFile:
    """Reads the file once, and writes it when told that something has changed. `collect` says what is to be in it."""

    def __init__(self, path: Path, collect: Callable[[], Sequence[Spent]]) -> None:
        self._path = path
        self._collect = collect
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._lock = -1
        self._failed = False
        self._open()

    def _open(self) -> None:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(
                self._path.with_name(f".{self._path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._unlock()
            message = f"another server keeps what budgets have spent in {self._path}; give each its own spending.file"
            raise StoreError(message) from None
        except OSError as error:
            self._unlock()
            raise StoreError(f"spending.file {self._path} can not be used: {error.strerror}") from error

    def read(self) -> tuple[Spent, ...]:
        """Return what the file says; nothing where there is none. Raises StoreError."""
        try:
            content = _decode(self._path.read_bytes())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise StoreError(f"spending.file {self._path} can not be read: {error.strerror}") from error
        except msgspec.MsgspecError as error:
            message = f"spending.file {self._path} is not what this server writes ({error}); move it away to begin anew"
            raise StoreError(message) from error
        if content.version != 1:
            raise StoreError(f"spending.file {self._path} has version {content.version}; this server writes version 1")
        return content.spent

    def changed(self) -> None:
        """Take note that something has been spent: the file is written in a moment."""
        if self._timer is None and self._lock >= 0:
            self._timer = self._loop.call_later(WRITE_S, self._begin)

    def _begin(self) -> None:
        self._timer = None
        if self._writing is not None and not self._writing.done():
            self.changed()  # the disk is slow: once more when it has ended
            return
        data = self._content()
        self._writing = self._loop.create_task(self._write_later(data))

    async def _write_later(self, data: bytes) -> None:
        await asyncio.to_thread(self._write, data)

    def _content(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(Content(spent=tuple(self._collect()))), indent=1)

    def _write(self, data: bytes) -> None:
        try:
            write_private(self._path, data)
        except OSError as error:
            if not self._failed:  # once, not every second
                message = f"spending.file {self._path} can not be written ({error.strerror}): a restart would forget"
                log(logging.ERROR, message)
            self._failed = True
        else:
            self._failed = False

    async def close(self) -> None:
        """Write what there is, and let another server have the file."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lock < 0:
            return
        if self._writing is not None:
            await self._writing
        await asyncio.to_thread(self._write, self._content())
        self._unlock()

    def _unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
