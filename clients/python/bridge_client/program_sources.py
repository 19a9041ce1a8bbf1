"""What a created program is made from, and the operations on created programs. Owns nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from bridge_client import convert
from bridge_client.v1 import program_pb2
from bridge_client.wire import Operation, operation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge_client.program_wishes import Adapter
    from bridge_client.records import ProgramInfo

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


@dataclass(frozen=True, kw_only=True)
class ProgramSource:
    """What a program is made from: a `signature` such as ``question -> answer: float``, and the rest by name.

    `types` has types of your own by the name that the signature uses, as JSON Schema. `demos` are worked examples, an
    object each. `options` are what only some kinds of module know: max_iters, inner, n, reward, threshold, k,
    embedding, max_llm_calls, num_threads.
    """

    signature: str
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

    def message(self) -> program_pb2.ProgramSource:
        """The message that says the same. Raises ValueError for a kind of module or an adapter that does not exist."""
        options = dict(self.options)
        if "inner" in options:
            options["inner"] = _kind(options["inner"])
        return program_pb2.ProgramSource(
            signature=self.signature,
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


def create(program: str, source: ProgramSource) -> Operation[ProgramInfo]:
    """Make a program."""
    request = program_pb2.CreateProgramRequest(program=program, source=source.message())
    read = lambda reply: convert.program_info(reply.program)  # noqa: E731
    return operation("ProgramService/CreateProgram", request, program_pb2.CreateProgramResponse, read)


def update(program: str, source: ProgramSource, expected_version: int) -> Operation[ProgramInfo]:
    """Add a version."""
    request = program_pb2.UpdateProgramRequest(
        program=program, source=source.message(), expected_version=expected_version
    )
    read = lambda reply: convert.program_info(reply.program)  # noqa: E731
    return operation("ProgramService/UpdateProgram", request, program_pb2.UpdateProgramResponse, read)


def delete(program: str) -> Operation[None]:
    """Remove a program."""
    request = program_pb2.DeleteProgramRequest(program=program)
    return operation("ProgramService/DeleteProgram", request, program_pb2.DeleteProgramResponse, lambda _reply: None)


def versions(program: str) -> Operation[ProgramVersions]:
    """List the versions."""

    def read(reply: program_pb2.ListProgramVersionsResponse) -> ProgramVersions:
        return ProgramVersions(versions=tuple(one.version for one in reply.versions), serving=reply.serving)

    request = program_pb2.ListProgramVersionsRequest(program=program)
    return operation("ProgramService/ListProgramVersions", request, program_pb2.ListProgramVersionsResponse, read)


def serve_version(program: str, version: int) -> Operation[ProgramInfo]:
    """Choose the version that serves."""
    request = program_pb2.ServeProgramVersionRequest(program=program, version=version)
    read = lambda reply: convert.program_info(reply.program)  # noqa: E731
    return operation("ProgramService/ServeProgramVersion", request, program_pb2.ServeProgramVersionResponse, read)


def check_signature(signature: str, types: Mapping[str, Mapping[str, Any]] | None) -> Operation[SignatureCheck]:
    """Read a signature."""

    def read(reply: program_pb2.CheckSignatureResponse) -> SignatureCheck:
        return SignatureCheck(
            signature=reply.signature,
            inputs_schema=convert.json_object(reply.inputs_schema),
            outputs_schema=convert.json_object(reply.outputs_schema),
            error=reply.error,
            column=reply.column,
            length=reply.length,
        )

    source = ProgramSource(signature=signature, types=types or {}).message()
    request = program_pb2.CheckSignatureRequest(source=source)
    return operation("ProgramService/CheckSignature", request, program_pb2.CheckSignatureResponse, read)


def _kind(name: str) -> str:
    if name not in get_args(ModuleKind):
        msg = f"expected a kind of module of {', '.join(get_args(ModuleKind))}, got {name!r}"
        raise ValueError(msg)
    return f"MODULE_KIND_{name.upper()}"
