"""Where each key of a TOML text stands. The standard library's parser gives values without positions.

A small scanner for text that `tomllib` has accepted, or refused for a duplicate key. Owns the table of positions of
one text. Must not know what the keys mean. Paths are tuples of strings; elements of arrays are named by their index.
"""

from __future__ import annotations

import bisect
import contextlib
import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Path = tuple[str, ...]

_BARE = re.compile(r"[^\s=.\]\[{}#,\"']+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]}\n#]*")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text; both count from 1, columns in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Positions:
    """The keys of one text and the keys that were given again."""

    keys: dict[Path, Position] = field(default_factory=dict)
    duplicates: list[tuple[Path, Position]] = field(default_factory=list)


class _Confused(Exception):
    """The text is not what the scanner understands; what it has found so far stays valid."""


def find_positions(text: str) -> Positions:
    """Return the position of every key of `text`. Text that is not TOML gives the positions up to the first error."""
    scanner = _Scanner(text)
    with contextlib.suppress(_Confused, RecursionError):
        scanner.scan()
    return scanner.found


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.line_starts = [0, *(match.end() for match in re.finditer("\n", self.text))]
        self.table: Path = ()
        self.arrays: dict[Path, int] = {}
        self.declared: set[Path] = set()
        self.found = Positions()

    def scan(self) -> None:
        while True:
            self._skip(_BLANK)
            if self.at >= len(self.text):
                return
            if self.text[self.at] == "[":
                self._header()
            else:
                self._pair(self.table)

    def _header(self) -> None:
        start = self.at
        is_array = self.text.startswith("[[", start)
        self.at += 2 if is_array else 1
        path = self._inside_arrays(self._dotted_key(), last=not is_array)
        self._expect("]]" if is_array else "]")
        if is_array:
            index = self.arrays.get(path, -1) + 1
            self.arrays[path] = index
            self._record(path, start)
            path = (*path, str(index))
        elif path in self.declared:
            self.found.duplicates.append((path, self._position(start)))
        self.declared.add(path)
        self._record(path, start)
        self.table = path

    def _inside_arrays(self, names: Path, *, last: bool) -> Path:
        """Point through arrays of tables: `[a.b]` after `[[a]]` means the last element of `a`."""
        path: Path = ()
        for number, name in enumerate(names, 1):
            path = (*path, name)
            if path in self.arrays and (last or number < len(names)):
                path = (*path, str(self.arrays[path]))
        return path

    def _pair(self, table: Path) -> None:
        start = self.at
        names = self._dotted_key()
        path = (*table, *names)
        for length in range(len(table) + 1, len(path)):
            self._record(path[:length], start)
        if path in self.found.keys and path not in self.arrays:
            self.found.duplicates.append((path, self._position(start)))
        self._record(path, start)
        self._expect("=")
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        if string := _STRING.match(self.text, self.at):
            self.at = string.end()
        elif self.text.startswith("{", self.at):
            self._items("}", lambda _: self._pair(path))
        elif self.text.startswith("[", self.at):
            self._items("]", lambda index: self._element((*path, str(index))))
        else:
            self._skip(_SCALAR)

    def _element(self, path: Path) -> None:
        self._record(path, self.at)
        self._value(path)

    def _items(self, close: str, item: Callable[[int], None]) -> None:
        self.at += 1
        index = 0
        while True:
            self._skip(_BLANK)
            if self.text.startswith(close, self.at):
                self.at += 1
                return
            before = self.at
            item(index)
            index += 1
            self._skip(_BLANK)
            if self.text.startswith(",", self.at):
                self.at += 1
            elif self.at == before or not self.text.startswith(close, self.at):
                raise _Confused

    def _dotted_key(self) -> Path:
        names = []
        while True:
            self._skip(_SPACE)
            names.append(self._key())
            self._skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return tuple(names)
            self.at += 1

    def _key(self) -> str:
        match = _STRING.match(self.text, self.at) or _BARE.match(self.text, self.at)
        if match is None:
            raise _Confused
        self.at = match.end()
        word = match.group()
        if word[0] not in "\"'":
            return word
        try:
            return str(tomllib.loads(f"key = {word}")["key"])
        except tomllib.TOMLDecodeError:
            raise _Confused from None

    def _expect(self, mark: str) -> None:
        if not self.text.startswith(mark, self.at):
            raise _Confused
        self.at += len(mark)

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def _record(self, path: Path, start: int) -> None:
        self.found.keys.setdefault(path, self._position(start))

    def _position(self, start: int) -> Position:
        line = bisect.bisect_right(self.line_starts, start)
        return Position(line, start - self.line_starts[line - 1] + 1)
