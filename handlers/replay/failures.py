"""Failures of what a call has asked, as plain values, and such failures again. Owns no state."""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from handlers.contract import ErrorRecord
from handlers.errors import HandlerError, ProviderError, of_record

_DSPY_FIELDS = ("code", "model", "provider", "provider_code", "status", "request_id", "retry_after", "configuration")


class ReplayedFailure(Exception):
    """Stands for an exception of a class that is not known here."""


def to_plain(error: BaseException) -> dict[str, Any]:
    """Return a failure as a plain value."""
    from handlers.nested import CallFailed

    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, HandlerError):
        found: dict[str, Any] = {"class": "handler", "record": msgspec.to_builtins(error.to_record())}
        if isinstance(error, CallFailed):
            found |= {"class": "call", "function": error.function}
        elif isinstance(error, ProviderError):
            found["class"] = "provider"
        return found
    if kind.startswith("dspy."):
        fields = {name: getattr(error, name, None) for name in _DSPY_FIELDS}
        simple = {name: value for name, value in fields.items() if isinstance(value, (str, int, float))}
        return {"class": "dspy", "type": type(error).__name__, "message": _message(error), "fields": simple}
    return {"class": "other", "type": kind, "message": str(error)}


def _message(error: BaseException) -> str:
    return str(getattr(error, "message", "") or error)


def restored(plain: dict[str, Any]) -> Exception:
    """Return the failure that a plain value stands for."""
    if "record" in plain:
        error = of_record(msgspec.convert(plain["record"], ErrorRecord))
        if plain["class"] == "provider":
            return ProviderError(**_arguments(error))
        if plain["class"] == "call":
            from handlers.nested import CallFailed

            failed = CallFailed(**_arguments(error))
            failed.function = plain["function"]
            return failed
        return error
    if plain["class"] == "dspy" and (dspy := sys.modules.get("dspy")) is not None:
        return _of_dspy(dspy, plain)
    return ReplayedFailure(f"{plain['type']}: {plain['message']}")


def _arguments(error: HandlerError) -> dict[str, Any]:
    record = error.to_record()
    names = ("message", "code", "reason", "violations", "metadata", "retry_after_s")
    return {name: getattr(record, name) for name in names}


def _of_dspy(dspy: Any, plain: dict[str, Any]) -> Exception:
    cls = getattr(dspy, plain["type"], None)
    if not (isinstance(cls, type) and issubclass(cls, dspy.DSPyError)):
        cls = dspy.LMError
    fields = dict(plain["fields"])
    configuration = fields.pop("configuration", None)
    try:
        error: Exception = cls(message=plain["message"], **fields)
    except TypeError:  # a class with arguments of its own
        error = dspy.LMError(plain["message"], **fields)
    if configuration:
        error.configuration = configuration  # type: ignore[attr-defined]
    return error
