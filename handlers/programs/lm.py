"""The language models that programs run on: made from `[models.NAME]`, once each, when first asked for.

Owns the model objects of this process. The order of choice: the model that the request names, the program's own, the
one that the app has configured (`dspy.configure(lm=...)`), `[models.default]`. Secrets stay in here.
"""

from __future__ import annotations

import difflib
import os
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import dspy

from handlers.context import current
from handlers.errors import HandlerError, Unknown
from handlers.loop_calls import current_loop_calls
from handlers.models import test_model
from handlers.models.guard import aguarded, guarded, sound
from handlers.models.spending import Spending, Use
from handlers.programs.overrides import with_overrides
from handlers.programs.usage import cached_tokens, current_meter, tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.context import CallContext
    from handlers.contract import ModelOptions

DEFAULT = "default"
_USE: ContextVar[Use | None] = ContextVar("bridge_lm_use", default=None)
"""What the request that is under way uses, where its call has a budget."""

_HOW_TO_CONFIGURE = (
    "Add a default model to bridge.toml:\n\n"
    '[models.default]\nmodel = "openai/gpt-4o-mini"\napi_key = "env:OPENAI_API_KEY"\n\n'
    f'or, to try it without a key, the built-in test model: model = "{test_model.NAME}".'
)


class ServedLM(dspy.LM):  # type: ignore[misc]  # dspy has no types
    """A model of the configuration. Reserves its call's budget, tells the call's meter its price, keeps no history."""

    spending: Spending
    breakers: tuple[str, ...] = ()
    """Of its provider; see `ModelOptions.breakers`."""

    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer synchronous code, over the event loop where that can be reached."""
        kwargs = with_overrides(self, kwargs)
        if calls := current_loop_calls():
            return calls.run(lambda: self.acall(prompt, messages=messages, **kwargs))
        if _has_budget():
            raise HandlerError(
                "a program with a budget must await its models here: it runs on the event loop, and to wait for the "
                "front would hold that up; call them in aforward by acall",
                code="FAILED_PRECONDITION",
                reason="BUDGET_NEEDS_ASYNC",
            )
        with guarded(_context(), self.breakers, _sound), dspy.context(disable_history=False):
            return super().__call__(prompt, messages=messages, **kwargs)

    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer asynchronous code."""
        kwargs = with_overrides(self, kwargs)
        # DSPy tells a call's price only in its history entry; update_history takes the price and drops the rest.
        if not _has_budget():
            async with aguarded(_context(), self.breakers, _sound):
                with dspy.context(disable_history=False):
                    return await super().acall(prompt, messages=messages, **kwargs)
        longest = [{**self.kwargs, **kwargs}.get(name) for name in ("max_tokens", "max_completion_tokens")]
        max_tokens = next((found for found in longest if found is not None), None)
        sent, answers = [prompt, messages, kwargs.get("tools")], kwargs.get("n") or 1
        async with (
            aguarded(_context(), self.breakers, _sound),
            self.spending.reserved(current(), sent, max_tokens, answers) as use,
        ):
            token = _USE.set(use)
            try:
                with dspy.context(disable_history=False):
                    return await super().acall(prompt, messages=messages, **kwargs)
            finally:
                _USE.reset(token)

    def update_history(self, entry: dict[str, Any]) -> None:
        """Pass on what a call has cost."""
        usage = entry.get("usage") or {}
        read, written = tokens(usage)
        cost = self.spending.price_usd(read, written) if self.spending.has_prices else entry.get("cost")
        if meter := current_meter():
            meter.add_call(self.model, cost, cached_tokens(usage))
        if (use := _USE.get()) is not None:
            use.input_tokens, use.output_tokens, use.cost_usd = read, written, cost


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


def _has_budget() -> bool:
    try:
        return bool(current().meta.budget)
    except LookupError:
        return False


def not_configured(program: str) -> HandlerError:
    """Say how to give the program a model."""
    return HandlerError(
        f"Program {program!r} needs a language model and none is configured. {_HOW_TO_CONFIGURE}",
        code="FAILED_PRECONDITION",
        reason="MODEL_NOT_CONFIGURED",
        metadata={"program": program},
    )


def _make(options: ModelOptions) -> ServedLM:
    made = _made(options)
    made.spending = Spending(options)
    return made


def _made(options: ModelOptions) -> ServedLM:
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
