"""What commands write: results to stdout, everything else to stderr; for people or, with `--json`, for machines.

Owns the two consoles of one command. Text from a server is cleaned of terminal control codes before it is shown.
"""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rich.console import Console, RenderableType
    from rich.table import Table

    from bridge.cli.failures import Failure

PIPE_WIDTH = 160
"""Columns for tables where no terminal says how wide it is."""

_FATAL, _STACK = "Fatal Python error", "(most recent call first):"
"""How faulthandler begins what it writes of a process that dies, and its stacks."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean(text: str) -> str:
    """Return text without control codes, which could rewrite what a terminal shows."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n"))


def as_json(value: Any, *, pretty: bool = False) -> str:
    """Return a value as JSON text, in one line unless `pretty`."""
    separators = None if pretty else (",", ":")
    text = json.dumps(value, ensure_ascii=False, indent=2 if pretty else None, separators=separators)
    return re.sub(r"[\x7f-\x9f]", lambda match: f"\\u{ord(match[0]):04x}", text)


class Output:
    """The streams of one command."""

    def __init__(self, *, machine: bool) -> None:
        self.machine = machine
        # Python has None here where the descriptor was closed before it started.
        if sys.stdout is None:
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (lives as long as the process)
        if sys.stderr is None:
            sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115
        for stream in (sys.stdout, sys.stderr):
            if reconfigure := getattr(stream, "reconfigure", None):
                reconfigure(errors="backslashreplace")

    @cached_property
    def console(self) -> Console:
        """The console for results."""
        return self._console(stderr=False)

    @cached_property
    def side(self) -> Console:
        """The console for everything else."""
        return self._console(stderr=True)

    @staticmethod
    def _console(*, stderr: bool) -> Console:
        from rich.console import Console

        stream = sys.stderr if stderr else sys.stdout
        width = None if stream.isatty() else PIPE_WIDTH
        return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)

    def line(self, text: str = "") -> None:
        """Write one line to stdout, whole, at once."""
        print(text, flush=True)

    def json(self, value: Any) -> None:
        """Write a value to stdout as one line of JSON."""
        self.line(as_json(value))

    def value(self, value: Any) -> None:
        """Write a result: indented JSON for people, one line for machines."""
        self.line(as_json(value, pretty=not self.machine))

    def show(self, what: RenderableType) -> None:
        """Write a table, panel or text to stdout."""
        self.console.print(what)

    def note(self, text: str) -> None:
        """Write a remark to stderr; silent for machines, and where stderr can not be written."""
        if not self.machine:
            with suppress(OSError):
                print(text, file=sys.stderr, flush=True)

    @staticmethod
    def give_up() -> None:
        """Write no more to stdout, which has failed: what it still holds would fail once more at the end."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    @contextmanager
    def waiting(self, text: str) -> Iterator[Callable[[], None]]:
        """Say what is being waited for, with a spinner on a terminal; yields what ends the spinner early."""
        if self.machine or not sys.stderr.isatty():
            self.note(text)
            yield lambda: None
            return
        with self.side.status(text) as status:
            yield status.stop

    def failure(self, failure: Failure) -> None:
        """Write why the command has failed, to stderr."""
        if self.machine:
            print(as_json(failure.as_fields()), file=sys.stderr, flush=True)
            return
        from rich.text import Text

        self.side.print(Text.assemble(("error: ", "bold red"), clean(failure.message)), soft_wrap=True)
        for line in failure.lines:
            self.side.print(Text("  " + clean(line)), soft_wrap=True)


def table(columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """Return a plain table. Cells are text from anywhere, so they are cleaned and never read as markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(clean(str(cell))) for cell in row))
    return made


def last_words(stderr: str, most: int) -> list[str]:
    """Return the lines of a dead worker's stderr that say most: the top of the stack of a fatal error, or the last."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    for begin, line in enumerate(lines):
        if line.startswith(_FATAL) or line.endswith(_STACK):
            return lines[begin : begin + most]
    return lines[-most:]


def duration(seconds: float) -> str:
    """Return seconds in words that fit a table: 0.4 ms, 12 s, 3 min, 2 h."""
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    for unit, size in (("s", 1), ("min", 60), ("h", 3600)):
        if seconds < size * (120 if unit != "h" else 48):
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86400:.3g} d"


def size(count: int) -> str:
    """Return bytes with a binary unit: 512 MiB."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if abs(amount) < 1024:
            return f"{amount:.4g} {unit}"
        amount /= 1024
    return f"{amount:.4g} GiB"
