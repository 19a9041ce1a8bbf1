"""`bridge proto export`: writes the .proto file of an app's typed services, their descriptors and the lock file.

Owns nothing beyond one command.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from bridge.cli.failures import ExitCode, Failure
from bridge.cli.typed_catalogue import functions_of
from bridge.fronts.described import described
from handlers.typed.descriptors import COMMON, file_of, imports
from handlers.typed.lock import Lock, LockProblem, numbered, read_lock, write_lock
from handlers.typed.names import NameProblem, check_package, package_of
from handlers.typed.reader import Function, Problem, SavedCatalogue, read
from handlers.typed.text import proto_text

if TYPE_CHECKING:
    from bridge.cli.output import Output
    from handlers.typed.shapes import Api

DESCRIPTORS = "descriptors.binpb"
CATALOGUE = "catalogue.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What was typed."""

    app: str | None
    out: Path
    package: str | None
    lock: Path
    check: bool
    whole: bool
    config: Path | None
    address: str


def run(options: ExportOptions, output: Output) -> int:
    """Write, or with `check` say what would be written. FAILED where that is something. Raises Failure."""
    functions = functions_of(options.app, options.config, options.address)
    before = lock_at(options.lock)
    api, lock, problems = typed(functions, before, options.package)
    refuse(api, problems)
    files = {options.out / name: data for name, data in written(api, whole=options.whole).items()}
    files[options.out / CATALOGUE] = catalogue_of(functions)
    files[options.lock] = write_lock(lock)
    stale = write_files(files, check=options.check)
    if output.machine:
        methods = [f"{api.package}.{method.service}/{method.name}" for method in api.methods]
        output.json({"package": api.package, "methods": methods, "written": [str(path) for path in stale]})
    else:
        verb = "would be written" if options.check else "written"
        for path in files:
            output.line(f"{path}: {verb if path in stale else 'up to date'}")
        output.note(f"{len(api.methods)} methods in {api.package}; serve them with [typed] lock = '{options.lock}'")
    return ExitCode.FAILED if options.check and stale else ExitCode.OK


def lock_at(path: Path) -> Lock | None:
    """Return the lock of a file, or None where there is no file. Raises Failure."""
    try:
        return read_lock(path.read_bytes()) if path.exists() else None
    except (LockProblem, OSError) as error:
        raise Failure(ExitCode.USAGE, f"the lock file {path} can not be used: {error}") from None


def typed(functions: list[Function], lock: Lock | None, package: str | None) -> tuple[Api, Lock, list[Problem]]:
    """Return the numbered API of functions, and the lock that it has then. Raises Failure."""
    if package is not None:
        try:
            check_package(package)
        except NameProblem as problem:
            raise Failure(ExitCode.USAGE, f"--package: {problem}") from None
        if lock is not None and lock.package != package:
            message = (
                f"--package is {package}, but the lock file is of {lock.package}; another package needs another file"
            )
            raise Failure(ExitCode.USAGE, message)
    if lock is None:
        lock = Lock(package or package_of(sorted({one.module for one in functions if one.module})))
    api, problems = read(lock.package, functions)
    api, lock = numbered(api, lock)
    return api, lock, problems


def written(api: Api, *, whole: bool = False) -> dict[str, bytes]:
    """Return the files of an API by their paths: its own, those of the bridge that it needs, and all descriptors."""
    file = file_of(api)
    files = {file.name: proto_text(api).encode()}
    ours = protos()
    wanted = sorted(str(path.relative_to(ours)) for path in ours.glob("bridge/v1/*.proto"))
    if not whole:
        wanted = [COMMON] if COMMON in imports(api) else []
    files |= {name: (ours / name).read_bytes() for name in wanted}
    described_files = FileDescriptorSet()
    for data in described((), [file.SerializeToString()]):
        described_files.file.append(FileDescriptorProto.FromString(data))
    pool = descriptor_pool.DescriptorPool()
    for one in described_files.file:
        pool.Add(one)
    return files | {DESCRIPTORS: described_files.SerializeToString(deterministic=True)}


def catalogue_of(functions: list[Function]) -> bytes:
    """Return functions with their schemas as they are kept, to compare later states with."""
    saved = SavedCatalogue(sorted(functions, key=lambda one: one.name))
    return msgspec.json.format(msgspec.json.encode(saved), indent=1) + b"\n"


def protos() -> Path:
    """Return the folder with the bridge's own .proto files: of the package, or of a source tree."""
    packaged = Path(__file__).with_name("protos")
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "proto"


def refuse(api: Api, problems: list[Problem]) -> None:
    """Raise Failure where a function can have no method, or where there is none at all."""
    if problems:
        lines = tuple(f"{problem.function}: {problem.message}" for problem in problems)
        one = "a function" if len(problems) == 1 else f"{len(problems)} functions"
        raise Failure(ExitCode.FAILED, f"{one} can have no typed method", lines=lines)
    if not api.methods:
        raise Failure(ExitCode.FAILED, "there is no function or program to write a service for")


def write_files(files: dict[Path, bytes], *, check: bool) -> list[Path]:
    """Write the files that are not up to date, unless only to `check`; return which those were. Raises Failure."""
    stale = [path for path, data in files.items() if not path.is_file() or path.read_bytes() != data]
    for path in () if check else stale:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[path])
        except OSError as error:
            raise Failure(ExitCode.FAILED, f"{path} can not be written: {error.strerror or error}") from None
    return stale
