"""Fields that grow: finds a program's output fields in a model's text while the text is still arriving.

Pure. Each reader follows its adapter's own parser to the letter, so that the pieces of a field join to the text that
the program returns (but for outer whitespace). A reader knows one answer of one model.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Protocol
from xml.sax.saxutils import escape

_HEADER = re.compile(r"\[\[ ## (\w+) ## \]\]")
_HEADER_START = "[[ ## "
_TEXT_LEVEL = 2
"""Depth of a field's element: below the root that the reader adds."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that was added to a field."""

    field: str
    text: str
    last: bool = False


class FieldReader(Protocol):
    """Reads one answer."""

    def feed(self, text: str) -> list[Piece]:
        """Take the next part of the answer."""
        ...

    def end(self) -> list[Piece]:
        """Say that the answer is complete."""
        ...


class _Trimmer:
    """Passes a field's text on without its outer whitespace."""

    def __init__(self, field: str) -> None:
        self.field = field
        self._started = False
        self._held = ""

    def add(self, text: str) -> list[Piece]:
        text = self._held + text if self._started else text.lstrip()
        ready = text.rstrip()
        self._held = text[len(ready) :]
        self._started = self._started or bool(ready)
        return [Piece(self.field, ready)] if ready else []


class ChatFields:
    """Reads `[[ ## field ## ]]` sections, as dspy.ChatAdapter writes them."""

    def __init__(self, fields: frozenset[str]) -> None:
        self._fields = fields
        self._seen: set[str] = set()
        self._open: _Trimmer | None = None
        self._line = ""
        self._decided = False
        """Whether the unfinished line is known to be no header, so that its start has been passed on."""
        self._breaks = ""
        """The line break before the unfinished line, as the parser will join it."""

    def feed(self, text: str) -> list[Piece]:
        """Take the next part of the answer."""
        pieces: list[Piece] = []
        self._line += text
        *whole, rest = self._split(self._line)
        for line in whole:
            pieces += self._end_of_line(line)
        self._line = rest
        half_break = "\r" if rest.endswith("\r") else ""
        known = rest.removesuffix(half_break)
        if self._decided or not _may_be_header(known):
            pieces += self._pass_on(known)
            self._line, self._decided = half_break, True
        return pieces

    def end(self) -> list[Piece]:
        """Say that the answer is complete."""
        return self._end_of_line(self._line.rstrip("\r")) + self._close()

    @staticmethod
    def _split(text: str) -> list[str]:
        """Split as the parser does; the last line is the unfinished one. A final CR may be half of a CR LF."""
        kept = "\r" if text.endswith("\r") else ""
        lines = text[: len(text) - len(kept)].splitlines(keepends=True)
        whole = [line.splitlines()[0] for line in lines if line.splitlines()[0] != line]
        rest = lines[-1] if lines and lines[-1].splitlines()[0] == lines[-1] else ""
        return [*whole, rest + kept]

    def _end_of_line(self, line: str) -> list[Piece]:
        header = None if self._decided else _HEADER.match(line.strip())
        self._decided = False
        if header is None:
            pieces = self._pass_on(line)
            self._breaks = "\n"
            return pieces
        pieces = self._close()
        self._breaks = ""
        name = header.group(1)
        if name in self._fields and name not in self._seen:
            self._seen.add(name)
            self._open = _Trimmer(name)
            pieces += self._pass_on(line[header.end() :].strip())
        self._breaks = "\n"
        return pieces

    def _pass_on(self, text: str) -> list[Piece]:
        text, self._breaks = self._breaks + text, ""
        return self._open.add(text) if self._open else []

    def _close(self) -> list[Piece]:
        closed, self._open = self._open, None
        return [Piece(closed.field, "", last=True)] if closed else []


def _may_be_header(line: str) -> bool:
    start = line.lstrip()
    return not start or start.startswith(_HEADER_START) or _HEADER_START.startswith(start)


class XmlFields:
    """Reads `<field>text</field>` elements, as dspy.XMLAdapter writes them."""

    def __init__(self, fields: frozenset[str]) -> None:
        self._target = _XmlTarget(fields)
        self._parser: ET.XMLParser | None = ET.XMLParser(target=self._target)  # noqa: S314  # expat limits expansion
        self.feed("<answer>")

    def feed(self, text: str) -> list[Piece]:
        """Take the next part of the answer. Text that is no XML ends the reading: the program will refuse it."""
        if self._parser is not None:
            try:
                self._parser.feed(text)
            except ET.ParseError:
                self._parser = None
        return self._target.take()

    def end(self) -> list[Piece]:
        """Say that the answer is complete."""
        return self.feed("</answer>")


class _XmlTarget:
    def __init__(self, fields: frozenset[str]) -> None:
        self._fields = fields
        self._seen: set[str] = set()
        self._depth = 0
        self._open: _Trimmer | None = None
        self._inner: ET.TreeBuilder | None = None
        self._mixed = False
        self._pieces: list[Piece] = []

    def take(self) -> list[Piece]:
        taken, self._pieces = self._pieces, []
        return taken

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == _TEXT_LEVEL and tag in self._fields and tag not in self._seen:
            self._seen.add(tag)
            self._open, self._mixed = _Trimmer(tag), False
        elif self._open:
            # Elements inside a text come out written again, and the text after them escaped, as the parser does it.
            self._mixed = True
            self._inner = self._inner or ET.TreeBuilder()
            self._inner.start(tag, attributes)

    def data(self, text: str) -> None:
        if self._inner:
            self._inner.data(text)
        elif self._open and self._depth == _TEXT_LEVEL:
            self._pieces += self._open.add(escape(text) if self._mixed else text)

    def end(self, tag: str) -> None:
        self._depth -= 1
        if self._open is None:
            return
        if self._depth >= _TEXT_LEVEL and self._inner:
            self._inner.end(tag)
            if self._depth == _TEXT_LEVEL:
                self._pieces += self._open.add(ET.tostring(self._inner.close(), encoding="unicode"))
                self._inner = None
        elif self._depth < _TEXT_LEVEL:
            self._pieces.append(Piece(self._open.field, "", last=True))
            self._open = None
