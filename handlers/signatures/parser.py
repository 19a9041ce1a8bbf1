"""Reads DSPy's signature notation without DSPy: `question: str, notes: list[str] -> answer: float`.

Pure, and nothing is ever evaluated. Every error points at a column. It accepts what DSPy accepts but for what DSPy
accepts and then drops or breaks on: defaults, empty sides, repeated and reserved names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from handlers.signatures import names
from handlers.signatures.scanner import SignatureError, Token, scan
from handlers.signatures.spec import MAX_FIELDS, SignatureField, SignatureSpec
from handlers.signatures.type_parser import TypeParser

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.signatures.field_types import FieldType, ObjectType


def parse(text: str, types: Mapping[str, ObjectType] | None = None, instructions: str = "") -> SignatureSpec:
    """Read a signature. `types` are those that it may name beside the built-in ones. Raises SignatureError."""
    parser = _Parser(text, types or {})
    spec = parser.signature()
    return SignatureSpec(inputs=spec.inputs, outputs=spec.outputs, instructions=instructions)


def parse_type(text: str, types: Mapping[str, ObjectType] | None = None) -> FieldType:
    """Read the type of one field. Raises SignatureError."""
    parser = TypeParser(text, scan(text), types or {})
    found = parser.type()
    parser.expect_end()
    return found


class _Parser(TypeParser):
    """Reads one signature."""

    def __init__(self, text: str, types: Mapping[str, ObjectType]) -> None:
        super().__init__(text, scan(text), types)
        self._seen: dict[str, int] = {}

    def signature(self) -> SignatureSpec:
        """Read the whole text."""
        if not any(token.text == "->" for token in self.tokens):
            raise SignatureError(
                "A signature has '->' between its inputs and its outputs.", self.text, len(self.text) + 1
            )
        inputs = self._side("input")
        self.take("->")
        outputs = self._side("output")
        if self.token.text == "->":
            raise self.error("A signature has '->' once; here is another.")
        self.expect_end()
        return SignatureSpec(inputs=inputs, outputs=outputs)

    def _side(self, what: str) -> tuple[SignatureField, ...]:
        if self._is_side_over():
            raise self.error(f"A signature has at least one {what}; there is none here.")
        fields = [self._field()]
        while self.token.text == ",":
            comma = self.advance()
            if self._is_side_over():
                raise self.error("After this comma a field is missing.", comma)
            fields.append(self._field())
            if len(self._seen) > MAX_FIELDS:
                raise self.error(f"A signature has at most {MAX_FIELDS} fields.")
        if not self._is_side_over():
            raise self._no_comma(fields[-1])
        return tuple(fields)

    def _is_side_over(self) -> bool:
        return self.token.kind == "end" or self.token.text == "->"

    def _field(self) -> SignatureField:
        token = self.token
        if token.kind != "name":
            raise self.error(f"The name of a field is expected here; got {token.shown}.")
        self.advance()
        if (why := names.problem(token.text)) is not None:
            raise self.error(why, token)
        if token.text in self._seen:
            first = self._seen[token.text]
            raise self.error(f"The field {token.text!r} is there twice; the first is at column {first}.", token)
        self._seen[token.text] = token.column
        if self.token.text == ":":
            self.advance()
            return SignatureField(name=token.text, type=self.type())
        return SignatureField(name=token.text, type=self.text_type)

    def _no_comma(self, last: SignatureField) -> SignatureError:
        token: Token = self.token
        if token.text == "=":
            return self.error("A field in this notation has no default; DSPy would drop it. Send it as a field list.")
        if token.kind == "name":
            return self.error(f"A comma is expected between {last.name!r} and {token.text!r}.")
        return self.error(f"A comma, '->' or the end is expected after the field {last.name!r}; got {token.shown}.")
