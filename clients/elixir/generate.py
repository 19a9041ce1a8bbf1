"""Regenerate `lib/bridge/v1` from the project's proto files: `python clients/elixir/generate.py`.

Writes, byte for byte, what protoc-gen-elixir of the protobuf package writes with `plugins=grpc,include_docs=true`, so
that the modules can be written and checked where no Elixir is; only a method named Call is marked, see TAKEN. The
health service's modules stand under `Bridge.Grpc`, as with `package_prefix=bridge`, because a program may have its own
`Grpc.Health.V1`. Messages of google.protobuf and google.rpc come with the packages protobuf and googleapis. Needs
grpcio-tools, googleapis-common-protos and grpcio-health-checking (the project's `dev` extra). A development tool: it is
not part of the package.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet

from bridge.client_gen.elixir_text import doc, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.descriptor_pb2 import (
        DescriptorProto,
        EnumDescriptorProto,
        FileDescriptorProto,
        MethodDescriptorProto,
        ServiceDescriptorProto,
    )

HERE = Path(__file__).resolve().parent
VERSION = "0.17.0"
"""Of the protobuf package whose generator's output this is."""
WIDTH = 98
"""The longest line of Elixir's formatter."""
TAKEN = ", %{__name_collision__: true}"
"""At a method named Call: its stub would have a function `call` of its own beside the one that every stub has, and the
compiler warns of that. `Stub.call(:Call, channel, request, options)` is left, as for methods whose names collide."""
ENUM, MESSAGE = FieldDescriptorProto.TYPE_ENUM, FieldDescriptorProto.TYPE_MESSAGE


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a definition stands: its file, the names around it, its path in the file's source information."""

    file: FileDescriptorProto
    prefix: str
    documented: bool
    comments: dict[tuple[int, ...], str]
    names: tuple[str, ...] = ()
    path: tuple[int, ...] = field(default=())

    def inside(self, name: str, *path: int) -> Scope:
        """Return the scope of what is defined in `name`, which stands at `path` in this scope."""
        return Scope(self.file, self.prefix, self.documented, self.comments, (*self.names, name), (*self.path, *path))

    @property
    def full_name(self) -> str:
        """The name on the wire."""
        return ".".join((self.file.package, *self.names))

    @property
    def module(self) -> str:
        """The name of the Elixir module."""
        return self.prefix + module(self.full_name)

    def type(self, name: str) -> str:
        """Return the module of a message or enum, by the name that a descriptor has for it."""
        ours = name.startswith(f".{self.file.package}.")
        return (self.prefix if ours else "") + module(name.lstrip("."))

    def docs(self) -> Iterator[str]:
        """Yield the module's documentation."""
        if not self.documented:
            yield "  @moduledoc false"
            yield ""
        elif comment := self.comments.get(self.path):
            yield from doc("moduledoc", comment)
            yield ""


def main() -> int:
    """Parse the command line and write the files. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Regenerate lib/bridge/v1 from the proto files.")
    parser.add_argument("--proto", type=Path, default=HERE / "../../proto", help="folder with bridge/v1/*.proto")
    parser.add_argument("--out", type=Path, default=HERE / "lib", help="folder to write into")
    options = parser.parse_args()
    generated = generate(options.proto)
    write(generated, options.out)
    print(f"wrote {len(generated)} files to {options.out}")
    return 0


def generate(proto: Path) -> dict[str, str]:
    """Return the text of every generated file, by its path in the output folder."""
    from grpc_health.v1 import health_pb2

    files = {file.name.replace(".proto", ".pb.ex"): elixir(file) for file in descriptors(proto).file}
    health = FileDescriptorSet().file.add()
    health_pb2.DESCRIPTOR.CopyToProto(health)
    files["bridge/grpc/health/v1/health.pb.ex"] = elixir(health, prefix="Bridge.", documented=False)
    return files


def descriptors(proto: Path) -> FileDescriptorSet:
    """Return the project's proto files with their comments. Raises SystemExit where there are none."""
    from google.rpc import status_pb2

    ours = sorted(path.relative_to(proto).as_posix() for path in (proto / "bridge" / "v1").glob("*.proto"))
    if not ours:
        raise SystemExit(f"expected proto files in {proto / 'bridge' / 'v1'}, found none; pass the folder with --proto")
    common = Path(status_pb2.__file__).parent.parent.parent
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "set.binpb"
        words = (f"-I{proto}", f"-I{common}", "--include_source_info", f"--descriptor_set_out={target}", *ours)
        subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *words], check=True)
        return FileDescriptorSet.FromString(target.read_bytes())


def write(generated: dict[str, str], out: Path) -> None:
    """Write all files and delete those that are no longer generated."""
    for stale in {str(path.relative_to(out)) for path in out.glob("**/*.pb.ex")} - generated.keys():
        (out / stale).unlink()
    for name, content in generated.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(content, encoding="utf-8")


def elixir(file: FileDescriptorProto, prefix: str = "", *, documented: bool = True) -> str:
    """Return the Elixir modules of one proto file: enums, those in messages, messages, services."""
    scope = Scope(file, prefix, documented, comments(file))
    parts = [enum(one, scope.inside(one.name, 5, index)) for index, one in enumerate(file.enum_type)]
    messages = [(one, scope.inside(one.name, 4, index)) for index, one in enumerate(file.message_type)]
    parts += itertools.chain.from_iterable(enums_within(one, inner) for one, inner in messages)
    parts += itertools.chain.from_iterable(message(one, inner) for one, inner in messages)
    for index, one in enumerate(file.service):
        parts += service(one, scope.inside(one.name, 6, index))
    return "\n".join("\n".join(lines) + "\n" for lines in parts)


def enums_within(one: DescriptorProto, scope: Scope) -> Iterator[list[str]]:
    """Yield the enums that are defined in a message, at any depth."""
    yield from (enum(inner, scope.inside(inner.name, 4, index)) for index, inner in enumerate(one.enum_type))
    for index, inner in enumerate(one.nested_type):
        yield from enums_within(inner, scope.inside(inner.name, 3, index))


def enum(one: EnumDescriptorProto, scope: Scope) -> list[str]:
    """Return the module of an enum."""
    lines = [f"defmodule {scope.module} do", *scope.docs()]
    lines += [*use("Protobuf", enum="true", **named(scope)), ""]
    return [*lines, *(f"  field :{value.name}, {value.number}" for value in one.value), "end"]


def message(one: DescriptorProto, scope: Scope) -> Iterator[list[str]]:
    """Yield the modules of the messages in a message, and then its own."""
    for index, inner in enumerate(one.nested_type):
        yield from message(inner, scope.inside(inner.name, 3, index))
    options = {"map": "true"} if one.options.map_entry else {}
    if one.options.deprecated:
        options["deprecated"] = "true"
    blocks = [use("Protobuf", **named(scope), **options)]
    real = [decl.name for decl in one.oneof_decl if not decl.name.startswith("_")]
    blocks += [[f"  oneof :{name}, {index}"] for index, name in enumerate(real)]
    if one.field:
        blocks.append(spaced([member(each, one, scope) for each in one.field]))
    yield [f"defmodule {scope.module} do", *scope.docs(), *joined(blocks), "end"]


def member(one: FieldDescriptorProto, within: DescriptorProto, scope: Scope) -> list[str]:
    """Return the lines of a field."""
    repeated = one.label == FieldDescriptorProto.LABEL_REPEATED
    kind = FieldDescriptorProto.Type.Name(one.type).removeprefix("TYPE_").lower()
    options = {"proto3_optional": "true"} if one.proto3_optional else {"repeated": "true"} if repeated else {}
    options["type"] = scope.type(one.type_name) if one.type in (ENUM, MESSAGE) else f":{kind}"
    json_name = one.json_name or re.sub(r"_([A-Za-z0-9])", lambda found: found[1].upper(), one.name)
    if json_name != one.name:
        options["json_name"] = text(json_name)
    entries = {f".{scope.full_name}.{inner.name}" for inner in within.nested_type if inner.options.map_entry}
    if one.type_name in entries:
        options["map"] = "true"
    if one.type == ENUM:
        options["enum"] = "true"
    if one.HasField("oneof_index") and not one.proto3_optional:
        options["oneof"] = str(one.oneof_index)
    if one.options.HasField("packed"):
        options["packed"] = str(one.options.packed).lower()
    if one.HasField("options"):
        options["deprecated"] = str(one.options.deprecated).lower()
    return broken(f"  field :{one.name}, {one.number}", options)


def service(one: ServiceDescriptorProto, scope: Scope) -> Iterator[list[str]]:
    """Yield the modules of a service and of its stub."""
    options = {"name": text(scope.full_name), "protoc_gen_elixir_version": text(VERSION)}
    blocks = [broken("  use GRPC.Service", options), *(procedure(method, scope) for method in one.method)]
    yield [f"defmodule {scope.module}.Service do", *scope.docs(), *joined(blocks), "end"]
    hidden = [] if scope.documented else ["  @moduledoc false", ""]
    yield [f"defmodule {scope.module}.Stub do", *hidden, f"  use GRPC.Stub, service: {scope.module}.Service", "end"]


def procedure(one: MethodDescriptorProto, scope: Scope) -> list[str]:
    """Return the lines of a service's method."""
    request, response = scope.type(one.input_type), scope.type(one.output_type)
    request = f"stream({request})" if one.client_streaming else request
    response = f"stream({response})" if one.server_streaming else response
    line = f"  rpc :{one.name}, {request}, {response}{TAKEN if one.name.lower() == 'call' else ''}"
    return [line] if len(line) <= WIDTH else [f"  rpc :{one.name},", f"      {request},", f"      {response}"]


def use(what: str, **options: str) -> list[str]:
    """Return the lines of a `use`, its options in the order of their names."""
    return broken(f"  use {what}", dict(sorted(options.items())))


def named(scope: Scope) -> dict[str, str]:
    """Return the options that every message and enum has."""
    return {
        "full_name": text(scope.full_name),
        "protoc_gen_elixir_version": text(VERSION),
        "syntax": f":{scope.file.syntax or 'proto2'}",
    }


def broken(start: str, options: dict[str, str]) -> list[str]:
    """Return a call without parentheses as the formatter writes it: on one line, or each option on its own."""
    pairs = [f"{key}: {value}" for key, value in options.items()]
    line = ", ".join((start, *pairs))
    if len(line) <= WIDTH:
        return [line]
    return [f"{start},", *(f"    {pair}," for pair in pairs[:-1]), f"    {pairs[-1]}"]


def spaced(parts: list[list[str]]) -> list[str]:
    """Return the parts one after the other, with empty lines around those of several lines, as the formatter does."""
    lines: list[str] = []
    for before, part in itertools.pairwise([[], *parts]):
        if before and max(len(before), len(part)) > 1:
            lines.append("")
        lines += part
    return lines


def joined(blocks: Iterable[list[str]]) -> list[str]:
    """Return the blocks with an empty line between two."""
    lines: list[str] = []
    for block in blocks:
        lines += ["", *block] if lines else block
    return lines


def module(full_name: str) -> str:
    """Return the module's name: `bridge.v1.Payload` is `Bridge.V1.Payload`."""
    parts = (re.sub(r"(?:^|_)([A-Za-z0-9])", lambda found: found[1].upper(), part) for part in full_name.split("."))
    return ".".join(parts)


def comments(file: FileDescriptorProto) -> dict[tuple[int, ...], str]:
    """Return the comments of a file, by the path of what they stand at."""
    found = {}
    for one in file.source_code_info.location:
        texts = [
            one.leading_comments if one.HasField("leading_comments") else None,
            one.trailing_comments if one.HasField("trailing_comments") else None,
            *one.leading_detached_comments,
        ]
        comment = re.sub(r"\n{3,}", "\n", "\n\n".join(each for each in texts if each is not None))
        found[tuple(one.path)] = unindented(comment).strip()
    return found


def unindented(comment: str) -> str:
    """Return a comment without the white space that all its lines begin with."""
    lines = comment.split("\n")
    indents = [len(found[1]) for line in lines if (found := re.match(r"(\s+)(?=\S)", line))]
    return "\n".join(line.removeprefix(" " * min(indents, default=0)) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
