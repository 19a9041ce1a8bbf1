"""Whether a call that has run again has ended as it did then, and what differs, in lines for people. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.replay.record import Outcome

_LONGEST = 200
_CONTEXT = 60


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Return what differs between two plain values, one line a place; nothing for equal ones."""
    return list(_walk(before, after, path))


def outcome_differences(before: Outcome, after: Outcome) -> list[str]:
    """Return what differs between two ends of a call; nothing where they are the same."""
    if before.error is None and after.error is None:
        return [*differences(before.value, after.value, "result"), *differences(before.items, after.items, "items")]
    if before.error is None or after.error is None:
        return [f"then: {_end(before)}", f"now:  {_end(after)}"]
    was, now = (msgspec.to_builtins(one.error) for one in (before, after))
    parts = ("code", "reason", "type", "message", "violations", "metadata")
    return [line for part in parts for line in differences(was.get(part), now.get(part), f"error.{part}")]


def end_in_words(outcome: Outcome) -> str:
    """Return how a call has ended, in one line."""
    return _end(outcome)


def _end(outcome: Outcome) -> str:
    if outcome.error is not None:
        return f"{outcome.error.code} {outcome.error.reason}: {_short(outcome.error.message)}"
    if outcome.items is not None:
        return f"{len(outcome.items)} items"
    return _shown(outcome.value)


def _walk(before: Any, after: Any, path: str) -> Iterator[str]:
    if before == after and type(before) is type(after):
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            inner = f"{path}.{key}" if path else str(key)
            if key not in after:
                yield f"{inner}: - {_shown(before[key])}"
            elif key not in before:
                yield f"{inner}: + {_shown(after[key])}"
            else:
                yield from _walk(before[key], after[key], inner)
    elif isinstance(before, list) and isinstance(after, list):
        if len(before) != len(after):
            yield f"{path or 'the list'}: {len(before)} items then, {len(after)} now"
        for index, (was, now) in enumerate(zip(before, after, strict=False)):
            yield from _walk(was, now, f"{path}[{index}]")
    elif isinstance(before, str) and isinstance(after, str):
        yield f"{path}: {_around(before, after)}"
    else:
        yield f"{path}: {_shown(before)} -> {_shown(after)}"


def _around(before: str, after: str) -> str:
    """Return the first place where two texts differ, with what is around it."""
    if max(len(before), len(after)) <= _LONGEST:
        return f"{_shown(before)} -> {_shown(after)}"
    at = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after)))
    start = max(0, at - _CONTEXT // 2)
    return f"at character {at}: {_shown(before[start : at + _CONTEXT])} -> {_shown(after[start : at + _CONTEXT])}"


def _shown(value: Any) -> str:
    return _short(json.dumps(value, ensure_ascii=False, default=str))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
