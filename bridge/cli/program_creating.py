"""`bridge program create|update|delete|list|check`: the created programs of a server. Owns nothing: the server does.

A program is made from flags, from a file with a `ProgramSource` as JSON (docs/reference/api), or from both: flags win.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from google.protobuf import json_format

from bridge.cli.connection import Connection
from bridge.cli.failures import ExitCode, Failure
from bridge.cli.messages import plain
from bridge.cli.output import Output, clean, table
from bridge.v1 import program_pb2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PAGE = 500
PREFIXES = {"module": "MODULE_KIND_", "adapter": "PROMPT_ADAPTER_"}


class Source(NamedTuple):
    """What the flags say of a program; None where one was not given."""

    file: Path | None
    signature: str | None
    flags: dict[str, Any]
    options: Sequence[str]
    demos: Path | None

    def message(self) -> program_pb2.ProgramSource:
        """Return what the program is made from. Raises Failure."""
        given = _read_json(self.file, "a ProgramSource, an object") if self.file else {}
        if not isinstance(given, dict):
            raise Failure(ExitCode.USAGE, f"{self.file}: expected a JSON object, got {type(given).__name__}")
        given |= {key: value for key, value in self.flags.items() if value}
        if self.signature:
            given["signature"] = self.signature
        if self.demos:
            examples = _read_json(self.demos, "a list of examples")
            if not isinstance(examples, list):
                raise Failure(ExitCode.USAGE, f"{self.demos}: expected a JSON list, got {type(examples).__name__}")
            given["demos"] = examples
        given["demos"] = [one if isinstance(one, str) else json.dumps(one) for one in given.get("demos", ())]
        if self.options:
            given["options"] = dict(given.get("options", {})) | dict(map(_option, self.options))
        for key, prefix in PREFIXES.items():
            if isinstance(value := given.get(key), str) and not value.startswith(prefix):
                given[key] = prefix + value.upper().replace("-", "_")
        if isinstance(options := given.get("options"), dict) and isinstance(inner := options.get("inner"), str):
            options["inner"] = PREFIXES["module"] + inner.upper().removeprefix(PREFIXES["module"]).replace("-", "_")
        try:
            return json_format.ParseDict(given, program_pb2.ProgramSource())
        except json_format.ParseError as error:
            raise Failure(ExitCode.USAGE, f"that is no ProgramSource: {error}") from None


def _read_json(path: Path, what: str) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise Failure(ExitCode.USAGE, f"can not read {path}: {error.strerror}") from None
    except ValueError as error:
        raise Failure(ExitCode.USAGE, f"{path}: expected {what} as JSON: {error}") from None


def _option(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise Failure(ExitCode.USAGE, f"an option is KEY=VALUE, such as max_iters=5; got '{text}'")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def run_create(name: str, source: Source, address: str, output: Output) -> int:
    """Create a program. Raises Failure."""
    request = program_pb2.CreateProgramRequest(program=name, source=source.message())
    with Connection(address) as connection:
        reply = connection.ask("ProgramService/CreateProgram", request, program_pb2.CreateProgramResponse)
    return _made(reply.program, [], output)


def run_update(name: str, source: Source, expected_version: int, address: str, output: Output) -> int:
    """Let a program be made from something else from now on. Raises Failure."""
    request = program_pb2.UpdateProgramRequest(program=name, source=source.message(), expected_version=expected_version)
    with Connection(address) as connection:
        reply = connection.ask("ProgramService/UpdateProgram", request, program_pb2.UpdateProgramResponse)
    return _made(reply.program, list(reply.changes), output)


def _made(info: program_pb2.ProgramInfo, changes: list[program_pb2.ProgramChange], output: Output) -> int:
    if output.machine:
        output.json({"program": plain(info), "changes": [plain(change) for change in changes]})
        return ExitCode.OK
    output.line(f"{clean(info.name)}: version {info.version} serves now")
    output.line(f"  {clean(info.signature)}")
    for change in changes:
        mark = "breaks callers" if change.breaking else "compatible"
        output.line(f"  {mark}: {clean(change.field or 'the program')}: {clean(change.description)}")
    output.note(f"more about it: bridge describe {clean(info.name)}")
    return ExitCode.OK


def run_delete(name: str, address: str, output: Output) -> int:
    """Remove a created program with all its versions. Raises Failure."""
    with Connection(address) as connection:
        request = program_pb2.DeleteProgramRequest(program=name)
        connection.ask("ProgramService/DeleteProgram", request, program_pb2.DeleteProgramResponse)
    if output.machine:
        output.json({"program": name, "deleted": True})
    else:
        output.line(f"{clean(name)}: deleted, with all its versions")
    return ExitCode.OK


def run_list(address: str, output: Output) -> int:
    """List the programs of a server, those of its app too. Raises Failure."""
    with Connection(address) as connection:
        programs = list(_programs(connection))
    if output.machine:
        output.json({"programs": [plain(info) for info in programs]})
    elif programs:
        rows = [
            (info.name, str(info.version) if info.version else "of the app", info.module, info.signature)
            for info in programs
        ]
        output.show(table(("NAME", "VERSION", "MODULE", "SIGNATURE"), rows))
    else:
        output.note("the server has no programs; bridge program create NAME 'question -> answer' makes one")
    return ExitCode.OK


def _programs(connection: Connection) -> Iterator[program_pb2.ProgramInfo]:
    token = ""
    while True:
        request = program_pb2.ProgramServiceListRequest(page_size=PAGE, page_token=token)
        reply = connection.ask("ProgramService/List", request, program_pb2.ProgramServiceListResponse)
        yield from reply.programs
        if not (token := reply.next_page_token):
            return


def run_check(signature: str, address: str, output: Output) -> int:
    """Say what a signature means, or where it is wrong: then the exit code is 1. Raises Failure."""
    request = program_pb2.CheckSignatureRequest(source=program_pb2.ProgramSource(signature=signature))
    with Connection(address) as connection:
        reply = connection.ask("ProgramService/CheckSignature", request, program_pb2.CheckSignatureResponse)
    if output.machine:
        output.json(plain(reply))
    elif reply.error:
        output.line(clean(signature))
        if reply.column:
            output.line(" " * (reply.column - 1) + "^" * max(1, reply.length))
        output.line(clean(reply.error))
    else:
        output.line(clean(reply.signature))
    return ExitCode.FAILED if reply.error else ExitCode.OK
