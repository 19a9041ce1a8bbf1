"""Created programs: every version of each, and which one serves. In a directory where one is given, else in memory.

Owns the definitions. On disk a program is a folder with one JSON file a version and `current.json`; each file is
written beside itself, synced and renamed, so that a crash leaves the old or the new one. One server at a time has the
directory. What can not be read is left as it is and named in the error. Synchronous: its caller keeps it off the event
loop.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from bridge.errors import BridgeError, Code, StoreError
from handlers import names
from handlers.errors import BadInput, Unknown
from handlers.private_files import sync_directory, write_private
from handlers.programs import definitions
from handlers.programs.definitions import ProgramDefinition

if TYPE_CHECKING:
    from collections.abc import Iterator

_CURRENT = "current.json"
_LOCK = ".lock"


@dataclass(slots=True)
class _Program:
    versions: dict[int, ProgramDefinition] = field(default_factory=dict)
    current: int = 0
    highest: int = 0


class ProgramStore:
    """All created programs, at most so many with so many versions each. Safe to use from several threads."""

    def __init__(self, directory: Path | None = None, max_programs: int = 1000, max_versions: int = 1000) -> None:
        self._directory = directory
        self._max_programs = max_programs
        self._max_versions = max_versions
        self._programs: dict[str, _Program] = {}
        self._mutex = threading.Lock()
        self._lock_file: int | None = None
        if directory is not None:
            self._open(directory)

    def close(self) -> None:
        """Let another server have the directory."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    def create(self, definition: ProgramDefinition) -> ProgramDefinition:
        """Add a program as its version 1. Raises BadInput, PROGRAM_EXISTS, TOO_MANY_PROGRAMS."""
        with self._mutex:
            _check(definition)
            if definition.name in self._programs:
                message = f"there is a program '{definition.name}' already; update it, or choose another name"
                raise BridgeError(Code.ALREADY_EXISTS, "PROGRAM_EXISTS", message)
            if len(self._programs) >= self._max_programs:
                message = f"programs.max_programs allows {self._max_programs} created programs; delete some or raise it"
                raise BridgeError(Code.RESOURCE_EXHAUSTED, "TOO_MANY_PROGRAMS", message)
            return self._add(_Program(), definition)

    def update(self, definition: ProgramDefinition, expected_version: int = 0) -> ProgramDefinition:
        """Add the next version and let it serve; where nothing differs, return the current one.

        With `expected_version`, only if that one serves now. Raises BadInput, Unknown, VERSION_CONFLICT.
        """
        with self._mutex:
            _check(definition)
            program = self._find(definition.name)
            if expected_version not in (0, program.current):
                message = (
                    f"version {program.current} of '{definition.name}' serves now, not {expected_version}: somebody "
                    "else has changed it; read it again"
                )
                raise BridgeError(Code.ABORTED, "VERSION_CONFLICT", message)
            current = program.versions[program.current]
            if definitions.fingerprint(current) == definitions.fingerprint(definition):
                return current
            if len(program.versions) >= self._max_versions:
                message = (
                    f"'{definition.name}' has the {self._max_versions} versions that programs.max_versions allows; "
                    "raise that, or delete the program and make it anew"
                )
                raise BridgeError(Code.RESOURCE_EXHAUSTED, "TOO_MANY_VERSIONS", message)
            return self._add(program, definition)

    def serve(self, name: str, version: int) -> ProgramDefinition:
        """Let a version serve from now on: to promote it, or to roll back. Raises Unknown."""
        with self._mutex:
            program = self._find(name)
            definition = _version(program, name, version)
            self._write_current(name, version, program.highest)
            program.current = version
            return definition

    def delete(self, name: str) -> None:
        """Remove a program with all its versions. Raises Unknown."""
        with self._mutex:
            self._find(name)
            if self._directory is not None:
                gone = self._directory / f".deleted-{name}"
                shutil.rmtree(gone, ignore_errors=True)
                (self._directory / name).rename(gone)
                sync_directory(self._directory)
                shutil.rmtree(gone, ignore_errors=True)
            del self._programs[name]

    def get(self, name: str, version: int = 0) -> ProgramDefinition:
        """Return a version, by default the one that serves. Raises Unknown."""
        program = self._find(name)
        return program.versions[program.current] if version == 0 else _version(program, name, version)

    def versions(self, name: str) -> tuple[ProgramDefinition, ...]:
        """Return every version of a program, the oldest first. Raises Unknown."""
        program = self._find(name)
        return tuple(program.versions[number] for number in sorted(program.versions))

    def current(self) -> tuple[ProgramDefinition, ...]:
        """Return the version of every program that serves, in the order of names."""
        with self._mutex:
            programs = sorted(self._programs.items())
        return tuple(program.versions[program.current] for _, program in programs)

    def __contains__(self, name: str) -> bool:
        return name in self._programs

    def _find(self, name: str) -> _Program:
        if (program := self._programs.get(name)) is None:
            raise Unknown(f"There is no created program {name[: names.MAX_LENGTH]!r}.", reason="UNKNOWN_PROGRAM")
        return program

    def _add(self, program: _Program, definition: ProgramDefinition) -> ProgramDefinition:
        version = program.highest + 1
        made = msgspec.structs.replace(definition, version=version)
        if self._directory is not None:
            folder = self._directory / definition.name
            folder.mkdir(mode=0o700, exist_ok=True)
            write_private(folder / f"{version:06d}.json", definitions.to_json(made))
        self._write_current(definition.name, version, version)
        program.versions[version] = made
        program.current = program.highest = version
        self._programs[definition.name] = program
        return made

    def _write_current(self, name: str, version: int, highest: int) -> None:
        if self._directory is not None:
            data = msgspec.json.encode({"version": version, "highest": highest})
            write_private(self._directory / name / _CURRENT, data)
            sync_directory(self._directory)

    def _open(self, directory: Path) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_file = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"the directory of programs {directory} can not be used: {error.strerror}") from error
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            message = f"another server has the directory of programs {directory}; give each server its own"
            raise StoreError(message) from None
        for folder in _folders(directory):
            if (program := _read(folder)) is not None:
                self._programs[folder.name] = program


def _check(definition: ProgramDefinition) -> None:
    found = definitions.problems(definition)
    try:
        names.check(definition.name)
        if definition.name.startswith((".", "bridge.")):
            raise ValueError("a program's name does not begin with '.' or 'bridge.'")
    except ValueError as error:
        found = [("name", str(error)), *found]
    if (size := len(definitions.to_json(definition))) > definitions.MAX_BYTES:
        found.append(("", f"the definition has {size} bytes as JSON, more than {definitions.MAX_BYTES}"))
    if found:
        summary = "; ".join(f"{path}: {what}" if path else what for path, what in found[:3])
        raise BadInput(f"The program can not be made: {summary}", violations=tuple(found))


def _version(program: _Program, name: str, version: int) -> ProgramDefinition:
    if (found := program.versions.get(version)) is None:
        known = ", ".join(map(str, sorted(program.versions)[-10:]))
        message = f"The program {name!r} has no version {version}; the last ones are {known}."
        raise Unknown(message, reason="UNKNOWN_VERSION")
    return found


def _folders(directory: Path) -> Iterator[Path]:
    for folder in sorted(directory.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            yield folder


def _read(folder: Path) -> _Program | None:
    """Read one program. A folder without `current.json` is one whose creation was cut short: it serves nothing."""
    marker = folder / _CURRENT
    if not marker.exists():
        return None
    program = _Program()
    for path in sorted(folder.glob("*.json")):
        if path.name == _CURRENT:
            continue
        try:
            definition = definitions.from_json(path.read_bytes())
        except (OSError, msgspec.DecodeError, ValueError) as error:
            raise StoreError(_unreadable(path, str(error))) from error
        if definition.name != folder.name or path.name != f"{definition.version:06d}.json":
            what = f"it holds version {definition.version} of '{definition.name}'"
            raise StoreError(_unreadable(path, what))
        program.versions[definition.version] = definition
    try:
        now = msgspec.json.decode(marker.read_bytes(), type=dict[str, int])
        program.current, program.highest = now["version"], now["highest"]
    except (OSError, msgspec.DecodeError, KeyError) as error:
        raise StoreError(_unreadable(marker, str(error))) from error
    if program.current not in program.versions:
        raise StoreError(_unreadable(marker, f"version {program.current} is not there"))
    # A version that was written when the server died, before it served.
    program.highest = max(program.highest, *program.versions)
    return program


def _unreadable(path: Path, why: str) -> str:
    return f"{path} can not be read: {why}; put it right from a backup, or move it away to serve without it"
