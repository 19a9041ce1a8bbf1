"""Takes the flame graphs of docs/performance.md: front and worker under load, by py-spy, into docs/flames.

`python tests/bench/flames.py [--seconds N]` prints whose code the samples were in. Needs py-spy, h2load and the right
to trace other processes; `bridge profile` shows the same of any running server, with less left out.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(1, str(ROOT))

import grpc  # noqa: E402
from flame_graph import fold, read, share_of, shares, svg  # noqa: E402
from generators import H2load  # noqa: E402
from scenarios import CONTENDERS, LARGE_BYTES, SMALL_BYTES  # noqa: E402
from targets import Target, bridge, verify  # noqa: E402

from bridge.v1 import pool_pb2, pool_pb2_grpc  # noqa: E402

RATE = 50
"""Samples a second: each stops the process while its stack is read, so that more would be seen in what is measured."""
LOADED_BEFORE_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One graph: whose process, under which load."""

    name: str
    process: str
    size: int
    concurrency: int
    title: str


PICTURES = (
    Picture(name="front", process="front", size=SMALL_BYTES, concurrency=16, title="The front, 16 echoes of 100 bytes"),
    Picture(
        name="worker", process="worker", size=SMALL_BYTES, concurrency=16, title="The worker, 16 echoes of 100 bytes"
    ),
    Picture(name="front-1mib", process="front", size=LARGE_BYTES, concurrency=4, title="The front, 4 echoes of 1 MiB"),
    Picture(
        name="worker-1mib", process="worker", size=LARGE_BYTES, concurrency=4, title="The worker, 4 echoes of 1 MiB"
    ),
)
LOOK_FOR = ("Channel.send", "Channel._readable", "recv", "sendmsg", "rss_pages")
"""Functions whose share is printed."""


def worker_pid(address: str) -> int:
    with grpc.insecure_channel(address) as channel:
        request = pool_pb2.PoolServiceGetRequest(name="general")
        pool = pool_pb2_grpc.PoolServiceStub(channel).Get(request, timeout=20).pool
    return int(pool.workers[0].pid)


def record(pid: int, seconds: float, folder: Path) -> str:
    """The stacks of a process, as py-spy writes them."""
    program = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or "py-spy"
    out = folder / "stacks"
    command = [program, "record", "--native", "--pid", str(pid), "--duration", f"{seconds:.0f}", "--rate", str(RATE)]
    subprocess.run([*command, "--format", "raw", "--output", str(out)], capture_output=True, text=True, check=True)
    return out.read_text()


def take(picture: Picture, target: Target, seconds: float, folder: Path) -> None:
    request, reply = target.contender.request(picture.size), target.contender.response(picture.size)
    verify(target, picture.size)
    arguments = (target.address, request, len(reply), picture.concurrency, seconds + 2 * LOADED_BEFORE_S + 2)
    load = threading.Thread(target=H2load().run, args=arguments)
    load.start()
    load.join(LOADED_BEFORE_S)
    pid = target.pid if picture.process == "front" else worker_pid(target.address)
    tree = fold(read(record(pid, seconds, folder)))
    load.join()
    out = ROOT / "docs/flames" / f"{picture.name}.svg"
    out.parent.mkdir(exist_ok=True)
    out.write_text(svg(tree, f"{picture.title} in flight"))
    print(f"{out.relative_to(ROOT)}: {tree.count} samples, {out.stat().st_size >> 10} KiB")
    print("   ", ", ".join(f"{name} {share:.0%}" for name, share in shares(tree).items()))
    print("   ", ", ".join(f"{text} {share:.0%}" for text in LOOK_FOR if (share := share_of(tree, text)) > 0.005))


def main() -> int:
    parser = argparse.ArgumentParser(description="Take the flame graphs of docs/performance.md.")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to look at each (30)")
    parser.add_argument("--only", action="append", choices=[one.name for one in PICTURES], help="only this one")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address, pid = stack.enter_context(bridge(folder, 1))
        target = Target(contender=CONTENDERS["pooled"], address=address, pid=pid)
        for picture in PICTURES:
            if not options.only or picture.name in options.only:
                take(picture, target, options.seconds, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
