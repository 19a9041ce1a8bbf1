"""What a created program is made from, and the operations on created programs. Owns nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from bridge_client import convert
from bridge_client.reading import enum_name, json_object, json_value, read
from bridge_client.records import ProgramInfo
from bridge_client.v1 import program_pb2
from bridge_client.wire import Operation, operation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge_client.program_wishes import Adapter

ModuleKind = Literal[
    "predict",
    "chain_of_thought",
    "react",
    "program_of_thought",
    "code_act",
    "best_of_n",
    "refine",
    "multi_chain_comparison",
    "parallel",
    "knn_few_shot",
    "rlm",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramField:
    """One input or output of a program that is described field by field."""

    name: str
    type: str = ""
    """In the notation of signatures, such as ``list[str] | None``; empty for text."""
    schema: Mapping[str, Any] | None = None
    """Its type as JSON Schema, in place of `type`."""
    description: str = ""
    default: Any = ...
    """Of an input: what stands in where it is missing; ``...`` where it may not be."""
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None

    def message(self) -> program_pb2.ProgramField:
        """The message that says the same."""
        return program_pb2.ProgramField(
            name=self.name,
            type=self.type,
            schema="" if self.schema is None else json.dumps(self.schema),
            description=self.description,
            default=None if self.default is ... else json.dumps(self.default, ensure_ascii=False),
            **{name: getattr(self, name) for name in _BOUNDS if getattr(self, name) is not None},
        )

    @classmethod
    def of(cls, message: program_pb2.ProgramField) -> ProgramField:
        """What a message says."""
        return cls(
            name=message.name,
            type=message.type,
            schema=json_object(message.schema) or None,
            description=message.description,
            default=json_value(message.default) if message.HasField("default") else ...,
            **_present(message, _BOUNDS),
        )


@dataclass(frozen=True, kw_only=True)
class ProgramSource:
    """What a program is made from: a `signature` such as ``question -> answer: float``, and the rest by name.

    In place of a signature `inputs` and `outputs` describe its fields one by one. `types` has types of your own by the
    name that fields use, as JSON Schema. `demos` are worked examples, an object each. `options` are what only some
    kinds of module know: max_iters, inner, n, reward, threshold, k, embedding, max_llm_calls, num_threads.
    """

    signature: str = ""
    module: ModuleKind = "predict"
    instructions: str = ""
    tools: Sequence[str] = ()
    demos: Sequence[Mapping[str, Any]] = ()
    model: str = ""
    adapter: Adapter | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    types: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    doc: str = ""
    inputs: Sequence[ProgramField] = ()
    outputs: Sequence[ProgramField] = ()

    def message(self) -> program_pb2.ProgramSource:
        """The message that says the same. Raises ValueError for a kind of module or an adapter that does not exist."""
        options = dict(self.options)
        if "inner" in options:
            options["inner"] = _kind(options["inner"])
        return program_pb2.ProgramSource(
            signature=self.signature,
            inputs=[one.message() for one in self.inputs],
            outputs=[one.message() for one in self.outputs],
            module=_kind(self.module),
            instructions=self.instructions,
            tools=self.tools,
            demos=[json.dumps(demo, ensure_ascii=False) for demo in self.demos],
            model=self.model,
            adapter=None if self.adapter is None else f"PROMPT_ADAPTER_{self.adapter.upper()}",
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            types={name: json.dumps(schema) for name, schema in self.types.items()},
            options=program_pb2.ModuleOptions(**options) if options else None,
            doc=self.doc,
        )

    @classmethod
    def of(cls, message: program_pb2.ProgramSource) -> ProgramSource:
        """What a message says."""
        adapter: Any = enum_name(program_pb2.PromptAdapter, message.adapter, "PROMPT_ADAPTER_")
        module: Any = enum_name(program_pb2.ModuleKind, message.module, "MODULE_KIND_")
        return cls(
            signature=message.signature,
            inputs=tuple(map(ProgramField.of, message.inputs)),
            outputs=tuple(map(ProgramField.of, message.outputs)),
            module="predict" if module == "unspecified" else module,
            instructions=message.instructions,
            tools=tuple(message.tools),
            demos=tuple(map(json_object, message.demos)),
            model=message.model,
            adapter=None if adapter == "unspecified" else adapter,
            types={name: json_object(schema) for name, schema in message.types.items()},
            options=_options(message.options),
            doc=message.doc,
            **_present(message, ("temperature", "max_tokens")),
        )


_BOUNDS = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern")


def _present(message: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(message, name) for name in names if message.HasField(name)}


def _options(message: program_pb2.ModuleOptions) -> dict[str, Any]:
    """Those that are set, by name."""
    found = {one.name: value for one, value in message.ListFields()}
    if "inner" in found:
        found["inner"] = enum_name(program_pb2.ModuleKind, found["inner"], "MODULE_KIND_")
    return found


@dataclass(frozen=True, kw_only=True)
class SignatureCheck:
    """What a signature means, or what is wrong with it: `error`, at `column` (from 1; 0 where it has no place)."""

    signature: str
    inputs_schema: Mapping[str, Any]
    outputs_schema: Mapping[str, Any]
    error: str
    column: int
    length: int


@dataclass(frozen=True, kw_only=True)
class ProgramVersions:
    """The numbers of a program's versions, the oldest first, and the one that serves."""

    versions: tuple[int, ...]
    serving: int
    sources: Mapping[int, ProgramSource] = field(default_factory=dict)
    """What each version is made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramChange:
    """One difference between two versions of a program's signature."""

    field: str
    """Empty for the whole."""
    description: str
    breaking: bool
    """Whether callers of the old version may fail on the new one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatedProgram(ProgramInfo):
    """A program of which there is another version now."""

    changes: tuple[ProgramChange, ...]
    """What differs from the version before, those changes first that break callers."""


def _program(reply: Any) -> ProgramInfo:
    return convert.program_info(reply.program)


def create(program: str, source: ProgramSource) -> Operation[ProgramInfo]:
    """Make a program."""
    request = program_pb2.CreateProgramRequest(program=program, source=source.message())
    return operation("ProgramService/CreateProgram", request, program_pb2.CreateProgramResponse, _program)


def update(program: str, source: ProgramSource, expected_version: int) -> Operation[UpdatedProgram]:
    """Add a version."""

    def read_update(reply: program_pb2.UpdateProgramResponse) -> UpdatedProgram:
        info = convert.program_info(reply.program)
        changes = tuple(read(ProgramChange, one) for one in reply.changes)
        return UpdatedProgram(**{one.name: getattr(info, one.name) for one in fields(info)}, changes=changes)

    request = program_pb2.UpdateProgramRequest(
        program=program, source=source.message(), expected_version=expected_version
    )
    return operation("ProgramService/UpdateProgram", request, program_pb2.UpdateProgramResponse, read_update)


def source_of(program: str) -> Operation[ProgramSource | None]:
    """Ask what a program is made from."""

    def read_source(reply: program_pb2.ProgramServiceDescribeResponse) -> ProgramSource | None:
        return ProgramSource.of(reply.source) if reply.HasField("source") else None

    request = program_pb2.ProgramServiceDescribeRequest(program=program)
    return operation("ProgramService/Describe", request, program_pb2.ProgramServiceDescribeResponse, read_source)


def delete(program: str) -> Operation[None]:
    """Remove a program."""
    request = program_pb2.DeleteProgramRequest(program=program)
    return operation("ProgramService/DeleteProgram", request, program_pb2.DeleteProgramResponse, lambda _reply: None)


def versions(program: str) -> Operation[ProgramVersions]:
    """List the versions."""

    def read_versions(reply: program_pb2.ListProgramVersionsResponse) -> ProgramVersions:
        return ProgramVersions(
            versions=tuple(one.version for one in reply.versions),
            serving=reply.serving,
            sources={one.version: ProgramSource.of(one.source) for one in reply.versions},
        )

    request = program_pb2.ListProgramVersionsRequest(program=program)
    return operation(
        "ProgramService/ListProgramVersions", request, program_pb2.ListProgramVersionsResponse, read_versions
    )


def serve_version(program: str, version: int) -> Operation[ProgramInfo]:
    """Choose the version that serves."""
    request = program_pb2.ServeProgramVersionRequest(program=program, version=version)
    return operation("ProgramService/ServeProgramVersion", request, program_pb2.ServeProgramVersionResponse, _program)


def check_signature(signature: str, types: Mapping[str, Mapping[str, Any]] | None) -> Operation[SignatureCheck]:
    """Read a signature."""

    def read_check(reply: program_pb2.CheckSignatureResponse) -> SignatureCheck:
        return SignatureCheck(
            signature=reply.signature,
            inputs_schema=json_object(reply.inputs_schema),
            outputs_schema=json_object(reply.outputs_schema),
            error=reply.error,
            column=reply.column,
            length=reply.length,
        )

    source = ProgramSource(signature=signature, types=types or {}).message()
    request = program_pb2.CheckSignatureRequest(source=source)
    return operation("ProgramService/CheckSignature", request, program_pb2.CheckSignatureResponse, read_check)


def _kind(name: str) -> str:
    if name not in get_args(ModuleKind):
        msg = f"expected a kind of module of {', '.join(get_args(ModuleKind))}, got {name!r}"
        raise ValueError(msg)
    return f"MODULE_KIND_{name.upper()}"
