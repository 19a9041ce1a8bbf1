"""What DSPy raises, as the failures that callers see: one table, and the removal of keys from messages.

Pure. The caller of the bridge is not the one who holds the provider's key, so a refused key is the server's
FAILED_PRECONDITION, never the caller's UNAUTHENTICATED.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dspy
from dspy.utils import exceptions as raised

from handlers.errors import HandlerError, ProviderError
from handlers.programs.lm import not_configured
from handlers.redaction import redact

_NO_LM = "No LM is loaded"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one class of failure is reported."""

    code: str
    reason: str = "PROVIDER_ERROR"


# The first class that fits wins, so a class stands above its parents.
OUTCOMES: tuple[tuple[type[Exception], Outcome], ...] = (
    (raised.AdapterParseError, Outcome("INTERNAL", "PROGRAM_OUTPUT_INVALID")),
    (raised.LMAuthError, Outcome("FAILED_PRECONDITION")),
    (raised.LMBillingError, Outcome("RESOURCE_EXHAUSTED")),
    (raised.LMRateLimitError, Outcome("RESOURCE_EXHAUSTED")),
    (raised.LMTimeoutError, Outcome("DEADLINE_EXCEEDED")),
    (raised.LMServerError, Outcome("UNAVAILABLE")),
    (raised.LMTransportError, Outcome("UNAVAILABLE")),
    (raised.LMStreamAssemblyError, Outcome("UNAVAILABLE")),
    (raised.LMLockTimeoutError, Outcome("UNAVAILABLE")),
    (raised.ContextWindowExceededError, Outcome("INVALID_ARGUMENT")),
    (raised.LMUnsupportedModelError, Outcome("FAILED_PRECONDITION")),
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
    if outcome.reason == "PROGRAM_OUTPUT_INVALID":
        return HandlerError(
            redact(f"The model's answer does not fit the program's outputs. {error}", secrets),
            code=outcome.code,
            reason=outcome.reason,
        )
    timed_out = isinstance(error, raised.LMTransportError) and "timed out" in str(error).lower()
    return ProviderError(
        redact(str(error), secrets),
        code="DEADLINE_EXCEEDED" if timed_out else outcome.code,
        metadata=_metadata(error),
        retry_after_s=error.retry_after,
    )


@contextmanager
def reported(program: str, secrets: tuple[str, ...]) -> Iterator[None]:
    """Turn DSPy's failures into reported ones; everything else is the program's own and passes."""
    try:
        yield
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


def _metadata(error: Any) -> dict[str, str]:
    model = str(error.model or "")
    known = {
        "provider": error.provider or model.partition("/")[0],
        "model": model,
        "status": error.status,
        "provider_code": error.provider_code,
        "provider_request_id": error.request_id,
    }
    return {name: str(value) for name, value in known.items() if value}
