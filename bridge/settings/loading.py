"""Loading of settings: merges the sources, has the tree check them, and says where each mistake stands.

Owns no state. Works for any tree of pydantic models; must not know a setting by name.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from bridge.settings.errors import ConfigError, Problem
from bridge.settings.schema import annotation_at, kind_at, known_keys
from bridge.settings.secret_references import is_reference, resolve_secret
from bridge.settings.sources import KeyPath, Place, Source, read_environment, read_file, read_overrides

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pydantic_core import ErrorDetails

Tree = TypeVar("Tree", bound=BaseModel)

DEFAULT_FILE = Path("bridge.toml")

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "text": "a text",
    "list": "a list",
    "texts": "a table of texts",
    "table": "a table",
    "named": "a table",
}
_TYPE_ERRORS = ("_type", "_parsing", "int_from_float", "is_instance_of", "dict_attributes_type")


def load(
    tree: type[Tree], path: Path | None, overrides: Mapping[str, Any], environ: Mapping[str, str], *, secrets: bool
) -> Tree:
    """Return the settings of all sources; see `bridge.config.load_config`.

    What settings have wrong by comparison with others a tree tells by a method `mistakes`: pairs of key and message.
    """
    sources = _read_all(tree, path, overrides, environ)
    merged: dict[str, Any] = {}
    for source in reversed(sources):
        _merge(merged, source.values)
    try:
        config = tree.model_validate(merged)
    except ValidationError as error:
        problems = (_problem(tree, sources, details) for details in error.errors(include_url=False))
        raise ConfigError(*sorted(problems, key=lambda problem: (problem.line, problem.file, problem.key))) from None
    mistakes: Iterable[tuple[KeyPath, str]] = getattr(config, "mistakes", tuple)()
    if wrong := tuple(_place(sources, key).problem(".".join(key), message) for key, message in mistakes):
        raise ConfigError(*wrong)
    if secrets:
        missing = tuple(_missing_secrets(config, sources, environ))
        if missing:
            raise ConfigError(*missing)
    return config


def _read_all(
    tree: type[BaseModel], path: Path | None, overrides: Mapping[str, Any], environ: Mapping[str, str]
) -> list[Source]:
    """Read the sources, the strongest first, and collect the problems of all."""
    if path is None and DEFAULT_FILE.exists():
        path = DEFAULT_FILE
    readers: list[Callable[[], Source]] = [
        lambda: read_overrides(overrides, tree),
        lambda: read_environment(environ, tree),
        lambda: read_file(path) if path is not None else Source(),
    ]
    sources: list[Source] = []
    problems: list[Problem] = []
    for reader in readers:
        try:
            sources.append(reader())
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*problems)
    return sources


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        old = into.get(key)
        if isinstance(value, dict):
            if not isinstance(old, dict):
                old = into[key] = {}
            _merge(old, value)
        else:
            into[key] = value


def _place(sources: list[Source], key: KeyPath) -> Place:
    """Return where `key` was given, or the nearest table around it; the strongest source wins."""
    for length in range(len(key), 0, -1):
        for source in sources:
            if place := source.places.get(key[:length]):
                return place
            nested = (known for known in source.places if known[:length] == key[:length])
            if first := next(nested, None):
                return source.places[first]
    return Place("configuration")


def _problem(tree: type[BaseModel], sources: list[Source], details: ErrorDetails) -> Problem:
    # pydantic marks a bad name of a table entry with the part "[key]".
    key = tuple(str(part) for part in details["loc"] if part != "[key]")
    return _place(sources, key).problem(".".join(key), _message(tree, key, details))


def _message(tree: type[BaseModel], key: KeyPath, details: ErrorDetails) -> str:
    problem = details["type"]
    if problem == "extra_forbidden":
        return _unknown(key[-1], known_keys(tree, key[:-1]))
    if problem == "missing":
        field = annotation_at(tree, key[:-1]).model_fields[key[-1]]
        return f"missing; {field.description}"
    if problem == "value_error":
        return f"{details['ctx']['error']}{_got(tree, key, details)}"
    if problem.endswith(_TYPE_ERRORS):
        return f"expected {_EXPECTED.get(kind_at(tree, key), 'another type')}{_got(tree, key, details)}"
    text = details["msg"].removeprefix("Input should be ").removeprefix("String should have ").removesuffix(" ")
    return f"expected {text}{_got(tree, key, details)}"


def _unknown(name: str, known: tuple[str, ...]) -> str:
    if close := difflib.get_close_matches(name.lower(), known, n=1):
        return f"unknown key; did you mean '{close[0]}'?"
    return f"unknown key; the keys here are: {', '.join(known)}"


def _got(tree: type[BaseModel], key: KeyPath, details: ErrorDetails) -> str:
    """Say what was given, unless it may be a secret or says nothing."""
    value = details["input"]
    if isinstance(value, (dict, BaseModel)) or not key or _is_hidden(tree, key) or "got" in str(details["msg"]):
        return ""
    shown = repr(value)
    return f", got {shown if len(shown) <= 60 else shown[:57] + '...'}"


def _is_hidden(tree: type[BaseModel], key: KeyPath) -> bool:
    for length in range(len(key)):
        table = annotation_at(tree, key[:length])
        if isinstance(table, type) and issubclass(table, BaseModel):
            field = table.model_fields.get(key[length])
            if field is not None and not field.repr:
                return True
    return False


def _missing_secrets(config: BaseModel, sources: list[Source], environ: Mapping[str, str]) -> Iterator[Problem]:
    for key, reference in secret_references(config):
        try:
            resolve_secret(reference, environ)
        except ConfigError as error:
            yield _place(sources, key).problem(".".join(key), error.problems[0].message)


def secret_references(config: BaseModel, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Yield the key and the reference of every secret in a tree: the settings that are kept out of its repr."""
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            yield from secret_references(value, (*path, name))
        elif isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, BaseModel):
                    yield from secret_references(item, (*path, name, key))
                elif not field.repr and is_reference(item):
                    yield (*path, name, key), item
        elif not field.repr and isinstance(value, str) and is_reference(value):
            yield (*path, name), value
