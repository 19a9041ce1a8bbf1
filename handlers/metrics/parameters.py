"""The parameters of each metric: their types, defaults and limits, and how they are read from JSON.

It owns no state and imports none of the metrics' libraries, so that schemas can be listed without them.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from handlers.errors import BadInput

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

P = TypeVar("P", bound="Parameters")

DOWNLOADING_TOKENIZERS = ("spm", "flores101", "flores200", "spBLEU-1K")
"""sacrebleu's tokenizers that fetch a SentencePiece model over the network on first use."""

SMOOTH_VALUE_DEFAULTS = {"floor": 0.1, "add-k": 1.0}
"""sacrebleu's own, from Chen and Cherry, 2014; other methods take no value."""


class Parameters(BaseModel):
    """Base of all metrics' parameters: no conversions, no unknown names."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class TextParameters(Parameters):
    """Parameters of exact_match and token_f1."""

    normalize: bool = Field(
        default=True,
        description="Compare as SQuAD does: lower case, without punctuation and the English articles, single spaces. "
        "If false, exact_match compares the texts as they are and token_f1 splits them at white space only.",
    )


def _refuse_downloads(tokenize: Any) -> Any:
    if tokenize in DOWNLOADING_TOKENIZERS:
        raise ValueError(
            f"the tokenizer {tokenize!r} downloads a model on first use, and the bridge downloads nothing; "
            "expected '13a', 'intl', 'zh', 'char', 'none', 'ja-mecab' or 'ko-mecab'"
        )
    return tokenize


class BleuParameters(Parameters):
    """Parameters of bleu; the names and meanings are sacrebleu's."""

    tokenize: Annotated[
        Literal["13a", "intl", "zh", "char", "none", "ja-mecab", "ko-mecab"], BeforeValidator(_refuse_downloads)
    ] = Field(
        default="13a",
        description="How texts are cut into tokens. ja-mecab and ko-mecab need sacrebleu[ja] and sacrebleu[ko].",
    )
    smooth_method: Literal["exp", "floor", "add-k", "none"] = Field(
        default="exp", description="What is done about n-gram orders without a match."
    )
    smooth_value: float | None = Field(
        default=None,
        gt=0,
        description="For floor (default 0.1) and add-k (default 1); must be left out for exp and none.",
    )
    lowercase: bool = Field(default=False, description="Compare without regard to case.")
    effective_order: bool | None = Field(
        default=None,
        description="Leave out n-gram orders that a text is too short to have. Null, as in sacrebleu's own functions: "
        "yes for each text, no for the corpus.",
    )
    max_ngram_order: int = Field(default=4, ge=1, le=16, description="The longest n-grams that count.")

    @model_validator(mode="before")
    @classmethod
    def _settle_smooth_value(cls, given: Any) -> Any:
        method = given.get("smooth_method", "exp")
        if not isinstance(method, str) or method not in ("exp", "floor", "add-k", "none"):
            return given
        if method not in SMOOTH_VALUE_DEFAULTS:
            if given.get("smooth_value") is not None:
                raise ValueError(f"smooth_value has no meaning for smooth_method {method!r}; leave it out")
            return given
        if given.get("smooth_value") is None:
            return given | {"smooth_value": SMOOTH_VALUE_DEFAULTS[method]}
        return given


RougeType = Annotated[str, Field(pattern=r"^rouge([1-9]|L|Lsum)$")]


class RougeParameters(Parameters):
    """Parameters of rouge; the names are rouge-score's."""

    rouge_types: list[RougeType] = Field(
        default=["rougeL", "rouge1", "rouge2"],
        min_length=1,
        max_length=11,
        description="rouge1 to rouge9, rougeL, rougeLsum (whose sentences are the lines). The first is the main type, "
        "whose F-measure is the value.",
    )
    use_stemmer: bool = Field(default=False, description="Strip English suffixes (Porter) before comparing words.")


class SemanticParameters(Parameters):
    """Parameters of semantic_similarity."""

    model: str = Field(
        default="default", min_length=1, description="The embedding model, by its name in the server's configuration."
    )


def parse(kind: type[P], text: str) -> P:
    """Read parameters from a JSON object; an empty text stands for the defaults.

    Raises BadInput with one violation per mistake, its path below `parameters`.
    """
    try:
        given = msgspec.json.decode(text.encode()) if text.strip() else {}
    except (msgspec.DecodeError, RecursionError) as error:
        raise _bad([("parameters", f"expected a JSON object, got text that is no JSON: {error}")]) from error
    if not isinstance(given, dict):
        raise _bad([("parameters", f"expected a JSON object, got {_json_type(given)}")])
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise _bad([(_path(each["loc"]), _explain(kind, each)) for each in problems]) from error


def _bad(violations: list[tuple[str, str]]) -> BadInput:
    return BadInput("; ".join(f"{path}: {problem}" for path, problem in violations), violations=tuple(violations))


def _path(location: tuple[int | str, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return "parameters" + "".join(steps)


def _explain(kind: type[Parameters], error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        close = difflib.get_close_matches(name, kind.model_fields, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"unknown parameter; expected one of {', '.join(kind.model_fields)}.{hint}"
    message = error["msg"].removeprefix("Value error, ")
    return f"{message}, got {_shorten(error['input'])}" if error["type"] != "value_error" else message


def _shorten(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _json_type(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")
