"""Saves calls to a directory: without secrets, readable by their owner alone, and only so many of them.

Owns the files whose names it makes. Knows how a call has gone; not how it runs.
"""

from __future__ import annotations

import base64
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from handlers.private_files import make_private, write_private
from handlers.replay import record
from handlers.replay.record import Exchange, SavedCall
from handlers.replay.recording import digest
from handlers.secret_scan import Scanner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from handlers.contract import EntryOptions, ReplayOptions
    from handlers.replay.recording import Noted

_NAME = re.compile(r"\d{8}T\d{12}-.*\.json\Z")
MOST_A_SECOND = 20
"""Calls of one function that a worker saves: where all fail at once, to save them must not be what it does."""
_LEAST_HIDDEN = 3
"""Characters of a value under a hidden name that are looked for elsewhere: shorter ones are in every text."""
_IN_TEXT = (
    r"^\[\[ ## NAME ## \]\][ \t]*\n([\s\S]*?)(?=^\[\[ ##|\Z)",
    r"[\"']NAME[\"']\s*:\s*\"((?:[^\"\\]|\\.)*)\"",
    r"<NAME>([\s\S]*?)</NAME>",
)
"""Fields in texts: between markers, in JSON, between tags."""
_URL_USER = re.compile(r"(?<=://)[^/@\s]*@")


def scanner(options: EntryOptions) -> Scanner:
    """Return what knows the secrets of this process: configured keys, and its environment."""
    assert options.replay is not None
    keys = [model.api_key for model in options.models.values() if model.api_key]
    keys += [os.environ[name] for name in options.replay.variables if name in os.environ]
    return Scanner.of(os.environ, keys, options.replay.scrub)


def models_of(options: EntryOptions) -> dict[str, Any]:
    """Return the configured models as plain values, without their keys."""
    plain = {name: msgspec.to_builtins(model) for name, model in options.models.items()}
    for one in plain.values():
        one.pop("api_key", None)
        if one.get("api_base"):
            one["api_base"] = _URL_USER.sub("", one["api_base"])
    return plain


def scrubbed(value: Any, scrub: Scanner) -> Any:
    """Return a value, as JSON, without its secrets; those in bytes too, as far as they stand there openly."""
    return scrub.scrubbed(_in_bytes(value, scrub))


def _in_bytes(value: Any, scrub: Scanner) -> Any:
    if isinstance(value, list):
        return [_in_bytes(item, scrub) for item in value]
    if not isinstance(value, dict):
        return value
    data = value.get("$bytes")
    if len(value) == 1 and isinstance(data, str):
        text = base64.b64decode(data).decode("latin-1")
        return {"$bytes": base64.b64encode(scrub.clean(text).encode("latin-1")).decode()}
    return {key: _in_bytes(item, scrub) for key, item in value.items()}


def exchanges_of(noted: list[Noted], scrub: Scanner) -> list[Exchange]:
    """Return exchanges without secrets; what tells requests apart is made of what is left."""
    found = []
    for one in noted:
        request = scrubbed(one.request, scrub)
        found.append(
            Exchange(
                kind=one.kind,
                request=request,
                digest=digest(one.kind, request),
                reply=scrubbed(one.reply, scrub),
                items=None if one.items is None else scrubbed(one.items, scrub),
                error=None if one.error is None else scrub.of_texts().scrubbed(one.error),
            )
        )
    return found


def hidden_values(value: Any, names: frozenset[str]) -> Iterator[str]:
    """Yield the texts and numbers under hidden names: they may stand in prompts and answers too.

    Prompts and answers of programs name fields in their text, as DSPy's adapters write them.
    """
    if names:
        words = "|".join(map(re.escape, names))
        shapes = [re.compile(shape.replace("NAME", f"(?:{words})"), re.IGNORECASE | re.MULTILINE) for shape in _IN_TEXT]
        yield from _hidden(value, names, shapes)


def _hidden(value: Any, names: frozenset[str], shapes: list[re.Pattern[str]]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if str(key).lower() in names:
                yield from _texts(item)
            else:
                yield from _hidden(item, names, shapes)
    elif isinstance(value, list):
        for item in value:
            yield from _hidden(item, names, shapes)
    elif isinstance(value, str):
        for shape in shapes:
            for found in shape.findall(value):
                yield from _texts(found.strip())


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool) and len(str(value)) >= _LEAST_HIDDEN:
        yield str(value)


def save(call: SavedCall, options: ReplayOptions) -> None:
    """Write a call, and remove the oldest where there are too many. What goes wrong is told on stderr."""
    data = record.encode(call)
    if len(data) > options.max_bytes:
        tell(f"call {call.request_id} of {call.program.name} is not saved: it has {len(data)} bytes; replay.max_bytes")
        return
    directory = Path(options.directory)
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", f"{call.program.name}-{call.request_id}")[:150]
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    try:
        make_private(directory)
        write_private(directory / f"{stamp}-{name}.json", data, lasting=False)
        mine = sorted(path for path in directory.iterdir() if _NAME.match(path.name))
        for path in mine[: -options.keep]:
            path.unlink(missing_ok=True)
    except OSError as error:
        tell(f"call {call.request_id} of {call.program.name} is not saved in {directory}: {error.strerror}")


def tell(text: str) -> None:
    """Write a line to the worker's stderr, which is logged."""
    print(text, file=sys.stderr, flush=True)
