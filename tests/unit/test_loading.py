"""Loading of user code: private names, sys.path, and errors that show the user's frames."""

import sys

import pytest

from handlers.loading import LoadFailed, load_module, private_name


@pytest.fixture(autouse=True)
def _restore(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def _write(directory, name, source):
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source, encoding="utf-8")
    return path


def test_a_file_is_loaded_under_a_private_name(tmp_path):
    path = _write(
        tmp_path, "json.py", "import json\nfrom dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'A | None'\n"
    )
    module = load_module(str(path))
    assert module.__name__ == private_name(path)
    assert module.__name__.startswith("bridge_app_json_")
    assert module.json is sys.modules["json"]  # the standard library's, since the directory comes last
    assert sys.path[-1] == str(tmp_path)
    assert load_module(str(path)) is module


def test_a_relative_path_and_a_neighbour(tmp_path, monkeypatch):
    _write(tmp_path, "neighbour_of_app.py", "VALUE = 5\n")
    _write(tmp_path, "my-app.py", "from neighbour_of_app import VALUE\n")
    monkeypatch.chdir(tmp_path)
    assert load_module("my-app.py").VALUE == 5
    assert load_module("./my-app.py") is load_module("my-app.py")


def test_two_files_of_one_name_do_not_meet(tmp_path):
    first = load_module(str(_write(tmp_path, "a/app.py", "X = 1")))
    second = load_module(str(_write(tmp_path, "b/app.py", "X = 2")))
    assert (first.X, second.X) == (1, 2)
    assert first.__name__ != second.__name__


def test_a_package_directory(tmp_path):
    _write(tmp_path, "shop/__init__.py", "from .prices import PRICE\n")
    _write(tmp_path, "shop/prices.py", "PRICE = 3\n")
    assert load_module(str(tmp_path / "shop")).PRICE == 3


def test_a_dotted_name(tmp_path, monkeypatch):
    _write(tmp_path, "dotted_shop/__init__.py", "")
    _write(tmp_path, "dotted_shop/app.py", "X = 1\n")
    monkeypatch.chdir(tmp_path)
    assert load_module("dotted_shop.app").X == 1


@pytest.mark.parametrize("name", ["bridge.app", "handlers", "pool.child"])
def test_our_own_names_are_refused(name):
    with pytest.raises(LoadFailed, match=r"Pass the path instead, such as \./"):
        load_module(name)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no/such/app.py", "does not exist"),
        ("no_such_module_here", r"No module named .* Pass the path of a file"),
        ("not a name", "Expected a path such as"),
        ("", "Expected a path such as"),
        ("..", "does not exist"),
    ],
)
def test_sources_that_are_nothing(source, message):
    with pytest.raises(LoadFailed, match=message):
        load_module(source)


BROKEN = {
    "raises": ("def f():\n    raise ValueError('no luck\\nat all')\nf()\n", "ValueError: no luck", "in f"),
    "syntax": ("def f(:\n", "SyntaxError", "def f(:"),
    "missing": ("import no_such_dependency\n", "Install it into the server's environment", "import no_such_dependency"),
    "exits": ("import sys\nsys.exit(3)\n", "if __name__ == '__main__'", "sys.exit(3)"),
    "null bytes": ("x = 1\0", "can not be imported", "null bytes"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_code_that_does_not_import(case, tmp_path):
    source, message, shown = BROKEN[case]
    path = _write(tmp_path, f"{case.replace(' ', '_')}.py", source)
    with pytest.raises(LoadFailed) as caught:
        load_module(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert shown in caught.value.detail
    assert "handlers/loading.py" not in caught.value.detail
    assert "importlib" not in caught.value.detail
    assert private_name(path) not in sys.modules


def test_a_long_traceback_is_cut(tmp_path):
    path = _write(tmp_path, "deep.py", "def f(n):\n    g(n)\ndef g(n):\n    f(n - 1) if n else 1 / 0\nf(100)\n")
    with pytest.raises(LoadFailed) as caught:
        load_module(str(path))
    assert caught.value.detail.count("deep.py") == 8
    assert caught.value.detail.endswith("ZeroDivisionError: division by zero\n")


def test_ctrl_c_stays_ctrl_c(tmp_path):
    path = _write(tmp_path, "interrupted.py", "raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_module(str(path))
    assert private_name(path) not in sys.modules
