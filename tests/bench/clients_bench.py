"""Measures what each client costs on top of the bare generated stub of its language: a part of `run.py`.

`python tests/bench/clients_bench.py [--rounds N] [--language NAME]` starts one server with the demo app and lets the
program of each language that is present call it: clients/LANGUAGE/bench/overhead*. Given an address and a number of
calls, such a program makes them through its client and through the stub in turns, and prints both medians as one JSON
line. A figure is the median over the rounds of client / stub; in each round the languages take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT))

from results import Value, commit, machine, median_of, missed, show, write  # noqa: E402
from rich.console import Console  # noqa: E402
from targets import TargetError, bridge  # noqa: E402

CLIENTS = ROOT / "clients"
ROUNDS, CALLS = 9, 1000
RUN_S, BUILD_S = 120.0, 600.0
MISSING = 3
WORKERS = 2
MISSING_STATUS = 3
"""What a step ends with where something is missing, which its last line names."""


class Failed(TargetError):
    """A command that has ended with another status than 0."""

    def __init__(self, message: str, status: int, output: str) -> None:
        super().__init__(message)
        self.status, self.output = status, output


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The overhead program of one client."""

    figure: str
    language: str
    tool: str
    """The command that must be installed, or the path of the interpreter."""
    source: str
    """Where it is, below the client's folder."""
    command: tuple[str, ...]
    """How it is run in the client's folder; `{out}` is a folder of its own. Address and calls follow."""
    build: tuple[tuple[str, ...], ...] = ()
    """What makes it runnable."""
    needs: str = ""
    """A file below the client's folder without which it can not be built."""
    probe: tuple[str, ...] = ()
    """A command in the client's folder that ends with status 3, and says what is missing, where it can not be built."""

    def absent(self) -> str:
        """What is missing to run it; empty where nothing is."""
        folder = CLIENTS / self.language
        if not (folder / self.source).exists():
            return f"no clients/{self.language}/{self.source}"
        if shutil.which(self.tool) is None:
            return f"{self.tool} is not installed"
        if not (folder / self.needs).exists():
            return f"clients/{self.language}/{self.needs} is missing"
        if not self.probe:
            return ""
        done = subprocess.run(self.probe, cwd=folder, capture_output=True, text=True, timeout=BUILD_S, check=False)
        return done.stderr.strip() if done.returncode == MISSING else ""


PROGRAMS = (
    Program(
        figure="client_python_p50",
        language="python",
        tool=sys.executable,
        source="bench/overhead.py",
        command=(sys.executable, "bench/overhead.py"),
    ),
    Program(
        figure="client_python_async_p50",
        language="python",
        tool=sys.executable,
        source="bench/overhead.py",
        command=(sys.executable, "bench/overhead.py", "--async"),
    ),
    Program(
        figure="client_typescript_p50",
        language="typescript",
        tool="node",
        source="bench/overhead.mjs",
        command=("node", "bench/overhead.mjs"),
        build=(("npm", "run", "--silent", "build"),),
        needs="node_modules",
    ),
    Program(
        figure="client_go_p50",
        language="go",
        tool="go",
        source="bench/overhead",
        command=("{out}/overhead",),
        build=(("sh", "tool.sh", "build", "-o", "{out}/overhead", "./bench/overhead"),),
        probe=("sh", "tool.sh", "list", "."),
    ),
    Program(
        figure="client_elixir_p50",
        language="elixir",
        tool="mix",
        source="bench/overhead.exs",
        command=("mix", "run", "--no-compile", "bench/overhead.exs"),
        build=(("sh", "conformance/prepare.sh"),),
    ),
)
FIGURES = tuple(program.figure for program in PROGRAMS)


def execute(program: Program, words: tuple[str, ...], out: Path, timeout_s: float) -> str:
    """Runs a command in the client's folder and returns its output. Raises TargetError where it fails."""
    command = [word.format(out=out) for word in words]
    path = os.pathsep.join([str(ROOT), str(CLIENTS / "python")])
    try:
        done = subprocess.run(
            command,
            cwd=CLIENTS / program.language,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TargetError(f"{program.figure}: {' '.join(command)} ran for more than {timeout_s:.0f} s") from error
    if done.returncode != 0:
        shown = f"{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
        told = f"{program.figure}: {' '.join(command)} ended with {done.returncode}:\n{shown}"
        raise Failed(told, done.returncode, f"{done.stdout}\n{done.stderr}")
    return done.stdout


def ratio(line: str, name: str) -> tuple[float, float]:
    """The medians of client and stub in milliseconds, from a program's last line. Raises TargetError."""
    try:
        found = json.loads(line)
        client, stub = float(found["client_p50_ms"]), float(found["stub_p50_ms"])
    except (ValueError, KeyError, TypeError) as error:
        raise TargetError(f"{name}: expected a line with client_p50_ms and stub_p50_ms, got {line[:200]!r}") from error
    if not 0 < client < float("inf") or not 0 < stub < float("inf"):
        raise TargetError(f"{name}: expected times above 0, got {line[:200]!r}")
    return client, stub


def ready(programs: tuple[Program, ...], folder: Path, console: Console) -> Iterator[tuple[Program, Path]]:
    """Those that can run here, built, each with its folder; says what is missing of the others."""
    for program in programs:
        out = folder / program.figure
        out.mkdir()
        if why := program.absent() or built(program, out):
            console.print(f"{program.figure} is left out: {why}", markup=False)
            continue
        yield program, out


def built(program: Program, out: Path) -> str:
    """Builds a program. Returns what is missing, where a step says so; raises TargetError where one fails otherwise."""
    try:
        for step in program.build:
            execute(program, step, out, BUILD_S)
    except Failed as error:
        if error.status != MISSING_STATUS:
            raise
        return (error.output.strip().splitlines() or ["something is missing"])[-1]
    return ""


def figures(
    console: Console, rounds: int = ROUNDS, calls: int = CALLS, programs: tuple[Program, ...] = PROGRAMS
) -> dict[str, Value]:
    """Measure the clients whose language is present. Raises TargetError where one fails."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        present = [*ready(programs, folder, console)]
        source = (ROOT / "examples/demo_app.py").read_text()
        address, _ = stack.enter_context(bridge(folder, WORKERS, "clients", source))
        ratios: dict[str, list[float]] = {program.figure: [] for program, _ in present}
        for number in range(rounds):
            shown = []
            turn = number % len(present) if present else 0
            for program, out in present[turn:] + present[:turn]:
                output = execute(program, (*program.command, address, str(calls)), out, RUN_S)
                client, stub = ratio((output.strip().splitlines() or [""])[-1], program.figure)
                ratios[program.figure].append(client / stub)
                shown.append(f"{program.figure} {client:.3f} / {stub:.3f} ms = {client / stub:.2f}")
            console.print(f"Round {number + 1} of {rounds}: {'; '.join(sorted(shown))}", markup=False)
    return {name: median_of(found) for name, found in ratios.items() if found}


def main() -> int:
    languages = sorted({program.language for program in PROGRAMS})
    parser = argparse.ArgumentParser(description="Measure each client against the bare stub of its language.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds ({ROUNDS})")
    parser.add_argument("--calls", type=int, default=CALLS, help=f"calls of each way in a round ({CALLS})")
    parser.add_argument("--language", action="append", choices=languages, help="only this one; may be repeated")
    parser.add_argument("--out", type=Path, default=ROOT / "bench.json", help="where to write the figures")
    parser.add_argument("--gate", action="store_true", help="exit with 1 where a target is missed")
    options = parser.parse_args()
    console = Console()
    wanted = tuple(one for one in PROGRAMS if not options.language or one.language in options.language)
    values = figures(console, options.rounds, options.calls, wanted)
    show(console, values, {})
    write(options.out, values, commit=commit(ROOT), machine=machine("each client's own program"))
    return 1 if options.gate and missed(values) else 0


if __name__ == "__main__":
    sys.exit(main())
