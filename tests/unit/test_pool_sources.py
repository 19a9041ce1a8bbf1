"""Which files count as loaded code, and when it has changed."""

import importlib.util
import json
import os
import sys

import pytest

from pool import sources
from pool.sources import Sources, loaded_files


@pytest.fixture
def module(tmp_path):
    file = tmp_path / "some_user_code.py"
    file.write_text("VALUE = 1\n")
    return file


def test_nothing_has_changed(module):
    assert Sources([str(module)]).changed() is None


@pytest.mark.parametrize("change", ["text", "time", "gone"])
def test_a_change_is_named(module, tmp_path, change):
    seen = Sources([str(tmp_path), str(module)])
    if change == "text":
        before = module.stat()
        module.write_text("VALUE = 12\n")
        os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "time":
        os.utime(module, (1, 1))
    else:
        module.rename(tmp_path.parent / "away.py")
        os.utime(tmp_path, (1, 1))
    assert seen.changed() in (str(module), str(tmp_path))


def test_user_code_counts_and_libraries_do_not(module, monkeypatch):
    spec = importlib.util.spec_from_file_location("some_user_code", module)
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "some_user_code", loaded)
    files = set(loaded_files())
    assert {str(module), sources.__file__} <= files
    assert json.__file__ not in files, "the standard library"
    assert pytest.__file__ not in files, "an installed package"
