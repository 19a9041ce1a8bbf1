"""Reads the type of a field: `list[str]`, `Literal['a', 'b'] | None`, `dspy.Image`, a named type. Pure."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from handlers.signatures import field_types as kinds
from handlers.signatures.scanner import SignatureError, Token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from handlers.signatures.field_types import FieldType, ObjectType

MAX_DEPTH = 32
"""Of brackets within brackets."""

_SCALARS: dict[str, FieldType] = {
    **{name: kinds.ScalarType(name) for name in ("str", "int", "float", "bool", "bytes")},
    **{name: kinds.ScalarType(name) for name in ("date", "datetime", "time")},
    "Any": kinds.ANY,
    "None": kinds.NONE,
    "NoneType": kinds.NONE,
    "string": kinds.TEXT,
    "integer": kinds.ScalarType("int"),
    "number": kinds.ScalarType("float"),
    "boolean": kinds.ScalarType("bool"),
}
_SPECIALS: dict[str, FieldType] = {
    name.capitalize(): kinds.SpecialType(name) for name in ("image", "audio", "file", "history", "code", "reasoning")
}
_GENERICS = ("list", "set", "frozenset", "dict", "tuple", "Optional", "Union", "Literal", "Annotated")
_ALIASES = {"List": "list", "Set": "set", "FrozenSet": "frozenset", "Dict": "dict", "Tuple": "tuple"}
_MODULES = {"typing": "", "t": "", "datetime": "", "dspy": "", "builtins": ""}
_OTHER_WORDS = {"object": "Any", "array": "list", "text": "str", "double": "float", "map": "dict", "null": "None"}
_KEYS = ("str", "int", "date", "datetime", "time", "any")


class TypeParser:
    """A place in a list of tokens, and how to read a type from it."""

    text_type: FieldType = kinds.TEXT

    def __init__(self, text: str, tokens: list[Token], types: Mapping[str, ObjectType]) -> None:
        self.text = text
        self.tokens = tokens
        self._types = types
        self._at = 0
        self._depth = 0

    @property
    def token(self) -> Token:
        """The token that comes next."""
        return self.tokens[self._at]

    def advance(self) -> Token:
        """Take the next token."""
        token = self.tokens[self._at]
        self._at = min(self._at + 1, len(self.tokens) - 1)
        return token

    def take(self, mark: str) -> Token:
        """Take a mark that must be there."""
        if self.token.text != mark or self.token.kind != "mark":
            raise self.error(f"{mark!r} is expected here; got {self.token.shown}.")
        return self.advance()

    def expect_end(self) -> None:
        """Refuse whatever is left."""
        if self.token.kind != "end":
            raise self.error(f"The end is expected here; got {self.token.shown}.")

    def error(self, message: str, token: Token | None = None) -> SignatureError:
        """Return an error that points at a token, the next one by default."""
        token = token or self.token
        return SignatureError(message, self.text, token.column, len(token.text))

    def type(self) -> FieldType:
        """Read a type, with its alternatives."""
        members = [self._one()]
        while self.token.text == "|":
            self.advance()
            members.append(self._one())
        return kinds.union(members)

    def _one(self) -> FieldType:
        start = self.token
        if start.kind != "name":
            raise self.error(f"A type is expected here; got {start.shown}.")
        name, bare = self._name()
        if bare in _GENERICS and (bare == name or name in _ALIASES or "." in name):
            return self._generic(bare, start)
        if name in self._types:
            return self._plain(self._types[name], start)
        if bare in _SCALARS and (bare == name or "." in name):
            return self._plain(_SCALARS[bare], start)
        if bare in _SPECIALS:
            return self._special(bare, start)
        raise self._unknown(name, start)

    def _name(self) -> tuple[str, str]:
        """Read a name with dots; return it, and what it means without the module and the old spelling."""
        parts = [self.advance().text]
        while self.token.text == ".":
            self.advance()
            if self.token.kind != "name":
                raise self.error(f"A name is expected after the dot; got {self.token.shown}.")
            parts.append(self.advance().text)
        bare = parts[-1]
        if len(parts) > 1 and (len(parts) > 2 or parts[0] not in _MODULES):
            return ".".join(parts), ""
        return ".".join(parts), _ALIASES.get(bare, bare)

    def _plain(self, found: FieldType, start: Token) -> FieldType:
        if self.token.text == "[":
            raise self.error(f"{start.text!r} takes nothing in brackets.")
        return found

    def _special(self, bare: str, start: Token) -> FieldType:
        found = _SPECIALS[bare]
        if bare != "Code" or self.token.text != "[":
            return self._plain(found, start)
        self.advance()
        if self.token.kind != "string":
            raise self.error(f"The language of the code is expected, in quotes; got {self.token.shown}.")
        language = self.advance().string()
        self.take("]")
        return kinds.SpecialType("code", language)

    def _generic(self, bare: str, start: Token) -> FieldType:
        if self.token.text != "[":
            return self._without_brackets(bare, start)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.error(f"Types lie at most {MAX_DEPTH} deep in one another.")
        self.advance()
        found = self._literal() if bare == "Literal" else self._arguments(bare, start)
        self.take("]")
        self._depth -= 1
        return found

    def _without_brackets(self, bare: str, start: Token) -> FieldType:
        match bare:
            case "list" | "set" | "frozenset":
                return kinds.ListType(kinds.ANY, bare)
            case "dict":
                return kinds.DictType(kinds.ANY, kinds.ANY)
            case "tuple":
                return kinds.TupleType((kinds.ANY,), open_ended=True)
        raise self.error(f"{start.text!r} needs its types in brackets, such as {bare}[...].", start)

    def _arguments(self, bare: str, start: Token) -> FieldType:
        if bare == "tuple":
            return self._tuple()
        arguments = [self.type()]
        while self.token.text == ",":
            self.advance()
            if bare == "Annotated":
                self._metadata()
                continue
            arguments.append(self.type())
        wanted = {"dict": 2, "Union": 0}.get(bare, 1)
        if wanted and len(arguments) != wanted:
            raise self.error(
                f"{bare} takes {wanted} type{'s' * (wanted > 1)} in brackets; got {len(arguments)}.", start
            )
        if bare == "dict":
            return self._dict(arguments, start)
        if bare == "Optional":
            return kinds.union([*arguments, kinds.NONE])
        match bare:
            case "list" | "set" | "frozenset":
                return kinds.ListType(arguments[0], bare)
        return kinds.union(arguments)

    def _dict(self, arguments: list[FieldType], start: Token) -> FieldType:
        key = arguments[0]
        simple = isinstance(key, kinds.LiteralType) or (isinstance(key, kinds.ScalarType) and key.name in _KEYS)
        if not simple:
            raise self.error(f"The keys of a dict are texts, integers, dates or literals; got {key}.", start)
        return kinds.DictType(key, arguments[1])

    def _tuple(self) -> FieldType:
        if self.token.text == "(":
            self.advance()
            self.take(")")
            return kinds.TupleType(())
        items = [self.type()]
        while self.token.text == ",":
            self.advance()
            if self.token.text == "...":
                if len(items) > 1:
                    raise self.error("'...' follows one type alone, as in tuple[int, ...].")
                self.advance()
                return kinds.TupleType(tuple(items), open_ended=True)
            items.append(self.type())
        return kinds.TupleType(tuple(items))

    def _literal(self) -> FieldType:
        first = self._value()
        values = {repr(first): first}
        while self.token.text == ",":
            self.advance()
            value = self._value()
            values[repr(value)] = value
        return kinds.LiteralType(tuple(values.values()))

    def _value(self) -> str | int | bool | None:
        token = self.advance()
        if token.kind == "string":
            return token.string()
        if token.kind == "number" and token.text.lstrip("-").isdigit() and len(token.text) < 20:
            return int(token.text)
        words: dict[str, bool | None] = {"True": True, "False": False, "None": None}
        if token.text in words:
            return words[token.text]
        raise self.error(f"A Literal holds texts in quotes, integers, True, False and None; got {token.shown}.", token)

    def _metadata(self) -> None:
        """Read past what Annotated adds: DSPy drops it too, but only a text is harmless."""
        if self.token.kind not in ("string", "number"):
            raise self.error("Only a text or a number may stand beside the type in Annotated.")
        self.advance()

    def _unknown(self, name: str, start: Token) -> SignatureError:
        error_at = Token("name", name, start.column)
        if name in _OTHER_WORDS:
            return self.error(f"There is no type {name!r} here; use {_OTHER_WORDS[name]!r}.", error_at)
        known = [*self._types, *_SCALARS, *_SPECIALS, *_GENERICS]
        close = difflib.get_close_matches(name.rpartition(".")[2], known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else " Send its JSON Schema along to use a type of your own."
        return self.error(f"There is no type {name[:60]!r}.{hint}", error_at)
