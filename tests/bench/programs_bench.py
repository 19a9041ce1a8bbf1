"""Measures what the bridge adds to a DSPy program, and how many calls a worker runs at a time: a part of `run.py`.

`python tests/bench/programs_bench.py [--rounds N]` starts a model that answers with one fixed text over HTTP, the
program in plain Python, and one server with one worker for programs, where a client creates the same program.

- `program_p50`: median time of a call through the bridge, client included / of the same call in plain Python; one at a
  time, the model answers at once. Rounds are interleaved.
- `program_concurrency`: calls/s with 64 callers and a model that takes 1 s / 64.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(ROOT))

import grpc  # noqa: E402
import grpc.aio  # noqa: E402
from plain_program import QUESTION  # noqa: E402
from results import Value, commit, machine, median_of, missed, show, write  # noqa: E402
from rich.console import Console  # noqa: E402
from targets import TargetError, process  # noqa: E402

from bridge.v1 import program_pb2 as pb  # noqa: E402
from bridge.v1.common_pb2 import Payload  # noqa: E402

CALLERS = 64
ROUNDS, CALLS = 9, 60
WARM_CALLS = 100
SECONDS = 8.0
MODEL_MS = 1000
PATH = "/bridge.v1.ProgramService/"
CONFIG = """\
[models.default]
model = "openai/stub-0"
api_base = "{base}"
api_key = "literal:none"
max_retries = 0

[models.slow]
model = "openai/stub-{slow_ms}"
api_base = "{base}"
api_key = "literal:none"
max_retries = 0

[pools.general]
size = 0

[pools.llm]
size = 1
concurrency = 64

[pools.embeddings]
size = 0
"""


class Plain:
    """The program in a process of its own."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    def times(self, calls: int) -> list[float]:
        """Seconds that each of so many calls took."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{calls}\n")
        self._child.stdin.flush()
        found: list[float] = json.loads(self._child.stdout.readline())
        return found


@contextmanager
def plain_program(base: str) -> Iterator[Plain]:
    command = [sys.executable, str(HERE / "plain_program.py"), base]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        if child.stdout.readline() != "ready\n":
            raise TargetError("the program in plain Python did not start")
        try:
            yield Plain(child)
        finally:
            child.kill()


@contextmanager
def server(folder: Path, base: str) -> Iterator[str]:
    """Yields the address of a server on which the program has been created."""
    (folder / "app.py").write_text('"""An app without functions of its own."""\n')
    (folder / "bridge.toml").write_text(CONFIG.format(base=base, slow_ms=MODEL_MS))
    code = "import sys; from bridge.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "serve", str(folder / "app.py")]
    command += ["--config", str(folder / "bridge.toml"), "--json", "--address", "127.0.0.1:0"]
    with process("programs", command, folder) as (first, _):
        address = json.loads(first)["address"]
        with grpc.insecure_channel(address) as channel:
            source = pb.ProgramSource(signature="question -> answer")
            request = pb.CreateProgramRequest(program="answers", source=source)
            channel.unary_unary(f"{PATH}CreateProgram")(request.SerializeToString(), timeout=60)
        yield address


def request(model: str = "") -> bytes:
    inputs = Payload(json=json.dumps({"question": QUESTION}))
    return pb.RunRequest(program="answers", inputs=inputs, model=model).SerializeToString()


def times(address: str, calls: int) -> list[float]:
    """Seconds that each of so many calls took through the bridge, one at a time."""
    message, found = request(), []
    with grpc.insecure_channel(address) as channel:
        run = channel.unary_unary(f"{PATH}Run")
        for _ in range(calls):
            began = time.perf_counter()
            run(message, timeout=60)
            found.append(time.perf_counter() - began)
    return found


async def rate(address: str, seconds: float) -> float:
    """Calls/s of 64 callers with the slow model, after each has had its first answer; they begin over one second."""
    message, ended = request("slow"), []
    async with grpc.aio.insecure_channel(address) as channel:
        run = channel.unary_unary(f"{PATH}Run")
        stop = asyncio.get_running_loop().time() + seconds + 2 * MODEL_MS / 1000

        async def caller(number: int) -> None:
            await asyncio.sleep(number / CALLERS)
            while asyncio.get_running_loop().time() < stop:
                await run(message, timeout=60)
                ended.append(asyncio.get_running_loop().time())

        await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    last = stop
    first = last - seconds
    return sum(first <= at < last for at in ended) / seconds


def figures(console: Console, rounds: int = ROUNDS) -> dict[str, Value]:
    """Measure. Raises TargetError where something does not start."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stub = [sys.executable, str(HERE / "model_stub.py")]
        base = stack.enter_context(process("model", stub, folder))[0].strip()
        plain = stack.enter_context(plain_program(base))
        address = stack.enter_context(server(folder, base))
        plain.times(WARM_CALLS)
        times(address, WARM_CALLS)
        ratios = []
        for number in range(rounds):
            alone, through = plain.times(CALLS), times(address, CALLS)
            if number % 2:
                alone = plain.times(CALLS)
            own, bridged = statistics.median(alone), statistics.median(through)
            ratios.append(bridged / own)
            console.print(
                f"Round {number + 1} of {rounds}, median of a call: plain {own * 1e3:.2f} ms, "
                f"bridge {bridged * 1e3:.2f} ms, {bridged / own:.2f}"
            )
        rates = [asyncio.run(rate(address, SECONDS)) for _ in range(3)]
    shown = ", ".join(f"{one:.1f}" for one in rates)
    console.print(f"{CALLERS} callers, a model of {MODEL_MS} ms, one worker: {shown} calls/s")
    return {
        "program_p50": median_of(ratios),
        "program_concurrency": median_of([one * MODEL_MS / 1000 / CALLERS for one in rates]),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what the bridge adds to a DSPy program.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds ({ROUNDS})")
    parser.add_argument("--out", type=Path, default=ROOT / "bench.json", help="where to write the figures")
    parser.add_argument("--gate", action="store_true", help="exit with 1 where a target is missed")
    options = parser.parse_args()
    console = Console()
    values = figures(console, options.rounds)
    show(console, values, {})
    write(options.out, values, commit=commit(ROOT), machine=machine("grpc"))
    return 1 if options.gate and missed(values) else 0


if __name__ == "__main__":
    sys.exit(main())
