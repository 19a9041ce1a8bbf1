"""pydantic's errors -> field violations: one per field, with a path like `items[2].name`.

A description says what was expected and what was got. Where a union's readings all fail they become one violation.
Owns no state; knows nothing of payloads and functions.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from typing import TYPE_CHECKING, Any

from handlers.schemas.wire_types import NAN_TAG, NUMBER_TAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails, ValidationError

Violations = tuple[tuple[str, str], ...]
Place = tuple[str | int, ...]

MAX_ERRORS = 1000
"""More errors than this are counted, not listed."""
MAX_VIOLATIONS = 50
"""A reply lists at most this many violations."""

_PREFIX = "Input should be "
_IDENTIFIER = re.compile(r"[^\W\d]\w*\Z")
_EXPECTED = {
    "an integer": ("int_type", "int_parsing", "int_from_float"),
    "a number": ("float_type", "float_parsing"),
    "true or false": ("bool_type", "bool_parsing"),
    "a string": ("string_type",),
    "binary data": ("bytes_type",),
    "an array": ("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"),
    "an object": ("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"),
    "null": ("none_required",),
    "a decimal number, or one as a string": ("decimal_type", "decimal_parsing"),
    "a UUID as a string": ("uuid_type", "uuid_parsing"),
    "a path as a string": ("path_type",),
    "an ISO 8601 date and time": ("datetime_type", "datetime_parsing", "datetime_from_date_parsing"),
    "an ISO 8601 date": ("date_type", "date_parsing", "date_from_datetime_parsing"),
    "an ISO 8601 time": ("time_type", "time_parsing"),
    "an ISO 8601 duration": ("time_delta_type", "time_delta_parsing"),
}
_BY_TYPE = {kind: text for text, kinds in _EXPECTED.items() for kind in kinds}
_MISSING = frozenset({"missing", "missing_argument", "missing_keyword_only_argument"})
_EXTRA = frozenset({"extra_forbidden", "unexpected_keyword_argument"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Mistake:
    place: Place
    union: Place | None
    """The place of the outermost union that was tried, if any."""
    reading: str
    """The union's reading that failed here."""
    error: ErrorDetails


def violations_of(error: ValidationError, value: Any, root: str = "", hints: Mapping[str, str] = {}) -> Violations:
    """Return the violations of a value. `hints` says for each known top-level name what is expected of it."""
    if error.error_count() > MAX_ERRORS:
        return ((root, f"expected values that fit the schema, got {error.error_count()} that do not"),)
    mistakes = [_mistake(item, value) for item in error.errors(include_url=False) if _counts(item)]
    missing = {mistake.place for mistake in mistakes if mistake.error["type"] in _MISSING}
    described: dict[Place, list[str]] = {}
    for mistake in _settle_unions(mistakes):
        described.setdefault(mistake.place, []).append(_describe(mistake, missing, hints))
    pairs = [(path_of(place, root), _joined(texts)[:500]) for place, texts in described.items()]
    if len(pairs) > MAX_VIOLATIONS:
        pairs[MAX_VIOLATIONS:] = [(root, f"and {len(pairs) - MAX_VIOLATIONS} more violations")]
    return tuple(pairs)


def summary(violations: Violations) -> str:
    """Return the first violations in one line."""
    shown = "; ".join(f"{path}: {text}" if path else text for path, text in violations[:3])
    rest = len(violations) - 3
    return shown + (f"; and {rest} more" if rest > 0 else "")


def path_of(place: Iterable[str | int], root: str = "") -> str:
    """Return a place as text, such as ``items[2].name`` or ``table["a b"]``."""
    path = root
    for part in place:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _IDENTIFIER.match(part) and len(part) <= 64:
            path += f".{part}" if path else part
        else:
            shown = part[:64].replace("\\", "\\\\").replace('"', '\\"')
            path += f'["{shown}"]' if path else shown
    return path


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the most similar known name, or nothing."""
    similar = difflib.get_close_matches(name[:128], list(known)[:1000], n=1, cutoff=0.6)
    return f"; did you mean {similar[0]!r}?" if similar else ""


def got(value: Any) -> str:
    """Say in a few words what a value is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the string {value!r}" if len(value) <= 40 else f"a string of {len(value)} characters"
    if isinstance(value, (int, float)):
        shown = repr(value) if not isinstance(value, int) or value.bit_length() <= 128 else "a huge integer"
        return shown if isinstance(value, int) else f"the number {shown}"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{len(value)} bytes of binary data"
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"an array of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)}"
    return f"an object of type {type(value).__qualname__}"[:80]


def _counts(item: ErrorDetails) -> bool:
    return NAN_TAG not in item["loc"]  # the first reading of a float tells what is wrong


def _mistake(item: ErrorDetails, value: Any) -> _Mistake:
    """Tell the parts of a location that lead through the value from those that name readings of unions."""
    place: list[str | int] = []
    union: Place | None = None
    reading = ""
    rest = [part for part in item["loc"] if part != NUMBER_TAG]
    is_named = item["type"] in _MISSING
    for index, part in enumerate(rest):
        last = index == len(rest) - 1
        found, deeper = _step(value, part)
        if found or (last and is_named):
            place.append(part)
            value = deeper
        elif union is None and part != "[key]":
            union, reading = tuple(place), str(part)
    return _Mistake(place=tuple(place), union=union, reading=reading, error=item)


def _step(value: Any, part: str | int) -> tuple[bool, Any]:
    if isinstance(value, dict):
        for key in (part, int(part) if isinstance(part, str) and part.lstrip("-").isdecimal() else part):
            if key in value:
                return True, value[key]
    if isinstance(part, int) and isinstance(value, (list, tuple)) and 0 <= part < len(value):
        return True, value[part]
    if isinstance(part, int) and isinstance(value, (set, frozenset)):
        return True, None
    if isinstance(part, str) and dataclasses.is_dataclass(value) and hasattr(value, part):
        return True, getattr(value, part)
    return False, None


def _settle_unions(mistakes: list[_Mistake]) -> list[_Mistake]:
    """Keep, of each union, the reading that fitted best: it got deeper than the others, with the fewest mistakes."""
    unions: dict[Place, dict[str, list[_Mistake]]] = {}
    for mistake in mistakes:
        if mistake.union is not None:
            unions.setdefault(mistake.union, {}).setdefault(mistake.reading, []).append(mistake)
    settled = [mistake for mistake in mistakes if mistake.union is None]
    for place, readings in unions.items():
        inner = [found for found in readings.values() if all(mistake.place != place for mistake in found)]
        best = sorted(inner, key=len)[:1] or [[found[0] for found in readings.values()]]
        settled.extend(best[0])
    return settled


def _describe(mistake: _Mistake, missing: set[Place], hints: Mapping[str, str]) -> str:
    error, place = mistake.error, mistake.place
    name = str(place[-1]) if place else ""
    if error["type"] in _MISSING:
        hint = hints.get(name) if len(place) == 1 else None
        return f"expected {hint or 'a value, because it is required'}, got nothing"
    if error["type"] in _EXTRA:
        top = len(place) == 1
        known = hints if top else [str(other[-1]) for other in missing if other[:-1] == place[:-1]]
        what = "argument" if top else "field"
        names = f" (known: {', '.join(list(known)[:20]) or 'none'})" if top else ""
        return f"expected no {what} of this name, got one{did_you_mean(name, known) or names}"
    return f"{_expected(error)}, got {_got(error)}"


def _expected(error: ErrorDetails) -> str:
    if error["type"] in _BY_TYPE:
        return f"expected {_BY_TYPE[error['type']]}"
    message = error["msg"]
    if message.startswith(_PREFIX):
        return f"expected {message.removeprefix(_PREFIX)}"
    return message.removeprefix("Value error, ").removeprefix("Assertion failed, ") or "expected another value"


def _joined(texts: list[str]) -> str:
    """Join what one place has against it; readings of a union differ only in what they expected."""
    texts = list(dict.fromkeys(texts))
    halves = [text.rpartition(", got ") for text in texts]
    if len(texts) > 1 and len({last for _, _, last in halves}) == 1:
        return " or ".join([halves[0][0], *(first.removeprefix("expected ") for first, _, _ in halves[1:])]) + (
            f", got {halves[0][2]}"
        )
    return "; ".join(texts)


def _got(error: ErrorDetails) -> str:
    return error.get("ctx", {}).get("got") or got(error["input"])
