"""The places that settings come from, each as one nested table that knows where its keys stand.

`read_file`, `read_environment` and `read_overrides` return a `Source` or raise ConfigError. Owns no state. Must not
check values: that is the tree's work.
"""

from __future__ import annotations

import difflib
import json
import re
import stat
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bridge.settings.errors import ConfigError, Problem
from bridge.settings.schema import kind_at, known_keys, setting_keys
from bridge.settings.toml_positions import find_positions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import BaseModel

PREFIX = "BRIDGE_"
NOT_SETTINGS = tuple(
    f"BRIDGE_{name}"
    for name in ("ADDRESS", "CONFIG", "KEY", "TLS_CA", "TLS_CERTIFICATE", "TLS_KEY", "ELIXIR_DEPS", "ELIXIR_SERVER")
)
"""Variables of the command line and of the clients that are no settings."""

MAX_FILE_BYTES = 1 << 20

# Kubernetes sets these in every pod of a namespace with a service named "bridge".
_SERVICE_LINKS = re.compile(r"BRIDGE_(?:SERVICE_HOST|SERVICE_PORT\w*|PORT|PORT_\d+_(?:TCP|UDP)(?:_PROTO|_PORT|_ADDR)?)")
_TOML_PLACE = re.compile(r"^(.*?) \(at (?:line (\d+), column (\d+)|end of document)\)$", re.DOTALL)

KeyPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a key was given."""

    file: str
    line: int = 0
    column: int = 0

    def problem(self, key: str, message: str) -> Problem:
        """Return a problem at this place."""
        return Problem(file=self.file, line=self.line, column=self.column, key=key, message=message)


@dataclass(frozen=True, slots=True)
class Source:
    """Settings from one place."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)


def read_file(path: Path) -> Source:
    """Read a TOML file. Raises ConfigError with line and column."""
    text = _decode(str(path), _read_bytes(path))
    positions = find_positions(text)
    places = {key: Place(str(path), at.line, at.column) for key, at in positions.keys.items()}
    if positions.duplicates:
        raise ConfigError(
            *(
                Place(str(path), at.line, at.column).problem(
                    ".".join(key), f"given twice; the first is in line {positions.keys[key].line}"
                )
                for key, at in positions.duplicates
            )
        )
    try:
        return Source(tomllib.loads(text), places)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_problem(str(path), text, str(error))) from None
    except RecursionError:
        raise ConfigError(Place(str(path), 1, 1).problem("", "nested too deeply")) from None


def _read_bytes(path: Path) -> bytes:
    try:
        mode, size = path.stat().st_mode, path.stat().st_size
        if stat.S_ISDIR(mode):
            raise ConfigError(Place(str(path)).problem("", "expected a file, got a directory"))
        if size <= MAX_FILE_BYTES:
            with path.open("rb") as stream:
                data = stream.read(MAX_FILE_BYTES + 1)
            size = len(data)
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror or error)
        raise ConfigError(Place(str(path)).problem("", f"can not read the configuration: {reason}")) from None
    if size > MAX_FILE_BYTES:
        message = f"expected at most {MAX_FILE_BYTES} bytes, got {size} or more; this is no configuration file"
        raise ConfigError(Place(str(path)).problem("", message))
    return data


def _decode(name: str, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ConfigError(Place(name, 1, 1).problem("", "expected UTF-8, got UTF-16; save the file as UTF-8"))
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        message = f"expected UTF-8, got the byte 0x{data[error.start]:02x}; save the file as UTF-8"
        raise ConfigError(Place(name, line, column).problem("", message)) from None


def _syntax_problem(name: str, text: str, message: str) -> Problem:
    match = _TOML_PLACE.match(message)
    if match is None:
        return Place(name, 1, 1).problem("", f"not TOML: {message}")
    if match[2] is None:
        last = text.rstrip("\n")
        return Place(name, last.count("\n") + 1, len(last) - last.rfind("\n")).problem("", f"not TOML: {match[1]}")
    return Place(name, int(match[2]), int(match[3])).problem("", f"not TOML: {match[1]}")


def read_environment(environ: Mapping[str, str], tree: type[BaseModel]) -> Source:
    """Read `BRIDGE_...` variables; two underscores separate tables: BRIDGE_POOLS__GENERAL__SIZE."""
    source = Source()
    problems = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in NOT_SETTINGS or _SERVICE_LINKS.fullmatch(name):
            continue
        key = _environment_key(name.removeprefix(PREFIX).split("__"), tree)
        place = Place(f"environment variable {name}")
        if key[0] not in known_keys(tree, ()):
            problems.append(place.problem("", _unknown_variable(name, tree)))
            continue
        problems += _put(source, key, environ[name], place, tree)
    if problems:
        raise ConfigError(*problems)
    return source


def _unknown_variable(name: str, tree: type[BaseModel]) -> str:
    known = ["BRIDGE_" + "__".join(key).upper() for key in setting_keys(tree)]
    if close := difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.8):
        return f"no such setting; did you mean {close[0]}?"
    sections = ", ".join(f"BRIDGE_{section.upper()}__..." for section in known_keys(tree, ()))
    return f"no such setting; settings are named {sections}"


def _environment_key(parts: list[str], tree: type[BaseModel]) -> KeyPath:
    """Lower the case of table and setting names, but not of the names inside a table of texts such as `env`."""
    for length in range(1, len(parts)):
        head = tuple(part.lower() for part in parts[:length])
        if kind_at(tree, head) == "texts":
            return (*head, "__".join(parts[length:]))
    return tuple(part.lower() for part in parts)


def read_overrides(overrides: Mapping[str, Any], tree: type[BaseModel]) -> Source:
    """Read settings named by dotted keys, such as {"pools.general.size": "4"}."""
    source = Source()
    problems = []
    for name, value in overrides.items():
        problems += _put(source, tuple(name.split(".")), value, Place("command line"), tree)
    if problems:
        raise ConfigError(*problems)
    return source


def _put(source: Source, key: KeyPath, value: Any, place: Place, tree: type[BaseModel]) -> list[Problem]:
    try:
        typed = _typed(value, kind_at(tree, key)) if isinstance(value, str) else value
    except ValueError as error:
        return [place.problem(".".join(key), str(error))]
    if not all(key):
        return [place.problem(".".join(key), "a part of the name is empty")]
    table = source.values
    for part in key[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            return [place.problem(".".join(key), f"{part} is set to a value and can not hold settings too")]
    if isinstance(typed, dict) and isinstance(table.get(key[-1]), dict):
        typed = {**typed, **table[key[-1]]}
    table[key[-1]] = typed
    source.places[key] = place
    return []


def _typed(text: str, kind: str) -> Any:
    """Turn the text of a variable or flag into the type that its setting has; what does not fit stays text."""
    if kind == "int" and re.fullmatch(r"[+-]?\d{1,18}", text.strip()):
        return int(text)
    if kind == "float":
        try:
            return float(text)
        except ValueError:
            return text
    if kind == "bool":
        return {"true": True, "1": True, "false": False, "0": False}.get(text.strip().lower(), text)
    if kind in ("list", "texts", "table", "named"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            expected = '["a", "b"]' if kind == "list" else '{"name": "value"}'
            raise ValueError(f"expected JSON such as {expected}, got {text[:60]!r}") from None
    return text
