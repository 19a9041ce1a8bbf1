"""The documentation is true: its commands and programs run, what they print is what is shown, its links lead somewhere.

Blocks are read from README.md, docs/ and the clients' READMEs, and run against the demo server, whose address takes
the place of 127.0.0.1:50051:

- In a ```console block each line that starts with `$ ` is a command (a backslash continues it). It runs when it
  starts with `bridge` or `python`, except those that serve until they are stopped. Lines below it must occur in its
  output in that order; `...` stands for anything.
- In a ```sh block each line is a command, by the same rule; nothing is shown.
- A ```python block is a program.
- `no-run` behind the language keeps a block from running; `exit=N` says that its last command fails with status N.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("README.md", "CHANGELOG.md", "docs/**/*.md", "clients/*/README.md", "deploy/**/*.md")
    for path in ROOT.glob(pattern)
)
DEFAULT_ADDRESS = "127.0.0.1:50051"
ENDLESS = re.compile(r"bridge\s+(serve|top|demo(?!.*--once))\b")
COMMAND_S = 60.0
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)[^)]*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: where it is, its language, the words behind that, and its text."""

    page: Path
    line: int
    language: str
    options: tuple[str, ...]
    body: str

    @property
    def exit_code(self) -> int:
        return next((int(option[5:]) for option in self.options if option.startswith("exit=")), 0)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command as it is shown, and the lines shown below it."""

    text: str
    shown: tuple[str, ...] = ()


def blocks(text: str, page: Path) -> list[Block]:
    found = []
    for match in FENCE.finditer(text):
        words = match["info"].split() or [""]
        indent = len(match["indent"])
        body = "".join(line[indent:] for line in match["body"].splitlines(keepends=True))
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page=page, line=line, language=words[0], options=tuple(words[1:]), body=body))
    return found


def commands(block: Block) -> list[Command]:
    """The commands of a console or sh block, runnable or not."""
    joined = block.body.replace("\\\n", " ")
    if block.language == "sh":
        return [Command(text=line) for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    found: list[Command] = []
    for line in joined.splitlines():
        if line.startswith("$ "):
            found.append(Command(text=line[2:]))
        elif found and line.strip():
            found[-1] = Command(text=found[-1].text, shown=(*found[-1].shown, line))
    return found


def runnable(command: Command) -> bool:
    words = command.text.split()
    return bool(words) and words[0] in {"bridge", "python"} and not ENDLESS.search(command.text)


def missing_line(shown: tuple[str, ...], output: str) -> str | None:
    """The first shown line that does not occur in the output behind the ones before it."""
    lines = iter([" ".join(line.split()) for line in output.splitlines()])
    for line in shown:
        parts = (re.escape(part) for part in " ".join(line.split()).split("..."))
        pattern = re.compile(".*".join(parts))
        if line.strip() != "..." and not any(pattern.fullmatch(candidate) for candidate in lines):
            return line
    return None


def pages_blocks(*languages: str) -> list[Block]:
    found = [block for page in PAGES for block in blocks(page.read_text(), page)]
    return [block for block in found if block.language in languages and "no-run" not in block.options]


@pytest.fixture(scope="session")
def shell(server, tmp_path_factory):
    """Runs a command as a reader of the docs would, with `bridge` and `python` on the path."""
    folder = tmp_path_factory.mktemp("docs")
    start = "import sys; from bridge.cli.main import main; sys.exit(main())"
    tools = {"python": f'exec {shlex.quote(sys.executable)} "$@"'}
    tools["bridge"] = f'exec {shlex.quote(sys.executable)} -c {shlex.quote(start)} "$@"'
    for name, line in tools.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "clients/python")]),
        "BRIDGE_ADDRESS": server.address,
        "NO_COLOR": "1",
        "COLUMNS": "120",
    }

    def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [word.replace(DEFAULT_ADDRESS, server.address) for word in command],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )

    return run


@pytest.mark.parametrize("block", pages_blocks("console", "sh"), ids=str)
def test_shown_commands_run_and_print_what_is_shown(block, shell):
    to_run = [command for command in commands(block) if runnable(command)]
    for command in to_run:
        done = shell(["/bin/sh", "-c", command.text], ROOT)
        expected = block.exit_code if command is to_run[-1] else 0
        assert done.returncode == expected, f"{block}: $ {command.text}\n{done.stdout}"
        missing = missing_line(command.shown, done.stdout)
        assert missing is None, f"{block}: $ {command.text}\nshows {missing!r}, but the output is\n{done.stdout}"


@pytest.mark.parametrize("block", pages_blocks("python"), ids=str)
def test_shown_programs_run(block, shell, server, tmp_path):
    program = tmp_path / "shown.py"
    program.write_text(block.body.replace(DEFAULT_ADDRESS, server.address))
    done = shell(["python", str(program)], tmp_path)
    assert done.returncode == block.exit_code, f"{block}\n{done.stdout}"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    text = FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ +(.+?)\s*$", text, re.MULTILINE)
    plain = (re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    broken = []
    for match in LINK.finditer(FENCE.sub("", page.read_text())):
        target = match["target"]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name) if name else page
        if not linked.exists() or (anchor and linked.suffix == ".md" and anchor not in anchors(linked)):
            broken.append(target)
    assert broken == []


EXAMPLE = """\
Text
```console exit=1
$ bridge call add a=1 \\
    b=2
3
took ... ms
$ make demo
```
"""


def test_a_console_block_is_read_as_commands_with_their_output():
    (block,) = blocks(EXAMPLE, ROOT / "README.md")
    assert (block.language, block.exit_code, block.line) == ("console", 1, 2)
    call, make = commands(block)
    assert call.text.split() == ["bridge", "call", "add", "a=1", "b=2"]
    assert call.shown == ("3", "took ... ms")
    assert runnable(call)
    assert not runnable(make)


@pytest.mark.parametrize("text", ["bridge serve app.py", "bridge demo", "bridge top", "make test", "pip install x", ""])
def test_commands_that_do_not_end_are_not_run(text):
    assert not runnable(Command(text=text))


def test_shown_lines_must_occur_in_order():
    output = "one\nworker 12 took 3 ms\nthree\n"
    assert missing_line(("one", "worker ... took ... ms", "...", "three"), output) is None
    assert missing_line(("three", "one"), output) == "one"
    assert missing_line(("on",), output) == "on"
