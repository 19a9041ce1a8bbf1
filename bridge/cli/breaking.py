"""`bridge program diff --breaking`: what changed between two states of an API, and whether it breaks callers.

A state is an app, a running server, a saved program, or a file that `bridge proto export` wrote. Owns nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import DecodeError

from bridge.cli.artefacts import Place, find, guarded
from bridge.cli.benchmark_target import is_address
from bridge.cli.exporting import CATALOGUE, DESCRIPTORS
from bridge.cli.failures import ExitCode, Failure
from bridge.cli.output import clean
from bridge.cli.typed_catalogue import functions_of
from handlers.programs.artefacts.record import FORMAT, Artefact
from handlers.signatures.compare import compare
from handlers.typed.changes import ApiChange, Breaks, changes, lock_changes
from handlers.typed.described_changes import descriptor_changes
from handlers.typed.lock import Lock, LockProblem, read_lock
from handlers.typed.reader import Function, SavedCatalogue

if TYPE_CHECKING:
    from bridge.cli.output import Output

State = SavedCatalogue | Lock | FileDescriptorSet | Artefact
_KINDS = {
    SavedCatalogue: "functions with their schemas",
    Lock: "a lock file",
    FileDescriptorSet: "descriptors",
    Artefact: "a saved program",
}


def run(before: str, after: str, place: Place, output: Output) -> int:
    """List the changes. FAILED where one of them breaks callers. Raises Failure."""
    return guarded(lambda: _run(before, after, place, output))


def _run(before: str, after: str, place: Place, output: Output) -> int:
    old, new = state_of(before, place), state_of(after, place)
    if type(old) is not type(new):
        kinds = f"{before} is {_KINDS[type(old)]}, {after} is {_KINDS[type(new)]}"
        raise Failure(ExitCode.USAGE, f"two things of one kind can be compared, but {kinds}")
    found = _changes(old, new)
    broken = [change for change in found if change.breaks != "nobody"]
    if output.machine:
        rows = [{"where": one.where, "what": one.what, "breaks": one.breaks} for one in found]
        output.json({"breaking": bool(broken), "changes": rows})
        return ExitCode.FAILED if broken else ExitCode.OK
    for one in found:
        output.line(clean(f"{_told(one)} {one.where}: {one.what}"))
    output.note(f"{len(broken)} of {len(found)} changes break callers" if found else "nothing differs")
    return ExitCode.FAILED if broken else ExitCode.OK


def _told(change: ApiChange) -> str:
    return "fine:" if change.breaks == "nobody" else f"breaks {change.breaks}:"


def _changes(old: State, new: State) -> list[ApiChange]:
    if isinstance(old, Lock) and isinstance(new, Lock):
        return lock_changes(old, new)
    if isinstance(old, FileDescriptorSet) and isinstance(new, FileDescriptorSet):
        return descriptor_changes(old, new)
    if isinstance(old, Artefact) and isinstance(new, Artefact):
        return _program_changes(old, new)
    assert isinstance(old, SavedCatalogue)
    assert isinstance(new, SavedCatalogue)
    return changes(old.functions, new.functions)


def _program_changes(old: Artefact, new: Artefact) -> list[ApiChange]:
    """Compare created programs by their signatures, others by their schemas; two names are two states of one."""
    if old.definition is not None and new.definition is not None:
        found = compare(old.definition.signature, new.definition.signature)
        return [
            ApiChange(f"{new.program}.{one.field}" if one.field else new.program, one.what, _breaks(one.breaking))
            for one in found
        ]
    return changes([_function(old, new.program)], [_function(new, new.program)])


def _breaks(breaking: bool) -> Breaks:
    return "everyone" if breaking else "nobody"


def _function(artefact: Artefact, name: str) -> Function:
    def text(schema: object) -> str:
        return msgspec.json.encode(schema).decode()

    interface = artefact.interface
    arguments, result = text(interface.inputs), text(interface.outputs)
    return Function(name=name, program=True, arguments_schema=arguments, result_schema=result)


def state_of(what: str, place: Place) -> State:
    """Return what a file, an app, HOST:PORT or a saved program stands for. Raises Failure, ArtefactError."""
    if is_address(what):
        return SavedCatalogue(functions_of(None, None, what))
    path = Path(what)
    if path.suffix == ".py":
        return SavedCatalogue(functions_of(what, place.config, ""))
    if path.is_dir() and (path / CATALOGUE).is_file():
        path = path / CATALOGUE
    if not path.is_file():
        return find(what, place)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Failure(ExitCode.USAGE, f"{path} can not be read: {error.strerror}") from None
    return _read(path, data, what, place)


def _read(path: Path, data: bytes, what: str, place: Place) -> State:
    if data[:1] != b"{":
        try:
            return FileDescriptorSet.FromString(data)
        except DecodeError:
            raise Failure(ExitCode.USAGE, f"{path} is neither JSON nor a set of descriptors ({DESCRIPTORS})") from None
    try:
        keys = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        if "functions" in keys:
            return msgspec.json.decode(data, type=SavedCatalogue)
        if "messages" in keys:
            return read_lock(data)
    except (msgspec.MsgspecError, LockProblem) as error:
        raise Failure(ExitCode.USAGE, f"{path} can not be read: {error}") from None
    if "format" in keys:
        return find(what, place)
    raise Failure(
        ExitCode.USAGE,
        f"{path} is no state of an API: expected {CATALOGUE}, {DESCRIPTORS} or a lock file of `bridge proto export`, "
        f"or a program that was saved ({FORMAT})",
    )
