"""Created programs between messages and records: what a client sends to create one, and what it is told of one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.v1 import program_pb2
from handlers.errors import BadInput
from handlers.programs.definitions import AdapterName, Kind, Options, ProgramDefinition
from handlers.signatures import named_types, parser
from handlers.signatures.compare import Change
from handlers.signatures.field_list import of_fields
from handlers.signatures.scanner import SignatureError
from handlers.signatures.spec import Constraints, SignatureSpec

if TYPE_CHECKING:
    from handlers.signatures.spec import SignatureField

_ENUM = "MODULE_KIND_"
_ADAPTERS: dict[int, AdapterName] = {0: "", 1: "chat", 2: "json", 3: "xml", 4: "two_step"}
_LIMITS = tuple(Constraints.__struct_fields__)


def signature_of(source: program_pb2.ProgramSource) -> SignatureSpec:
    """Read the signature of a source. Raises SignatureError."""
    types = named_types.read(dict(source.types))
    listed = bool(source.inputs or source.outputs)
    if source.signature and listed:
        raise SignatureError("A program has either 'signature' or 'inputs' and 'outputs'; got both.")
    if listed:
        inputs, outputs = ([_field(field) for field in side] for side in (source.inputs, source.outputs))
        return of_fields(inputs, outputs, types=types, instructions=source.instructions)
    return parser.parse(source.signature, types, source.instructions)


def definition_of(name: str, source: program_pb2.ProgramSource) -> ProgramDefinition:
    """Read a definition, without a version yet. Raises BadInput with one violation per mistake."""
    try:
        signature = signature_of(source)
    except SignatureError as error:
        path = "source.signature" if source.signature else "source.inputs"
        raise BadInput(f"The signature can not be used: {error.shown}", violations=((path, error.shown),)) from None
    return ProgramDefinition(
        name=name,
        version=0,
        signature=signature,
        kind=_kind(source.module, "source.module"),
        tools=tuple(source.tools),
        demos=tuple(_demo(index, text) for index, text in enumerate(source.demos)),
        model=source.model,
        adapter=_adapter(source.adapter),
        temperature=source.temperature if source.HasField("temperature") else None,
        max_tokens=source.max_tokens if source.HasField("max_tokens") else None,
        options=_options(source.options),
        doc=source.doc,
    )


def source_of(definition: ProgramDefinition) -> program_pb2.ProgramSource:
    """Write a definition as a source that makes the same one again."""
    signature = definition.signature
    source = program_pb2.ProgramSource(
        inputs=[_field_message(field) for field in signature.inputs],
        outputs=[_field_message(field) for field in signature.outputs],
        types={name: kind.schema for name, kind in signature.types.items()},
        instructions=signature.instructions,
        module=_ENUM + definition.kind.upper(),
        tools=definition.tools,
        demos=[json.dumps(demo, ensure_ascii=False) for demo in definition.demos],
        model=definition.model,
        adapter=next(number for number, name in _ADAPTERS.items() if name == definition.adapter),  # type: ignore[arg-type]
        temperature=definition.temperature,
        max_tokens=definition.max_tokens,
        doc=definition.doc,
    )
    given = {name: value for name, value in msgspec.structs.asdict(definition.options).items() if value is not None}
    if inner := given.pop("inner", None):
        source.options.MergeFrom(program_pb2.ModuleOptions(inner=_ENUM + inner.upper()))
    for name, value in given.items():
        setattr(source.options, name, value)
    return source


def change(found: Change) -> program_pb2.ProgramChange:
    """Describe one difference."""
    return program_pb2.ProgramChange(field=found.field, description=found.what, breaking=found.breaking)


def _field(field: program_pb2.ProgramField) -> dict[str, Any]:
    raw: dict[str, Any] = {"name": field.name, "description": field.description}
    if field.schema:
        raw["schema"] = field.schema
    if field.type or not field.schema:
        raw["type"] = field.type or "str"
    if field.HasField("default"):
        try:
            raw["default"] = json.loads(field.default)
        except ValueError:
            raise SignatureError(f"The default of {field.name!r} is not JSON: {field.default[:50]!r}.") from None
    return raw | {name: getattr(field, name) for name in _LIMITS if field.HasField(name)}


def _field_message(field: SignatureField) -> program_pb2.ProgramField:
    limits = {name: value for name in _LIMITS if (value := getattr(field.constraints, name)) is not None}
    return program_pb2.ProgramField(
        name=field.name, type=str(field.type), description=field.description, default=field.default, **limits
    )


def _kind(number: int, path: str) -> Kind:
    if number == 0:
        return "predict"
    try:
        name = program_pb2.ModuleKind.Name(number)
    except ValueError:
        raise BadInput(f"{path}: {number} is no kind of module", violations=((path, "is no kind of module"),)) from None
    return name.removeprefix(_ENUM).lower()  # type: ignore[return-value]


def _adapter(number: int) -> AdapterName:
    if number not in _ADAPTERS:
        path = "source.adapter"
        raise BadInput(f"{path}: {number} is no adapter", violations=((path, "is no adapter"),))
    return _ADAPTERS[number]


def _demo(index: int, text: str) -> dict[str, Any]:
    path = f"source.demos[{index}]"
    try:
        demo = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not JSON: {error}", violations=((path, f"is not JSON: {error}"),)) from None
    if not isinstance(demo, dict):
        what = f"is an object with one value per field, got {type(demo).__name__}"
        raise BadInput(f"{path} {what}", violations=((path, what),))
    return demo


def _options(message: program_pb2.ModuleOptions) -> Options:
    given: dict[str, Any] = {
        name: getattr(message, name)
        for name in ("max_iters", "n", "threshold", "k", "max_llm_calls", "num_threads")
        if message.HasField(name)
    }
    given |= {name: value for name in ("reward", "embedding") if (value := getattr(message, name))}
    if message.HasField("inner"):
        inner = _kind(message.inner, "source.options.inner")
        if inner not in ("predict", "chain_of_thought", "react"):
            path = "source.options.inner"
            what = f"{inner} can not run inside another kind; predict, chain_of_thought and react can"
            raise BadInput(f"{path}: {what}", violations=((path, what),))
        given["inner"] = inner
    return Options(**given)
