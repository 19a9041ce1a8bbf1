"""What differs between two artefacts, in lines for people. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.programs.artefacts.record import Artefact

_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Difference:
    """One place that differs; a side that has nothing there is None."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.path}: + {_short(self.after)}"
        if self.after is None:
            return f"{self.path}: - {_short(self.before)}"
        return f"{self.path}: {_short(self.before)} -> {_short(self.after)}"


def differences(old: Artefact, new: Artefact) -> list[Difference]:
    """Return what differs, in the order of the artefact's parts; nothing for equal ones."""
    before, after = (json.loads(msgspec.json.encode(artefact)) for artefact in (old, new))
    order = ("program", "interface", "definition", "predictors", "source", "lock", "format", "format_version")
    return [found for part in order for found in _walk(before.get(part), after.get(part), part)]


def _walk(before: Any, after: Any, path: str) -> Iterator[Difference]:
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from _walk(before.get(key), after.get(key), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            was, now = (side[index] if index < len(side) else None for side in (before, after))
            yield from _walk(was, now, f"{path}[{index}]")
    else:
        yield Difference(path, before, after)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"
