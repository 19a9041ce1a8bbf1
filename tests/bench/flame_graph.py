"""From stacks that py-spy has sampled to a small flame graph: waiting left out, C libraries in one frame each.

Pure: text in, text out. A stack is a tuple of frames, the outermost first. What is written is one static SVG without
scripts, the way from the event loop (or the worker's loop) down; each frame's title says its share.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

WIDTH, ROW, CHARACTER = 1200, 18, 6.7
LEAST_PX = 1.0
"""Narrower frames are not drawn."""
ROOTS = ("Loop__Loop__run", "run_forever", "Thread.run", "run (pool/child.py", "serve (pool/child_async.py")
"""What lies above these is how the process was started."""
WAITS = ("epoll_pwait", "epoll_wait", "poll", "ppoll", "select", "PyThread_acquire_lock_timed", "sem_wait")
"""C functions in which a thread waits."""
_FRAME = re.compile(r"^(?P<name>.*?) \((?P<file>[^()]*)\)$")
_UVLOOP = re.compile(r"^(loop|core|linux|loop-watcher|queue|stream|poll|timer|async|epoll)\.(c|h)$|uvloop|libuv")
_LINE = re.compile(r":\d+$")


class Owner(NamedTuple):
    """Whose code a frame is, and its colour."""

    name: str
    colour: str


GRPC = Owner("grpcio", "#9db8d9")
LOOP = Owner("uvloop, asyncio", "#c3b5dc")
KERNEL = Owner("kernel", "#c9c9c9")
PYTHON = Owner("CPython", "#e3dcc8")
FRONT = Owner("bridge", "#f2a65a")
POOL = Owner("pool", "#86c28b")
WORK = Owner("handlers", "#e8cf5b")
OTHER = Owner("other", "#dddddd")
OWNERS = (GRPC, LOOP, KERNEL, FRONT, POOL, WORK, PYTHON, OTHER)


class Frame(NamedTuple):
    """One function, or all of a C library."""

    label: str
    owner: Owner


@dataclass(slots=True)
class Node:
    """A frame in the tree, with the samples in it and below it."""

    frame: Frame
    count: int = 0
    below: dict[Frame, Node] = field(default_factory=dict)


def read(raw: str) -> Counter[tuple[str, ...]]:
    """Return the stacks of `py-spy record --format raw`, each with its samples."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        stacks[tuple(stack.split(";"))] += int(count)
    return stacks


def waits(stack: Sequence[str]) -> bool:
    """Whether a thread waits for something to do. One that waits for the GIL has something to do."""
    if any("take_gil" in frame for frame in stack):
        return False
    return any(frame.split(" (", 1)[0] in WAITS for frame in stack[-4:])


def owner_of(file: str) -> Owner:
    if "cygrpc" in file or file.startswith("grpc/"):
        return GRPC
    for folder, owner in (("bridge/", FRONT), ("pool/", POOL), ("handlers/", WORK)):
        if file.startswith(folder):
            return owner
    if file.startswith(("asyncio/", "uvloop/")) or "_asynciomodule" in file:
        return LOOP
    if file.startswith("libc.so"):
        return KERNEL
    if _UVLOOP.search(file):
        return LOOP
    if re.search(r"\.(c|h)$|libpython", file):
        return PYTHON
    return OTHER


def clean(stack: Sequence[str]) -> list[Frame]:
    """Return what is worth showing of a stack: from its loop on, without glue and addresses."""
    start = max((index + 1 for index, frame in enumerate(stack) if frame.startswith(ROOTS)), default=0)
    found: list[Frame] = []
    for frame in stack[start:]:
        match = _FRAME.match(frame)
        name, file = (match["name"], _LINE.sub("", match["file"])) if match else (frame, "")
        owner = owner_of(file)
        if owner in (GRPC, LOOP, PYTHON) and not file.endswith(".py"):
            name, file = owner.name, ""
        elif name.startswith("0x"):
            continue
        label = f"{name} ({file})" if file and owner is not KERNEL else name
        if found and (found[-1].owner is owner) and not file:
            continue  # deeper in the same library
        found.append(Frame(label, owner))
    return [frame for index, frame in enumerate(found) if frame.owner is not PYTHON or index == len(found) - 1]


def fold(stacks: Counter[tuple[str, ...]]) -> Node:
    """Return the tree of all stacks that do not wait."""
    root = Node(Frame("all that does not wait", OTHER))
    for stack, count in stacks.items():
        if waits(stack):
            continue
        node = root
        node.count += count
        for frame in clean(stack):
            node = node.below.setdefault(frame, Node(frame))
            node.count += count
    return root


def shares(root: Node) -> dict[str, float]:
    """Return the share of the samples by owner. What the kernel does is counted for who asked for it."""
    own: Counter[str] = Counter()

    def visit(node: Node, owner: Owner) -> None:
        if node.frame.owner not in (KERNEL, PYTHON):
            owner = node.frame.owner
        own[owner.name] += node.count - sum(child.count for child in node.below.values())
        for child in node.below.values():
            visit(child, owner)

    visit(root, OTHER)
    return {name: count / root.count for name, count in own.most_common() if count}


def share_of(root: Node, text: str) -> float:
    """Return the share of the samples that have a frame with the text in its label, once however deep."""

    def inside(nodes: Iterable[Node]) -> int:
        return sum(node.count if text in node.frame.label else inside(node.below.values()) for node in nodes)

    return inside(root.below.values()) / root.count if root.count else 0.0


def svg(root: Node, title: str) -> str:
    """Return the graph. Widths are shares of the samples."""
    scale = WIDTH / max(1, root.count)
    parts: list[str] = []
    deepest = 0

    def draw(node: Node, x: float, depth: int) -> None:
        nonlocal deepest
        width = node.count * scale
        if width < LEAST_PX:
            return
        deepest = max(deepest, depth)
        y = 44 + depth * ROW
        said = f"{node.frame.label}: {100 * node.count / root.count:.1f} %"
        parts.append(
            f'<g><title>{escape(said)}</title><rect x="{x:.1f}" y="{y}" width="{max(0.5, width - 0.6):.1f}" '
            f'height="{ROW - 1}" rx="2" fill="{node.frame.owner.colour}"/>{_text(node.frame.label, x, y, width)}</g>'
        )
        for child in sorted(node.below.values(), key=lambda one: one.frame.label):
            draw(child, x, depth + 1)
            x += child.count * scale

    draw(root, 0.0, 0)
    height = 44 + (deepest + 1) * ROW + 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="monospace" font-size="11"><rect width="{WIDTH}" height="{height}" fill="#fff"/>'
        f'<text x="4" y="16" font-size="14">{escape(title)}</text>{_legend()}{"".join(parts)}</svg>\n'
    )


def _text(label: str, x: float, y: float, width: float) -> str:
    room = int((width - 6) / CHARACTER)
    if room < 3:
        return ""
    shown = label if len(label) <= room else label[: room - 1] + "…"
    return f'<text x="{x + 3:.1f}" y="{y + 12}">{escape(shown)}</text>'


def _legend() -> str:
    parts, x = [], 4.0
    for owner in OWNERS:
        parts.append(f'<rect x="{x:.0f}" y="24" width="11" height="11" rx="2" fill="{owner.colour}"/>')
        parts.append(f'<text x="{x + 15:.0f}" y="34">{escape(owner.name)}</text>')
        x += 34 + CHARACTER * len(owner.name)
    return "".join(parts)
