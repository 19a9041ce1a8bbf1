"""User code that is imported anew: new text, new neighbours, the old where the new fails, and nothing else touched."""

import sys
import types

import msgspec
import pytest

from handlers.loading import LoadFailed, load_module
from handlers.reloading import fresh_imports


@pytest.fixture(autouse=True)
def _restore(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    yield
    sys.modules.clear()
    sys.modules.update(before)


def test_a_file_of_the_same_length_within_the_same_second(tmp_path):
    app = tmp_path / "app.py"
    app.write_text("VALUE = 1\n")
    old = load_module(str(app))
    app.write_text("VALUE = 2\n")
    assert load_module(str(app)) is old
    with fresh_imports():
        new = load_module(str(app))
    assert (old.VALUE, new.VALUE) == (1, 2)
    assert load_module(str(app)) is new


def test_neighbours_and_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "neighbour_of_reloaded.py").write_text("VALUE = 1\n")
    (tmp_path / "app.py").write_text("from neighbour_of_reloaded import VALUE\n")
    assert load_module(str(tmp_path / "app.py")).VALUE == 1
    (tmp_path / "neighbour_of_reloaded.py").write_text("VALUE = 2\n")
    with fresh_imports():
        assert load_module(str(tmp_path / "app.py")).VALUE == 2


def test_what_fails_leaves_the_old(tmp_path):
    app = tmp_path / "app.py"
    app.write_text("VALUE = 1\n")
    old = load_module(str(app))
    app.write_text("VALUE = 1 / 0\n")
    with pytest.raises(LoadFailed, match="ZeroDivisionError"), fresh_imports():
        load_module(str(app))
    assert load_module(str(app)) is old


def test_what_is_installed_stays():
    before = {name: sys.modules[name] for name in ("json", "msgspec", "handlers.loading", "pytest")}
    with fresh_imports():
        after = {name: sys.modules[name] for name in before}
    assert before == after
    assert msgspec is after["msgspec"]


def test_modules_without_a_file(monkeypatch):
    made = types.ModuleType("made_by_hand")
    monkeypatch.setitem(sys.modules, "made_by_hand", made)
    with fresh_imports():
        assert sys.modules["made_by_hand"] is made
