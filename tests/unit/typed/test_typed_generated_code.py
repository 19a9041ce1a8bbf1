"""Generated code stays code whatever a schema says: names, keys and documentation that would break out of it."""

import ast
import json
import shutil
import subprocess

import pytest

from bridge.client_gen import elixir_code, go_code, python_code, typescript_code
from handlers.typed.reader import Function, read

NASTY = '"""\nimport os\n*/ evil() /*\r\x00 #{1 + 1} ` \\'
KEYS = ["class", "from", "a-b", "self", "1st", "größe", 'quo"te', "back`tick", "end", "type", "😀x", "more"]


@pytest.fixture(scope="module")
def api():
    properties = {key: {"type": "integer", "description": NASTY} for key in KEYS}
    item = {"type": "object", "title": "Any", "properties": properties, "required": KEYS[:3], "description": NASTY}
    arguments = {
        "$defs": {"Any": item, "Client": {"enum": ['x"y', "z"], "type": "string"}},
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": {"$ref": "#/$defs/Any"}},
            "lambda": {"anyOf": [{"$ref": "#/$defs/Client"}, {"type": "null"}]},
            "pair": {"type": "array", "prefixItems": [{"type": "integer"}, {}], "minItems": 2, "maxItems": 2},
            **properties,
        },
        "required": ["items", "lambda"],
    }
    names = ["list", "class", "constructor", "client", "a.b", "import", "x-1"]
    functions = [
        Function(
            name=name, module="weird-app", doc=NASTY, arguments_schema=json.dumps(arguments), streaming=name == "list"
        )
        for name in names
    ]
    found, problems = read("odd.v1", functions)
    assert not problems
    return found


def test_python_is_python(api):
    (code,) = python_code.files(api).values()
    tree = ast.parse(code)
    classes = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    assert {"WeirdAppClient", "AsyncWeirdAppClient"} <= set(classes)
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import)], "a docstring has become code"
    (client,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "WeirdAppClient"]
    names = [node.name for node in client.body if isinstance(node, ast.FunctionDef)]
    assert names == ["__init__", "a_b", "class_", "client_", "constructor", "import_", "list_", "x_1"]


def test_typescript_keeps_documentation_in_comments(api):
    (code,) = typescript_code.files(api).values()
    for line in code.splitlines():
        assert "evil" not in line or line.lstrip().startswith(("*", "/**")), line
    assert '"a-b": Integer;' in code
    assert "constructor_(args" in code


def test_go_keeps_to_its_comments_and_tags(api):
    files = go_code.files(api)
    code = files["oddv1/oddv1.go"]
    for line in code.splitlines():
        assert "evil" not in line or line.lstrip().startswith("//"), line
    assert "type Any map[string]any" in code, "its keys can not stand in tags"


def test_elixir_compiles(api, tmp_path):
    (code,) = elixir_code.files(api).values()
    assert "\n*/ evil() /*" not in code
    if shutil.which("elixirc") is None:
        pytest.skip("elixir is not installed")
    (tmp_path / "odd.ex").write_text(code)
    command = ["elixirc", "-o", str(tmp_path), "odd.ex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
