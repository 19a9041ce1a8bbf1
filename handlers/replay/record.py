"""A saved call as plain data: all that it takes to run it again without the world outside. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from handlers.contract import ErrorRecord

FORMAT = "bridge-replay"
VERSION = 1
MAX_BYTES = 256 << 20


class ReplayError(Exception):
    """A saved call can not be read or run again; the message says why."""


class Exchange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request that the call has made, and its reply: one value, several of a stream, or a failure."""

    kind: str
    """lm (a program's model), model (ModelService's), call, stream, ask."""
    request: Any
    digest: str
    """Of the request."""
    reply: Any = None
    items: list[Any] | None = None
    """Of a stream: what has come, also where a failure followed."""
    error: dict[str, Any] | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a call has ended: with a value, the items of a stream, or a failure."""

    value: Any = None
    items: list[Any] | None = None
    error: ErrorRecord | None = None


class Program(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What was called, as it was then."""

    name: str
    kind: str
    """function, program, created or builtin."""
    module: str = ""
    """The user's module, as it was configured."""
    source: str = ""
    """Hash of the module's file."""
    version: int = 0
    """Of a created program, or of the saved state of one in a file."""
    definition: Any = None
    """Of a created program."""
    state: Any = None
    """Of a program in a file: its predictors, where a saved version of it served."""


class SavedCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call. Secrets have been taken out of all of it."""

    format: str
    format_version: int
    saved_at: str
    """ISO 8601, UTC."""
    why: str
    """failed or sampled."""
    request_id: str
    method: str
    program: Program
    request: Any
    """The request message; its payload decoded."""
    exchanges: list[Exchange]
    """In the order of their ends."""
    outcome: Outcome
    seeds: dict[str, str]
    environment: dict[str, str]
    """Versions of Python and of libraries."""
    models: dict[str, Any]
    """The configured models, without their keys."""
    seconds: float


class _Head(msgspec.Struct, frozen=True):
    format: str = ""
    format_version: int = 0


def encode(call: SavedCall) -> bytes:
    """Return a saved call as JSON, one value a line."""
    return msgspec.json.format(msgspec.json.encode(call), indent=1) + b"\n"


def decode(data: bytes, where: str) -> SavedCall:
    """Read what `encode` wrote. Raises ReplayError."""
    if len(data) > MAX_BYTES:
        raise ReplayError(f"{where} has {len(data)} bytes, more than a saved call may have ({MAX_BYTES})")
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.format != FORMAT:
            raise ReplayError(f"{where}: expected the format '{FORMAT}', got '{head.format[:50]}'")
        if head.format_version != VERSION:
            message = f"{where} has format version {head.format_version}; this bridge reads version {VERSION}"
            raise ReplayError(f"{message}. Use the bridge that wrote it")
        return msgspec.json.decode(data, type=SavedCall)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ReplayError(f"{where} is no saved call: {error}") from None
