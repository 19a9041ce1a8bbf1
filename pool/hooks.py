"""Whom a worker tells what: a record of callables, so that it knows neither its supervisor nor the queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pool.worker import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHooks:
    """Whom a worker tells: its supervisor (`ready`, `failed`, `unfit`) and the admission (`slot_free`, `leaving`)."""

    ready: Callable[[bytes], None]
    failed: Callable[[str], None]
    unfit: Callable[[], None]
    """It runs a call that does not stop, beside others that must not be lost: replace it, then let it end."""
    slot_free: Callable[[Worker], None]
    leaving: Callable[[Worker], None]
    """It takes no more calls: it is about to be killed, or can not be reached."""
    grew: Callable[[str, int], None]
    """A call of this function has changed the worker's memory by so many bytes."""


def _ignore(*_told: object) -> None:
    return


NOBODY = WorkerHooks(ready=_ignore, failed=_ignore, unfit=_ignore, slot_free=_ignore, leaving=_ignore, grew=_ignore)
"""For a worker that has ended: it must not keep those alive whom it told."""
