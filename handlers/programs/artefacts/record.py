"""A program's state as plain data: what a saved artefact holds, and reading it with everything unknown refused.

JSON alone, never pickle. Fields are known by their names: DSPy's own state files know them by their position. Pure.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

import msgspec

from handlers.programs import definitions
from handlers.programs.definitions import ProgramDefinition

FORMAT = "bridge-program"
VERSION = 1
"""Of the format. A reader refuses every other one."""
MAX_BYTES = 32 << 20


class ArtefactError(Exception):
    """An artefact can not be saved, read or used; the message says why and what to do."""


class LmState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """The language model of one predictor. It never holds a key."""

    model: str
    api_base: str | None = None
    """The address that the model was asked at; None for its provider's own."""
    settings: dict[str, Any] = {}
    """Such as temperature and max_tokens."""


class FieldState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field of a predictor's signature."""

    side: Literal["input", "output"]
    type: str
    """In DSPy's notation."""
    schema: Any = None
    """JSON Schema of its values; None where the type has none."""
    prefix: str = ""
    description: str = ""


class PredictorState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that learning or a hand may have changed in one predictor."""

    instructions: str
    fields: dict[str, FieldState]
    """By name. Their order is the program's own business."""
    demos: tuple[dict[str, Any], ...] = ()
    lm: LmState | None = None


class InterfaceState(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What callers of the program see."""

    signature: str
    inputs: Any
    """JSON Schema."""
    outputs: Any
    """JSON Schema."""


class Artefact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One saved program."""

    format: str
    format_version: int
    program: str
    interface: InterfaceState
    lock: dict[str, str]
    """Versions of Python and of the libraries that the state was made with."""
    source: dict[str, str] = {}
    """Hashes of the files that define the program, by their paths from the app's folder; none for a created one."""
    predictors: dict[str, PredictorState] = {}
    definition: ProgramDefinition | None = None
    """Of a created program: all of it."""


class _Head(msgspec.Struct, frozen=True):
    format: str = ""
    format_version: int = 0


def encode(artefact: Artefact) -> bytes:
    """Return an artefact as JSON for people and for tools that compare: one value a line, the order always the same."""
    return msgspec.json.format(msgspec.json.encode(artefact, order="deterministic"), indent=2) + b"\n"


def decode(data: bytes, where: str) -> Artefact:
    """Read what `encode` wrote. Raises ArtefactError, naming the place of what is not known."""
    if len(data) > MAX_BYTES:
        raise ArtefactError(f"{where} has {len(data)} bytes, more than an artefact may have ({MAX_BYTES})")
    if data[:1] == b"\x80" or data[:2] == b"PK":
        raise ArtefactError(f"{where} is no JSON but looks like pickle or an archive; those are never loaded")
    try:
        head = msgspec.json.decode(data, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtefactError(f"{where} is no artefact of a program: {error}") from None
    if head.format != FORMAT:
        hint = " A file that DSPy saved is taken over with --state." if not head.format else ""
        raise ArtefactError(f"{where}: expected the format '{FORMAT}', got '{head.format[:50]}'.{hint}")
    if head.format_version != VERSION:
        raise ArtefactError(
            f"{where} has format version {head.format_version}; this bridge reads version {VERSION}. Save it anew, or "
            "use the bridge that wrote it"
        )
    try:
        artefact = msgspec.json.decode(data, type=Artefact)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ArtefactError(f"{where} holds what is not known: {error}") from None
    if artefact.definition is not None:
        _check_definition(artefact.definition, msgspec.json.decode(data)["definition"], where)
    return artefact


def fingerprint(artefact: Artefact) -> str:
    """Return a hash of all that an artefact holds but the versions of libraries."""
    return hashlib.sha256(encode(msgspec.structs.replace(artefact, lock={}))).hexdigest()


def _check_definition(definition: ProgramDefinition, raw: Any, where: str) -> None:
    """Refuse a definition with more in it than is understood: its records let unknown keys pass."""
    if extra := _unknown(raw, json.loads(msgspec.json.encode(_whole(definition))), "definition"):
        raise ArtefactError(f"{where} holds what is not known: `{extra}`")
    if found := definitions.problems(definition):
        path, what = found[0]
        raise ArtefactError(f"{where}: its definition can not be used: {path}: {what}")


def _whole(value: Any) -> Any:
    """Return a record as plain values, defaults and tags included."""
    if isinstance(value, msgspec.Struct):
        fields = {name: _whole(getattr(value, name)) for name in value.__struct_fields__}
        config = value.__struct_config__
        return {config.tag_field: config.tag, **fields} if config.tag_field else fields
    if isinstance(value, (list, tuple)):
        return [_whole(item) for item in value]
    return value


def _unknown(raw: Any, known: Any, path: str) -> str:
    """Return the path of the first thing that reading and writing again has lost or changed; empty for none."""
    if isinstance(raw, dict) and isinstance(known, dict):
        for key, value in raw.items():
            if key not in known:
                return f"{path}.{key}"
            if found := _unknown(value, known[key], f"{path}.{key}"):
                return found
        return ""
    if isinstance(raw, list) and isinstance(known, list) and len(raw) == len(known):
        return next((bad for i, one in enumerate(raw) if (bad := _unknown(one, known[i], f"{path}[{i}]"))), "")
    return "" if raw == known else path
