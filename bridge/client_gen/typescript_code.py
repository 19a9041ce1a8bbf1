"""Typed TypeScript over the Node client: an interface per class, a class per service. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from bridge.client_gen.trees import Trees

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.client_gen.trees import Call, Class, Entry, Tree
    from handlers.typed.shapes import Api

HEAD = """// Typed calls of {package}. Written by `bridge client gen`; do not edit.
import type {{ Calls, CallOptions, ResultStream, Tensor, TypedArray }} from "@polyglot-bridge/client";

/** Integers beyond 2^53 come as bigint, unless the client was told otherwise. */
export type Integer = number;
export type Bytes = Uint8Array;
/** Arrays of numbers; in results always a Tensor. */
export type NumberArray = Tensor | TypedArray;
"""
_PLAIN = {
    "bool": "boolean",
    "int": "Integer",
    "float": "number",
    "string": "string",
    "bytes": "Bytes",
    "any": "unknown",
    "struct": "Record<string, unknown>",
    "tensor": "NumberArray",
}
_TAKEN = ("Integer", "Bytes", "NumberArray", "Calls", "CallOptions", "ResultStream", "Tensor", "TypedArray")
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")


def files(api: Api) -> dict[str, str]:
    """Return the files by their names."""
    trees = Trees(api)
    parts = [HEAD.format(package=api.package)]
    parts += [
        f"export type {_named(name)} = {' | '.join(_text(text) for text in texts)};\n"
        for name, texts in sorted(trees.texts.items())
    ]
    parts += ["\n".join(_interface(one)) + "\n" for one in trees.classes()]
    for service in api.services():
        calls = list(trees.calls(service))
        parts += ["\n".join(_interface(call.parameters)) + "\n" for call in calls]
        parts.append("\n".join(_service(f"{service.removesuffix('Service')}Client", calls)) + "\n")
    return {f"{api.package.replace('.', '_')}.ts": "\n".join(parts)}


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=True)


def _named(name: str) -> str:
    return f"{name}_" if name in _TAKEN else name


def _type(tree: Tree) -> str:
    if tree.kind == "list":
        found = f"Array<{_type(tree.inner[0])}>"
    elif tree.kind == "map":
        found = f"Record<string, {_type(tree.inner[0])}>"
    elif tree.kind == "tuple":
        found = f"[{', '.join(map(_type, tree.inner))}]"
    elif tree.kind == "union":
        found = " | ".join(dict.fromkeys(map(_type, tree.inner)))
    else:
        found = _named(tree.name) if tree.name else _PLAIN[tree.kind]
    return f"{found} | null" if tree.nullable and tree.kind != "any" else found


def _interface(one: Class) -> Iterator[str]:
    yield from _comment(one.doc, "")
    yield f"export interface {_named(one.name)} {{"
    for entry in one.entries:
        yield from _entry(entry)
    if one.open:
        yield "  [key: string]: unknown;"
    yield "}"


def _entry(entry: Entry) -> Iterator[str]:
    yield from _comment(entry.doc, "  ")
    key = entry.key if _NAME.match(entry.key) else _text(entry.key)
    yield f"  {key}{'' if entry.required else '?'}: {_type(entry.type)};"


def _comment(text: str, indent: str) -> Iterator[str]:
    lines = text.strip().replace("*/", "* /").splitlines()
    if len(lines) == 1:
        yield f"{indent}/** {lines[0]} */"
    elif lines:
        yield f"{indent}/**"
        yield from (f"{indent} * {line}".rstrip() for line in lines)
        yield f"{indent} */"


def _service(name: str, calls: list[Call]) -> Iterator[str]:
    yield "/** Typed calls by a bridge or a session of the Node client. */"
    yield f"export class {name} {{"
    yield "  constructor(readonly calls: Calls) {}"
    taken = {"calls", "constructor"}
    for call in calls:
        yield ""
        yield from _comment(call.method.doc, "  ")
        result = "null" if call.result is None else _type(call.result)
        optional = all(not entry.required for entry in call.parameters.entries)
        arguments = f"args: {_named(call.parameters.name)}{' = {}' if optional else ''}, options: CallOptions = {{}}"
        streams = call.method.streaming
        returned = f"ResultStream<{result}>" if streams else f"Promise<{result}>"
        yield f"  {_method_name(call.method.function, taken)}({arguments}): {returned} {{"
        made = "stream" if streams else "call"
        yield f"    return this.calls.{made}<{result}>({_text(call.method.function)}, args, options);"
        yield "  }"
    yield "}"


def _method_name(function: str, taken: set[str]) -> str:
    """Return a function's name as JavaScript writes names."""
    first, *words = [word for word in re.split(r"[^A-Za-z0-9]+", function) if word]
    found = first[0].lower() + first[1:] + "".join(word[0].upper() + word[1:] for word in words)
    found = f"_{found}" if found[0].isdigit() else found
    while found in taken:
        found += "_"
    taken.add(found)
    return found
