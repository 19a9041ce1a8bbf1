"""Secrets by reference: `env:NAME`, `file:PATH`, and `literal:TEXT` for tests.

Configuration files are committed and printed, so they hold references only; a value is looked up where it is used.
Owns no state. No error and no text made here contains a secret.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.settings.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIXES = ("env:", "file:", "literal:")

_LIMIT_BYTES = 64 * 1024
_SECRET_NAME = re.compile(r"(?:^|_|API)(?:KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"^(?:sk|pk|rk|hf|gsk|ghp|xai|AKIA)[-_A-Z0-9][A-Za-z0-9_-]{12,}$")


def is_reference(text: str) -> bool:
    """Return whether `text` points to a secret."""
    return text.startswith(PREFIXES)


def looks_secret(name: str, value: str) -> bool:
    """Return whether a plain value should have been a reference: by the name of its key, or by its shape."""
    return not is_reference(value) and bool(value) and bool(_SECRET_NAME.search(name) or _SECRET_VALUE.match(value))


def check_reference(text: str) -> str:
    """Return `text` if it is a reference. Raises ValueError, without the text, if it is not."""
    if not is_reference(text) or text in PREFIXES:
        raise ValueError(
            "expected a reference to a secret, 'env:NAME' or 'file:PATH', got a plain value; "
            "put the value into an environment variable and write 'env:ITS_NAME' here"
        )
    return text


def display(reference: str) -> str:
    """Return the reference as it may be printed: a literal is hidden."""
    return "literal:***" if reference.startswith("literal:") else reference


def resolve_secret(reference: str, environ: Mapping[str, str]) -> str:
    """Return the secret that `reference` points to, without white space at its end.

    Raises ConfigError: the variable is not set or empty, the file can not be read, or it is not a reference at all.
    """
    kind, _, name = reference.partition(":")
    if kind == "literal" and name:
        return name
    if kind == "env" and name:
        value = environ.get(name, "").rstrip()
        if value:
            return value
        state = "empty" if name in environ else "not set"
        raise _error(reference, f"the environment variable {name} is {state}; set it: export {name}=...")
    if kind == "file" and name:
        return _read(reference, Path(name).expanduser())
    raise _error("", "expected a reference to a secret, 'env:NAME' or 'file:PATH', got something else")


def _read(reference: str, path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(_LIMIT_BYTES + 1)
    except OSError as error:
        raise _error(reference, f"can not read the secret: {error.strerror or error}") from None
    if len(data) > _LIMIT_BYTES:
        raise _error(reference, f"the file is larger than {_LIMIT_BYTES} bytes; it should hold one secret")
    try:
        value = data.decode().strip()
    except UnicodeDecodeError:
        raise _error(reference, "the file is not UTF-8 text; it should hold one secret") from None
    if not value:
        raise _error(reference, "the file is empty; it should hold one secret")
    return value


def _error(reference: str, message: str) -> ConfigError:
    return ConfigError(Problem(file="secret", key=reference, message=message))
