"""Elixir's literals: texts and documentation in which nothing can be taken for code. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def doc(kind: str, content: str) -> Iterator[str]:
    """Yield the lines of a documentation attribute (`moduledoc` or `doc`) in a module."""
    yield f'  @{kind} """'
    safe = content.strip().replace("\\", "\\\\").replace('"""', "'''").replace("#{", "\\#{")
    yield from (f"  {line}".rstrip() for line in safe.splitlines())
    yield '  """'


def text(content: str) -> str:
    """Return a text as a literal."""
    return json.dumps(content, ensure_ascii=False).replace("#{", "\\#{")
