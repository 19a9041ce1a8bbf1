"""From what is typed on a command line to the arguments of a call, and back to the command that would type them.

`name=value` takes the value as text where the function's schema wants text, else as JSON; `name:=value` is always JSON;
`name=@file` is a file's content. Pure but for reading those files. The server validates: this only chooses the form.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.cli.failures import ExitCode, Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PAIR = re.compile(r"([A-Za-z_]\w*)(:=|=)(.*)", re.DOTALL)
_BINARY_FORMATS = ("binary", "base64", "base64url", "byte")
_EXAMPLES = {"integer": "3", "number": "0.5", "boolean": "true", "array": '["a", "b"]', "object": '{"key": "value"}'}


def parse(pairs: Iterable[str], base: str | None, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call from `name=value` pairs over `base` (JSON text, "@file" or "-" for stdin)."""
    arguments = _read_base(base) if base is not None else {}
    seen: set[str] = set()
    for pair in pairs:
        match = _PAIR.fullmatch(pair)
        if match is None:
            raise _usage(f"expected NAME=VALUE, got {pair!r}", "for JSON write NAME:=JSON, for a file NAME=@PATH")
        name, operator, text = match.groups()
        if name in seen:
            raise _usage(f"the argument '{name}' is given twice")
        seen.add(name)
        arguments[name] = _value(name, operator, text, schema)
    return arguments


def _value(name: str, operator: str, text: str, schema: Mapping[str, Any]) -> Any:
    property_schema = (schema.get("properties") or {}).get(name)
    kinds = accepted_kinds(property_schema, schema) if property_schema is not None else set()
    if operator == ":=":
        content = _read_file(text[1:]).decode() if text.startswith("@") else text
        return _json(name, content, kinds)
    if text.startswith("@"):
        return _from_bytes(name, _read_file(text[1:]), kinds)
    if "bytes" in kinds:
        return base64.b64encode(text.encode(errors="surrogateescape")).decode()
    if "string" in kinds:
        return text
    if "number" in kinds and text in ("NaN", "Infinity", "-Infinity"):
        return text
    if not kinds:
        # Nothing is known of this parameter; the server will say what it thinks of it.
        try:
            return json.loads(text, parse_constant=str)
        except (ValueError, RecursionError):
            return text
    return _json(name, text, kinds)


def _from_bytes(name: str, data: bytes, kinds: set[str]) -> Any:
    if "bytes" in kinds:
        return base64.b64encode(data).decode()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _usage(f"the file for '{name}' is not UTF-8 text, and the function does not take bytes there") from None
    return text if "string" in kinds or not kinds else _json(name, text, kinds)


def _json(name: str, text: str, kinds: set[str]) -> Any:
    try:
        return json.loads(text, parse_constant=str)
    except (ValueError, RecursionError) as error:
        wanted = sorted(kinds - {"null"})
        example = _EXAMPLES.get(wanted[0]) if wanted else None
        advice = f"write it as JSON, such as {name}={shlex.quote(example)}" if example else str(error)
        expected = " or ".join(wanted) or "JSON"
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise _usage(f"the argument '{name}' expects {expected}, got {shown!r}", advice) from None


def accepted_kinds(schema: Any, root: Mapping[str, Any], depth: int = 0) -> set[str]:
    """Return the JSON types that a schema accepts, with "bytes" for base64 text; empty where any value will do."""
    if not isinstance(schema, dict) or depth > 20:
        return set()
    if reference := schema.get("$ref"):
        return accepted_kinds(_follow(reference, root), root, depth + 1)
    kinds: set[str] = set()
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        kinds |= accepted_kinds(part, root, depth + 1)
    declared = schema.get("type")
    for kind in declared if isinstance(declared, list) else [declared]:
        if kind == "string":
            is_binary = schema.get("format") in _BINARY_FORMATS or "contentEncoding" in schema
            kinds.add("bytes" if is_binary else "string")
        elif kind:
            kinds.add(kind)
    if not kinds:
        values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
        kinds = {"string" if isinstance(value, str) else "number" for value in values}
    return kinds


def _follow(reference: str, root: Mapping[str, Any]) -> Any:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def _read_base(text: str) -> dict[str, Any]:
    if text == "-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        text = _read_file(text[1:]).decode(errors="replace")
    try:
        value = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError) as error:
        raise _usage(f"--json-args is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _usage('--json-args expects an object such as {"name": "value"}')
    return value


def _read_file(name: str) -> bytes:
    try:
        return Path(name).expanduser().read_bytes()
    except OSError as error:
        raise _usage(f"can not read {name}: {error.strerror or error}") from None


def _usage(message: str, advice: str = "") -> Failure:
    return Failure(ExitCode.USAGE, message, lines=(advice,) if advice else ())


def command(name: str, example: str, schema_text: str, address: str, default_address: str) -> str:
    """Return the command that calls a function with its example."""
    try:
        values, schema = json.loads(example or "{}"), json.loads(schema_text or "{}")
    except ValueError:
        values, schema = {}, {}
    words = ["bridge", "call", name]
    for key, value in values.items() if isinstance(values, dict) else ():
        kinds = accepted_kinds((schema.get("properties") or {}).get(key), schema)
        words.append(_pair(key, value, kinds))
    if address != default_address:
        words += ["--address", address]
    return " ".join(words)


def _pair(key: str, value: Any, kinds: set[str]) -> str:
    if isinstance(value, str) and "string" in kinds and not value.startswith("@"):
        return f"{key}={_quote(value)}"
    text = json.dumps(value, ensure_ascii=False)
    return f"{key}:={_quote(text)}" if isinstance(value, str) or "string" in kinds else f"{key}={_quote(text)}"


def _quote(text: str) -> str:
    """Quote for a shell; double quotes read better where they are enough."""
    if text and not re.search(r'["$`\\!\n]', text) and shlex.quote(text) != text:
        return f'"{text}"'
    return shlex.quote(text)
