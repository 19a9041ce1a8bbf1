"""Reads the prompts that DSPy's adapters write, and writes answers in the form that they ask for.

Pure text in, text out: DSPy is not imported. It knows ChatAdapter (`[[ ## field ## ]]`), JSONAdapter and XMLAdapter of
DSPy 3. From a prompt it takes the asked fields in order, each with a JSON Schema made from the type and notes that the
adapter wrote, and `handlers.models.json_values` fills them.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from handlers.models import json_values

Style = Literal["chat", "json", "xml"]

_OUTPUT_LIST = re.compile(r"Your output fields are:\n(.*?)\nAll interactions will be structured", re.DOTALL)
_LISTED = re.compile(r"^\d+\. `(\w+)` \((.*)\):(.*(?:\n(?!\d+\. `).*)*)", re.MULTILINE)
_CHAT_FIELD = re.compile(r"`\[\[ ## (\w+) ## \]\]`")
_JSON_FIELD = re.compile(r"(?:: |, then )`(\w+)`")
_XML_FIELD = re.compile(r"`<(\w+)>`")
_SCHEMA_NOTE = "must adhere to the JSON schema: "
_ONE_OF_NOTE = re.compile(r"must (?:exactly match \(no extra characters\) )?(?:be )?one of: (.*)")
_CONSTRAINTS = {
    "greater than or equal to": "minimum",
    "less than or equal to": "maximum",
    "greater than": "exclusiveMinimum",
    "less than": "exclusiveMaximum",
    "a multiple of the given number": "multipleOf",
    "minimum length": "minLength",
    "maximum length": "maxLength",
}
_NAMED_TYPES: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "NoneType": {"type": "null"},
    "None": {"type": "null"},
    "dict": {"type": "object"},
    "list": {"type": "array"},
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
    "Any": {"type": "string"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedField:
    """One output field that the prompt asks for."""

    name: str
    schema: dict[str, Any]
    template: str = ""
    """XMLAdapter's nested form of the field, such as ``<p><name>...</name></p>``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a DSPy prompt asks for, and in which form."""

    style: Style
    fields: tuple[AskedField, ...]


def read(system: str, user: str) -> Asked | None:
    """Return what the prompt asks for; None where it was not written by one of DSPy's adapters."""
    tail = user[user.rfind("Respond with ") :] if "Respond with " in user else ""
    style = _style(tail)
    listed = _OUTPUT_LIST.search(system)
    if style is None or listed is None:
        return None
    expression = {"chat": _CHAT_FIELD, "json": _JSON_FIELD, "xml": _XML_FIELD}[style]
    names = [name for name in dict.fromkeys(expression.findall(tail)) if name != "completed"]
    described = {match[1]: (match[2], match[3]) for match in _LISTED.finditer(listed[1])}
    notes = _notes(system, style)
    fields = tuple(
        AskedField(
            name=name,
            schema=_schema(*described.get(name, ("str", "")), notes.get(name, "")),
            template=_template(tail, name),
        )
        for name in names
    )
    return Asked(style=style, fields=fields) if fields else None


def write(asked: Asked, values: dict[str, Any]) -> str:
    """Return `values`, one per asked field, in the form that the prompt asks for."""
    if asked.style == "json":
        return json.dumps(values, ensure_ascii=False)
    if asked.style == "xml":
        return "\n".join(_xml(field, values[field.name]) for field in asked.fields)
    parts = [f"[[ ## {field.name} ## ]]\n{_plain(values[field.name])}" for field in asked.fields]
    return "\n\n".join([*parts, "[[ ## completed ## ]]"])


def _style(tail: str) -> Style | None:
    if "`[[ ## " in tail:
        return "chat"
    if tail.startswith("Respond with a JSON object"):
        return "json"
    if "wrapped in XML tags" in tail:
        return "xml"
    return None


def _notes(system: str, style: Style) -> dict[str, str]:
    """Return, by field, the note that the adapter wrote behind the field's place in the structure."""
    if style == "json":
        found = {}
        for name, text in re.findall(r'^  "(\w+)": ("\{\w+\}.*"),?$', system, re.MULTILINE):
            found[name] = json.loads(text)
        return found
    start = r"\[\[ ## \w+ ## \]\]" if style == "chat" else r"<\w+>"
    return dict(re.findall(rf"^{start}\n\{{(\w+)\}}[ \t]*(# note: .*)$", system, re.MULTILINE))


def _schema(type_text: str, description: str, note: str) -> dict[str, Any]:
    schema = _note_schema(note) or _type_schema(type_text) or {"type": "string"}
    for words, keyword in _CONSTRAINTS.items():
        if match := re.search(rf"Constraints:.*?\b{words}: (-?[\d.]+)", description):
            schema = {**schema, keyword: float(match[1]) if "." in match[1].rstrip(".") else int(match[1].rstrip("."))}
    return schema


def _note_schema(note: str) -> dict[str, Any] | None:
    if _SCHEMA_NOTE in note:
        schema, _ = json.JSONDecoder().raw_decode(note.split(_SCHEMA_NOTE, 1)[1])
        return schema if isinstance(schema, dict) else None
    if (match := _ONE_OF_NOTE.search(note)) and "exactly match" not in note:
        return {"enum": match[1].split("; ")}
    return None


def _type_schema(text: str) -> dict[str, Any] | None:
    """Return the schema of a Python type as DSPy writes it; None for names that the text does not explain."""
    try:
        tree = ast.parse(text, mode="eval")
    except SyntaxError:
        return None
    return _node_schema(tree.body)


def _node_schema(node: ast.expr) -> dict[str, Any] | None:
    if isinstance(node, ast.Constant) and node.value is None:
        return {"type": "null"}
    if isinstance(node, ast.Name):
        return _NAMED_TYPES.get(node.id)
    if not isinstance(node, ast.Subscript) or not isinstance(node.value, ast.Name):
        return None
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    generic = node.value.id
    if generic == "Literal":
        return {"enum": [ast.literal_eval(part) for part in parts]}
    inner = [_node_schema(part) for part in parts]
    known = [part for part in inner if part is not None]
    if len(known) != len(inner):
        return None
    if generic in {"Union", "Optional"}:
        return {"anyOf": known}
    if generic in {"list", "set", "frozenset", "Sequence"}:
        return {"type": "array", "items": known[0], "uniqueItems": generic in {"set", "frozenset"}}
    if generic == "dict":
        return {"type": "object", "additionalProperties": known[1]}
    if generic == "tuple":
        return {"type": "array", "prefixItems": known, "minItems": len(known), "maxItems": len(known)}
    return None


def _template(tail: str, name: str) -> str:
    match = re.search(rf"nested XML structure: .*?(<{name}>.*?</{name}>)", tail, re.DOTALL)
    return match[1] if match else ""


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _xml(field: AskedField, value: Any) -> str:
    if field.template and not isinstance(value, list | dict):
        # The prompt shows the shape of a model, not its types. As text, "1" is a valid int, float, bool and str.
        return field.template.replace("...", "1")
    return f"<{field.name}>\n{_xml_value(value)}\n</{field.name}>"


def _xml_value(value: Any) -> str:
    if isinstance(value, list):
        return "".join(f"<item>{_xml_value(item)}</item>" for item in value)
    return _plain(value).replace("<", "(").replace(">", ")")


def sample(field: AskedField, seed: str, text: str) -> Any:
    """Return a value for the field. Bare strings are `text`."""
    return json_values.from_schema(field.schema, f"{seed}|{field.name}", name=field.name, text=text)
