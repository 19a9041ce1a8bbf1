"""What changed between two states of an app's API, and for whom that breaks something. Pure.

Two kinds of callers: those that send JSON or MessagePack to `InvokeService`, and those with stubs of the .proto file,
whose fields have numbers. A field that becomes wider (an int that may be a float now) is fine for the first; for the
second it is another field, so the server would not see what they send.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from handlers.typed.compatible import Sides
from handlers.typed.lock import Lock
from handlers.typed.reader import Function, read
from handlers.typed.shapes import Api

Breaks = Literal["everyone", "typed callers", "nobody"]
_ORDER: tuple[Breaks, ...] = ("everyone", "typed callers", "nobody")


@dataclass(frozen=True, slots=True, order=True)
class ApiChange:
    """One difference. `where` is a function, a message with its field, or a method."""

    where: str
    what: str
    breaks: Breaks


def _rank(change: ApiChange) -> tuple[int, str, str]:
    return _ORDER.index(change.breaks), change.where, change.what


def changes(old: Iterable[Function], new: Iterable[Function]) -> list[ApiChange]:
    """Return the differences between two catalogues, those that break most first."""
    before, after = {one.name: one for one in old}, {one.name: one for one in new}
    found = [*_functions(before, after)]
    found += _typed(read("app.v1", before.values())[0], read("app.v1", after.values())[0], set(after) & set(before))
    return sorted(dict.fromkeys(found), key=_rank)


def _functions(before: Mapping[str, Function], after: Mapping[str, Function]) -> Iterator[ApiChange]:
    for name, old in before.items():
        if name not in after:
            yield ApiChange(name, "it is gone", "everyone")
            continue
        new = after[name]
        if old.streaming != new.streaming:
            was, now = ("a stream", "one result") if old.streaming else ("one result", "a stream")
            yield ApiChange(name, f"it gave {was}, gives {now}", "everyone")
        if old.program != new.program:
            kinds = ("a function", "a program")
            yield ApiChange(name, f"it was {kinds[old.program]}, is {kinds[new.program]}", "typed callers")
        yield from _schemas(name, old, new)
        if old.doc != new.doc:
            yield ApiChange(name, "its documentation differs", "nobody")
    for name in after.keys() - before.keys():
        yield ApiChange(name, "it is new", "nobody")


def _schemas(name: str, old: Function, new: Function) -> Iterator[ApiChange]:
    taken_before, taken = json.loads(old.arguments_schema or "{}"), json.loads(new.arguments_schema or "{}")
    given_before, given = json.loads(old.result_schema or "{}"), json.loads(new.result_schema or "{}")
    obstacles = [*Sides(taken, taken_before, extra=False).obstacles(taken, taken_before, "")]
    for text in obstacles:
        yield ApiChange(name, f"argument {text}" if text[:1] != ":" else f"arguments{text}", "everyone")
    results = [*Sides(given_before, given, extra=True).obstacles(given_before, given, "result")]
    for text in results:
        yield ApiChange(name, text, "everyone")
    if not obstacles and taken != taken_before:
        yield ApiChange(name, "it takes more, or says more of its arguments", "nobody")
    if not results and given != given_before:
        yield ApiChange(name, "it gives more, or says more of its result", "nobody")


def _typed(old: Api, new: Api, both: set[str]) -> Iterator[ApiChange]:
    """Yield what callers with stubs would not see or not send any more."""
    methods = {method.function: method for method in new.methods}
    for method in old.methods:
        if method.function not in both:
            continue
        now = methods.get(method.function)
        if now is None:
            yield ApiChange(method.function, "its names clash now: it has no method any more", "typed callers")
        elif (now.service, now.name) != (method.service, method.name):
            was, path = f"{method.service}/{method.name}", f"{now.service}/{now.name}"
            yield ApiChange(method.function, f"its method was {was}, is {path}", "typed callers")
    messages = {message.name: message for message in new.messages}
    for message in old.messages:
        if message.name not in messages:
            continue
        fields = {field.name: field.told for field in messages[message.name].fields}
        for field in message.fields:
            where = f"{message.name}.{field.name}"
            if field.name in fields and fields[field.name] != field.told:
                yield ApiChange(where, _other_type(field.told, fields[field.name]), "typed callers")
    enums = {enum.name: {value.name for value in enum.values} for enum in new.enums}
    for enum in old.enums:
        for value in enum.values:
            if value.name not in enums.get(enum.name, {value.name}):
                yield ApiChange(f"{enum.name}.{value.name}", "the value is gone", "typed callers")


def _other_type(was: str, now: str) -> str:
    return f"its type was {was}, is {now}: the field gets another number"


def lock_changes(old: Lock, new: Lock) -> list[ApiChange]:
    """Return the differences between two lock files; there everything that differs breaks typed callers."""
    found = []
    if old.package != new.package:
        found.append(ApiChange(old.package, f"the package is {new.package} now", "typed callers"))
    for name, fields in old.messages.items():
        for field, locked in fields.items():
            now = new.messages.get(name, {}).get(field)
            where = f"{name}.{field}"
            if now is None:
                found.append(
                    ApiChange(where, "its number is not locked any more: it could be given again", "typed callers")
                )
            elif now.type != locked.type:
                found.append(ApiChange(where, _other_type(locked.type, now.type), "typed callers"))
            elif now.number != locked.number:
                found.append(ApiChange(where, f"its number was {locked.number}, is {now.number}", "typed callers"))
    for name, values in old.enums.items():
        for value, number in values.items():
            now_number = new.enums.get(name, {}).get(value)
            if now_number != number:
                found.append(ApiChange(f"{name}.{value}", f"its number was {number}, is {now_number}", "typed callers"))
    found += [ApiChange(name, "the message is new", "nobody") for name in new.messages.keys() - old.messages.keys()]
    return sorted(found, key=_rank)
