"""The programs that README.md and docs/howto/clients.md show in each language run, and print what the page says.

They run where the language is present; what is missing is named. A block in Go is the body of a function that may
return an error; `// prints` or `# prints` in a line says what it prints, with `...` for anything. Blocks of Python and
of a shell are run by tests/architecture/test_docs.py too, as on all pages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "clients/conformance"))

from harness.languages import PrepareFailed, load  # noqa: E402

PAGES = ("README.md", "docs/howto/clients.md")
ADDRESS = "127.0.0.1:50051"
GUARDED = "bridge.example.com:443"
"""Programs that call it run against a server with TLS and keys, whose CA takes the place of ca.pem."""
BLOCK = re.compile(r"^```(?P<language>elixir|ts|go|python)(?: no-run)?\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTS = re.compile(r"(?://|#) prints (?P<shown>.*)$", re.MULTILINE)
CLIENTS = {"elixir": "elixir", "ts": "typescript", "go": "go", "python": "python"}
"""A block's language, and the client that its programs need."""
QUEUE = re.compile(r"3 (billing|technical|sales)")
RUN_S = 200.0
GO = """\
package main

import (
{imports}
	bridgeclient "github.com/polyglot-bridge/polyglot-bridge/clients/go"
)

func shown(ctx context.Context) error {{
{body}
	return nil
}}

func main() {{
	if err := shown(context.Background()); err != nil {{
		log.Fatal(err)
	}}
}}
"""
GO_PACKAGES = ("errors", "fmt", "time", "os")

pytestmark = pytest.mark.timeout(900)  # the first program of a language makes its client


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A program that a page shows."""

    page: str
    number: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{Path(self.page).name}-{self.number}-{self.language}"


def programs() -> list[Shown]:
    return [
        Shown(page=page, number=number, language=block["language"], code=block["code"])
        for page in PAGES
        if (ROOT / page).exists()
        for number, block in enumerate(BLOCK.finditer((ROOT / page).read_text()), start=1)
    ]


@pytest.fixture(scope="module")
def present():
    """`present(language)` skips where a client can not be made here, and makes it where it can, once."""
    known = load()
    found: dict[str, str | None] = {}

    def check(language: str) -> None:
        client = known[CLIENTS[language]]
        if language not in found:
            try:
                found[language] = go_missing() if language == "go" else client.missing()
            except PrepareFailed as failed:
                found[language] = f"FAILED: {failed}"
        why = found[language]
        if why is not None and why.startswith("FAILED"):
            pytest.fail(why, pytrace=False)
        if why is not None:
            in_ci = os.environ.get("CI") == "true" and client.is_written
            allowed = client.may_be_missing_in_ci or client.name in os.environ.get("CI_WITHOUT", "").split()
            if in_ci and not allowed:
                pytest.fail(f"{client.name}: {why}; CI must have it", pytrace=False)
            pytest.skip(f"{client.name}: {why}")

    return check


def go_missing() -> str | None:
    """What is missing to build programs in Go; they need less than its runner of the conformance suite."""
    command = ["sh", "tool.sh", "version"]
    done = subprocess.run(command, cwd=ROOT / "clients/go", capture_output=True, text=True, timeout=RUN_S, check=False)
    return None if done.returncode == 0 else done.stderr.strip()


def run_python(code: str, folder: Path, environment: dict[str, str]) -> list[str]:
    program = folder / "shown.py"
    program.write_text(code)
    return output([sys.executable, str(program)], folder, environment)


def run_ts(code: str, folder: Path, environment: dict[str, str]) -> list[str]:
    """The program lies in the package, to find it by its own name. It has no types that Node would have to strip."""
    client = ROOT / "clients/typescript"
    program = client / f"dist/shown-{os.getpid()}.mjs"
    program.write_text(code)
    try:
        return output(["node", str(program)], folder, environment)
    finally:
        program.unlink()


def run_go(code: str, folder: Path, environment: dict[str, str]) -> list[str]:
    names = ["context", "log", *(name for name in GO_PACKAGES if f"{name}." in code)]
    imports = "".join(f'\t"{name}"\n' for name in sorted(names))
    program = folder / "main.go"
    program.write_text(GO.format(imports=imports, body=code))
    built = folder / "shown"
    output(["sh", "tool.sh", "build", "-o", str(built), str(program)], ROOT / "clients/go", environment)
    return output([str(built)], folder, environment)


def run_elixir(code: str, folder: Path, environment: dict[str, str]) -> list[str]:
    program = folder / "shown.exs"
    program.write_text(code)
    command = ["mix", "run", "--no-compile", str(program)]
    return output(command, ROOT / "clients/elixir", environment)


def output(command: list[str], cwd: Path, environment: dict[str, str]) -> list[str]:
    """The lines that a program prints; fails with all that it has said where it ends with a failure."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "clients/python")])
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout.splitlines()


RUN = {"python": run_python, "ts": run_ts, "go": run_go, "elixir": run_elixir}


@pytest.mark.parametrize("shown", programs(), ids=str)
def test_a_program_prints_what_the_page_says(shown, present, request, tmp_path):
    present(shown.language)
    code, environment = shown.code, {}
    if GUARDED in code:  # asked for late, so that what is missing is told before a server starts
        guarded = request.getfixturevalue("guarded")
        code = code.replace(GUARDED, guarded.address).replace("ca.pem", str(guarded.ca))
        environment = {"BRIDGE_KEY": guarded.key}
    else:
        code = code.replace(ADDRESS, request.getfixturevalue("server").address)
    printed = RUN[shown.language](code, tmp_path, environment)
    expected = [match["shown"] for match in PRINTS.finditer(shown.code)]
    if not expected:
        assert len(printed) == 1
        assert QUEUE.fullmatch(printed[0]), printed
        return
    for line, wanted in zip(printed, expected, strict=True):
        assert re.fullmatch(".*".join(map(re.escape, wanted.split("..."))), line), (line, wanted)


def test_the_readme_has_the_call_in_every_language():
    found = [shown.language for shown in programs() if shown.page == "README.md"]
    assert sorted(found) == ["elixir", "go", "python", "ts"]


def test_buf_makes_the_same_call(server):
    text = (ROOT / "README.md").read_text()
    buf = ROOT / ".cache/buf/node_modules/.bin/buf"
    command = str(buf) if buf.exists() else shutil.which("buf")
    if command is None:
        if os.environ.get("CI") == "true":
            pytest.fail("buf is not installed; `make check` installs it, CI must have it")
        pytest.skip("buf is not installed (`make check` installs it)")
    (block,) = re.findall(r"^```console\n(\$ buf curl .*?)^```$", text, re.MULTILINE | re.DOTALL)
    calls = re.findall(r"^\$ buf (curl .*?)\n(?=\{)", block, re.MULTILINE | re.DOTALL)
    assert len(calls) == 2
    for call, wanted in zip(calls, (r'"json": "3"', r"technical|billing|sales"), strict=True):
        line = call.replace("\\\n", " ").replace(ADDRESS, server.address)
        done = subprocess.run(
            ["/bin/sh", "-c", f"'{command}' {line}"], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        assert re.search(wanted, done.stdout), done.stdout
