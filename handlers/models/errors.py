"""What a provider's failure means to the bridge's caller: one table.

Takes exceptions of LiteLLM, openai and instructor by their names and HTTP status, so that none of them is imported
here. The caller of the bridge did nothing wrong where a key is refused: such failures name the configuration's key.
API keys are taken out of every message.
"""

from __future__ import annotations

import email.utils
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from handlers.errors import HandlerError, ProviderError
from handlers.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.contract import ModelOptions

_LONGEST_MESSAGE = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class _Meaning:
    code: str
    what: str
    fix: str = ""
    """`{key}` stands for the model's table in the configuration, such as ``models.default``."""


_BUSY = _Meaning(code="RESOURCE_EXHAUSTED", what="the provider limits the rate of requests")
_DOWN = _Meaning(code="UNAVAILABLE", what="the provider failed")
_UNREACHABLE = _Meaning(
    code="UNAVAILABLE", what="the provider could not be reached or the connection broke", fix="Check {key}.api_base."
)
_GARBLED = _Meaning(
    code="UNAVAILABLE", what="the provider's reply could not be read", fix="Check {key}.api_base: is it the API?"
)
_SLOW = _Meaning(
    code="DEADLINE_EXCEEDED", what="the model did not answer in time", fix="Allow more time: {key}.timeout_s."
)
_TOO_LONG = _Meaning(code="INVALID_ARGUMENT", what="the conversation is longer than the model takes")
_REFUSED = _Meaning(code="INVALID_ARGUMENT", what="the provider refused the request as invalid")
_FILTERED = _Meaning(code="FAILED_PRECONDITION", what="the provider's content filter refused the conversation")
_UNPAID = _Meaning(code="FAILED_PRECONDITION", what="the provider wants to be paid")
_KEY = _Meaning(code="FAILED_PRECONDITION", what="the provider refused the API key", fix="Set {key}.api_key.")
_FORBIDDEN = _Meaning(
    code="FAILED_PRECONDITION", what="the API key may not use this model", fix="Check {key}.api_key and {key}.model."
)
_NO_MODEL = _Meaning(
    code="FAILED_PRECONDITION",
    what="the provider does not know the model or the address",
    fix="Check {key}.model and {key}.api_base.",
)
_NO_PROVIDER = _Meaning(
    code="FAILED_PRECONDITION",
    what="LiteLLM can not tell the provider from the model's name",
    fix="Write PROVIDER/MODEL in {key}.model, such as openai/gpt-4o-mini.",
)

_NO_ADDRESSES = _Meaning(
    code="INVALID_ARGUMENT", what="the provider takes no addresses of images", fix="Send their bytes."
)
_NO_KEY = _Meaning(
    code="FAILED_PRECONDITION", what="there is no API key", fix='Set {key}.api_key, such as "env:OPENAI_API_KEY".'
)

_BY_TEXT = {
    "LLM Provider NOT provided": _NO_PROVIDER,
    "Missing credentials": _NO_KEY,
    "Image URL download is disabled": _NO_ADDRESSES,
    "Empty or invalid response from LLM endpoint": _GARBLED,
}
"""What LiteLLM says of failures for which it makes up a status."""

_BY_CLASS = {
    "ContextWindowExceededError": _TOO_LONG,
    "ContentPolicyViolationError": _FILTERED,
    "UnsupportedParamsError": _REFUSED,
    "Timeout": _SLOW,
    "APITimeoutError": _SLOW,
    "TimeoutError": _SLOW,
}
"""Classes that say more than their status."""

_BY_CAUSE = {
    "ReadTimeout": _SLOW,
    "APITimeoutError": _SLOW,
    "JSONDecodeError": _GARBLED,
    "APIResponseValidationError": _GARBLED,
    "ConnectError": _UNREACHABLE,
    "RemoteProtocolError": _UNREACHABLE,
    "APIConnectionError": _UNREACHABLE,
}
"""Classes that, anywhere behind the failure, show that its status was made up; the first one counts."""

_BY_STATUS = {
    400: _REFUSED,
    401: _KEY,
    402: _UNPAID,
    403: _FORBIDDEN,
    404: _NO_MODEL,
    408: _SLOW,
    409: _DOWN,
    413: _TOO_LONG,
    422: _REFUSED,
    429: _BUSY,
    504: _SLOW,
}


def provider_error(error: BaseException, name: str, options: ModelOptions) -> HandlerError:
    """Return what the failure of the model `name` is called to the caller; a HandlerError behind it stays itself."""
    cause = root_cause(error)
    if isinstance(cause, HandlerError):
        return cause
    meaning, status = _meaning(cause)
    key = f"models.{name}"
    said = redact(" ".join(str(cause).split()), _secrets(options))[:_LONGEST_MESSAGE]
    http = f" (HTTP {status})" if status else ""
    fix = f" {meaning.fix.format(key=key)}" if meaning.fix else ""
    return ProviderError(
        f"Model '{name}' ({options.model}): {meaning.what}{http}.{fix} It says: {said}",
        code=meaning.code,
        metadata=_metadata(name, options, status),
        retry_after_s=_retry_after(cause) if meaning is _BUSY or meaning is _DOWN else None,
    )


def timed_out(name: str, options: ModelOptions, waited_s: float) -> ProviderError:
    """Return the failure of a model that took longer than `waited_s` seconds."""
    return ProviderError(
        f"Model '{name}' ({options.model}): {_SLOW.what}: nothing after {waited_s:.3g} s. The time is the smaller of"
        f" models.{name}.timeout_s ({options.timeout_s:g} s) and what was left of the call's deadline.",
        code=_SLOW.code,
        metadata=_metadata(name, options, None),
    )


def broken_off(name: str, options: ModelOptions, what: str) -> ProviderError:
    """Return the failure of a model whose reply was not whole."""
    return ProviderError(
        f"Model '{name}' ({options.model}): {what}.", metadata=_metadata(name, options, None), code="UNAVAILABLE"
    )


def root_cause(error: BaseException) -> BaseException:
    """Return the failure inside instructor's and LiteLLM's wrappings."""
    for _ in range(10):
        inner = _inside(error)
        if inner is None or inner is error:
            return error
        error = inner
    return error


def _inside(error: BaseException) -> BaseException | None:
    """Return the failure that this one wraps; None where it wraps none."""
    original = getattr(error, "original_exception", None)  # LiteLLM's failure in the middle of a stream
    if isinstance(original, BaseException):
        return original
    if type(error).__name__ == "InstructorRetryException":
        attempts = getattr(error, "failed_attempts", None) or ()
        return error.__cause__ or (attempts[-1].exception if attempts else None)
    if type(error).__name__ == "RetryError":
        attempt: Any = getattr(error, "last_attempt", None)
        return error.__cause__ if attempt is None else attempt.exception()
    return None


def _meaning(error: BaseException) -> tuple[_Meaning, int | None]:
    for kind in type(error).__mro__:
        if kind.__name__ in _BY_CLASS:
            return _BY_CLASS[kind.__name__], None
    said = str(error)
    for text, meaning in _BY_TEXT.items():
        if text in said:
            return meaning, None
    behind = {type(cause).__name__ for cause in _behind(error)}
    for name, meaning in _BY_CAUSE.items():
        if name in behind:
            return meaning, None
    status = getattr(error, "status_code", None)
    if not isinstance(status, int):
        return _DOWN, None
    return _BY_STATUS.get(status, _DOWN if status >= 500 else _REFUSED), status


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Return the error and what was raised before it."""
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or seen.__context__


def _retry_after(error: BaseException) -> float | None:
    """Return the seconds that the provider asks to wait, from its header (seconds or a date)."""
    for cause in _behind(error):
        for headers in (getattr(cause, "litellm_response_headers", None), _response_headers(cause)):
            text = headers.get("retry-after") if headers else None
            if text:
                return _seconds(str(text))
    return None


def _response_headers(error: BaseException) -> Any:
    return getattr(getattr(error, "response", None), "headers", None)


def _seconds(text: str) -> float | None:
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _metadata(name: str, options: ModelOptions, status: int | None) -> dict[str, str]:
    provider, _, _ = options.model.partition("/")
    metadata = {"provider": provider, "model": options.model, "configuration": f"models.{name}"}
    return {**metadata, "status": str(status)} if status else metadata


def _secrets(options: ModelOptions) -> list[str]:
    return [options.api_key] if options.api_key else []
