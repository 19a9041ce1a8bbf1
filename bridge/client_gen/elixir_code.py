"""Typed Elixir: a struct per class, a module per service, typespecs for both. Pure.

How a call goes out is up to the caller: a client is a function of (:call or :stream, function's name, arguments) that
returns {:ok, value} or {:error, reason}, with values as a JSON library has them. The code needs no library.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bridge.client_gen.elixir_text import doc, text
from bridge.client_gen.trees import Trees
from handlers.typed.names import pascal
from handlers.typed.shapes import snake

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.client_gen.trees import Call, Class, Tree
    from handlers.typed.shapes import Api

_PLAIN = {
    "bool": "boolean()",
    "int": "integer()",
    "float": "float()",
    "string": "String.t()",
    "bytes": "String.t()",
    "any": "term()",
    "struct": "map()",
    "tensor": "term()",
}
_WORDS = """
after and catch cond do else end false fn in nil not or rescue true when xor if unless def defp case for with import
require alias use quote unquote receive try raise throw super client options
"""
_RESERVED = frozenset(_WORDS.split())
CODEC = """
defmodule {root}.Codec do
  @moduledoc "Values between structs and what a JSON library has. Written by `bridge client gen`; do not edit."

  @doc "Return a value as JSON has it. :null stands for null where nil leaves a key out."
  @spec encode(term(), term()) :: term()
  def encode(:null, _type), do: nil
  def encode(nil, _type), do: nil
  def encode(value, {{:list, inner}}), do: Enum.map(value, &encode(&1, inner))
  def encode(value, {{:map, inner}}), do: Map.new(value, fn {{key, one}} -> {{key, encode(one, inner)}} end)

  def encode(value, {{:tuple, inner}}) do
    value |> Tuple.to_list() |> Enum.zip(inner) |> Enum.map(fn {{one, type}} -> encode(one, type) end)
  end

  def encode(%module{{}} = value, _type), do: encode_fields(value, module.fields())
  def encode(value, _type), do: value

  @doc "Return the arguments or keys that are there, as JSON has them."
  @spec encode_fields(map(), list()) :: map()
  def encode_fields(values, fields) do
    for {{key, name, type, required}} <- fields,
        value = Map.get(values, name),
        required or value != nil,
        into: %{{}},
        do: {{key, encode(value, type)}}
  end

  @doc "Return a value of JSON in the structs of its type."
  @spec decode(term(), term()) :: term()
  def decode(nil, _type), do: nil
  def decode(value, {{:list, inner}}), do: Enum.map(value, &decode(&1, inner))
  def decode(value, {{:map, inner}}), do: Map.new(value, fn {{key, one}} -> {{key, decode(one, inner)}} end)

  def decode(value, {{:tuple, inner}}) do
    value |> Enum.zip(inner) |> Enum.map(fn {{one, type}} -> decode(one, type) end) |> List.to_tuple()
  end

  def decode(value, {{:class, module}}) do
    struct(module, for({{key, name, type, _}} <- module.fields(), do: {{name, decode(value[key], type)}}))
  end

  def decode(value, _type), do: value
end
"""


def files(api: Api) -> dict[str, str]:
    """Return the files by their names."""
    trees = Trees(api)
    root = ".".join(pascal(word) for word in api.package.split("."))
    parts = [f"# Typed calls of {api.package}. Written by `bridge client gen`; do not edit.", CODEC.format(root=root)]
    parts += ["\n".join(_class(one, root, trees)) for one in trees.classes()]
    for service in api.services():
        calls = list(trees.calls(service))
        parts.append("\n".join(_service(service.removesuffix("Service"), root, calls, trees)))
    return {f"{api.package.replace('.', '_')}.ex": "\n".join(parts) + "\n"}


def _type(tree: Tree, root: str) -> str:
    if tree.kind == "list":
        found = f"[{_type(tree.inner[0], root)}]"
    elif tree.kind == "map":
        found = f"%{{optional(String.t()) => {_type(tree.inner[0], root)}}}"
    elif tree.kind == "tuple":
        found = f"{{{', '.join(_type(one, root) for one in tree.inner)}}}"
    elif tree.kind == "union":
        found = " | ".join(dict.fromkeys(_type(one, root) for one in tree.inner))
    elif tree.kind == "class":
        found = f"{root}.{tree.name}.t()"
    else:
        found = "String.t()" if tree.kind == "enum" else _PLAIN[tree.kind]
    return f"{found} | nil" if tree.nullable else found


def _term(tree: Tree, root: str) -> str:
    """Return a type as the codec has it."""
    if tree.kind in ("list", "map"):
        return f"{{:{tree.kind}, {_term(tree.inner[0], root)}}}"
    if tree.kind == "tuple":
        return f"{{:tuple, [{', '.join(_term(one, root) for one in tree.inner)}]}}"
    return f"{{:class, {root}.{tree.name}}}" if tree.kind == "class" else ":plain"


def _fields(one: Class, root: str) -> str:
    rows = [
        f"{{{text(entry.key)}, {_atom(entry.key)}, {_term(entry.type, root)}, {str(entry.required).lower()}}}"
        for entry in one.entries
    ]
    return f"[{', '.join(rows)}]"


def _class(one: Class, root: str, trees: Trees) -> Iterator[str]:
    yield f"defmodule {root}.{one.name} do"
    yield from doc("moduledoc", one.doc or one.name)
    types = []
    for entry in one.entries:
        nullable = "" if entry.required or entry.type.nullable else " | nil"
        types.append(f"{_key(entry.key)}: {_type(entry.type, root)}{nullable}")
    yield f"  @type t :: %__MODULE__{{{', '.join(types)}}}"
    required = [_atom(entry.key) for entry in one.entries if entry.required]
    if required:
        yield f"  @enforce_keys [{', '.join(required)}]"
    yield f"  defstruct [{', '.join(_atom(entry.key) for entry in one.entries)}]"
    yield ""
    yield "  @doc false"
    yield f"  def fields, do: {_fields(one, root)}"
    yield "end"
    yield ""


def _service(name: str, root: str, calls: list[Call], trees: Trees) -> Iterator[str]:
    yield f"defmodule {root}.{name} do"
    yield from doc("moduledoc", "Typed calls. A client is a function that makes them: see its type.")
    yield "  @type client :: (:call | :stream, String.t(), map() -> {:ok, term()} | {:error, term()})"
    taken: set[str] = set()
    for call in calls:
        yield ""
        yield from _function(call, root, taken)
    yield "end"


def _function(call: Call, root: str, taken: set[str]) -> Iterator[str]:
    yield from doc("doc", call.method.doc or f"Call {call.method.function}.")
    name = _variable(call.method.function)
    while name in taken:
        name += "_"
    taken.add(name)
    required = [entry for entry in call.parameters.entries if entry.required]
    others = [entry for entry in call.parameters.entries if not entry.required]
    variables: dict[str, str] = {}
    for entry in required:
        found = _variable(entry.key)
        while found in variables.values():
            found += "_"
        variables[entry.key] = found
    result = "nil" if call.result is None else _type(call.result, root)
    returned = f"Enumerable.t({result})" if call.method.streaming else result
    has_options = bool(others) or call.parameters.open
    types = ["client()", *(_type(entry.type, root) for entry in required), *(["keyword()"] if has_options else [])]
    yield f"  @spec {name}({', '.join(types)}) :: {{:ok, {returned}}} | {{:error, term()}}"
    parameters = ["client", *variables.values(), *(["options \\\\ []"] if has_options else [])]
    yield f"  def {name}({', '.join(parameters)}) do"
    given = ", ".join(f"{_key(key)}: {found}" for key, found in variables.items())
    values = f"Map.merge(Map.new(options), %{{{given}}})" if has_options else f"%{{{given}}}"
    arguments = f"{root}.Codec.encode_fields({values}, {_fields(call.parameters, root)})"
    if call.parameters.open:
        arguments = f"Map.new(options, fn {{key, value}} -> {{to_string(key), value}} end) |> Map.merge({arguments})"
    kind = "stream" if call.method.streaming else "call"
    term = ":plain" if call.result is None else _term(call.result, root)
    read = f"{root}.Codec.decode"
    yield f"    with {{:ok, found}} <- client.(:{kind}, {text(call.method.function)}, {arguments}) do"
    if call.method.streaming:
        yield f"      {{:ok, Stream.map(found, &{read}(&1, {term}))}}"
    else:
        yield f"      {{:ok, {read}(found, {term})}}"
    yield "    end"
    yield "  end"


def _atom(key: str) -> str:
    return f":{key}" if re.fullmatch(r"[a-z_][A-Za-z0-9_]*", key) else f":{text(key)}"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[a-z_][A-Za-z0-9_]*", key) else text(key)


def _variable(key: str) -> str:
    found = re.sub(r"[^a-z0-9_]", "_", snake(key).lower()).strip("_") or "value"
    found = f"v_{found}" if found[0].isdigit() else found
    return f"{found}_" if found in _RESERVED else found
