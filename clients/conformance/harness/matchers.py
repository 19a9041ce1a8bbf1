"""Whether a result fits a pattern, and where it does not. Pure.

Patterns are plain data, read from the cases; README.md has the list of matchers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

TAGS = {"$int", "$float", "$bytes", "$tensor"}
"""Values written as an object with one key: they stand for themselves."""
CLOSE = 1e-6
SHOWN = 300

TYPES: dict[str, Callable[[Any], bool]] = {
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: _is_number(value),
    "text": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


class BadPattern(ValueError):
    """A pattern that is none."""


def mismatch(pattern: Any, value: Any, earlier: list[Any] | None = None, *, open_ended: bool = False) -> str | None:
    """Where and how `value` does not fit `pattern`; None where it fits.

    `earlier` are the results of the steps before, for `$same_as`. With `open_ended` an object may have further keys.
    """
    return _differ(pattern, value, "", earlier or [], open_ended=open_ended)


def _differ(pattern: Any, value: Any, at: str, earlier: list[Any], *, open_ended: bool = False) -> str | None:
    if isinstance(pattern, dict):
        matcher = _matcher(pattern)
        if matcher is not None:
            return _by_matcher(matcher, pattern[matcher], value, at, earlier)
        return _object(pattern, value, at, earlier, open_ended=open_ended)
    if isinstance(pattern, list):
        return _list(pattern, value, at, earlier)
    if _is_number(pattern) and _is_number(value):
        return None if pattern == value else _told(at, repr(pattern), value)
    same = type(pattern) is type(value) and pattern == value
    return None if same else _told(at, repr(pattern), value)


def _matcher(pattern: dict[str, Any]) -> str | None:
    if len(pattern) != 1:
        return None
    (key,) = pattern
    if not isinstance(key, str) or not key.startswith("$") or key in TAGS:
        return None
    if key not in MATCHERS:
        msg = f"expected one of {', '.join(sorted(MATCHERS))}, got {key}"
        raise BadPattern(msg)
    return key


def _object(pattern: dict[str, Any], value: Any, at: str, earlier: list[Any], *, open_ended: bool) -> str | None:
    if not isinstance(value, dict):
        return _told(at, "an object", value)
    for key, wanted in pattern.items():
        if key not in value:
            return _told(at, f"the key {key!r}", value)
        if (found := _differ(wanted, value[key], f"{at}.{key}", earlier)) is not None:
            return found
    further = sorted(set(value) - set(pattern))
    if further and not open_ended:
        return _told(at, f"no further keys, such as {further[0]!r}", value)
    return None


def _list(pattern: list[Any], value: Any, at: str, earlier: list[Any]) -> str | None:
    if not isinstance(value, list):
        return _told(at, "a list", value)
    if len(value) != len(pattern):
        return _told(at, f"{len(pattern)} items, not {len(value)}", value)
    for index, (wanted, item) in enumerate(zip(pattern, value, strict=True)):
        if (found := _differ(wanted, item, f"{at}[{index}]", earlier)) is not None:
            return found
    return None


def _by_matcher(name: str, argument: Any, value: Any, at: str, earlier: list[Any]) -> str | None:
    try:
        return MATCHERS[name](argument, value, at, earlier)
    except (TypeError, re.error, LookupError) as error:
        msg = f"{{{name}: {argument!r}}} can not be used: {error}"
        raise BadPattern(msg) from error


def _any(_argument: Any, _value: Any, _at: str, _earlier: list[Any]) -> str | None:
    return None


def _type(argument: Any, value: Any, at: str, _earlier: list[Any]) -> str | None:
    return None if TYPES[argument](value) else _told(at, f"of the type {argument}", value)


def _matches(argument: Any, value: Any, at: str, _earlier: list[Any]) -> str | None:
    fits = isinstance(value, str) and re.search(argument, value)
    return None if fits else _told(at, f"a text like /{argument}/", value)


def _contains(argument: Any, value: Any, at: str, earlier: list[Any]) -> str | None:
    if isinstance(value, str) and isinstance(argument, str):
        return None if argument in value else _told(at, f"a text with {argument!r} in it", value)
    if isinstance(value, list):
        found = any(_differ(argument, item, at, earlier) is None for item in value)
        return None if found else _told(at, f"a list with an item like {argument!r}", value)
    return _told(at, "a text or a list", value)


def _at_least(argument: Any, value: Any, at: str, _earlier: list[Any]) -> str | None:
    return None if _is_number(value) and value >= argument else _told(at, f"a number from {argument}", value)


def _at_most(argument: Any, value: Any, at: str, _earlier: list[Any]) -> str | None:
    return None if _is_number(value) and value <= argument else _told(at, f"a number to {argument}", value)


def _between(argument: Any, value: Any, at: str, _earlier: list[Any]) -> str | None:
    low, high = argument
    fits = _is_number(value) and low <= value <= high
    return None if fits else _told(at, f"a number from {low} to {high}", value)


def _close(argument: Any, value: Any, at: str, _earlier: list[Any]) -> str | None:
    fits = _is_number(value) and abs(value - argument) < CLOSE
    return None if fits else _told(at, f"a number close to {argument}", value)


def _subset(argument: Any, value: Any, at: str, earlier: list[Any]) -> str | None:
    return _object(argument, value, at, earlier, open_ended=True)


def _length(argument: Any, value: Any, at: str, earlier: list[Any]) -> str | None:
    if not isinstance(value, list | str):
        return _told(at, "a list or a text", value)
    found = _differ(argument, len(value), f"the length of {at or 'it'}", earlier)
    return found and f"{found}; it is {_short(value)}"


def _each(argument: Any, value: Any, at: str, earlier: list[Any]) -> str | None:
    if not isinstance(value, list):
        return _told(at, "a list", value)
    return next(
        (found for index, item in enumerate(value) if (found := _differ(argument, item, f"{at}[{index}]", earlier))),
        None,
    )


def _not(argument: Any, value: Any, at: str, earlier: list[Any]) -> str | None:
    fits = _differ(argument, value, at, earlier) is not None
    return None if fits else _told(at, f"anything but {argument!r}", value)


def _all(argument: Any, value: Any, at: str, earlier: list[Any]) -> str | None:
    return next((found for one in argument if (found := _differ(one, value, at, earlier)) is not None), None)


def _one_of(argument: Any, value: Any, at: str, earlier: list[Any]) -> str | None:
    fits = any(_differ(one, value, at, earlier) is None for one in argument)
    return None if fits else _told(at, f"one of {argument!r}", value)


def _same_as(argument: Any, value: Any, at: str, earlier: list[Any]) -> str | None:
    found: Any = earlier
    for key in argument:
        try:
            found = found[key]
        except (LookupError, TypeError):
            return f"{at or 'it'}: there is no {argument!r} in the results before to compare with"
    return None if type(found) is type(value) and found == value else _told(at, f"the same as {found!r}", value)


MATCHERS: dict[str, Callable[[Any, Any, str, list[Any]], str | None]] = {
    "$any": _any,
    "$type": _type,
    "$matches": _matches,
    "$contains": _contains,
    "$at_least": _at_least,
    "$at_most": _at_most,
    "$between": _between,
    "$close": _close,
    "$subset": _subset,
    "$length": _length,
    "$each": _each,
    "$not": _not,
    "$all": _all,
    "$one_of": _one_of,
    "$same_as": _same_as,
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


def _told(at: str, expected: str, value: Any) -> str:
    return f"{at.lstrip('.') or 'it'}: expected {expected}, got {_short(value)}"
