"""`bridge program versions|diff|promote|rollback`: saved programs of a directory, or created ones of a server.

Owns nothing: a directory is the store's, created programs are the server's.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bridge.cli import settings
from bridge.cli.connection import Connection
from bridge.cli.failures import ExitCode, Failure
from bridge.cli.output import Output, clean, table
from bridge.conversion.programs import definition_of
from bridge.v1 import program_pb2
from handlers.programs.artefacts import record
from handlers.programs.artefacts.differences import differences
from handlers.programs.artefacts.record import ArtefactError
from handlers.programs.artefacts.saving import of_definition
from handlers.programs.artefacts.store import ArtefactStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from handlers.programs.artefacts.record import Artefact
    from handlers.programs.definitions import ProgramDefinition

AT_NEXT_START = "a running server takes it over when it is reloaded (SIGHUP) or started anew"


class Place(NamedTuple):
    """Where programs are: a directory, or with an address a server."""

    directory: Path | None
    address: str | None
    config: Path | None

    def store(self) -> ArtefactStore:
        """Return the store of the directory. Raises Failure where none is named."""
        return ArtefactStore(self.path())

    def path(self) -> Path:
        """Return the directory. Raises Failure where none is named."""
        configured = "" if self.directory else settings.load(self.config, {}, secrets=False).programs.artefacts
        if not self.directory and not configured:
            raise Failure(
                ExitCode.USAGE,
                "no directory of artefacts: pass --dir, set programs.artefacts, or --address for a created program",
            )
        return self.directory or Path(configured)


def guarded(action: Callable[[], int]) -> int:
    """Run a command's work, with what artefacts can not do as its failure."""
    try:
        return action()
    except ArtefactError as error:
        raise Failure(ExitCode.FAILED, str(error)) from None


def run_versions(name: str | None, place: Place, output: Output) -> int:
    """List versions. Raises Failure."""
    return guarded(lambda: _versions(name, place, output))


def _versions(name: str | None, place: Place, output: Output) -> int:
    if place.address is not None:
        if name is None:
            raise Failure(ExitCode.USAGE, "name the created program")
        rows = list(_created_rows(name, place.address))
    else:
        store = place.store()
        rows = [
            {"program": one, "version": stored.version, "saved_at": stored.saved_at, "serving": stored.serving}
            | {"fingerprint": stored.fingerprint}
            for one in ([name] if name else store.programs())
            for stored in store.versions(one)
        ]
    if output.machine:
        output.json({"versions": rows})
    elif rows:
        columns = [key for key in rows[0] if key != "serving"]
        cells = [[*(str(row[key]) for key in columns), "serving" if row["serving"] else ""] for row in rows]
        output.show(table((*(key.upper().replace("_", " ") for key in columns), ""), cells))
    else:
        output.note(f"nothing is saved{f' of {clean(name)}' if name else ''} in {place.path()}")
    return ExitCode.OK


def _created_rows(name: str, address: str) -> Iterator[dict[str, object]]:
    found = created_versions(name, address)
    for one in found.versions:
        definition = definition_of(name, one.source)
        yield {
            "program": name,
            "version": one.version,
            "signature": str(definition.signature),
            "module": definition.kind,
            "serving": one.version == found.serving,
        }


def created_versions(name: str, address: str) -> program_pb2.ListProgramVersionsResponse:
    """Return the versions of a created program of a server. Raises Failure."""
    request = program_pb2.ListProgramVersionsRequest(program=name)
    with Connection(address) as connection:
        return connection.ask("ProgramService/ListProgramVersions", request, program_pb2.ListProgramVersionsResponse)


def created(name: str, version: int, address: str) -> ProgramDefinition:
    """Return a version of a created program; 0 is the one that serves. Raises Failure."""
    import msgspec

    found = created_versions(name, address)
    wanted = version or found.serving
    for one in found.versions:
        if one.version == wanted:
            return msgspec.structs.replace(definition_of(name, one.source), version=wanted)
    raise Failure(ExitCode.FAILED, f"{name} has no version {version}; it has {[one.version for one in found.versions]}")


def run_diff(before: str, after: str, place: Place, output: Output) -> int:
    """Show what differs. Raises Failure."""
    return guarded(lambda: _diff(before, after, place, output))


def _diff(before: str, after: str, place: Place, output: Output) -> int:
    found = differences(find(before, place), find(after, place))
    if output.machine:
        plain = [{"path": one.path, "before": one.before, "after": one.after} for one in found]
        output.json({"differences": plain})
        return ExitCode.OK
    for one in found:
        output.line(clean(str(one)))
    if not found:
        output.note("nothing differs")
    return ExitCode.OK


def find(what: str, place: Place) -> Artefact:
    """Return the artefact that a file holds, or that NAME@VERSION or NAME stands for. Raises ArtefactError, Failure."""
    path = Path(what)
    if path.suffix == ".json" or path.is_file():
        return read_file(path)
    name, _, number = what.partition("@")
    if number and not number.isdecimal():
        raise Failure(ExitCode.USAGE, f"expected a file, NAME@VERSION or NAME, got {what!r}")
    if place.address is not None:
        return of_definition(created(name, int(number or 0), place.address))
    store = place.store()
    version = int(number) if number else store.serving(name)
    if not version:
        raise Failure(ExitCode.FAILED, f"no saved version of {name} serves; name one, such as {name}@1")
    return store.get(name, version)


def read_file(path: Path) -> Artefact:
    """Read an artefact. Raises ArtefactError, Failure."""
    if path.is_dir():
        raise Failure(ExitCode.USAGE, f"{path} is a folder; DSPy's saved folders hold pickle, which is never loaded")
    try:
        return record.decode(path.read_bytes(), str(path))
    except OSError as error:
        raise Failure(ExitCode.USAGE, f"{path} can not be read: {error.strerror}") from None


def run_promote(name: str, version: int, place: Place, output: Output) -> int:
    """Let a version serve. Raises Failure."""
    if place.address is not None:
        return _serve(name, version, place.address, output)

    def promote() -> int:
        before = place.store().promote(name, version)
        _say(output, name, before, version)
        return ExitCode.OK

    return guarded(promote)


def run_rollback(name: str, place: Place, output: Output) -> int:
    """Let the version before serve again. Raises Failure."""
    if place.address is not None:
        found = created_versions(name, place.address)
        older = [one.version for one in found.versions if one.version < found.serving]
        if not older:
            raise Failure(ExitCode.FAILED, f"version {found.serving} of {name} serves and there is none before it")
        return _serve(name, max(older), place.address, output)

    def roll_back() -> int:
        store = place.store()
        before = store.serving(name)
        _say(output, name, before, store.roll_back(name))
        return ExitCode.OK

    return guarded(roll_back)


def _serve(name: str, version: int, address: str, output: Output) -> int:
    request = program_pb2.ServeProgramVersionRequest(program=name, version=version)
    with Connection(address) as connection:
        connection.ask("ProgramService/ServeProgramVersion", request, program_pb2.ServeProgramVersionResponse)
    if output.machine:
        output.json({"program": name, "version": version})
    else:
        output.line(f"{clean(name)}: version {version} serves now; sessions that have run it stay on theirs")
    return ExitCode.OK


def _say(output: Output, name: str, before: int, now: int) -> None:
    if output.machine:
        output.json({"program": name, "before": before, "version": now})
        return
    words = [f"version {number}" if number else "the program as its file has it" for number in (before, now)]
    output.line(f"{clean(name)}: {words[1]} serves after {words[0]}")
    output.note(AT_NEXT_START)
