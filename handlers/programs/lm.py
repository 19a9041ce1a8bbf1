"""The language models that programs run on: made from `[models.NAME]`, once each, when first asked for.

Owns the model objects of this process. The order of choice: the model that the request names, the program's own, the
one that the app has configured (`dspy.configure(lm=...)`), `[models.default]`. Secrets stay in here.
"""

from __future__ import annotations

import difflib
import os
import threading
from typing import TYPE_CHECKING, Any

import dspy

from handlers.context import current
from handlers.errors import HandlerError, Unknown
from handlers.loop_calls import current_loop_calls
from handlers.models import test_model
from handlers.models.guard import aguarded, guarded, sound
from handlers.programs.usage import cached_tokens, current_meter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.context import CallContext
    from handlers.contract import ModelOptions

DEFAULT = "default"

_HOW_TO_CONFIGURE = (
    "Add a default model to bridge.toml:\n\n"
    '[models.default]\nmodel = "openai/gpt-4o-mini"\napi_key = "env:OPENAI_API_KEY"\n\n'
    f'or, to try it without a key, the built-in test model: model = "{test_model.NAME}".'
)


class ServedLM(dspy.LM):  # type: ignore[misc]  # dspy has no types
    """A model of the configuration. Tells the call's meter its price; keeps no history."""

    breakers: tuple[str, ...] = ()
    """Of its provider; see `ModelOptions.breakers`."""

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer synchronous code, over the event loop where that can be reached."""
        if calls := current_loop_calls():
            return calls.run(lambda: self.acall(prompt, messages=messages, **kwargs))
        with guarded(_context(), self.breakers, _sound), dspy.context(disable_history=False):
            return super().__call__(prompt, messages=messages, **kwargs)

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer asynchronous code."""
        # DSPy tells a call's price only in its history entry; update_history takes the price and drops the rest.
        async with aguarded(_context(), self.breakers, _sound):
            with dspy.context(disable_history=False):
                return await super().acall(prompt, messages=messages, **kwargs)

    def update_history(self, entry: dict[str, Any]) -> None:
        """Pass on what a call has cost."""
        if meter := current_meter():
            meter.add_call(self.model, entry.get("cost"), cached_tokens(entry.get("usage") or {}))


def _context() -> CallContext | None:
    """Return the call that runs here; None outside of one, such as while an app is imported."""
    try:
        return current()
    except LookupError:
        return None


def _sound(error: BaseException) -> bool | None:
    """Return whether a failure leaves the provider sound."""
    if not isinstance(error, dspy.DSPyError):
        return None
    from handlers.programs.errors import as_handler_error  # it needs this module

    failure = as_handler_error(error)
    return None if failure is None else sound(failure.code)


class LanguageModels:
    """The models of the configuration by name. Safe to use from several threads."""

    def __init__(self, options: Mapping[str, ModelOptions]) -> None:
        self._options = dict(options)
        self._made: dict[str, ServedLM] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> ServedLM:
        """Return the model of this name. Raises Unknown with the names that exist."""
        options = self._options.get(name)
        if options is None:
            raise Unknown(self._unknown(name), reason="UNKNOWN_MODEL", metadata={"model": name})
        with self._lock:
            if name not in self._made:
                self._made[name] = _make(options)
            return self._made[name]

    def default(self) -> Any | None:
        """Return the model for programs without their own: the app's, else the configuration's, else None."""
        return dspy.settings.get("lm") or (self.get(DEFAULT) if DEFAULT in self._options else None)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The keys of all models, for redaction only."""
        return tuple(options.api_key for options in self._options.values() if options.api_key)

    def _unknown(self, name: str) -> str:
        if not self._options:
            return f"There is no model {name!r}: none is configured. {_HOW_TO_CONFIGURE}"
        close = difflib.get_close_matches(name, self._options, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"There is no model {name!r}. Models: {', '.join(sorted(self._options))}.{hint}"


def not_configured(program: str) -> HandlerError:
    """Say how to give the program a model."""
    return HandlerError(
        f"Program {program!r} needs a language model and none is configured. {_HOW_TO_CONFIGURE}",
        code="FAILED_PRECONDITION",
        reason="MODEL_NOT_CONFIGURED",
        metadata={"program": program},
    )


def _make(options: ModelOptions) -> ServedLM:
    # DSPy would else fetch a price list from the network at the first call.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
    limits = {"temperature": options.temperature, "max_tokens": options.max_tokens}
    common = {"cache": False, "num_retries": options.max_retries, **limits}
    if options.model == test_model.NAME:
        from handlers.programs.test_engine import AsyncTestEngine, TestEngine  # only where it is used

        return ServedLM(options.model, engine=TestEngine(), async_engine=AsyncTestEngine(), **common)
    connection = {"api_key": options.api_key, "api_base": options.api_base}
    given = {name: value for name, value in connection.items() if value is not None}
    made = ServedLM(options.model, timeout=options.timeout_s, **given, **common)
    made.breakers = options.breakers
    return made
