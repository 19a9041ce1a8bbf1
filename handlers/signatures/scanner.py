"""Cuts a signature's text into tokens that know their columns, and the error that points at one. Pure."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Literal

MAX_CHARACTERS = 20_000
"""Of one signature's text."""

Kind = Literal["name", "number", "string", "mark", "end"]

_ESCAPE = r"\\(?:[\\'\"abfnrtv0]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<name>[^\W\d]\w*)
      | (?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
      | (?P<string>'(?:[^'\\\n]|{escape})*'|"(?:[^"\\\n]|{escape})*")
      | (?P<mark>->|\.\.\.|[,:|\[\]().=])""".replace("{escape}", _ESCAPE),
    re.VERBOSE,
)


class SignatureError(ValueError):
    """A signature that can not be used. `column` counts characters from 1; 0 where it has none."""

    def __init__(self, message: str, text: str = "", column: int = 0, length: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.text = text
        self.column = column
        self.length = max(1, length)

    @property
    def shown(self) -> str:
        """The message with the place marked under the text, for people."""
        if not self.column:
            return self.message
        start = max(0, self.column - 1 - 50)
        piece = self.text[start : self.column - 1 + 40].replace("\n", " ").replace("\t", " ")
        pointer = " " * (self.column - 1 - start) + "^" * min(
            self.length, max(1, len(piece) - (self.column - 1 - start))
        )
        return f"{self.message} (column {self.column})\n  {piece}\n  {pointer}"


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text."""

    kind: Kind
    text: str
    column: int

    @property
    def shown(self) -> str:
        """How an error names it."""
        return "the end" if self.kind == "end" else repr(self.text)

    def string(self) -> str:
        """Return the value of a string token."""
        value: str = ast.literal_eval(self.text)
        return value


def scan(text: str) -> list[Token]:
    """Return the tokens of a text, an end token last. Raises SignatureError."""
    if len(text) > MAX_CHARACTERS:
        raise SignatureError(f"A signature has at most {MAX_CHARACTERS} characters; got {len(text)}.")
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:
            raise SignatureError(_unreadable(text[position]), text, position + 1)
        kind = found.lastgroup
        if kind in ("name", "number", "string", "mark"):
            tokens.append(_token(kind, found.group(), position + 1, text))  # type: ignore[arg-type]
        position = found.end()
    tokens.append(Token("end", "", len(text) + 1))
    return tokens


def _token(kind: Kind, piece: str, column: int, text: str) -> Token:
    token = Token(kind, piece, column)
    if kind == "string":
        try:
            token.string()
        except (SyntaxError, ValueError):
            raise SignatureError(f"The text {piece} is not a valid string.", text, column, len(piece)) from None
    return token


def _unreadable(character: str) -> str:
    if character in "'\"":
        return "This string has no end, or an escape that is not known."
    hint = " Write '->' between inputs and outputs." if character in "-→>" else ""
    return f"The character {character!r} can not stand here.{hint}"
