"""`bridge program save|load`: programs of a file or of a server into artefacts, and back. Owns nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from bridge.cli import settings
from bridge.cli.artefacts import Place, created, created_versions, guarded, read_file
from bridge.cli.connection import Connection
from bridge.cli.failures import ExitCode, Failure
from bridge.config import resolve_secret
from bridge.conversion.programs import source_of
from bridge.v1 import program_pb2
from handlers.loading import LoadFailed, load_module
from handlers.private_files import write_private
from handlers.programs.artefacts import record, saving
from handlers.programs.artefacts.record import ArtefactError
from handlers.secret_scan import Scanner

if TYPE_CHECKING:
    from bridge.cli.output import Output
    from handlers.programs.artefacts.record import Artefact

__all__ = ["Place", "SaveOrder", "run_load", "run_save"]


class SaveOrder(NamedTuple):
    """What to save, and how."""

    name: str
    app: str | None
    state: Path | None
    models: bool
    out: Path | None


def run_save(order: SaveOrder, place: Place, output: Output) -> int:
    """Save a program. Raises Failure."""
    return guarded(lambda: _save(order, place, output))


def _save(order: SaveOrder, place: Place, output: Output) -> int:
    if (order.app is None) == (place.address is None):
        raise Failure(ExitCode.USAGE, "pass the file that defines the program, or --address for a created program")
    if place.address is not None:
        if order.out is None:
            raise Failure(ExitCode.USAGE, "a server keeps the versions of created programs itself; pass --out FILE")
        artefact = saving.of_definition(created(order.name, 0, place.address))
    else:
        artefact = _of_app(order)
    saving.refuse_secrets(artefact, Scanner.of(os.environ, _keys(place)))
    if order.out is not None:
        try:
            write_private(order.out, record.encode(artefact))
        except OSError as error:
            raise Failure(ExitCode.FAILED, f"{order.out} can not be written: {error.strerror}") from None
        _say(output, {"program": order.name, "file": str(order.out)}, f"{order.name} is saved as {order.out}")
        return ExitCode.OK
    return _add(artefact, place, output)


def _keys(place: Place) -> list[str]:
    """Return the models' keys of the configuration, as far as they can be looked up here."""
    found = []
    for model in settings.load(place.config, {}, secrets=False).models.values():
        with suppress(ValueError, OSError):
            if model.api_key is not None:
                found.append(resolve_secret(model.api_key, os.environ))
    return found


def _add(artefact: Artefact, place: Place, output: Output) -> int:
    version, new = place.store().add(artefact)
    name = artefact.program
    text = f"{name}: version {version} is saved; to let it serve: bridge program promote {name} {version}"
    if not new:
        text = f"{name}: nothing differs from version {version}, so there is no new one"
    _say(output, {"program": name, "version": version, "new": new}, text)
    return ExitCode.OK


def _of_app(order: SaveOrder) -> Artefact:
    assert order.app is not None
    path, program = _program(order.app, order.name)
    if order.state is None:
        return saving.of_program(program, order.name, path, models=order.models)
    from handlers.programs.artefacts import dspy_file

    try:
        data = order.state.read_bytes()
    except OSError as error:
        raise Failure(ExitCode.USAGE, f"{order.state} can not be read: {error.strerror}") from None
    state = dspy_file.read(data, str(order.state), program, models=order.models)
    return msgspec.structs.replace(saving.of_program(program, order.name, path, models=order.models), predictors=state)


def _program(app: str, name: str) -> tuple[Path, Any]:
    """Return a program of a file, and the file. Raises Failure."""
    try:
        module = load_module(app)
    except LoadFailed as error:
        raise Failure(ExitCode.FAILED, str(error), lines=tuple(error.detail.splitlines())) from None
    from handlers.programs.discovery import find_programs

    programs = find_programs(module)
    if name not in programs:
        known = ", ".join(programs) or "none"
        raise Failure(ExitCode.FAILED, f"{app} has no program '{name}'; it has: {known}")
    return Path(str(module.__file__)), programs[name]


def run_load(file: Path, app: str | None, name: str | None, place: Place, output: Output) -> int:
    """Take a saved program over. Raises Failure."""
    return guarded(lambda: _load(file, app, name, place, output))


def _load(file: Path, app: str | None, name: str | None, place: Place, output: Output) -> int:
    artefact = read_file(file)
    if artefact.definition is not None:
        return _create(artefact, name, place, output)
    if name is not None or place.address is not None:
        raise Failure(
            ExitCode.USAGE, f"{file} is the state of a program in a file: it goes to a directory, by its name"
        )
    if app is not None:
        path, program = _program(app, artefact.program)
        saving.check(program, artefact, path, "refuse")
    return _add(artefact, place, output)


def _create(artefact: Artefact, name: str | None, place: Place, output: Output) -> int:
    if place.address is None:
        raise ArtefactError(
            "it is an artefact of a created program; pass the --address of the server that is to have it"
        )
    assert artefact.definition is not None
    program, source = name or artefact.program, source_of(artefact.definition)
    with Connection(place.address) as connection:
        if _exists(connection, program):
            update = program_pb2.UpdateProgramRequest(program=program, source=source)
            answer = connection.ask("ProgramService/UpdateProgram", update, program_pb2.UpdateProgramResponse).program
        else:
            create = program_pb2.CreateProgramRequest(program=program, source=source)
            answer = connection.ask("ProgramService/CreateProgram", create, program_pb2.CreateProgramResponse).program
    text = f"{program}: version {answer.version} serves now"
    _say(output, {"program": program, "version": answer.version}, text)
    return ExitCode.OK


def _exists(connection: Connection, program: str) -> bool:
    try:
        created_versions(program, connection.address)
    except Failure as failure:
        if failure.fields.get("reason") != "UNKNOWN_PROGRAM":
            raise
        return False
    return True


def _say(output: Output, fields: dict[str, Any], text: str) -> None:
    if output.machine:
        output.json(fields)
    else:
        output.line(text)
