"""Saved programs by version, in a directory: every version of each, and which one serves.

A program is a folder with one artefact a version and `serving.json`, which has the versions that served, the last one
serving now. Files are for their owner alone and never half written. The command line writes here; workers only read,
when they start. Owns the files of its directory.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from handlers import names
from handlers.private_files import make_private, write_private
from handlers.programs.artefacts import record
from handlers.programs.artefacts.record import Artefact, ArtefactError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MAX_VERSIONS = 10_000
AS_WRITTEN = 0
"""In place of a version: the program as its file has it."""
_SERVING = "serving.json"
_LOCK = ".lock"
_HISTORY = 100


class _Serving(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    history: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One version, for people to choose from."""

    version: int
    saved_at: str
    fingerprint: str
    serving: bool


class ArtefactStore:
    """The artefacts of one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, artefact: Artefact) -> tuple[int, bool]:
        """Add a version; return its number and whether it is new: an artefact that is the newest one is not added."""
        folder = self._folder(artefact.program)
        with self._locked():
            numbers = self._numbers(folder)
            if numbers and record.fingerprint(self._read(folder, numbers[-1])) == record.fingerprint(artefact):
                return numbers[-1], False
            if len(numbers) >= MAX_VERSIONS:
                raise ArtefactError(
                    f"'{artefact.program}' has {MAX_VERSIONS} versions in {self._directory}; remove some"
                )
            version = max([*numbers, *self._history(folder), 0]) + 1
            try:
                make_private(folder)
                write_private(folder / f"{version:06d}.json", record.encode(artefact))
            except OSError as error:
                raise self._unusable(error) from None
            return version, True

    def get(self, name: str, version: int) -> Artefact:
        """Return a version. Raises ArtefactError."""
        folder = self._folder(name)
        if version not in (numbers := self._numbers(folder)):
            known = f"its versions are {', '.join(map(str, numbers[-10:]))}" if numbers else "nothing is saved of it"
            raise ArtefactError(f"'{name}' has no version {version} in {self._directory}; {known}")
        return self._read(folder, version)

    def serving(self, name: str) -> int:
        """Return the version that serves; 0 for the program as its file has it. Raises ArtefactError."""
        return (self._history(self._folder(name)) or (AS_WRITTEN,))[-1]

    def versions(self, name: str) -> list[Stored]:
        """Return every version, the oldest first. Raises ArtefactError."""
        folder, serving = self._folder(name), self.serving(name)
        found = []
        for number in self._numbers(folder):
            at = datetime.fromtimestamp((folder / f"{number:06d}.json").stat().st_mtime, UTC)
            mark = record.fingerprint(self._read(folder, number))[:12]
            found.append(
                Stored(
                    version=number,
                    saved_at=at.isoformat(timespec="seconds"),
                    fingerprint=mark,
                    serving=number == serving,
                )
            )
        return found

    def programs(self) -> list[str]:
        """Return the names of the programs that something is saved of."""
        if not self._directory.is_dir():
            return []
        return sorted(path.name for path in self._directory.iterdir() if path.is_dir() and path.name[:1] != ".")

    def promote(self, name: str, version: int) -> int:
        """Let a version serve from the next start or reload on; return the one before. Raises ArtefactError."""
        if version != AS_WRITTEN:
            self.get(name, version)
        return self._serve(name, lambda history: (*history, version))

    def roll_back(self, name: str) -> int:
        """Let that version serve again that did before; return it. Raises ArtefactError."""
        if not self._history(self._folder(name)):
            raise ArtefactError(f"no version of '{name}' serves, so there is nothing to roll back")
        self._serve(name, lambda history: history[:-1])
        return self.serving(name)

    def _serve(self, name: str, change: Callable[[tuple[int, ...]], tuple[int, ...]]) -> int:
        folder = self._folder(name)
        with self._locked():
            history = self._history(folder)
            before = (history or (AS_WRITTEN,))[-1]
            after = change(history)
            if after[-1:] != history[-1:] or len(after) < len(history):
                try:
                    make_private(folder)
                    write_private(folder / _SERVING, msgspec.json.encode(_Serving(after[-_HISTORY:])))
                except OSError as error:
                    raise self._unusable(error) from None
            return before

    def _folder(self, name: str) -> Path:
        try:
            names.check(name)
            if name.startswith("."):
                raise ValueError("a program's name does not begin with '.'")
        except ValueError as error:
            raise ArtefactError(str(error)) from None
        return self._directory / name

    @staticmethod
    def _numbers(folder: Path) -> list[int]:
        if not folder.is_dir():
            return []
        return sorted(int(path.stem) for path in folder.glob("*.json") if path.stem.isdecimal())

    @staticmethod
    def _read(folder: Path, version: int) -> Artefact:
        path = folder / f"{version:06d}.json"
        try:
            artefact = record.decode(path.read_bytes(), str(path))
        except OSError as error:
            raise ArtefactError(f"{path} can not be read: {error.strerror}") from None
        if artefact.program != folder.name:
            raise ArtefactError(f"{path} is an artefact of '{artefact.program}', not of '{folder.name}'")
        return artefact

    @staticmethod
    def _history(folder: Path) -> tuple[int, ...]:
        path = folder / _SERVING
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Serving).history
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.DecodeError) as error:
            raise ArtefactError(f"{path} can not be read: {error}; put it right, or promote a version anew") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process change the directory at a time."""
        try:
            make_private(self._directory)
            descriptor = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _unusable(self, error: OSError) -> ArtefactError:
        return ArtefactError(f"the directory of artefacts {self._directory} can not be used: {error.strerror}")
