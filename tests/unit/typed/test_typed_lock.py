"""Numbers, once given, are never given again, and the .proto file says what protoc understands."""

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from handlers.typed.descriptors import file_name, file_of
from handlers.typed.lock import Lock, LockProblem, numbered, read_lock, write_lock
from handlers.typed.reader import Function, read
from handlers.typed.text import proto_text

ROOT = Path(__file__).resolve().parents[3]
KINDS = ("string", "integer", "number", "boolean")


def schema_of(fields):
    import json

    properties = {name: {"type": kind} for name, kind in fields.items()}
    return json.dumps(
        {"type": "object", "properties": properties, "required": list(fields), "additionalProperties": False}
    )


def api_of(fields, lock):
    api, problems = read("shop.v1", [Function(name="f", module="shop", arguments_schema=schema_of(fields))])
    assert not problems
    return numbered(api, lock)


def test_a_field_in_front_takes_the_next_number():
    _, lock = api_of({"b": "string"}, Lock("shop.v1"))
    api, _ = api_of({"a": "string", "b": "string"}, lock)
    assert {field.name: field.number for field in api.message("FRequest").fields} == {"a": 2, "b": 1}


def test_what_is_gone_is_reserved_and_comes_back_to_its_number():
    _, lock = api_of({"a": "string", "b": "string"}, Lock("shop.v1"))
    api, lock = api_of({"b": "string"}, lock)
    assert api.message("FRequest").reserved == (("a", 1),)
    assert 'reserved 1;\n  reserved "a";' in proto_text(api)
    api, _ = api_of({"b": "string", "a": "string", "c": "string"}, lock)
    assert {field.name: field.number for field in api.message("FRequest").fields} == {"b": 2, "a": 1, "c": 3}


def test_a_field_of_another_type_gets_another_number():
    _, lock = api_of({"a": "string"}, Lock("shop.v1"))
    api, lock = api_of({"a": "integer"}, lock)
    (field,) = api.message("FRequest").fields
    assert (field.number, api.message("FRequest").reserved) == (2, (("", 1),))
    assert lock.messages["FRequest"]["a"].former == [1]


histories = st.lists(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(KINDS), max_size=6), min_size=1, max_size=8
)


@given(histories)
def test_no_number_ever_means_two_things(history):
    """Whatever fields come, go and change: bytes of any version are never read as a field of another name or type."""
    meaning = {}
    lock = Lock("shop.v1")
    for fields in history:
        api, lock = api_of(fields, lock)
        lock = read_lock(write_lock(lock))
        for field in api.message("FRequest").fields:
            assert meaning.setdefault(field.number, (field.name, field.told)) == (field.name, field.told)
        numbers = [field.number for field in api.message("FRequest").fields]
        assert len(set(numbers)) == len(numbers)


def test_enum_values_keep_their_numbers(typed):
    def before(queue: Literal["b", "c"]) -> None: ...

    def after(queue: Literal["a", "c"]) -> None: ...

    before.__name__ = after.__name__ = "f"
    first = typed(before)
    second = typed(after, lock=first.lock)
    assert {value.json: value.number for value in second.api.enums[0].values} == {"a": 3, "c": 2}
    assert second.api.enums[0].reserved == (("F_REQUEST_QUEUE_B", 1),)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not a lock file"),
        ('{"package": "Shop"}', "expected a package"),
        ('{"package": "shop.v1", "version": 2}', "written by a newer bridge"),
        (
            '{"package": "x", "messages": {"A": {"a": {"number": 1, "type": ""}, "b": {"number": 1, "type": ""}}}}',
            "A has the number 1 twice",
        ),
        ('{"package": "shop.v1", "enums": {"E": {"X": 19000}}}', "number that no field can have"),
    ],
)
def test_lock_files_that_can_not_be_used(text, problem):
    with pytest.raises(LockProblem, match=problem):
        read_lock(text.encode())


class Node(BaseModel):
    """A node, with a line that ends a comment: */ and a tab\t."""

    name: str
    inside: "Node | None" = None
    either: int | str | list[float] = 1


def test_protoc_reads_the_file_as_we_do(typed, tmp_path):
    """The text and the descriptor are made apart; protoc says whether they are the same."""

    def first(node: Node, rows: dict[str, list[int]], kind: Literal["a", "b"] | None = None) -> list[Node]:
        """Do the first.

        More of it.
        """

    def second(pair: tuple[int, Node], maybe: int | None = 4) -> None: ...

    made = typed(first, second)
    path = tmp_path / file_name("shop.v1")
    path.parent.mkdir(parents=True)
    path.write_text(proto_text(made.api))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}", f"-I{tmp_path}"]
    subprocess.run([*command, f"--descriptor_set_out={tmp_path / 'set'}", file_name("shop.v1")], check=True, timeout=60)
    (file,) = FileDescriptorSet.FromString((tmp_path / "set").read_bytes()).file
    assert file == file_of(made.api)
    assert "// Do the first.\n  //\n  // More of it.\n  rpc First(" in path.read_text()
