"""What DSPy raises, as the failures that callers see: one table, and the removal of keys from messages.

Pure. The caller of the bridge is not the one who holds the provider's key, so a refused key is the server's
FAILED_PRECONDITION, never the caller's UNAUTHENTICATED.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.utils import exceptions as raised

from handlers.errors import HandlerError, ProviderError
from handlers.programs.lm import not_configured
from handlers.programs.tools import AbortRun
from handlers.redaction import redact

OUTPUT_INVALID = "PROGRAM_OUTPUT_INVALID"

_CHECK_KEY = "Check this model's api_key in the server's bridge.toml."
_CHECK_NAME = "Check this model's name in the server's bridge.toml."
_NO_LM = "No LM is loaded"
_MESSAGE_CHARACTERS = 1000
"""An answer that could not be read is quoted in its error; trailers have little room."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one class of failure is reported."""

    code: str
    fix: str = ""
    reason: str = "PROVIDER_ERROR"


# The first class that fits wins, so a class stands above its parents.
OUTCOMES: tuple[tuple[type[Exception], Outcome], ...] = (
    (raised.AdapterParseError, Outcome("INTERNAL", reason=OUTPUT_INVALID)),
    (raised.LMAuthError, Outcome("FAILED_PRECONDITION", _CHECK_KEY)),
    (raised.LMBillingError, Outcome("FAILED_PRECONDITION")),
    (raised.LMRateLimitError, Outcome("RESOURCE_EXHAUSTED")),
    (raised.LMTimeoutError, Outcome("DEADLINE_EXCEEDED")),
    (raised.LMServerError, Outcome("UNAVAILABLE")),
    (raised.LMTransportError, Outcome("UNAVAILABLE")),
    (raised.LMStreamAssemblyError, Outcome("UNAVAILABLE")),
    (raised.LMLockTimeoutError, Outcome("UNAVAILABLE")),
    (raised.ContextWindowExceededError, Outcome("INVALID_ARGUMENT", "Send less text.")),
    (
        raised.LMUnsupportedModelError,
        Outcome("FAILED_PRECONDITION", _CHECK_NAME),
    ),
    (raised.LMInvalidRequestError, Outcome("INVALID_ARGUMENT")),
    (raised.LMConfigurationError, Outcome("FAILED_PRECONDITION")),
    (raised.LMUnsupportedFeatureError, Outcome("FAILED_PRECONDITION")),
    (raised.LMCollectionLimitError, Outcome("RESOURCE_EXHAUSTED")),
    (raised.LMProviderError, Outcome("UNAVAILABLE")),
    (raised.LMError, Outcome("INTERNAL")),
)


def as_handler_error(error: raised.DSPyError, secrets: tuple[str, ...] = ()) -> HandlerError | None:
    """Return the failure to report for one of DSPy's; None for a class that is not in the table."""
    outcome = next((outcome for cls, outcome in OUTCOMES if isinstance(error, cls)), None)
    if outcome is None:
        return None
    if outcome.reason == OUTPUT_INVALID:
        text = _short(f"The model's answer does not fit the program's outputs. {error}", secrets)
        return HandlerError(text, code=outcome.code, reason=outcome.reason)
    # What follows the first paragraph is advice to who wrote the Python code.
    text = " ".join(filter(None, (_short(str(error).partition("\n\n")[0], secrets), outcome.fix)))
    return ProviderError(
        text,
        code=_code(error, outcome),
        metadata=_metadata(error),
        retry_after_s=error.retry_after,
    )


@contextmanager
def reported(program: str, secrets: tuple[str, ...]) -> Iterator[None]:
    """Turn DSPy's failures, and those of tools that end a run, into reported ones; all else is the program's own."""
    try:
        yield
    except AbortRun as aborted:
        raise aborted.error from None
    except dspy.DSPyError as error:
        failure = as_handler_error(error, secrets)
        if failure is None:
            raise
        # Without its cause, whose text may hold a key.
        raise failure from None
    except ValueError as error:
        if not str(error).startswith(_NO_LM):
            raise
        raise not_configured(program) from None


def _code(error: raised.DSPyError, outcome: Outcome) -> str:
    if isinstance(error, raised.LMTransportError) and "timed out" in str(error).lower():
        return "DEADLINE_EXCEEDED"
    # What is no JSON, DSPy tells apart in a whole answer but not in a stream.
    is_broken = isinstance(error, raised.LMUnexpectedError) and isinstance(error.__cause__, json.JSONDecodeError)
    return "UNAVAILABLE" if is_broken else outcome.code


def _short(text: str, secrets: tuple[str, ...]) -> str:
    text = redact(" ".join(text.split()), secrets)
    return text if len(text) <= _MESSAGE_CHARACTERS else text[: _MESSAGE_CHARACTERS - 3] + "..."


def _metadata(error: Any) -> dict[str, str]:
    model = str(error.model or "")
    known = {
        # The model's prefix is the provider as the configuration names it; DSPy's own name says which API it spoke.
        "provider": model.partition("/")[0] if "/" in model else error.provider,
        "model": model,
        "status": error.status,
        "provider_code": error.provider_code,
        "provider_request_id": error.request_id,
        "configuration": getattr(error, "configuration", ""),
    }
    return {name: str(value) for name, value in known.items() if value}
