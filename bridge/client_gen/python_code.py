"""Typed Python over the Python client: a TypedDict per class, a blocking and an async class per service. Pure."""

from __future__ import annotations

import json
import keyword
import re
from typing import TYPE_CHECKING

from bridge.client_gen.trees import Trees

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.client_gen.trees import Call, Class, Entry, Tree
    from handlers.typed.shapes import Api

HEAD = '''"""Typed calls of {package}. Written by `bridge client gen`; do not edit.

A parameter that is left out (`...`) has the function's own default.
"""

# ruff: noqa
from __future__ import annotations

from types import EllipsisType
from typing import Any, Literal, NotRequired, TypedDict, cast

from bridge_client import AsyncClient, AsyncStream, Client, Stream

Array = Any
"""A numpy array; where numpy is not installed, a bridge_client.Tensor."""
'''
TAIL = """

def _given(arguments: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if value is not ...}
"""
_PLAIN = {
    "bool": "bool",
    "int": "int",
    "float": "float",
    "string": "str",
    "bytes": "bytes",
    "any": "Any",
    "struct": "dict[str, Any]",
    "tensor": "Array",
}
_OWN = ("self", "cast", "Any")
_IMPORTED = frozenset(
    (
        "EllipsisType",
        "Any",
        "Literal",
        "NotRequired",
        "TypedDict",
        "AsyncClient",
        "AsyncStream",
        "Client",
        "Stream",
        "Array",
    )
)
_BUILT_IN = ("client", "list", "dict", "tuple", "int", "float", "str", "bytes", "bool", "cast")
"""Names that a method of a class would hide from the annotations of the next."""


def files(api: Api) -> dict[str, str]:
    """Return the files by their names."""
    trees = Trees(api)
    parts = [HEAD.format(package=api.package)]
    parts += [f"{_named(name)} = {_literal(texts)}\n" for name, texts in sorted(trees.texts.items())]
    parts += ["\n" + "\n".join(_class(one)) + "\n" for one in trees.classes()]
    for service in api.services():
        name = service.removesuffix("Service")
        calls = list(trees.calls(service))
        parts.append("\n" + "\n".join(_service(f"{name}Client", "Client", calls)) + "\n")
        parts.append("\n" + "\n".join(_service(f"Async{name}Client", "AsyncClient", calls)) + "\n")
    return {f"{api.package.replace('.', '_')}.py": "\n".join(parts).rstrip() + "\n" + TAIL}


def _named(name: str) -> str:
    """Return a class's name; one that the file itself needs gets another."""
    return f"{name}_" if name in _IMPORTED or keyword.iskeyword(name) else name


def _literal(texts: tuple[str, ...]) -> str:
    return f"Literal[{', '.join(_text(text) for text in texts)}]"


def _text(text: str) -> str:
    """Return a string literal, with the quotes of most code where that is possible."""
    plain = json.dumps(text, ensure_ascii=True)
    return plain if text.isascii() else ascii(text)


def _type(tree: Tree) -> str:
    if tree.kind == "list":
        found = f"list[{_type(tree.inner[0])}]"
    elif tree.kind == "map":
        found = f"dict[str, {_type(tree.inner[0])}]"
    elif tree.kind == "tuple":
        found = f"tuple[{', '.join(map(_type, tree.inner))}] | list[Any]"
    elif tree.kind == "union":
        found = " | ".join(dict.fromkeys(map(_type, tree.inner)))
    else:
        found = _named(tree.name) if tree.name else _PLAIN[tree.kind]
    return f"{found} | None" if tree.nullable and tree.kind != "any" else found


def _class(one: Class) -> Iterator[str]:
    if all(entry.key.isidentifier() and not keyword.iskeyword(entry.key) for entry in one.entries):
        yield f"class {_named(one.name)}(TypedDict):"
        yield from docstring(one.doc or one.name, "    ")
        for entry in one.entries:
            yield f"    {entry.key}: {_entry_type(entry)}"
            yield from docstring(entry.doc, "    ")
        return
    yield f"{_named(one.name)} = TypedDict("
    yield f"    {_text(_named(one.name))},"
    yield "    {"
    for entry in one.entries:
        yield f"        {_text(entry.key)}: {_text(_entry_type(entry))},"
    yield "    },"
    yield ")"
    yield from docstring(one.doc, "")


def _entry_type(entry: Entry) -> str:
    return _type(entry.type) if entry.required else f"NotRequired[{_type(entry.type)}]"


def docstring(text: str, indent: str) -> Iterator[str]:
    """Yield a text as a docstring."""
    if not text.strip():
        return
    safe = text.strip().replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines = (safe + " " if safe.endswith('"') else safe).splitlines()
    if len(lines) == 1:
        yield f'{indent}"""{lines[0]}"""'
        return
    yield f'{indent}"""{lines[0]}'
    yield from (f"{indent}{line}".rstrip() for line in lines[1:])
    yield f'{indent}"""'


def _service(name: str, client: str, calls: list[Call]) -> Iterator[str]:
    yield f"class {name}:"
    yield f'    """Typed calls by a {client} of bridge_client."""'
    yield ""
    yield f"    def __init__(self, client: {client}) -> None:"
    yield "        self.client = client"
    taken: set[str] = set(_BUILT_IN)
    for call in calls:
        yield ""
        yield from _method(call, _identifier(call.method.function, taken), client == "AsyncClient")


def _method(call: Call, name: str, is_async: bool) -> Iterator[str]:
    taken: set[str] = set(_OWN)
    named = [(entry, _identifier(entry.key, taken)) for entry in call.parameters.entries]
    given = [f"{known}: {_type(entry.type)}" for entry, known in named if entry.required]
    left = [f"{known}: {_type(entry.type)} | EllipsisType = ..." for entry, known in named if not entry.required]
    more = _identifier("more", taken)
    left += [f"{more}: dict[str, Any] | EllipsisType = ..."] if call.parameters.open else []
    parameters = ", ".join(["self", *given, *(["*", *left] if left else [])])
    result = "None" if call.result is None else _type(call.result)
    streams = call.method.streaming
    returned = f"{'Async' if is_async else ''}Stream[{result}]" if streams else result
    yield f"    {'async ' if is_async and not streams else ''}def {name}({parameters}) -> {returned}:"
    yield from docstring(call.method.doc, "        ")
    pairs = [f"{_text(entry.key)}: {known}" for entry, known in named]
    arguments = f"{{{', '.join(pairs)}}}"
    if call.parameters.open:
        arguments = f"{{**({{}} if {more} is ... else {more}), **{arguments}}}"
    if left:
        arguments = f"_given({arguments})"
    call_of = "stream" if streams else "call"
    done = f"self.client.{call_of}({_text(call.method.function)}{f', **{arguments}' if pairs or left else ''})"
    done = f"await {done}" if is_async and not streams else done
    if call.result is None and not streams:
        yield f"        {done}"
    else:
        yield f"        return cast({_text(returned)}, {done})"


def _identifier(name: str, taken: set[str]) -> str:
    """Return a name that Python can have, and that is not taken yet."""
    found = re.sub(r"\W", "_", name)
    found = f"_{found}" if not found or found[0].isdigit() else found
    while keyword.iskeyword(found) or found in taken:
        found += "_"
    taken.add(found)
    return found
