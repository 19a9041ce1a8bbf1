"""JSON that is still written, read as far as it has come: values that only grow, and the elements of a list when whole.

Owns the text of one answer while it arrives in pieces. Pure; linear in the length of the text but for `value`, which
reads all of it again. Text before the first bracket is skipped, text after the value is ignored.
"""

from __future__ import annotations

import json
import re
from typing import Any

_PLAIN = re.compile(r'[^"\\]+')
_START = re.compile(r"[{\[]")
_SPACE = frozenset(" \t\r\n")
_CLOSING = {"{": "}", "[": "]"}
_ESCAPE = re.compile(r"\\(?:[^u]|u[0-9a-fA-F]{4})")
_HIGH_SURROGATE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}")
_LONGEST_ESCAPE = 12
MISSING = object()
"""What `value` returns while there is nothing yet."""


class GrowingJson:
    """One value, an object or a list at its top. What is no JSON ends its growth: `broken` says so."""

    def __init__(self) -> None:
        self.broken = False
        self._text = ""
        self._at = 0
        self._open: list[str] = []
        self._started = False
        self._in_string = self._in_key = self._in_atom = False
        self._expects_key = False
        self._safe = 0
        """Up to here the text is JSON once what is open is closed: nothing that may still change lies before it."""
        self._element_from: int | None = None
        self._elements: list[str] = []

    @property
    def size(self) -> int:
        """The number of characters that `value` reads."""
        return self._safe

    def feed(self, piece: str) -> None:
        """Take in the next piece of the text."""
        self._text += piece
        if self.broken or (self._started and not self._open):
            return
        if not self._started and not self._find_start():
            return
        while self._at < len(self._text) and self._open and not self.broken:
            if not (self._string() if self._in_string else self._token()):
                return

    def value(self) -> Any:
        """Return what the text says so far, `MISSING` where that is nothing. Marks text that is no JSON as broken."""
        if self.broken or not self._safe:
            return MISSING
        ends = '"' if self._in_string and not self._in_key else ""
        ends += "".join(_CLOSING[one] for one in reversed(self._open))
        try:
            return _read(self._text[: self._safe] + ends)
        except (ValueError, RecursionError):
            self.broken = True
            return MISSING

    def take_elements(self) -> list[Any]:
        """Return the elements that have become whole since the last time, where the value is a list.

        That of an object is meant where the object is only the list's wrapping: `{"items": [...]}`.
        """
        found: list[Any] = []
        for text in self._elements:
            try:
                found.append(_read(text))
            except (ValueError, RecursionError):
                self.broken = True
                break
        self._elements = []
        return found

    def _find_start(self) -> bool:
        start = _START.search(self._text, self._at)
        if start is None:
            self._at = len(self._text)
            return False
        self._text, self._at, self._started = self._text[start.start() :], 0, True
        self._push()
        return True

    def _string(self) -> bool:
        """Go on inside a string; False where more text is needed."""
        if plain := _PLAIN.match(self._text, self._at):
            self._move(plain.end())
            return True
        if self._text[self._at] == '"':
            self._in_string = False
            self._at += 1
            if self._in_key:
                self._in_key = False
            else:
                self._ended(self._at)
            return True
        return self._escape()

    def _escape(self) -> bool:
        """Pass over an escape; both halves of a surrogate pair are one."""
        escape = _ESCAPE.match(self._text, self._at)
        if escape is None:
            self.broken = len(self._text) - self._at >= _LONGEST_ESCAPE
            return False
        end = escape.end()
        if _HIGH_SURROGATE.fullmatch(escape[0]):
            if len(self._text) - end < len(escape[0]) and '"' not in self._text[end:]:
                return False
            second = _ESCAPE.match(self._text, end)
            end = second.end() if second and second[0].startswith("\\u") else end
        self._move(end)
        return True

    def _token(self) -> bool:
        sign = self._text[self._at]
        if sign in '{["' or sign in "}],:" or sign in _SPACE:
            if self._in_atom:
                self._in_atom = False
                self._ended(self._at)
            self._sign(sign)
        elif not self._in_atom:
            self._begins()
            self._in_atom = True
            self._at += 1
        else:
            self._at += 1
        return True

    def _sign(self, sign: str) -> None:
        if sign in "{[":
            self._begins()
            self._push()
        elif sign in "}]":
            self.broken = _CLOSING[self._open[-1]] != sign
            self._open.pop()
            self._at += 1
            self._ended(self._at)
        elif sign == '"':
            self._in_key = self._open[-1] == "{" and self._expects_key
            self._begins()
            self._in_string = True
            self._move(self._at + 1)
        else:
            if sign in ",:":
                self._expects_key = sign == "," and self._open[-1] == "{"
            self._at += 1

    def _push(self) -> None:
        self._open.append(self._text[self._at])
        self._expects_key = self._open[-1] == "{"
        self._at += 1
        self._safe = self._at

    def _move(self, to: int) -> None:
        self._at = to
        if not self._in_key:
            self._safe = to

    def _begins(self) -> None:
        if self._element_from is None and self._in_list():
            self._element_from = self._at

    def _ended(self, at: int) -> None:
        """A value ends at `at`."""
        self._safe = at
        self._expects_key = False
        if self._element_from is not None and self._in_list():
            self._elements.append(self._text[self._element_from : at])
            self._element_from = None

    def _in_list(self) -> bool:
        return self._open in (["["], ["{", "["])


def _read(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):  # what was sent of the first would have to be taken back
        raise ValueError("a key comes twice")
    return made
