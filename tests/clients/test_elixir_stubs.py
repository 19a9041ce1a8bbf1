"""Elixir's generated messages: what protoc-gen-elixir would write, code for any Elixir, the same bytes as Python's.

The first needs no Elixir, the second an Elixir of any version, the last one the client's packages: a test is skipped
where what it needs is missing.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message_factory import GetMessageClass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.descriptor import Descriptor, FieldDescriptor
    from google.protobuf.message import Message

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients/elixir"
CASES = Path(__file__).parent / "elixir"
RUN_S = 240.0
NUMBERS = {"INT32": -(2**31), "SINT32": -7, "SFIXED32": 2**31 - 1, "UINT32": 2**32 - 1, "FIXED32": 2**32 - 1}
NUMBERS |= {"INT64": -(2**63), "SINT64": 2**63 - 1, "SFIXED64": -(2**63), "UINT64": 2**64 - 1, "FIXED64": 2**64 - 1}
VALUES = {**NUMBERS, "DOUBLE": 1e300, "FLOAT": float("-inf"), "BOOL": True, "STRING": "größe \0 😀", "BYTES": b"\0\xff"}

pytestmark = pytest.mark.timeout(2 * RUN_S)


@pytest.fixture(scope="module")
def generator() -> Any:
    spec = importlib.util.spec_from_file_location("elixir_generate", CLIENT / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Dataclasses look their module up.
    spec.loader.exec_module(module)
    return module


def test_odd_definitions_are_written_as_protoc_gen_elixir_writes_them(generator, tmp_path):
    target = tmp_path / "set.binpb"
    words = (f"-I{CASES}", "--include_source_info", f"--descriptor_set_out={target}", "odd.proto")
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *words], check=True)
    (file,) = FileDescriptorSet.FromString(target.read_bytes()).file
    assert generator.elixir(file) == (CASES / "odd.pb.ex").read_text()


def test_comments_can_not_become_code(generator):
    nasty = '"""\nend\nSystem.halt(1)\n#{System.halt(2)} \\'
    (file,) = FileDescriptorSet(file=[{"name": "a.proto", "package": "a", "syntax": "proto3"}]).file
    file.message_type.add(name="One").field.add(name="end", number=1, type=9, label=1, json_name='x"#{1}')
    file.source_code_info.location.add(path=[4, 0], leading_comments=nasty)
    code = generator.elixir(file)
    assert code.count('"""') == 2
    assert not re.search(r"(?<!\\)#\{", code), code


def test_a_method_named_call_does_not_define_the_stubs_call_again(generator):
    (file,) = FileDescriptorSet(file=[{"name": "a.proto", "package": "a", "syntax": "proto3"}]).file
    file.service.add(name="S").method.add(name="Call", input_type=".a.A", output_type=".a.B")
    assert "  rpc :Call, A.A, A.B, %{__name_collision__: true}\n" in generator.elixir(file)


def test_elixir_can_read_every_file():
    if shutil.which("elixir") is None:
        pytest.skip("elixir is not installed")
    script = "for file <- System.argv(), do: file |> File.read!() |> Code.string_to_quoted!(file: file)"
    files = sorted(str(path) for path in CLIENT.glob("lib/**/*.pb.ex"))
    assert len(files) == 1 + len(list(ROOT.glob("proto/bridge/v1/*.proto")))
    subprocess.run(["elixir", "-e", script, *files], check=True, timeout=RUN_S)


def messages() -> Iterator[Descriptor]:
    """Every message of the project's proto files, those within others too."""
    pending: list[Descriptor] = []
    for path in sorted(ROOT.glob("proto/bridge/v1/*.proto")):
        pending += importlib.import_module(f"bridge.v1.{path.stem}_pb2").DESCRIPTOR.message_types_by_name.values()
    while pending:
        found = pending.pop()
        yield found
        pending += [one for one in found.nested_types if not one.GetOptions().map_entry]


def value(field: FieldDescriptor, depth: int) -> Any:
    """A value of a field that is not its default."""
    if field.type == field.TYPE_MESSAGE:
        return filled(field.message_type, depth + 1)
    if field.type == field.TYPE_ENUM:
        return field.enum_type.values[-1].number
    names = {getattr(field, name): name.removeprefix("TYPE_") for name in dir(field) if name.startswith("TYPE_")}
    return VALUES[names[field.type]]


def filled(descriptor: Descriptor, depth: int = 0, choice: int = 0) -> Message:
    """A message in which every field is set; of each oneof, the member at `choice`. Deeper than three, it is empty."""
    made = GetMessageClass(descriptor)()
    if depth > 3:
        return made
    left_out = {one.name for each in descriptor.oneofs for one in each.fields} - {
        each.fields[choice % len(each.fields)].name for each in descriptor.oneofs
    }
    for field in descriptor.fields:
        if field.name in left_out:
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            key, item = field.message_type.fields_by_name["key"], field.message_type.fields_by_name["value"]
            target = getattr(made, field.name)
            if item.type == item.TYPE_MESSAGE:
                target[value(key, depth)].CopyFrom(value(item, depth))
            else:
                target[value(key, depth)] = value(item, depth)
        elif field.is_repeated:
            getattr(made, field.name).extend([value(field, depth), value(field, depth)])
        elif field.type == field.TYPE_MESSAGE:
            getattr(made, field.name).CopyFrom(value(field, depth))
            getattr(made, field.name).SetInParent()
        else:
            setattr(made, field.name, value(field, depth))
    return made


def test_elixir_keeps_every_field_of_every_message(mix):
    sent = []
    for descriptor in messages():
        choices = max((len(one.fields) for one in descriptor.oneofs), default=1)
        sent += [filled(descriptor, choice=choice) for choice in range(choices)]
    lines = [f"{one.DESCRIPTOR.full_name} {base64.b64encode(one.SerializeToString()).decode()}" for one in sent]
    lines = [re.sub(r"^bridge\.v1\.", "Bridge.V1.", line) for line in lines]
    with mix("run", "--no-compile", "--no-start", str(CASES / "round_trip.exs")) as running:
        output, errors = running.communicate("\n".join(lines) + "\n", timeout=RUN_S)
    assert running.returncode == 0, errors
    answers = output.splitlines()
    assert len(answers) == len(sent) > 200
    for message, answer in zip(sent, answers, strict=True):
        found = type(message).FromString(base64.b64decode(answer))
        assert found == message, message.DESCRIPTOR.full_name
