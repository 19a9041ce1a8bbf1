"""ProgramService as far as the front answers it: programs that are created, changed, described and deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from bridge.conversion import calls as convert
from bridge.conversion import programs as convert_created
from bridge.errors import BridgeError, Code, bad_field
from bridge.programs import created
from bridge.v1 import program_pb2 as pb
from handlers.programs.definitions import CODE_KINDS
from handlers.programs.sandbox import OFF
from handlers.signatures import json_schema
from handlers.signatures.compare import compare
from handlers.signatures.scanner import SignatureError

if TYPE_CHECKING:
    from bridge.config import Config
    from bridge.pools import PoolPlan
    from bridge.programs.created import CreatedPrograms
    from handlers.programs.definitions import ProgramDefinition
    from handlers.registry import Snapshot


class ProgramServicer:
    """Answers from the created programs. `config` and `plan` return what holds now."""

    def __init__(
        self,
        programs: CreatedPrograms,
        snapshot: Callable[[], Snapshot],
        config: Callable[[], Config],
        plan: Callable[[], PoolPlan],
    ) -> None:
        self._programs = programs
        self._snapshot = snapshot
        self._config = config
        self._plan = plan

    async def create(self, request: pb.CreateProgramRequest) -> pb.CreateProgramResponse:
        """Answer ProgramService.CreateProgram."""
        spec = await self._programs.create(self._definition(request.program, request.source))
        return pb.CreateProgramResponse(program=convert.program_info(spec, whole=True))

    async def update(self, request: pb.UpdateProgramRequest) -> pb.UpdateProgramResponse:
        """Answer ProgramService.UpdateProgram."""
        if request.expected_version < 0:
            raise bad_field("expected_version", f"expected 0 or more, got {request.expected_version}")
        definition = self._definition(request.program, request.source)
        before, spec = await self._programs.update(definition, request.expected_version)
        changes = compare(before.signature, definition.signature)
        return pb.UpdateProgramResponse(
            program=convert.program_info(spec, whole=True),
            changes=map(convert_created.change, changes),
        )

    async def delete(self, request: pb.DeleteProgramRequest) -> pb.DeleteProgramResponse:
        """Answer ProgramService.DeleteProgram."""
        await self._programs.delete(request.program)
        return pb.DeleteProgramResponse()

    def list_versions(self, request: pb.ListProgramVersionsRequest) -> pb.ListProgramVersionsResponse:
        """Answer ProgramService.ListProgramVersions."""
        store = self._programs.store
        versions = [
            pb.ProgramVersion(version=one.version, source=convert_created.source_of(one))
            for one in store.versions(request.program)
        ]
        return pb.ListProgramVersionsResponse(versions=versions, serving=store.get(request.program).version)

    async def serve_version(self, request: pb.ServeProgramVersionRequest) -> pb.ServeProgramVersionResponse:
        """Answer ProgramService.ServeProgramVersion."""
        if request.version < 1:
            raise bad_field("version", f"expected 1 or more, got {request.version}")
        spec = await self._programs.serve(request.program, request.version)
        return pb.ServeProgramVersionResponse(program=convert.program_info(spec, whole=True))

    def check_signature(self, request: pb.CheckSignatureRequest) -> pb.CheckSignatureResponse:
        """Answer ProgramService.CheckSignature."""
        try:
            signature = convert_created.signature_of(request.source)
        except SignatureError as error:
            return pb.CheckSignatureResponse(error=error.message, column=error.column, length=error.length)
        return pb.CheckSignatureResponse(
            signature=str(signature),
            inputs_schema=_text(json_schema.of_fields(signature.inputs)),
            outputs_schema=_text(json_schema.of_fields(signature.outputs)),
        )

    def describe(self, request: pb.ProgramServiceDescribeRequest) -> pb.ProgramServiceDescribeResponse:
        """Answer ProgramService.Describe."""
        spec = self._snapshot().find_program(request.program)
        reply = pb.ProgramServiceDescribeResponse(program=convert.program_info(spec, whole=True))
        if spec.program is not None and spec.program.version:
            reply.source.CopyFrom(convert_created.source_of(self._programs.store.get(spec.name)))
        return reply

    def _definition(self, name: str, source: pb.ProgramSource) -> ProgramDefinition:
        created.check_pool(self._plan())
        definition = convert_created.definition_of(name, source)
        created.check_model(definition, self._config().models)
        if definition.kind in CODE_KINDS and not self._config().programs.allow_code:
            raise BridgeError(Code.FAILED_PRECONDITION, "SANDBOX_UNAVAILABLE", OFF)
        return definition


def rows(servicer: ProgramServicer) -> tuple[tuple[str, type, Callable[..., Any]], ...]:
    """Return the RPCs: name, request type, method."""
    return (
        ("ProgramService/Describe", pb.ProgramServiceDescribeRequest, servicer.describe),
        ("ProgramService/CreateProgram", pb.CreateProgramRequest, servicer.create),
        ("ProgramService/UpdateProgram", pb.UpdateProgramRequest, servicer.update),
        ("ProgramService/DeleteProgram", pb.DeleteProgramRequest, servicer.delete),
        ("ProgramService/ListProgramVersions", pb.ListProgramVersionsRequest, servicer.list_versions),
        ("ProgramService/ServeProgramVersion", pb.ServeProgramVersionRequest, servicer.serve_version),
        ("ProgramService/CheckSignature", pb.CheckSignatureRequest, servicer.check_signature),
    )


def _text(schema: dict[str, Any]) -> str:
    return msgspec.json.encode(schema).decode()
