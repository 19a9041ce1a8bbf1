"""Created programs: versions, which one serves, and what is on the disk after a crash at any moment."""

import os
import threading
from pathlib import Path

import msgspec
import pytest

from bridge.errors import BridgeError, StoreError
from bridge.programs.store import ProgramStore
from handlers.errors import BadInput, Unknown
from handlers.programs.definitions import ProgramDefinition
from handlers.signatures.parser import parse


def define(name="triage", signature="ticket -> queue", **rest) -> ProgramDefinition:
    return ProgramDefinition(name=name, version=0, signature=parse(signature), **rest)


@pytest.fixture(params=["memory", "disk"])
def store(request, tmp_path):
    made = ProgramStore(tmp_path / "programs" if request.param == "disk" else None)
    yield made
    made.close()


def test_versions_count_up_and_the_last_one_serves(store):
    first = store.create(define())
    second = store.update(define(doc="Better."))
    assert (first.version, second.version) == (1, 2)
    assert store.get("triage") == second
    assert store.get("triage", 1) == first
    assert store.versions("triage") == (first, second)
    assert store.current() == (second,)


def test_an_update_that_changes_nothing_makes_no_version(store):
    first = store.create(define())
    assert store.update(define()) == first
    assert store.versions("triage") == (first,)


def test_another_version_serves_and_the_next_one_has_a_new_number(store):
    store.create(define())
    store.update(define(doc="Two."))
    assert store.serve("triage", 1).version == 1
    assert store.get("triage").version == 1
    assert store.update(define(doc="Three.")).version == 3


def test_two_who_change_the_same_version_do_not_overwrite_each_other(store):
    store.create(define())
    store.update(define(doc="Mine."), expected_version=1)
    with pytest.raises(BridgeError) as caught:
        store.update(define(doc="Yours."), expected_version=1)
    assert caught.value.reason == "VERSION_CONFLICT"
    assert store.get("triage").doc == "Mine."


def test_a_deleted_program_is_gone_with_all_versions(store):
    store.create(define())
    store.delete("triage")
    assert "triage" not in store
    assert store.current() == ()
    for act in (lambda: store.get("triage"), lambda: store.delete("triage"), lambda: store.update(define())):
        with pytest.raises(Unknown):
            act()
    assert store.create(define()).version == 1


def test_what_can_not_work_is_refused_with_every_problem(store):
    with pytest.raises(BadInput) as caught:
        store.create(define(name="../x", temperature=9.0))
    assert [path for path, _ in caught.value.violations] == ["name", "temperature"]
    for name in ("", ".hidden", "bridge.mine", "a" * 200):
        with pytest.raises(BadInput):
            store.create(define(name=name))
    with pytest.raises(BadInput, match="bytes as JSON"):
        store.create(define(demos=({"ticket": "x" * 2_000_000, "queue": "y"},)))
    store.create(define())
    with pytest.raises(BridgeError, match="already"):
        store.create(define())
    with pytest.raises(Unknown, match="no version 7; the last ones are 1"):
        store.serve("triage", 7)


def test_another_server_finds_what_the_last_one_left(tmp_path):
    store = ProgramStore(tmp_path)
    store.create(define())
    store.update(define(doc="Two."))
    store.create(define(name="other"))
    store.serve("triage", 1)
    left = (store.current(), store.versions("triage"))
    store.close()
    again = ProgramStore(tmp_path)
    assert (again.current(), again.versions("triage")) == left
    assert again.update(define(doc="Three.")).version == 3
    again.close()


def test_a_second_server_is_refused(tmp_path):
    store = ProgramStore(tmp_path)
    with pytest.raises(StoreError, match="another server has the directory"):
        ProgramStore(tmp_path)
    store.close()
    ProgramStore(tmp_path).close()


def test_files_are_private(tmp_path):
    store = ProgramStore(tmp_path / "programs")
    store.create(define())
    store.close()
    modes = {path: path.stat().st_mode & 0o077 for path in (tmp_path / "programs").rglob("*")}
    assert len(modes) == 4
    assert not any(modes.values())


@pytest.mark.parametrize("damage", ["cut", "renamed", "no version", "not json"])
def test_a_damaged_file_is_named_and_left_alone(tmp_path, damage):
    store = ProgramStore(tmp_path)
    store.create(define())
    store.close()
    path = tmp_path / "triage" / "000001.json"
    marker = tmp_path / "triage" / "current.json"
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "renamed":
        path = path.rename(path.with_name("000002.json"))
    elif damage == "no version":
        path.unlink()
        path = marker
    else:
        path = marker
        path.write_bytes(b"\0")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=path.name):
        ProgramStore(tmp_path)
    assert path.read_bytes() == before


class Crashed(Exception):
    pass


def test_a_crash_at_any_moment_leaves_the_old_or_the_new_state(tmp_path, monkeypatch):
    """Each call of the operating system that changes the disk fails in turn; what was acknowledged is there."""
    outcomes = set()
    for moment in range(40):
        folder = tmp_path / str(moment)
        store = ProgramStore(folder)
        store.create(define())
        left = crash_after(monkeypatch, moment)
        try:
            store.update(define(doc="Two."))
            acknowledged = True
        except Crashed:
            acknowledged = False
        monkeypatch.undo()
        store.close()
        again = ProgramStore(folder)
        served = again.get("triage")
        assert served.doc in ("", "Two.")
        assert not (acknowledged and served.doc != "Two.")
        assert again.update(define(doc="Three.")).version in (2, 3)
        assert again.get("triage").doc == "Three."
        again.close()
        outcomes.add((acknowledged, served.doc))
        if acknowledged and left() > 0:
            break
    assert {(False, ""), (False, "Two."), (True, "Two.")} == outcomes


def crash_after(monkeypatch, calls: int):
    """Let so many calls through, then fail all; return how many were left."""
    left = [calls]

    def guarded(act):
        def run(*args, **kwargs):
            if left[0] <= 0:
                raise Crashed
            left[0] -= 1
            return act(*args, **kwargs)

        return run

    for name in ("fsync", "open"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name)))
    monkeypatch.setattr(Path, "rename", guarded(Path.rename))
    return lambda: left[0]


def test_many_threads_make_as_many_versions(tmp_path):
    store = ProgramStore(tmp_path)
    store.create(define())
    threads = [threading.Thread(target=store.update, args=(define(doc=f"{index}"),)) for index in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [definition.version for definition in store.versions("triage")] == list(range(1, 18))
    assert len({definition.doc for definition in store.versions("triage")}) == 17
    store.close()


def test_the_file_is_plain_json(tmp_path):
    store = ProgramStore(tmp_path)
    store.create(define(signature="ticket -> queue: Literal['a', 'b']"))
    store.close()
    data = msgspec.json.decode((tmp_path / "triage" / "000001.json").read_bytes())
    assert data["name"] == "triage"
    assert data["signature"]["outputs"][0]["type"] == {"type": "literal", "values": ["a", "b"]}
