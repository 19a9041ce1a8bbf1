"""The documentation is true: its commands and programs run, what they print is what is shown, its links lead somewhere.

Blocks are read from README.md, docs/ and the clients' READMEs, and run against the demo server, whose address takes
the place of 127.0.0.1:50051:

- In a ```console block each line that starts with `$ ` is a command (a backslash continues it). It runs when it
  starts with `bridge`, `buf` or `python`, except those that serve until they are stopped. Lines below it must occur in
  its output in that order; `...` stands for anything.
- In a ```sh block each line is a command, by the same rule; nothing is shown.
- A ```python block is a program. Blocks in ```elixir, ```ts and ```go are run by tests/clients/test_readme_calls.py.
- `no-run` behind the language keeps a block from running; `exit=N` says that its last command fails with status N;
  `varies` says that numbers and ids of requests may differ from those shown.

A page with the comment `lesson` in it is one story: its blocks run in their order and in a folder of their own.
`file=NAME` writes a block to a file there, `append=NAME` adds it to one; `bridge serve NAME.py` starts a server with
the `bridge.toml` of that folder in place of the one before; `killed` says that the process that the command's first
line names is killed by SIGKILL then.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pool import lifecycle

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("README.md", "CHANGELOG.md", "docs/**/*.md", "clients/*/README.md", "deploy/**/*.md")
    for path in ROOT.glob(pattern)
)
DEFAULT_ADDRESS = "127.0.0.1:50051"
ENDLESS = re.compile(r"bridge\s+(serve|(top|demo)(?!.*--once))\b")
COMMAND_S = 60.0
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```\s*$", re.MULTILINE | re.DOTALL)
LESSON = "<!-- lesson -->"
SERVE = re.compile(r"bridge serve (?P<app>\S+\.py)")
VARYING = re.compile(r"\b[0-9a-f]{12}-[0-9a-f]+\b|\d+(,\d{3})*(\.\d+)?(e[+-]\d+)?")
BUF = ROOT / ".cache/buf/node_modules/.bin/buf"
"""Where `make check` installs it."""
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)[^)]*\)")


LESSONS = [page for page in PAGES if LESSON in page.read_text()]


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

    def option(self, name: str) -> str | None:
        """The value of an option that is written NAME=VALUE."""
        return next((option[len(name) + 1 :] for option in self.options if option.startswith(f"{name}=")), None)

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
    if words[:1] == ["buf"]:
        return find_buf() is not None
    return bool(words) and words[0] in {"bridge", "python"} and not ENDLESS.search(command.text)


def find_buf() -> str | None:
    """The buf command; where it is missing, it may be missing on a laptop, never in CI."""
    found = str(BUF) if BUF.exists() else shutil.which("buf")
    assert found or os.environ.get("CI") != "true", "buf is not installed; `make check` installs it, CI must have it"
    return found


def missing_line(shown: tuple[str, ...], output: str, *, varies: bool = False) -> str | None:
    """The first shown line that does not occur in the output behind the ones before it."""

    def comparable(line: str) -> str:
        return " ".join((VARYING.sub("0", line) if varies else line).split())

    lines = iter([comparable(line) for line in output.splitlines()])
    for line in shown:
        parts = (re.escape(part.strip()) for part in comparable(line).split("..."))
        pattern = re.compile(".*".join(parts))
        if line.strip() != "..." and not any(pattern.fullmatch(candidate) for candidate in lines):
            return line
    return None


def pages_blocks(*languages: str) -> list[Block]:
    found = [block for page in PAGES if page not in LESSONS for block in blocks(page.read_text(), page)]
    return [block for block in found if block.language in languages and "no-run" not in block.options]


class Shell:
    """Runs commands as a reader of the docs would, with `bridge` and `python` on the path."""

    def __init__(self, folder: Path) -> None:
        start = "import sys; from bridge.cli.main import main; sys.exit(main())"
        tools = {"python": shlex.quote(sys.executable)}
        tools["bridge"] = f"{shlex.quote(sys.executable)} -c {shlex.quote(start)}"
        if (buf := find_buf()) is not None:
            tools["buf"] = shlex.quote(buf)
        for name, command in tools.items():
            (folder / name).write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            (folder / name).chmod(0o755)
        self._environment = {
            **os.environ,
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "clients/python")]),
            "NO_COLOR": "1",
            "COLUMNS": "120",
        }

    def start(self, command: str, cwd: Path, address: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["/bin/sh", "-c", command.replace(DEFAULT_ADDRESS, address)],
            cwd=cwd,
            env={**self._environment, "BRIDGE_ADDRESS": address},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def check(self, block: Block, command: Command, cwd: Path, address: str, *, code: int) -> None:
        """Runs a command; fails where it ends with another status or does not print what is shown."""
        process = self.start(command.text, cwd, address)
        try:
            output, _ = process.communicate(timeout=COMMAND_S)
        finally:
            process.kill()
        check_end(block, command, process, as_default(output, address), code=code)

    def check_block(self, block: Block, cwd: Path, address: str) -> None:
        to_run = [command for command in commands(block) if runnable(command)]
        for command in to_run:
            self.check(block, command, cwd, address, code=block.exit_code if command is to_run[-1] else 0)

    def check_program(self, block: Block, cwd: Path, folder: Path, address: str) -> None:
        program = folder / "shown.py"
        program.write_text(block.body.replace(DEFAULT_ADDRESS, address))
        self.check(block, Command(text=f"python {shlex.quote(str(program))}"), cwd, address, code=block.exit_code)


def as_default(output: str, address: str) -> str:
    """The output as it would be if the server listened on the default address, which no command need name."""
    return output.replace(f" --address {address}", "").replace(address, DEFAULT_ADDRESS)


def check_end(block: Block, command: Command, process: subprocess.Popen[str], output: str, *, code: int) -> None:
    assert process.returncode == code, f"{block}: $ {command.text}\n{output}"
    missing = missing_line(command.shown, output, varies="varies" in block.options)
    assert missing is None, f"{block}: $ {command.text}\nshows {missing!r}, but the output is\n{output}"


@pytest.fixture(scope="session")
def shell(tmp_path_factory):
    return Shell(tmp_path_factory.mktemp("docs"))


@pytest.mark.parametrize("block", pages_blocks("console", "sh"), ids=str)
def test_shown_commands_run_and_print_what_is_shown(block, shell, server):
    shell.check_block(block, ROOT, server.address)


@pytest.mark.parametrize("block", pages_blocks("python"), ids=str)
def test_shown_programs_run(block, shell, server, tmp_path):
    shell.check_program(block, tmp_path, tmp_path, server.address)


class Lesson:
    """A page's story: its folder, and the server that it has started last."""

    def __init__(self, folder: Path, shell: Shell, start_server) -> None:
        self._folder = folder
        self._shell = shell
        self._start_server = start_server
        self._server = None

    def run(self, block: Block) -> None:
        if name := block.option("file") or block.option("append"):
            with (self._folder / name).open("a" if block.option("append") else "w") as file:
                file.write(block.body)
        elif "killed" in block.options:
            self._kill(block)
        elif block.language in ("console", "sh"):
            for command in commands(block):
                if serve := SERVE.fullmatch(command.text):
                    self._serve(serve["app"])
            self._shell.check_block(block, self._folder, self._address)
        elif block.language == "python":
            self._shell.check_program(block, self._folder, self._folder, self._address)

    @property
    def _address(self) -> str:
        return self._server.address if self._server else DEFAULT_ADDRESS

    def _serve(self, app: str) -> None:
        if self._server is not None:
            assert self._server.terminate() == 0
        config = self._folder / "bridge.toml"
        text = config.read_text() if config.exists() else ""
        # A reader starts the server in the folder, the fixture starts it elsewhere.
        text = re.sub(r'"(\w+\.(?:py|json))"', lambda match: f'"{self._folder / match[1]}"', text)
        if (lock := self._folder / "bridge.proto.lock").exists():
            text += f'\n[typed]\nlock = "{lock}"\n'
        self._server = self._start_server(self._folder / app, text)

    def _kill(self, block: Block) -> None:
        """Runs the block's command, kills the process that its first line names, and checks how it ends."""
        (command,) = [command for command in commands(block) if runnable(command)]
        process = self._shell.start(command.text, self._folder, self._address)
        try:
            first = process.stdout.readline()
            pid = int(re.findall(r"\d+", first)[-1])
            assert pid in [worker.pid for worker in self._server.workers()], first
            os.kill(pid, signal.SIGKILL)
            rest, _ = process.communicate(timeout=COMMAND_S)
        finally:
            process.kill()
        check_end(block, command, process, as_default(first + rest, self._address), code=block.exit_code)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", LESSONS, ids=lambda page: str(page.relative_to(ROOT)))
def test_lessons_work_from_start_to_end(page, shell, start_server, tmp_path):
    folder = tmp_path / "lesson"
    folder.mkdir()
    lesson = Lesson(folder, shell, start_server)
    for block in blocks(page.read_text(), page):
        if "no-run" not in block.options:
            lesson.run(block)


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


def test_the_life_of_a_worker_is_drawn_from_its_table():
    page = ROOT / "docs/explanation/pool.md"
    (drawn,) = [block.body for block in blocks(page.read_text(), page) if block.language == "mermaid"]
    assert drawn.strip() == lifecycle.diagram()


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


def test_numbers_may_vary_where_a_block_says_so():
    shown, output = ("time: total 8.4 ms, request 0123456789ab-2f",), "time: total 12 ms, request ba9876543210-3\n"
    assert missing_line(shown, output) == shown[0]
    assert missing_line(shown, output, varies=True) is None
    assert missing_line(("time: total 8.4 s",), "time: total 8.4 ms", varies=True) is not None


@pytest.mark.parametrize("text", ["bridge serve app.py", "bridge demo", "bridge top", "make test", "pip install x", ""])
def test_commands_that_do_not_end_are_not_run(text):
    assert not runnable(Command(text=text))


def test_shown_lines_must_occur_in_order():
    output = "one\nworker 12 took 3 ms\nthree\n"
    assert missing_line(("one", "worker ... took ... ms", "...", "three"), output) is None
    assert missing_line(("three", "one"), output) == "one"
    assert missing_line(("on",), output) == "on"
