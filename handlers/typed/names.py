"""Names of JSON and Python as names of a .proto file, and what can not be one.

Pure. Owns the words that may not be used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PACKAGE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*\Z")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_OTHER = re.compile(r"[^A-Za-z0-9]+")
_TAKEN = ("bridge", "google", "grpc")
EXTRA = "additional_properties"
"""The field of an open object that holds the keys without a field of their own."""


class NameProblem(ValueError):
    """A name that can not be used; the message says why and what to do."""


def check_package(name: str) -> str:
    """Return a package's name. Raises NameProblem."""
    if not _PACKAGE.match(name):
        raise NameProblem(
            f"expected a package of lower-case words with dots between them, such as shop.v1, got {name!r}"
        )
    if name.partition(".")[0] in _TAKEN:
        raise NameProblem(f"the package {name!r} begins with {name.partition('.')[0]!r}, which is taken; use another")
    return name


def pascal(name: str) -> str:
    """Return a name such as ``team.score_all`` as ``TeamScoreAll``. Raises NameProblem where nothing is left."""
    words = [word for word in _OTHER.split(name) if word]
    joined = "".join(word[:1].upper() + word[1:] for word in words)
    if not joined or joined[0].isdigit():
        joined = f"N{joined}" if joined else ""
    if not joined:
        raise NameProblem(f"{name!r} has no letter or digit that a name in a .proto file could be made of")
    return joined


def field_names(keys: Iterable[str], where: str) -> dict[str, str]:
    """Return the field's name for each key of an object. Raises NameProblem where two would be the same.

    protoc takes two names for one where they differ in underscores and case only, as their names in its JSON do.
    """
    found: dict[str, str] = {}
    seen: dict[str, str] = {}
    for key in keys:
        name = _field_name(key, where)
        alike = name.replace("_", "").lower()
        if alike in seen:
            raise NameProblem(
                f"{where}: {seen[alike]!r} and {key!r} are the same name in a .proto file; rename one of them"
            )
        seen[alike] = key
        found[key] = name
    return found


def _field_name(key: str, where: str) -> str:
    if _NAME.match(key):
        return key
    name = _OTHER.sub("_", key).strip("_")
    if not name:
        raise NameProblem(f"{where}: {key!r} has no letter or digit that a field's name could be made of; rename it")
    return name if name[0].isalpha() else f"f_{name}"


def value_names(texts: Iterable[str], prefix: str) -> dict[str, str] | None:
    """Return the name of an enum's value for each text; None where texts would share one or have none."""
    found: dict[str, str] = {}
    for text in texts:
        word = _OTHER.sub("_", text).strip("_").upper()
        name = f"{prefix}_{word}"
        if not word or not text.isascii() or name in found.values() or word == "UNSPECIFIED":
            return None
        found[text] = name
    return found


def module_name(module: str | None) -> str:
    """Return a module's name without its folders: ``pricing`` for ``shop/pricing.py`` and for ``shop.pricing``."""
    return (module or "").replace("\\", "/").rpartition("/")[2].removesuffix(".py").rpartition(".")[2]


def service_name(module: str, *, program: bool) -> str:
    """Return the service of a module: ``PricingService`` for ``pricing``."""
    if not module:
        return "ProgramsService" if program else "FunctionsService"
    return f"{pascal(module)}Service"


def package_of(modules: Iterable[str]) -> str:
    """Return a package for an app that has named none: ``pricing.v1`` for ``pricing``."""
    for module in modules:
        word = _OTHER.sub("_", module).strip("_").lower()
        if word and word[0].isalpha() and word not in _TAKEN:
            return f"{word}.v1"
    return "app.v1"
