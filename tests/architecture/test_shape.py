"""The shape of the code: lengths, docstrings, empty packages, and constructs that stay out or in named files.

All by reading source, so that it holds for code that no test runs. The limits and their reasons are in
docs/explanation/architecture.md; a limit is met by splitting what is too long, not by raising the limit.
"""

from __future__ import annotations

import ast
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bridge", "handlers", "pool")
GENERATED = (ROOT / "bridge/v1", ROOT / "clients/python/bridge_client/v1")
FUNCTION_LINES = 60
FUNCTION_LINES_P90 = 25
MODULE_LINES = 350
TEST_MODULE_LINES = 500
"""A table of cases may be longer than the code it is about."""
SERVICER_METHOD_LINES = 15
BROAD_EXCEPTS = {"bridge/interceptors/errors.py", "handlers/entry.py", "pool/runs.py"}
"""Each of these turns whatever happened into a value at a boundary; anywhere else a broad except hides bugs."""
FORBIDDEN_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "__import__", "yaml.load", "torch.load", "os.system", "tempfile.mktemp"}
EVERYWHERE = ("0.0.0.0", "[::]", "::")


def modules(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [path for path in found if not any(path.is_relative_to(folder) for folder in GENERATED)]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def functions(tree: ast.AST) -> list[tuple[str, int]]:
    """Each function's name with its length in lines, nested functions also for themselves."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (f"{node.name}:{node.lineno}", (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    ]


def dotted(node: ast.expr) -> str:
    """`a.b.c` for a chain of names, empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        base = dotted(node.value)
        return f"{base}.{node.attr}" if base else ""
    return ""


def reraises(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def broad_excepts(tree: ast.Module) -> list[int]:
    """Lines of handlers (and `suppress` calls) that catch Exception, BaseException or everything, and keep it.

    A handler that ends with a bare `raise` cleans up and hides nothing.
    """
    lines = []
    for node in ast.walk(tree):
        caught: list[ast.expr | None] = []
        if isinstance(node, ast.ExceptHandler) and not reraises(node):
            caught = list(node.type.elts) if isinstance(node.type, ast.Tuple) else [node.type]
        elif isinstance(node, ast.Call) and dotted(node.func) in {"suppress", "contextlib.suppress"}:
            caught = list(node.args)
        if any(one is None or dotted(one) in {"Exception", "BaseException"} for one in caught):
            lines.append(node.lineno)
    return lines


def forbidden(tree: ast.Module) -> list[str]:
    """What runs code or builds arbitrary objects out of data."""
    found = []
    for node in ast.walk(tree):
        imported: list[str] = []
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
        found += [f"line {node.lineno}: import {one}" for one in imported if one.split(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.Call) and dotted(node.func) in FORBIDDEN_CALLS:
            found.append(f"line {node.lineno}: {dotted(node.func)}()")
    return found


def open_defaults(tree: ast.Module) -> list[int]:
    """Lines where an address that anyone can reach is a default: of a parameter, a field or a constant."""
    defaults: list[ast.expr | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            defaults += [*node.defaults, *node.kw_defaults]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            defaults.append(node.value)
    constants = (inner for value in defaults if value is not None for inner in [value, *_call_arguments(value)])
    return [
        value.lineno
        for value in constants
        if isinstance(value, ast.Constant) and isinstance(value.value, str) and _is_open(value.value)
    ]


def _call_arguments(value: ast.expr) -> list[ast.expr]:
    """`Field("0.0.0.0:1")` and `Field(default="0.0.0.0:1")` set defaults too."""
    if not isinstance(value, ast.Call):
        return []
    return [*value.args, *(keyword.value for keyword in value.keywords)]


def _is_open(address: str) -> bool:
    host = address.rsplit(":", 1)[0] if re.search(r":\d+$", address) and address != "::" else address
    return host in EVERYWHERE


@pytest.mark.parametrize("package", PACKAGES)
def test_functions_are_short(package):
    lengths = {f"{name(path)}:{label}": lines for path in modules(package) for label, lines in functions(parse(path))}
    long = {label: lines for label, lines in lengths.items() if lines > FUNCTION_LINES}
    assert not long, f"functions of more than {FUNCTION_LINES} lines: {long}"
    if len(lengths) >= 10:
        p90 = statistics.quantiles(lengths.values(), n=10)[-1]
        longest = sorted(lengths.items(), key=lambda item: -item[1])[:8]
        assert p90 <= FUNCTION_LINES_P90, f"p90 of function lengths is {p90}; the longest are {longest}"


def test_servicer_methods_are_short():
    classes = [
        (path, node)
        for path in modules("bridge/servicers")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef)
    ]
    methods = {f"{name(path)}:{label}": lines for path, node in classes for label, lines in functions(node)}
    assert {label: lines for label, lines in methods.items() if lines > SERVICER_METHOD_LINES} == {}


def test_modules_are_short():
    sizes = {name(path): len(path.read_text().splitlines()) for path in modules(*PACKAGES, "clients/python", "tests")}
    limits = {path: TEST_MODULE_LINES if "tests/" in path else MODULE_LINES for path in sizes}
    assert {path: lines for path, lines in sizes.items() if lines > limits[path]} == {}


def test_every_module_says_its_job():
    folders = (*PACKAGES, "clients/python", "tests", "examples", ".ci")
    written = [path for path in modules(*folders) if path.name != "__init__.py"]
    silent = [name(path) for path in written if len(ast.get_docstring(parse(path)) or "") < 20]
    assert not silent, f"modules without a docstring: {silent}"


def test_packages_are_empty():
    """Code in an `__init__.py` runs in every child that imports anything beside it."""
    full = [name(path) for path in modules(*PACKAGES) if path.name == "__init__.py" and path.read_text().strip()]
    assert [path for path in full if path != "bridge/__init__.py"] == []


def test_broad_excepts_stand_at_the_boundaries():
    found = {name(path): lines for path in modules(*PACKAGES) if (lines := broad_excepts(parse(path)))}
    assert {path: lines for path, lines in found.items() if path not in BROAD_EXCEPTS} == {}


def test_nothing_runs_data():
    folders = (*PACKAGES, "clients/python/bridge_client", "examples")
    found = {name(path): lines for path in modules(*folders) if (lines := forbidden(parse(path)))}
    assert found == {}


def test_no_default_address_is_open_to_everyone():
    found = {name(path): lines for path in modules(*PACKAGES, "examples") if (lines := open_defaults(parse(path)))}
    assert found == {}


def test_ignores_say_what_they_ignore():
    bare = re.compile(r"#\s*type:\s*ignore(?!\[)|#\s*noqa(?!:\s*[A-Z])")
    found = [
        f"{name(path)}:{number}"
        for path in modules(*PACKAGES, "clients/python", "examples")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if bare.search(line)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("check", "source"),
    [
        (broad_excepts, "try: pass\nexcept Exception: pass"),
        (broad_excepts, "try: pass\nexcept (ValueError, BaseException): pass"),
        (broad_excepts, "try: pass\nexcept: pass"),
        (broad_excepts, "with contextlib.suppress(Exception): pass"),
        (forbidden, "import pickle"),
        (forbidden, "from marshal import loads"),
        (forbidden, "eval('1')"),
        (forbidden, "yaml.load(text)"),
        (open_defaults, "def serve(address='0.0.0.0:50051'): pass"),
        (open_defaults, "address: str = Field(default='[::]:50051')"),
    ],
)
def test_the_checks_see_what_they_look_for(check, source):
    assert check(ast.parse(source))


@pytest.mark.parametrize(
    ("check", "source"),
    [
        (broad_excepts, "try: pass\nexcept (ValueError, OSError): pass"),
        (broad_excepts, "try: pass\nexcept BaseException:\n    close()\n    raise"),
        (forbidden, "yaml.safe_load(text)"),
        (open_defaults, "if host == '0.0.0.0': warn()"),
        (open_defaults, "def serve(address='127.0.0.1:50051'): pass"),
    ],
)
def test_the_checks_leave_the_rest_alone(check, source):
    assert not check(ast.parse(source))
