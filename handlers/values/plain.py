"""Python objects -> the plain objects that they stand for, where a schema has refused them as they are.

Owns no state; knows nothing of schemas and payloads.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any


def without_python_types(value: Any) -> Any:
    """Turn numpy's scalars into numbers and dataclasses and pydantic models into dicts, inside containers too."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: without_python_types(item) for key, item in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(without_python_types(item) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: without_python_types(getattr(value, field.name)) for field in fields if field.init}
    if hasattr(type(value), "__pydantic_serializer__") and hasattr(value, "model_dump"):
        return without_python_types(value.model_dump(by_alias=True, warnings=False))
    return value
