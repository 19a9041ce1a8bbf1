"""Every Go snippet of the client's README is compiled, and runs against the demo app, as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients/go"
README = CLIENT / "README.md"
BLOCK = re.compile(r"^## (?P<heading>[^\n]+)$|^```go\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "127.0.0.1:50051"
PACKAGES = ("context", "errors", "fmt", "os", "sync", "time")
EXPECTED = {
    "Quick start 2": ["add "],
    "Streams 1": ["1", "2", "3"],
    "Tools of your process 1": ["1 [weather]"],
    "Options of a call 1": ["order-77 ROUTE_"],
    "Errors 1": ["InvalidArgument SCHEMA_MISMATCH", "a "],
}
"""How the lines that a snippet prints begin, for those whose text says what they print."""
MISSING = 3
"""What tool.sh ends with where something is missing."""
PROGRAM = """package main

import (
IMPORTS
	bridgeclient "github.com/polyglot-bridge/polyglot-bridge/clients/go"
)

FUNCTIONS
func main() {
	client, err := bridgeclient.Connect(os.Args[2])
	if err != nil {
		panic(err)
	}
	defer client.Close()
	switch os.Args[1] {
CASES	default:
		panic(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
"""

pytestmark = pytest.mark.timeout(500)


def snippets() -> dict[str, str]:
    """Each Go block by its heading and number."""
    found: dict[str, str] = {}
    heading, number = "", 0
    for block in BLOCK.finditer(README.read_text()):
        if block["heading"]:
            heading, number = block["heading"], 0
        else:
            number += 1
            found[f"{heading} {number}"] = block["code"]
    return found


SNIPPETS = snippets()
WHOLE = "Quick start 1"
"""The one that is a program by itself."""


def one_program() -> str:
    """A program with a function for each snippet that is none itself; its argument names the one to run."""
    functions, cases = [], []
    for number, (name, code) in enumerate(SNIPPETS.items()):
        if name != WHOLE:
            parameters = "ctx context.Context, client *bridgeclient.Client"
            functions.append(f"func snippet{number}({parameters}) error {{\n{code}}}\n")
            cases.append(f'\tcase "{name}":\n\t\terr = snippet{number}(context.Background(), client)\n')
    text = "".join(functions)
    used = [name for name in PACKAGES if f"{name}." in text or name in {"context", "fmt", "os"}]
    imports = "".join(f'\t"{name}"\n' for name in used)
    return PROGRAM.replace("IMPORTS", imports).replace("FUNCTIONS", text).replace("CASES", "".join(cases))


def build(folder: Path, source: str) -> Path:
    """Compiles a program, without anything that vet finds."""
    file, made = folder / "main.go", folder / "program"
    file.write_text(source)
    for words in (("vet", str(file)), ("build", "-o", str(made), str(file))):
        done = subprocess.run(
            ["sh", "tool.sh", *words], cwd=CLIENT, capture_output=True, text=True, timeout=400, check=False
        )
        if done.returncode == MISSING and (os.environ.get("CI") != "true" or "go" in os.environ.get("CI_WITHOUT", "")):
            pytest.skip(done.stderr.strip())
        assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("snippets"), one_program())


def printed(program: Path, *words: str) -> list[str]:
    """The lines that a program prints."""
    done = subprocess.run([str(program), *words], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_program_runs(tmp_path: Path, server: Any) -> None:
    code = SNIPPETS[WHOLE]
    assert ADDRESS in code
    assert printed(build(tmp_path, code.replace(ADDRESS, server.address))) == ["3", "8.1"]


@pytest.mark.parametrize("name", [name for name in SNIPPETS if name != WHOLE])
def test_a_snippet_runs(name: str, program: Path, server: Any) -> None:
    lines = printed(program, name, server.address)
    assert lines or name.startswith(("Connections", "Many"))
    for line, start in zip(lines, EXPECTED.get(name, []), strict=False):
        assert line.startswith(start)
    assert len(lines) >= len(EXPECTED.get(name, []))


def test_all_snippets_were_found() -> None:
    assert len(SNIPPETS) == README.read_text().count("```go")
    assert EXPECTED.keys() <= SNIPPETS.keys()
