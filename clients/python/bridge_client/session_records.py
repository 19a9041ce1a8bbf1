"""Sessions and their variables: plain immutable records. Units are in the names."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionInfo:
    """A session as the server sees it."""

    id: str
    workers: Mapping[str, str]
    """Its worker in each pool that it has used."""
    epoch: int
    """How often it has been moved to another worker."""
    opened_at: datetime.datetime
    ttl: float
    """Seconds without a call after which it ends."""
    calls: int
    mode: str
    """``hint``: goes on elsewhere when its worker is lost; ``strict``: refuses calls then."""
    tenant: str
    ordered: bool
    """Whether its calls run one after another, in the order in which they arrived."""
    running: int
    idle: float
    """Seconds without a call."""
    variables: int
    variable_bytes: int
    lost: str
    """Why its calls are refused, ``SESSION_LOST`` or ``SESSION_MOVED``; empty while they are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A session's variable at one moment."""

    name: str
    type: str
    """``bool``, ``int``, ``float``, ``string``, ``bytes``, ``list`` or ``map``."""
    value: Any
    version: int
    """The number of its last change; changes are counted over all variables of a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableSnapshot:
    """All variables at one moment: what a watch begins with."""

    variables: tuple[Variable, ...]
    version: int
    """The number of the last change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableChange:
    """A variable has a new value."""

    variable: Variable
    version: int
    skipped: int
    """Changes before this one that were left out, because the reader was slow and newer ones came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableDeleted:
    """A variable is gone."""

    name: str
    version: int
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchEnd:
    """No more changes come: always the last event."""

    reason: str
    """``closed``, ``expired``, ``evicted``, or ``stopping`` where the server ends."""


WatchEvent = VariableSnapshot | VariableChange | VariableDeleted | WatchEnd
