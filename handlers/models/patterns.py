"""A text that matches a simple regular expression.

Pure. Understands literals, escapes of one letter, classes, the dot and quantifiers, in a row; no groups, no
alternatives. What it can not make it says so by returning None.
"""

from __future__ import annotations

import re

_ATOM = re.compile(
    r"(?P<cls>\[(?P<neg>\^?)(?P<body>(?:\\.|[^\]\\])+)\])|(?P<esc>\\.)|(?P<dot>\.)|(?P<lit>[^\\\[\](){}|*+?^$.])"
)
_QUANTIFIER = re.compile(r"\{(\d+)(?:,(\d*))?\}|[*+?]")
_MAX_LENGTH = 1000
_MAX_PATTERN = 200


def text_matching(pattern: str) -> str | None:
    """Return a text in which `pattern` is found, as JSON Schema means it; None where the pattern is not simple."""
    body = pattern.removeprefix("^").removesuffix("$")
    made = _make(body) if len(body) <= _MAX_PATTERN else None
    if made is None:
        return None
    return made if re.search(pattern, made) else None


def _make(body: str) -> str | None:
    made, at = "", 0
    while at < len(body):
        atom = _ATOM.match(body, at)
        sample = _sample(atom) if atom else None
        if atom is None or sample is None:
            return None
        at = atom.end()
        times = 1
        if quantifier := _QUANTIFIER.match(body, at):
            at = quantifier.end()
            times = int(quantifier[1]) if quantifier[1] else int(quantifier[0] == "+")
        if len(made) + times > _MAX_LENGTH:
            return None
        made += sample * times
    return made


def _sample(atom: re.Match[str]) -> str | None:
    """Return one character that the atom matches."""
    if atom["lit"]:
        return atom["lit"]
    if atom["dot"]:
        return "a"
    try:
        expression = re.compile(atom[0])
    except re.error:
        return None
    return next((char for char in "a1A _-.:/@#,;+" if expression.fullmatch(char)), None) or next(
        (chr(code) for code in range(32, 127) if expression.fullmatch(chr(code))), None
    )
