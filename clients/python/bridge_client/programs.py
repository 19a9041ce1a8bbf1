"""DSPy programs: `client.programs`, sync and async. Owns nothing but the wishes of a view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridge_client import convert, program_sources
from bridge_client.errors import UnexpectedReply
from bridge_client.invoke import PAGE_SIZE, Page
from bridge_client.program_events import Final, ProgramEvent, program_event
from bridge_client.program_wishes import NO_WISHES, Adapter, Tools, Wishes
from bridge_client.records import Outputs, ProgramInfo
from bridge_client.v1 import common_pb2, program_pb2
from bridge_client.values import decode_value, encode_arguments
from bridge_client.wire import Operation, operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge_client.async_wire import AsyncStream, AsyncWire
    from bridge_client.program_sources import ProgramSource, ProgramVersions, SignatureCheck, UpdatedProgram
    from bridge_client.sync_wire import Stream, SyncWire


class Programs:
    """The DSPy programs of the server's app."""

    def __init__(self, wire: SyncWire, wishes: Wishes = NO_WISHES) -> None:
        self._wire = wire
        self._wishes = wishes

    def using(
        self,
        model: str = "",
        *,
        adapter: Adapter | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        cache: bool = True,
        all_events: bool = False,
        resumable: bool = False,
        tools: Tools = (),
        version: int = 0,
    ) -> Programs:
        """The same programs on another language model, by its name in the server's configuration, or otherwise asked.

        What is left out is as the program says. `temperature` is 0 to 2, `max_tokens` the longest answer; `all_events`
        and `resumable` are for `stream`. `tools` are for the program's agents, beside their own: what `host_tools`
        returns, or names. `version` is one of a created program; 0 for the one that serves, or the session's.
        """
        wishes = Wishes(
            model=model,
            adapter=adapter,
            temperature=temperature,
            max_tokens=max_tokens,
            cache=cache,
            all_events=all_events,
            resumable=resumable,
            tools=tools,
            version=version,
        )
        return Programs(self._wire, wishes)

    def run(self, program: str, /, **inputs: Any) -> Outputs:
        """Run a program with one keyword argument per input field."""
        return self._wire.unary(_run(program, inputs, self._wishes))

    def stream(self, program: str, /, **inputs: Any) -> Stream[ProgramEvent]:
        """Run a program and get its output fields as they grow (`FieldDelta`), then the outputs (`Final`).

        With `using(all_events=True)` also the run's steps, models' thoughts, tools and usage.
        """
        return self._wire.stream(_stream_run(program, inputs, self._wishes))

    def resume(self, token: str, after: int = 0) -> Stream[ProgramEvent]:
        """Take up a run that was started with `using(resumable=True)`: the events after that number, and what follows.

        `token` is `resume_token` of the run's first event.
        """
        return self._wire.stream(_resume_run(token, after))

    def cancel_run(self, token: str) -> bool:
        """End a resumable run, which leaving its stream does not; return whether it still ran."""
        return self._wire.unary(_cancel_run(token))

    def list(self) -> tuple[ProgramInfo, ...]:
        """All programs, in the order of names, without schemas."""
        page = self._wire.unary(_list(""))
        found = [*page.items]
        while page.next_token:
            page = self._wire.unary(_list(page.next_token))
            found += page.items
        return tuple(found)

    def describe(self, program: str) -> ProgramInfo:
        """One program with its signature, schemas and an example."""
        return self._wire.unary(_describe(program))

    def create(self, program: str, source: ProgramSource) -> ProgramInfo:
        """Make a program, which can be run at once. Raises `BridgeError` PROGRAM_EXISTS."""
        return self._wire.unary(program_sources.create(program, source))

    def source(self, program: str) -> ProgramSource | None:
        """What a created program is made from; None for a program of the app."""
        return self._wire.unary(program_sources.source_of(program))

    def update(self, program: str, source: ProgramSource, *, expected_version: int = 0) -> UpdatedProgram:
        """Add a version of a created program, which serves from now on; sessions stay on the one they began with.

        With `expected_version`, only if that one serves now. Raises `BridgeError` VERSION_CONFLICT.
        """
        return self._wire.unary(program_sources.update(program, source, expected_version))

    def delete(self, program: str) -> None:
        """Remove a created program with all its versions."""
        self._wire.unary(program_sources.delete(program))

    def versions(self, program: str) -> ProgramVersions:
        """The versions of a created program."""
        return self._wire.unary(program_sources.versions(program))

    def serve_version(self, program: str, version: int) -> ProgramInfo:
        """Let a version of a created program serve from now on: to promote it, or to roll back."""
        return self._wire.unary(program_sources.serve_version(program, version))

    def check_signature(self, signature: str, types: Mapping[str, Mapping[str, Any]] | None = None) -> SignatureCheck:
        """Read a signature without making anything of it."""
        return self._wire.unary(program_sources.check_signature(signature, types))


class AsyncPrograms:
    """The DSPy programs of the server's app."""

    def __init__(self, wire: AsyncWire, wishes: Wishes = NO_WISHES) -> None:
        self._wire = wire
        self._wishes = wishes

    def using(
        self,
        model: str = "",
        *,
        adapter: Adapter | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        cache: bool = True,
        all_events: bool = False,
        resumable: bool = False,
        tools: Tools = (),
        version: int = 0,
    ) -> AsyncPrograms:
        """The same programs on another language model, by its name in the server's configuration, or otherwise asked.

        What is left out is as the program says. `temperature` is 0 to 2, `max_tokens` the longest answer; `all_events`
        and `resumable` are for `stream`. `tools` are for the program's agents, beside their own: what `host_tools`
        returns, or names. `version` is one of a created program; 0 for the one that serves, or the session's.
        """
        wishes = Wishes(
            model=model,
            adapter=adapter,
            temperature=temperature,
            max_tokens=max_tokens,
            cache=cache,
            all_events=all_events,
            resumable=resumable,
            tools=tools,
            version=version,
        )
        return AsyncPrograms(self._wire, wishes)

    async def run(self, program: str, /, **inputs: Any) -> Outputs:
        """Run a program with one keyword argument per input field."""
        return await self._wire.unary(_run(program, inputs, self._wishes))

    def stream(self, program: str, /, **inputs: Any) -> AsyncStream[ProgramEvent]:
        """Run a program and get its output fields as they grow (`FieldDelta`), then the outputs (`Final`).

        With `using(all_events=True)` also the run's steps, models' thoughts, tools and usage.
        """
        return self._wire.stream(_stream_run(program, inputs, self._wishes))

    def resume(self, token: str, after: int = 0) -> AsyncStream[ProgramEvent]:
        """Take up a run that was started with `using(resumable=True)`: the events after that number, and what follows.

        `token` is `resume_token` of the run's first event.
        """
        return self._wire.stream(_resume_run(token, after))

    async def cancel_run(self, token: str) -> bool:
        """End a resumable run, which leaving its stream does not; return whether it still ran."""
        return await self._wire.unary(_cancel_run(token))

    async def list(self) -> tuple[ProgramInfo, ...]:
        """All programs, in the order of names, without schemas."""
        page = await self._wire.unary(_list(""))
        found = [*page.items]
        while page.next_token:
            page = await self._wire.unary(_list(page.next_token))
            found += page.items
        return tuple(found)

    async def describe(self, program: str) -> ProgramInfo:
        """One program with its signature, schemas and an example."""
        return await self._wire.unary(_describe(program))

    async def create(self, program: str, source: ProgramSource) -> ProgramInfo:
        """Make a program, which can be run at once. Raises `BridgeError` PROGRAM_EXISTS."""
        return await self._wire.unary(program_sources.create(program, source))

    async def source(self, program: str) -> ProgramSource | None:
        """What a created program is made from; None for a program of the app."""
        return await self._wire.unary(program_sources.source_of(program))

    async def update(self, program: str, source: ProgramSource, *, expected_version: int = 0) -> UpdatedProgram:
        """Add a version of a created program, which serves from now on; sessions stay on the one they began with.

        With `expected_version`, only if that one serves now. Raises `BridgeError` VERSION_CONFLICT.
        """
        return await self._wire.unary(program_sources.update(program, source, expected_version))

    async def delete(self, program: str) -> None:
        """Remove a created program with all its versions."""
        await self._wire.unary(program_sources.delete(program))

    async def versions(self, program: str) -> ProgramVersions:
        """The versions of a created program."""
        return await self._wire.unary(program_sources.versions(program))

    async def serve_version(self, program: str, version: int) -> ProgramInfo:
        """Let a version of a created program serve from now on: to promote it, or to roll back."""
        return await self._wire.unary(program_sources.serve_version(program, version))

    async def check_signature(
        self, signature: str, types: Mapping[str, Mapping[str, Any]] | None = None
    ) -> SignatureCheck:
        """Read a signature without making anything of it."""
        return await self._wire.unary(program_sources.check_signature(signature, types))


def _run(program: str, inputs: Mapping[str, Any], wishes: Wishes) -> Operation[Outputs]:
    request = program_pb2.RunRequest(program=program, inputs=encode_arguments(inputs), **wishes.fields())
    return operation("ProgramService/Run", request, program_pb2.RunResponse, lambda reply: _outputs(reply.outputs))


def _stream_run(program: str, inputs: Mapping[str, Any], wishes: Wishes) -> Operation[ProgramEvent]:
    request = program_pb2.StreamRunRequest(program=program, inputs=encode_arguments(inputs), **wishes.stream_fields())
    return operation("ProgramService/StreamRun", request, program_pb2.StreamRunResponse, _event)


def _resume_run(token: str, after: int) -> Operation[ProgramEvent]:
    request = program_pb2.ResumeRunRequest(token=token, after_sequence=after)
    return operation(
        "ProgramService/ResumeRun", request, program_pb2.ResumeRunResponse, lambda reply: _event(reply.event)
    )


def _cancel_run(token: str) -> Operation[bool]:
    request = program_pb2.CancelRunRequest(token=token)
    return operation(
        "ProgramService/CancelRun", request, program_pb2.CancelRunResponse, lambda reply: bool(reply.cancelled)
    )


def _event(reply: program_pb2.StreamRunResponse) -> ProgramEvent:
    if reply.HasField("final"):
        return Final(sequence=reply.sequence, outputs=_outputs(reply.final.outputs))
    return program_event(reply)


def _outputs(payload: common_pb2.Payload) -> Outputs:
    fields = decode_value(payload)
    if not isinstance(fields, dict):
        msg = f"expected an object with the program's outputs, got {type(fields).__name__}"
        raise UnexpectedReply(msg)
    return Outputs(fields)


def _list(page_token: str) -> Operation[Page[ProgramInfo]]:
    request = program_pb2.ProgramServiceListRequest(page_size=PAGE_SIZE, page_token=page_token)

    def read(reply: program_pb2.ProgramServiceListResponse) -> Page[ProgramInfo]:
        return Page(items=tuple(map(convert.program_info, reply.programs)), next_token=reply.next_page_token)

    return operation("ProgramService/List", request, program_pb2.ProgramServiceListResponse, read)


def _describe(program: str) -> Operation[ProgramInfo]:
    return operation(
        "ProgramService/Describe",
        program_pb2.ProgramServiceDescribeRequest(program=program),
        program_pb2.ProgramServiceDescribeResponse,
        lambda reply: convert.program_info(reply.program),
    )
