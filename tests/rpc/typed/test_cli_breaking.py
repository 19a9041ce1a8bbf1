"""`bridge program diff --breaking` as a gate: against files of an export, apps and running servers."""

import json

import pytest

BEFORE = 'def greet(name: str, times: int = 1) -> str:\n    """Greet."""\n    return name * times\n'
FINE = 'def greet(name: str, times: int = 1, loud: bool = False) -> str:\n    """Greet."""\n    return name * times\n'
BROKEN = 'def greet(who: str, times: int = 1) -> str:\n    """Greet."""\n    return who * times\n'


@pytest.fixture
def folder(tmp_path, cli):
    (tmp_path / "app.py").write_text(BEFORE)
    cli("proto", "export", "app.py", "--out", "before", cwd=tmp_path)
    return tmp_path


def test_nothing_differs(folder, cli):
    assert cli("program", "diff", "--breaking", "before", "app.py", cwd=folder) == ("", "nothing differs\n")


def test_what_is_new_and_may_be_left_out_is_fine(folder, cli):
    (folder / "app.py").write_text(FINE)
    shown, note = cli("program", "diff", "--breaking", "before/catalogue.json", "app.py", cwd=folder)
    assert shown == "fine: greet: it takes more, or says more of its arguments\n"
    assert note == "0 of 1 changes break callers\n"


def test_what_breaks_fails(folder, cli, start_server):
    server = start_server(BROKEN)
    shown, _ = cli("program", "diff", "--breaking", "before", server.address, cwd=folder, code=1)
    assert shown.splitlines() == [
        "breaks everyone: greet: argument name: it is not known any more",
        "breaks everyone: greet: argument who: it is missing, and must be there",
    ]
    told, _ = cli("program", "diff", "--breaking", "--json", "before", server.address, cwd=folder, code=1)
    assert json.loads(told)["breaking"] is True
    assert {one["breaks"] for one in json.loads(told)["changes"]} == {"everyone"}


def test_locks_and_descriptors(folder, cli):
    (folder / "old.lock").write_bytes((folder / "bridge.proto.lock").read_bytes())
    (folder / "app.py").write_text(BEFORE.replace("times: int", "times: float").replace("name * times", "name"))
    cli("proto", "export", "app.py", "--out", "after", cwd=folder)
    shown, _ = cli("program", "diff", "--breaking", "old.lock", "bridge.proto.lock", cwd=folder, code=1)
    assert shown == (
        "breaks typed callers: GreetRequest.times: its type was int64, is double: the field gets another number\n"
    )
    files = ("before/descriptors.binpb", "after/descriptors.binpb")
    shown, _ = cli("program", "diff", "--breaking", *files, cwd=folder, code=1)
    assert shown == "breaks typed callers: app.v1.GreetRequest.times: its number was 2, is 3\n"


@pytest.mark.parametrize(
    ("pair", "problem"),
    [
        (("before", "bridge.proto.lock"), "two things of one kind can be compared"),
        (("other.json", "before"), "is no state of an API"),
        (("broken.bin", "before"), "neither JSON nor a set of descriptors"),
    ],
)
def test_what_can_not_be_compared(folder, cli, pair, problem):
    (folder / "other.json").write_text("{}")
    (folder / "broken.bin").write_bytes(b"\xff\xff")
    _, note = cli("program", "diff", "--breaking", *pair, cwd=folder, code=2)
    assert problem in note
