"""A program as plain data: what a client sends to create one, what is stored, and what a worker builds it from.

Nothing in it is ever evaluated: types come from the signature engine, kinds and options from closed lists. Pure.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from handlers.signatures.spec import SignatureSpec

Kind = Literal[
    "predict",
    "chain_of_thought",
    "react",
    "program_of_thought",
    "code_act",
    "best_of_n",
    "refine",
    "multi_chain_comparison",
    "parallel",
    "knn_few_shot",
    "rlm",
]
InnerKind = Literal["predict", "chain_of_thought", "react"]
AdapterName = Literal["", "chat", "json", "xml", "two_step"]

CODE_KINDS = frozenset(("program_of_thought", "code_act", "rlm"))
"""Kinds that run code which a model wrote: only in a sandbox."""
TOOL_KINDS = frozenset(("react", "code_act", "rlm"))
"""Kinds that take tools."""


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What only some kinds know. Absent ones are the kind's own defaults."""

    max_iters: int | None = None
    """Rounds at most: react, program_of_thought, code_act, rlm."""
    inner: InnerKind | None = None
    """What best_of_n, refine and parallel run; predict where absent."""
    n: int | None = None
    """Attempts: best_of_n, refine (3); chains: multi_chain_comparison (3)."""
    reward: str | None = None
    """A function of the server that takes `inputs` and `outputs` and returns a number: best_of_n, refine."""
    threshold: float | None = None
    """A reward that is good enough to stop at: best_of_n, refine (1)."""
    k: int | None = None
    """Demonstrations per call: knn_few_shot (3)."""
    embedding: str | None = None
    """The embedding model that knn_few_shot compares inputs with; "default" where absent."""
    max_llm_calls: int | None = None
    """rlm."""
    num_threads: int | None = None
    """parallel (8)."""


class ProgramDefinition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One version of a created program."""

    name: str
    version: int
    signature: SignatureSpec
    kind: Kind = "predict"
    tools: tuple[str, ...] = ()
    """Functions of the server, or of a caller, that the program may call, by name."""
    demos: tuple[dict[str, Any], ...] = ()
    """Worked examples: one value per field each."""
    model: str = ""
    """By its name in the configuration; empty for the default."""
    adapter: AdapterName = ""
    temperature: float | None = None
    max_tokens: int | None = None
    options: Options = Options()
    doc: str = ""


_APPLY: dict[str, frozenset[str]] = {
    "max_iters": frozenset(("react", "program_of_thought", "code_act", "rlm")),
    "inner": frozenset(("best_of_n", "refine", "parallel")),
    "n": frozenset(("best_of_n", "refine", "multi_chain_comparison")),
    "reward": frozenset(("best_of_n", "refine")),
    "threshold": frozenset(("best_of_n", "refine")),
    "k": frozenset(("knn_few_shot",)),
    "embedding": frozenset(("knn_few_shot",)),
    "max_llm_calls": frozenset(("rlm",)),
    "num_threads": frozenset(("parallel",)),
}
_RANGES = {"max_iters": (1, 100), "n": (1, 32), "k": (1, 64), "max_llm_calls": (1, 1000), "num_threads": (1, 64)}
MAX_TOOLS = 64
MAX_DEMOS = 1000
MAX_BYTES = 1 << 20
"""Of one definition as JSON."""


def problems(definition: ProgramDefinition) -> list[tuple[str, str]]:
    """Return what is wrong with a definition, as pairs of field and description; nothing where it is right."""
    found: list[tuple[str, str]] = []
    kind, options = definition.kind, definition.options
    inner = options.inner if kind in _APPLY["inner"] else None
    for name, kinds in _APPLY.items():
        value = getattr(options, name)
        if value is not None and kind not in kinds and not (name == "max_iters" and inner == "react"):
            found.append((f"options.{name}", f"does not apply to {kind}; it does to {', '.join(sorted(kinds))}"))
        elif value is not None and name in _RANGES and not _RANGES[name][0] <= value <= _RANGES[name][1]:
            low, high = _RANGES[name]
            found.append((f"options.{name}", f"must be from {low} to {high}, got {value}"))
    if kind in ("best_of_n", "refine") and not options.reward:
        found.append(("options.reward", f"{kind} needs the name of a function that rates an answer"))
    if definition.tools and kind not in TOOL_KINDS and inner != "react":
        found.append(("tools", f"{kind} calls no tools; {', '.join(sorted(TOOL_KINDS))} do"))
    if len(definition.tools) > MAX_TOOLS or len(set(definition.tools)) < len(definition.tools):
        found.append(("tools", f"at most {MAX_TOOLS} tools, each once"))
    if kind == "knn_few_shot" and not definition.demos:
        found.append(("demos", "knn_few_shot chooses from demos; there are none"))
    return [*found, *_of_demos(definition), *_of_model(definition)]


def _of_demos(definition: ProgramDefinition) -> list[tuple[str, str]]:
    if len(definition.demos) > MAX_DEMOS:
        return [("demos", f"at most {MAX_DEMOS}; got {len(definition.demos)}")]
    names = {field.name for field in (*definition.signature.inputs, *definition.signature.outputs)} | {"reasoning"}
    outputs = {field.name for field in definition.signature.outputs}
    found = []
    for index, demo in enumerate(definition.demos):
        if unknown := sorted(set(demo) - names):
            found.append((f"demos[{index}].{unknown[0]}", f"is no field; fields: {', '.join(sorted(names))}"))
        elif not outputs & set(demo):
            found.append((f"demos[{index}]", f"shows no output; outputs: {', '.join(sorted(outputs))}"))
    return found


def _of_model(definition: ProgramDefinition) -> list[tuple[str, str]]:
    found = []
    if definition.temperature is not None and not 0 <= definition.temperature <= 2:
        found.append(("temperature", f"must be from 0 to 2, got {definition.temperature:g}"))
    if definition.max_tokens is not None and definition.max_tokens < 1:
        found.append(("max_tokens", f"must be at least 1, got {definition.max_tokens}"))
    return found


def to_json(definition: ProgramDefinition) -> bytes:
    """Return the definition as JSON, the same bytes for equal ones."""
    # msgspec leaves a default out where the very object is the default: a text that was put together is another one.
    read = msgspec.json.decode(msgspec.json.encode(definition), type=ProgramDefinition)
    return msgspec.json.encode(read, order="deterministic")


def from_json(data: bytes | str) -> ProgramDefinition:
    """Read what `to_json` wrote. Raises msgspec.ValidationError."""
    return msgspec.json.decode(data, type=ProgramDefinition)


def fingerprint(definition: ProgramDefinition) -> str:
    """Return a hash of all that a definition says but its version."""
    return hashlib.sha256(to_json(msgspec.structs.replace(definition, version=0))).hexdigest()
