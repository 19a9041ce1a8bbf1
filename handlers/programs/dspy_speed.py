"""What DSPy does anew in every model call although it can not differ: done once, or without a change of threads.

- What it knows of a model is searched for three times a call, through all models of its table where the name is not in
  there, which is most of a call's own time. Here it is remembered.
- An asynchronous call goes through four threads for steps of microseconds, since their first time may import a library
  or read credentials. Here only the first time of each goes to a thread.
- It makes a validator for each value of a prompt, and reads all of the environment for proxies before each request.
  Here validators of plain types are kept, and the proxies for a second.
- For each callback it reads the signature of the function that is called, and tries the kinds of things that it may be
  called on. Here both are remembered.

Changes functions of DSPy and `asyncio.to_thread` for this process, when it is told to; other uses of that are as ever.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import time
from functools import lru_cache, wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from dspy.adapters import utils as prompt_values
from dspy.clients import capabilities, costs, model_metadata
from dspy.utils import callback

if TYPE_CHECKING:
    from collections.abc import Callable

REMEMBERED = 256
"""Models."""
SMALL_STEPS = frozenset(("prepare", "capabilities", "_price_result", "_target"))
"""Functions of DSPy that take microseconds but for their first time, all of its package `dspy.clients`."""


PLAIN_TYPES = frozenset((str, int, float, bool, bytes, list, dict, tuple, set, type(None)))
PROXIES_S = 1.0
"""For how long the proxies of the environment are remembered."""


def apply() -> None:
    """Take the measures, once for this process."""
    if getattr(asyncio.to_thread, "of_bridge", False):
        return
    remembering = _remembering(model_metadata.model_info)
    for module in (model_metadata, costs, capabilities):
        module.model_info = remembering
    asyncio.to_thread = _staying(asyncio.to_thread)
    prompt_values.TypeAdapter = _keeping(prompt_values.TypeAdapter)
    transport = import_module("dspy._vendor.lm15.transports._proxy")
    transport.getproxies = _at_times(transport.getproxies, time.monotonic)  # type: ignore[attr-defined]
    callback.inspect = _Inspect()
    callback._get_on_start_handler = _choosing(callback._get_on_start_handler)
    callback._get_on_end_handler = _choosing(callback._get_on_end_handler)


class _Inspect:
    """The module `inspect`, of which one function is quicker for a function that it has seen."""

    def __init__(self) -> None:
        self._signature = lru_cache(maxsize=REMEMBERED)(inspect.signature)

    def __getattr__(self, name: str) -> Any:
        return getattr(inspect, name)

    def getcallargs(self, func: Any, /, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the arguments by the names of the parameters."""
        bound = self._signature(func).bind(*args, **kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)


class _Names:
    """A callback whose methods are their own names."""

    def __getattr__(self, name: str) -> str:
        return name


def _choosing(choose: Callable[..., Any]) -> Callable[..., Any]:
    names: dict[tuple[type, str], str] = {}
    """The name of the callback's method, by what is called: one entry per class of DSPy's that runs."""

    @wraps(choose)
    def chosen(to: Any, instance: Any, fn: Any) -> Any:
        key = type(instance), fn.__name__
        if (name := names.get(key)) is None:
            name = choose(_Names(), instance, fn)
            if len(names) < REMEMBERED:
                names[key] = name
        return getattr(to, name)

    return chosen


def _remembering(model_info: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    @lru_cache(maxsize=REMEMBERED)
    def known(provider: Any, model: Any, namespaces: Any) -> dict[str, Any]:
        return model_info(provider, model, namespaces=namespaces)

    @wraps(model_info)
    def remembered(provider: Any, model: Any, *, namespaces: Any = None) -> dict[str, Any]:
        return copy.deepcopy(known(provider, model, None if namespaces is None else tuple(namespaces)))

    return remembered


def _keeping(make: Callable[..., Any]) -> Callable[..., Any]:
    """Keep what is made of plain types: of others, two that are equal need not mean the same, such as unions."""
    kept = lru_cache(maxsize=len(PLAIN_TYPES))(make)

    @wraps(make, updated=())
    def chosen(of: Any, **options: Any) -> Any:
        plain = not options and isinstance(of, type) and of in PLAIN_TYPES
        return kept(of) if plain else make(of, **options)

    return chosen


def _at_times(read: Callable[[], dict[str, str]], clock: Callable[[], float]) -> Callable[[], dict[str, str]]:
    found: dict[str, str] = {}
    until = 0.0

    @wraps(read)
    def remembered() -> dict[str, str]:
        nonlocal found, until
        if (now := clock()) >= until:
            found, until = read(), now + PROXIES_S
        return found

    return remembered


def _staying(to_thread: Callable[..., Any]) -> Callable[..., Any]:
    done: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
    """By model, or engine, the steps that have run for it."""

    @wraps(to_thread)
    async def stay(func: Any, /, *args: Any, **kwargs: Any) -> Any:
        if not _is_small_step(func):
            return await to_thread(func, *args, **kwargs)
        owner = getattr(func, "__self__", None) or args[0]
        steps = done.setdefault(owner, set())
        if func.__name__ in steps:
            return func(*args, **kwargs)
        result = await to_thread(func, *args, **kwargs)
        steps.add(func.__name__)
        return result

    stay.of_bridge = True  # type: ignore[attr-defined]
    return stay


def _is_small_step(func: Any) -> bool:
    name = getattr(func, "__name__", "")
    return name in SMALL_STEPS and str(getattr(func, "__module__", "")).startswith("dspy.clients.")
