"""Finds secrets in plain values that are about to be written somewhere, and takes them out. Pure.

A secret is a value that is known to be one (a configured key, an environment variable with such a name), a text of the
form that keys have, or a text under a name such as `api_key` or `authorization`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from handlers.redaction import MASK

SHORTEST = 8
"""Characters of a known value that is looked for: shorter ones stand in innocent texts."""
_VARIABLE = re.compile(r"(^|_)(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|PRIVATE)(_|$)|APIKEY", re.IGNORECASE)
_NAME = re.compile(
    r"(^|[_\-.])(api_?key|apikey|secret(_?key)?|access_?key|private_?key|password|passwd|passphrase|credentials?|"
    r"authorization|auth_?token|access_?token|refresh_?token|id_?token|bearer|api_token|cookie|set-cookie|x-api-key)$",
    re.IGNORECASE,
)
_SHAPES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("a private key", re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*-----|\Z)")),
    ("a provider's key", re.compile(r"\b(?:sk|pk|rk|gsk|xai|hf|r8|nvapi|tgp|pplx)[-_][A-Za-z0-9_\-]{16,}")),
    ("a key of the bridge", re.compile(r"\bbk_[0-9a-z]{10}_[A-Za-z0-9_\-]{16,}")),
    ("a Google key", re.compile(r"\bAIza[0-9A-Za-z_\-]{30,}")),
    ("an AWS key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,})")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_\-]{16,}")),
    ("a Slack token", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}")),
    ("a JSON web token", re.compile(r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}")),
    ("a bearer token", re.compile(r"\b[Bb]earer\s+(?=[A-Za-z0-9._~+/\-]*[0-9])[A-Za-z0-9._~+/\-]{16,}=*")),
    ("a password in a URL", re.compile(r"(?<=://)[^\s/:@]*:[^\s/@]+(?=@)")),
    (
        "a password",
        re.compile(
            r"\b(?:api[_-]?key|password|passwd|secret|access[_-]?token|auth[_-]?token)\b[\"']?\s*[:=]\s*[\"']?"
            r"(?!\[redacted\])(?=[^\s\"',;]*[0-9])[^\s\"',;]{8,}",
            re.IGNORECASE,
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a secret is, and what it looks like; never the secret itself."""

    path: str
    what: str

    def __str__(self) -> str:
        return f"{self.path or 'the value'}: {self.what}"


@dataclass(frozen=True, slots=True)
class Scanner:
    """Knows the secrets of one place. `known` pairs a value with what it is; `names` are keys that always hide."""

    known: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    names: frozenset[str] = frozenset()
    words: re.Pattern[str] | None = field(default=None, repr=False)
    """Short values to be hidden where they stand by themselves."""

    @classmethod
    def of(cls, environ: Mapping[str, str], keys: Iterable[str] = (), names: Iterable[str] = ()) -> Scanner:
        """Look for configured keys and for the values of environment variables whose names say that they are secret."""
        found = {value: f"the value of ${name}" for name, value in environ.items() if _VARIABLE.search(name)}
        found |= dict.fromkeys(keys, "a configured key")
        usable = [(value, what) for value, what in found.items() if len(value) >= SHORTEST and not value.isspace()]
        usable.sort(key=lambda pair: len(pair[0]), reverse=True)
        return cls(tuple(usable), frozenset(name.lower() for name in names))

    def knowing(self, values: Iterable[str]) -> Scanner:
        """Return a scanner that hides these values as well; short ones only where they are words of their own."""
        found = set(values)
        if not found:
            return self
        longest_first = sorted(found, key=len, reverse=True)
        long = tuple((value, "a hidden value") for value in longest_first if len(value) >= SHORTEST)
        pattern = "|".join(re.escape(value) for value in longest_first)
        return Scanner(long + self.known, self.names, re.compile(rf"(?<!\w)(?:{pattern})(?!\w)"))

    def of_texts(self) -> Scanner:
        """Return a scanner that goes by values alone, for records whose names are our own."""
        return Scanner(self.known, frozenset(), self.words)

    def findings(self, value: Any, path: str = "") -> list[Finding]:
        """Return every secret of a plain value, keys of its objects included."""
        return list(self._walk(value, path))

    def scrubbed(self, value: Any) -> Any:
        """Return a copy of a plain value without its secrets; their places say so."""
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, Mapping):
            return {
                self.clean(key) if isinstance(key, str) else key: self._hidden(item)
                if self._hides(key, item)
                else self.scrubbed(item)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.scrubbed(item) for item in value]
        if self.words is not None and type(value) in (int, float) and self.words.fullmatch(str(value)):
            return None
        return value

    def clean(self, text: str) -> str:
        """Return a text without its secrets."""
        for secret, _ in self.known:
            if secret in text:
                text = text.replace(secret, MASK)
        if self.words is not None:
            text = self.words.sub(MASK, text)
        for _, shape in _SHAPES:
            text = shape.sub(MASK, text)
        return text

    def what(self, text: str) -> str:
        """Return what secret a text holds; empty for none."""
        for secret, what in self.known:
            if secret in text:
                return f"holds {what}"
        return next((f"looks like {what}" for what, shape in _SHAPES if shape.search(text)), "")

    def _walk(self, value: Any, path: str) -> Iterator[Finding]:
        if isinstance(value, str):
            if what := self.what(value):
                yield Finding(path, what)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                inner = f"{path}.{key}" if path else str(key)
                if isinstance(key, str) and (what := self.what(key)):
                    yield Finding(path, f"a name in it {what}")
                elif self._hides(key, item):
                    yield Finding(inner, "is a secret by its name")
                else:
                    yield from self._walk(item, inner)
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                yield from self._walk(item, f"{path}[{index}]")

    def _hides(self, key: Any, item: Any) -> bool:
        if not isinstance(key, str) or item in (None, "", MASK) or isinstance(item, bool):
            return False
        if key.lower() in self.names:
            return True
        return isinstance(item, (str, bytes)) and _NAME.search(key) is not None

    @staticmethod
    def _hidden(item: Any) -> Any:
        return MASK if isinstance(item, (str, bytes)) else None
