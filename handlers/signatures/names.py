"""Which names a field may have. Pure.

The refused ones have a meaning of their own in DSPy, which fails on them or gives something else back.
"""

from __future__ import annotations

import keyword

_WORDS = """
signature demos config lm self instructions fields input_fields output_fields new_signature completions traces
completion stage callbacks history named_predictors prepend append insert delete with_instructions
with_updated_fields equals dump_state load_state toDict keys items get values copy without with_inputs inputs
labels set_lm get_lm get_lm_usage set_lm_usage from_completions model_config model_fields model_computed_fields
model_extra model_fields_set model_construct model_copy model_dump model_dump_json model_json_schema
model_parametrized_name model_post_init model_rebuild model_validate model_validate_json model_validate_strings
"""
RESERVED = frozenset(_WORDS.split())

MAX_LENGTH = 100
"""Characters of a name."""


def problem(name: str) -> str | None:
    """Return why a field can not have this name, or None."""
    if not name.isidentifier():
        return f"{name!r} is no name: use letters, digits and '_', and begin with a letter."
    if len(name) > MAX_LENGTH:
        return f"A name has at most {MAX_LENGTH} characters; this one has {len(name)}."
    if not name.isascii():
        return f"{name!r} has letters outside ASCII; language models repeat those unreliably."
    if keyword.iskeyword(name):
        return f"{name!r} is a word of Python's own; use another, such as '{name}_'."
    if name.startswith("_"):
        return f"{name!r} begins with '_', which DSPy refuses; use '{name.lstrip('_') or 'value'}'."
    if name in RESERVED:
        return f"{name!r} means something else in DSPy; use another name, such as '{name}_'."
    return None
