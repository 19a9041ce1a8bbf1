"""What kind of setting stands at a key, read from the tree of pydantic models.

Pure. Used to turn texts of the environment into values, to say which keys exist, and to write the reference.
"""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["int", "float", "bool", "text", "list", "texts", "table", "named", "unknown"]

_SCALARS: dict[Any, Kind] = {int: "int", float: "float", bool: "bool", str: "text"}


def annotation_at(tree: Any, key: tuple[str, ...]) -> Any:
    """Return the annotation of the setting at `key`, without None; None if there is no such setting."""
    found = plain(tree)
    for part in key:
        if typing.get_origin(found) is dict:
            found = plain(typing.get_args(found)[1])
        elif isinstance(found, type) and issubclass(found, BaseModel) and part in found.model_fields:
            found = plain(found.model_fields[part].annotation)
        elif typing.get_origin(found) is tuple and part.isdecimal():
            found = plain(typing.get_args(found)[0])
        else:
            return None
    return found


def kind_at(tree: Any, key: tuple[str, ...]) -> Kind:
    """Return what kind of setting stands at `key`. A size counts as text: "2GiB"."""
    return kind_of(annotation_at(tree, key))


def kind_of(annotation: Any) -> Kind:
    """Return what kind of setting has this annotation."""
    found = plain(annotation)
    if found in _SCALARS:
        return _SCALARS[found]
    origin = typing.get_origin(found)
    if origin is Literal:
        return "text"
    if origin is tuple:
        return "list"
    if origin is dict:
        return "texts" if typing.get_args(found)[1] is str else "named"
    return "table" if isinstance(found, type) and issubclass(found, BaseModel) else "unknown"


def plain(annotation: Any) -> Any:
    """Return an annotation without Annotated and without None."""
    if hasattr(annotation, "__metadata__"):
        return plain(annotation.__origin__)
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        rest = [part for part in typing.get_args(annotation) if part is not types.NoneType]
        return plain(rest[0])
    return annotation


def known_keys(tree: Any, key: tuple[str, ...]) -> tuple[str, ...]:
    """Return the settings that the table at `key` has; empty where any name will do."""
    found = annotation_at(tree, key)
    if isinstance(found, type) and issubclass(found, BaseModel):
        return tuple(found.model_fields)
    return ()


def setting_keys(tree: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the key of every setting that has a fixed name: not those inside tables whose names are free."""
    for name in known_keys(tree, key):
        if kind_at(tree, (*key, name)) == "table":
            yield from setting_keys(tree, (*key, name))
        else:
            yield (*key, name)
