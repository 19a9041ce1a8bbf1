"""The directory of artefacts: versions, what serves, rolling back, files for their owner alone."""

import stat
from pathlib import Path

import msgspec
import pytest

from handlers.programs.artefacts import record
from handlers.programs.artefacts.differences import differences
from handlers.programs.artefacts.record import Artefact, ArtefactError, InterfaceState
from handlers.programs.artefacts.saving import of_definition
from handlers.programs.artefacts.store import ArtefactStore
from handlers.programs.definitions import ProgramDefinition, fingerprint
from handlers.signatures.parser import parse


def artefact(name: str = "triage", **inputs: str) -> Artefact:
    interface = InterfaceState(signature="a -> b", inputs=inputs, outputs={})
    return Artefact(
        format=record.FORMAT, format_version=1, program=name, interface=interface, lock={"python": "3.11.9"}
    )


def test_versions_count_from_one_and_equal_ones_are_not_added_twice(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path / "saved")
    assert store.add(artefact(a="1")) == (1, True)
    assert store.add(msgspec.structs.replace(artefact(a="1"), lock={"python": "3.12.0"})) == (1, False)
    assert store.add(artefact(a="2")) == (2, True)
    assert store.add(artefact("other")) == (1, True)
    assert store.programs() == ["other", "triage"]
    assert [(one.version, one.serving) for one in store.versions("triage")] == [(1, False), (2, False)]
    assert store.get("triage", 2) == artefact(a="2")


def test_promoting_and_rolling_back_go_through_what_served(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    for text in "123":
        store.add(artefact(a=text))
    assert store.serving("triage") == 0
    assert store.promote("triage", 3) == 0
    assert store.promote("triage", 1) == 3
    assert store.promote("triage", 1) == 1  # once more changes nothing
    assert ArtefactStore(tmp_path).serving("triage") == 1
    assert [store.roll_back("triage"), store.roll_back("triage")] == [3, 0]
    with pytest.raises(ArtefactError, match="nothing to roll back"):
        store.roll_back("triage")
    store.promote("triage", 2)
    assert store.promote("triage", 0) == 2
    assert store.roll_back("triage") == 2


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    with pytest.raises(ArtefactError, match=r"no version 1 .*nothing is saved"):
        store.promote("triage", 1)
    store.add(artefact())
    with pytest.raises(ArtefactError, match=r"no version 7 .*its versions are 1"):
        store.get("triage", 7)


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b", "", ".."])
def test_a_name_is_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="name"):
        ArtefactStore(tmp_path / "saved").add(artefact(name))
    assert not (tmp_path / "saved").exists()


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path / "saved")
    store.add(artefact())
    store.promote("triage", 1)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "saved").rglob("*")}
    assert modes == {".lock": 0o600, "triage": 0o700, "000001.json": 0o600, "serving.json": 0o600}
    assert stat.S_IMODE((tmp_path / "saved").stat().st_mode) == 0o700


def test_a_file_of_another_program_or_a_broken_one_is_refused(tmp_path: Path) -> None:
    store = ArtefactStore(tmp_path)
    store.add(artefact("other"))
    (tmp_path / "triage").mkdir()
    (tmp_path / "triage" / "000001.json").write_bytes((tmp_path / "other" / "000001.json").read_bytes())
    with pytest.raises(ArtefactError, match="artefact of 'other', not of 'triage'"):
        store.get("triage", 1)
    (tmp_path / "other" / "serving.json").write_text('{"history": [1], "more": 2}')
    with pytest.raises(ArtefactError, match=r"serving\.json can not be read"):
        store.serving("other")


def test_differences_name_their_places() -> None:
    old, new = artefact(a="1", c="x"), artefact(a="2", b="3", c="x")
    assert [str(one) for one in differences(old, new)] == [
        'interface.inputs.a: "1" -> "2"',
        'interface.inputs.b: + "3"',
    ]
    assert differences(old, old) == []


DEFINITION = ProgramDefinition(
    name="ask",
    version=3,
    signature=parse("question: str, notes: list[str] -> answer: float", instructions="Be brief."),
    kind="chain_of_thought",
    demos=({"question": "q", "answer": 1.5},),
)


def test_a_created_program_is_saved_by_its_definition() -> None:
    saved = of_definition(DEFINITION)
    assert saved.interface.signature == "question: str, notes: list[str] -> answer: float"
    assert saved.interface.outputs["properties"]["answer"]["type"] == "number"
    assert record.decode(record.encode(saved), "it").definition == DEFINITION


def test_defaults_may_be_written_out() -> None:
    """msgspec writes a default out where its text was put together at run time."""
    plain = ProgramDefinition(name="ask", version=1, signature=parse("a -> b"), kind="PREDICT".lower())  # type: ignore[arg-type]
    assert record.encode(of_definition(plain)) == record.encode(
        of_definition(msgspec.structs.replace(plain, kind="predict"))
    )
    assert fingerprint(plain) == fingerprint(msgspec.structs.replace(plain, kind="predict"))
    data = record.encode(of_definition(plain)).replace(b'"version": 1', b'"kind": "predict",\n "version": 1')
    assert record.decode(data, "it").definition == plain


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (b'"kind": "chain_of_thought"', b'"kind": "chain_of_thought", "code": "x"', r"not known: `definition\.code`"),
        (b'"kind": "chain_of_thought"', b'"kind": "oracle"', "holds what is not known.*oracle"),
        (b'"question": "q"', b'"riddle": "q"', r"can not be used: demos\[0\]\.riddle"),
    ],
)
def test_a_definition_with_more_in_it_than_is_understood_is_refused(before: bytes, after: bytes, why: str) -> None:
    data = record.encode(of_definition(DEFINITION))
    assert before in data
    with pytest.raises(ArtefactError, match=why):
        record.decode(data.replace(before, after), "the file")
