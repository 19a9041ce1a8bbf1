"""The language models that programs run on: made from `[models.NAME]`, once each, when first asked for.

Owns the model objects of this process. The order of choice: the model that the request names, the program's own, the
one that the app has configured (`dspy.configure(lm=...)`), `[models.default]`. Secrets stay in here.
"""

from __future__ import annotations

import difflib
import os
import threading
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import dspy
import msgspec
from dspy.clients.call_result import attributes
from dspy.clients.legacy_outputs import plain

from handlers.context import current
from handlers.errors import HandlerError, Unknown
from handlers.loop_calls import current_loop_calls
from handlers.models import test_model
from handlers.models.chain import Chain
from handlers.models.chat import Way
from handlers.models.gate import Gate
from handlers.models.kept import LARGEST
from handlers.programs import dspy_progress, dspy_speed
from handlers.programs.lm_boundary import passing, passing_async
from handlers.programs.lm_replay import Watched, replay
from handlers.programs.overrides import kept_will_do, with_overrides
from handlers.programs.usage import cached_tokens, current_meter, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from handlers.context import CallContext
    from handlers.contract import ModelOptions
    from handlers.models.gate import Question, Visit
    from handlers.models.spending import Use

DEFAULT = "default"
_USE: ContextVar[Use | None] = ContextVar("bridge_lm_use", default=None)
"""What the request that is under way uses."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

_HOW_TO_CONFIGURE = (
    "Add a default model to bridge.toml:\n\n"
    '[models.default]\nmodel = "openai/gpt-4o-mini"\napi_key = "env:OPENAI_API_KEY"\n\n'
    f'or, to try it without a key, the built-in test model: model = "{test_model.NAME}".'
)


class ServedLM(dspy.LM):  # type: ignore[misc]  # dspy has no types
    """A model of the configuration. Goes by its gate, tells the call's meter its price, keeps no history.

    DSPy's own cache is never used: its key knows neither keys nor addresses. Nor are its retries, which know no
    deadline.
    """

    gate: Gate
    stand_ins: tuple[Callable[[], ServedLM], ...] = ()
    """What is asked, one after the other, where this one fails."""

    @passing
    def __call__(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer synchronous code, over the event loop where that can be reached."""
        kwargs = with_overrides(self, kwargs)
        if calls := current_loop_calls():
            return calls.run(lambda: self.acall(prompt, messages=messages, **kwargs))
        context = _context()
        if self.gate.must_wait(context):
            raise _needs_async(self.gate.name, has_budget=context is not None and context.meta.budget > 0)
        with self.gate.guarded(context, _read), dspy.context(disable_history=False):
            return super().__call__(prompt, messages=messages, **{**kwargs, "cache": False})

    @passing_async
    async def acall(self, prompt: Any = None, *, messages: Any = None, **kwargs: Any) -> Any:
        """Answer asynchronous code."""
        way = Way(cache=kwargs.pop("cache", None) is not False and kept_will_do())
        context = _context()
        if not self.stand_ins:
            return await self._visited(_Asked(prompt, messages, with_overrides(self, kwargs), way), context)
        models = [self, *(find() for find in self.stand_ins)]
        chain = Chain(tuple(model.gate.name for model in models), context)
        for model in models:
            asked = _Asked(prompt, messages, with_overrides(model, kwargs), chain.way(way))
            try:
                return await model._visited(asked, context)
            except (HandlerError, dspy.DSPyError) as error:
                if asked.began or not chain.fell(_read(error)):
                    raise
        raise AssertionError("the last model's failure is raised")

    async def _visited(self, asked: _Asked, context: CallContext | None) -> Any:
        """Ask this one model, as often as it takes."""
        found: Any = None
        try:
            async for attempt in self.gate.visit(context, self._question(asked), _read):
                async with attempt:
                    if attempt.answer is None:
                        found = await self._sent(asked, attempt)
                    else:
                        found = attributes(_decode(attempt.answer))
                        await replay(self.model, found)
                        if meter := current_meter():
                            meter.add_kept(self.model)
        except dspy.DSPyError as error:
            error.configuration = f"models.{self.gate.name}"
            raise
        return found

    async def _sent(self, asked: _Asked, attempt: Visit) -> Any:
        """Send one request."""
        stream = dspy.settings.get("send_stream")
        watched = None if stream is None else Watched(stream)
        token = _USE.set(attempt.use)
        # DSPy tells a call's price only in its history entry; update_history takes the price and drops the rest.
        try:
            with dspy.context(disable_history=False, send_stream=watched):
                found = await super().acall(asked.prompt, messages=asked.messages, **asked.kwargs, cache=False)
        finally:
            _USE.reset(token)
            attempt.began = asked.began = asked.began or (watched is not None and watched.began)
        attempt.keep = _kept(found)
        return found

    def _question(self, asked: _Asked) -> Question:
        arguments = {**self.kwargs, **asked.kwargs}
        longest = (arguments.get(name) for name in ("max_tokens", "max_completion_tokens"))
        everything = {
            **arguments,
            "model": self.model,
            "type": f"program {self.model_type}",
            "prompt": asked.prompt,
            "messages": asked.messages,
        }
        return self.gate.question(
            [asked.prompt, asked.messages, asked.kwargs.get("tools")],
            everything if asked.way.cache else None,
            max_tokens=next((found for found in longest if found is not None), None),
            answers=arguments.get("n") or 1,
            passed=asked.way.passed,
            last=asked.way.last,
        )

    def update_history(self, entry: dict[str, Any]) -> None:
        """Pass on what a call has cost."""
        usage = entry.get("usage") or {}
        read, written = tokens(usage)
        spending = self.gate.spending
        cost = spending.price_usd(read, written) if spending.has_prices else entry.get("cost")
        if meter := current_meter():
            meter.add_call(self.model, cost, cached_tokens(usage))
        if (use := _USE.get()) is not None:
            use.input_tokens, use.output_tokens, use.cost_usd = read, written, cost


@dataclass(slots=True)
class _Asked:
    """One request of a program. `began` says that a part of its answer has gone out."""

    prompt: Any
    messages: Any
    kwargs: dict[str, Any]
    way: Way
    began: bool = False


def _kept(found: Any) -> bytes:
    """Return an answer to keep; nothing where it is no plain data, or empty."""
    if not isinstance(found, list) or not any(found):
        return b""
    try:
        data = _encode(plain(found))
    except (TypeError, ValueError):
        return b""
    return data if len(data) <= LARGEST else b""


def _needs_async(name: str, *, has_budget: bool) -> HandlerError:
    """Say what to do where a model would have to wait for the front on the loop that it must not hold up."""
    why = (
        "to wait for the front would hold up the event loop that the program runs on; call its models in aforward by "
        "acall"
    )
    code = "FAILED_PRECONDITION"
    if has_budget:
        return HandlerError(
            f"a program with a budget must await its models here: {why}", code=code, reason="BUDGET_NEEDS_ASYNC"
        )
    return HandlerError(
        f"a program must await the model '{name}' here, which has limits, fallbacks or kept answers: {why}",
        code=code,
        reason="MODEL_NEEDS_ASYNC",
    )


def _context() -> CallContext | None:
    """Return the call that runs here; None outside of one, such as while an app is imported."""
    try:
        return current()
    except LookupError:
        return None


def _read(error: BaseException) -> HandlerError | None:
    """Make out what a failure means."""
    if not isinstance(error, dspy.DSPyError):
        return error if isinstance(error, HandlerError) else None
    from handlers.programs.errors import as_handler_error  # it needs this module

    return as_handler_error(error)


class LanguageModels:
    """The models of the configuration by name. Safe to use from several threads."""

    def __init__(self, options: Mapping[str, ModelOptions]) -> None:
        dspy_speed.apply()
        dspy_progress.apply()
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
                made = self._made[name] = _make(name, options)
                others = (other for other in options.fallbacks if other in self._options)
                made.stand_ins = tuple(partial(self.get, other) for other in others)
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


def _make(name: str, options: ModelOptions) -> ServedLM:
    made = _made(options)
    made.gate = Gate(name, options)
    return made


def _made(options: ModelOptions) -> ServedLM:
    # DSPy would else fetch a price list from the network at the first call.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
    # Nor may LiteLLM, where DSPy uses it, fetch the images that callers name.
    os.environ.setdefault("MAX_IMAGE_URL_DOWNLOAD_SIZE_MB", "0")
    limits = {"temperature": options.temperature, "max_tokens": options.max_tokens}
    common = {"cache": False, "num_retries": 0, **limits}
    if options.model == test_model.NAME:
        from handlers.programs.test_engine import AsyncTestEngine, TestEngine  # only where it is used

        return ServedLM(options.model, engine=TestEngine(), async_engine=AsyncTestEngine(), **common)
    # A server at an address of one's own gets no key from the environment: that one is meant for the provider.
    key = options.api_key or ("none" if options.api_base else None)
    connection = {"api_key": key, "api_base": options.api_base}
    given = {name: value for name, value in connection.items() if value is not None}
    return ServedLM(options.model, timeout=options.timeout_s, **given, **common)
