"""Who calls: the request's metadata read once into an `Identity`. Unknown keys are passed over, bad values refused."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from functools import lru_cache

from bridge.call import Identity
from bridge.errors import bad_metadata
from bridge.receipts.budgets import Budget, parse_dollars, parse_whole
from bridge.sessions.record import Mode
from bridge.v1.invoke_pb2 import MultiplexOptions, Priority
from bridge.v1.session_pb2 import SessionMode
from pool.calls import HIGH, LOW, NORMAL

VALUE_CHARACTERS = 256
_PREFIX = os.urandom(6).hex()
_NUMBERS = itertools.count(1)
PRIORITIES = {"high": HIGH, "normal": NORMAL, "low": LOW}
_STANDING = frozenset(("x-session-id", "x-session-mode", "x-session-ordered", "x-tenant", "x-priority"))
"""The keys whose values are the same in many requests: what they mean is remembered."""
_LIMITS = {"x-budget-usd": "pico_usd", "x-budget-tokens": "tokens", "x-budget-calls": "calls"}
CALLER = "bridge-caller"
"""The name of the caller's API key, where the gate has put it there."""
_READ = _STANDING | _LIMITS.keys() | {"x-request-id", "x-timeout-ms", "traceparent", CALLER}
"""The keys that mean something here: most requests have none of them."""

Metadata = Sequence[tuple[str, str | bytes]]


class VerifiedName(str):
    """A name that was verified. No text that comes over the wire is of this type, so no client can claim one."""

    __slots__ = ()


def new_request_id() -> str:
    """Return an id that no other request of this or another server has."""
    return f"{_PREFIX}-{next(_NUMBERS):x}"


def identify(metadata: Metadata) -> Identity:
    """Read the metadata of a request. Raises BAD_METADATA where a value can not be used."""
    for key, _ in metadata:
        if key in _READ:
            return _identify(metadata)
    return Identity(new_request_id(), bare=True)


def _identify(metadata: Metadata) -> Identity:
    request_id = traceparent = key_name = ""
    timeout_ms: int | None = None
    limits: dict[str, int] | None = None
    standing: tuple[tuple[str, str | bytes], ...] = ()
    for pair in metadata:
        key, value = pair
        if key in _STANDING:
            standing += (pair,)
        elif key == "x-request-id":
            request_id = _text(key, value)
        elif key == "x-timeout-ms":
            timeout_ms = _milliseconds(key, _text(key, value))
        elif key == "traceparent":
            traceparent = _text(key, value)
        elif key in _LIMITS:
            limits = limits or {}
            limits[_LIMITS[key]] = _limit(key, _text(key, value))
        elif key == CALLER and isinstance(value, VerifiedName):
            key_name = value
    session_id, tenant, priority, mode, ordered = _standing(standing)
    who = (request_id or new_request_id(), session_id, tenant, traceparent, timeout_ms, priority, mode, ordered)
    if limits is not None:
        return Identity(*who, Budget(**limits), False, key_name)
    return Identity(*who, None, not session_id and not tenant and not traceparent, key_name)


@lru_cache(maxsize=1024)
def _standing(
    metadata: tuple[tuple[str, str | bytes], ...],
) -> tuple[str, str, int, Mode | None, bool | None]:
    """Return session, tenant, priority, mode and order. Raises BAD_METADATA, and forgets that it did."""
    session_id = tenant = ""
    priority = NORMAL
    mode: Mode | None = None
    ordered: bool | None = None
    for key, value in metadata:
        text = _text(key, value)
        match key:
            case "x-session-id":
                session_id = text
            case "x-session-mode":
                mode = _mode(key, text)
            case "x-session-ordered":
                ordered = _flag(key, text)
            case "x-tenant":
                tenant = text
            case "x-priority":
                priority = _priority(key, text)
    return session_id, tenant, priority, mode, ordered


_MODES: dict[int, Mode] = {SessionMode.SESSION_MODE_HINT: "hint", SessionMode.SESSION_MODE_STRICT: "strict"}
_PRIORITIES = {Priority.PRIORITY_LOW: LOW, Priority.PRIORITY_HIGH: HIGH}


def identify_member(of: Identity, number: int, options: MultiplexOptions | None) -> Identity:
    """Return who makes a call of a multiplexed stream; what its options leave out is as the stream `of` says.

    Raises BAD_METADATA where a value can not be used.
    """
    request_id = f"{of.request_id}.{number}"
    session_id, mode, ordered = of.session_id, of.session_mode, of.session_ordered
    if options is None:
        parts = of.traceparent, of.timeout_ms, of.priority
        return Identity(request_id, session_id, of.tenant, *parts, mode, ordered, of.budget, of.bare, of.key_name)
    if options.session_id:
        session_id, mode, ordered = _text("x-session-id", options.session_id), None, None
    return Identity(
        _text("x-request-id", options.request_id) or request_id,
        session_id,
        of.tenant,
        _text("traceparent", options.traceparent) or of.traceparent,
        options.timeout_ms or of.timeout_ms,
        _PRIORITIES.get(options.priority, NORMAL) if options.priority else of.priority,
        _MODES.get(options.session_mode, mode),
        ordered,
        of.budget,
        False,
        of.key_name,
    )


def request_id_of(metadata: Metadata) -> str:
    """Return the id of a request whose metadata may be unusable otherwise; a new one where it brings none."""
    for key, value in metadata:
        if key == "x-request-id" and _is_text(value):
            return str(value) or new_request_id()
    return new_request_id()


def key_name_of(metadata: Metadata) -> str:
    """Return the name of the API key of such a request, where it has come through the gate."""
    return next((value for key, value in metadata if key == CALLER and isinstance(value, VerifiedName)), "")


def _text(key: str, value: str | bytes) -> str:
    if not _is_text(value):
        raise bad_metadata(key, f"expected at most {VALUE_CHARACTERS} printable ASCII characters")
    return str(value)


def _is_text(value: str | bytes) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and len(value) <= VALUE_CHARACTERS


def _milliseconds(key: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise bad_metadata(key, f"expected whole milliseconds, got {text[:40]!r}")
    return int(text)


def _limit(key: str, text: str) -> int:
    limit = parse_dollars(text) if key == "x-budget-usd" else parse_whole(text)
    if limit is None:
        expected = "US dollars as a decimal such as 0.05" if key == "x-budget-usd" else "a whole number, 0 or more"
        raise bad_metadata(key, f"expected {expected}, got {text[:40]!r}")
    return limit


def _priority(key: str, text: str) -> int:
    priority = PRIORITIES.get(text)
    if priority is None:
        raise bad_metadata(key, f"expected 'high', 'normal' or 'low', got {text[:40]!r}")
    return priority


def _mode(key: str, text: str) -> Mode:
    if text not in ("hint", "strict"):
        raise bad_metadata(key, f"expected 'hint' or 'strict', got {text[:40]!r}")
    return text  # type: ignore[return-value]


def _flag(key: str, text: str) -> bool:
    if text not in ("0", "1"):
        raise bad_metadata(key, f"expected '0' or '1', got {text[:40]!r}")
    return text == "1"
