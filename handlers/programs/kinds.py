"""Builds a DSPy module from a stored definition: one function per kind.

The kinds are DSPy's own modules. Where one of those keeps state between calls (BestOfN and Refine count their failures
on themselves) or blocks the event loop, a module of this file runs it safely. Owns no state; must not know where tools,
rewards, embeddings and sandboxes come from: `Services` brings them.
"""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Any, Protocol

import dspy
import numpy as np
import pydantic

from handlers.programs.definitions import CODE_KINDS
from handlers.programs.schema_types import PythonTypes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from handlers.programs.definitions import ProgramDefinition
    from handlers.signatures.spec import SignatureField, SignatureSpec


class Services(Protocol):
    """What a program takes from its surroundings."""

    def tool(self, name: str) -> Any:
        """Return a dspy.Tool. Raises HandlerError where there is no such tool."""

    def rate(self, name: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> float:
        """Return what the function `name` makes of an answer. Called in a thread."""

    def embed(self, model: str, texts: list[str]) -> Awaitable[np.ndarray]:
        """Return one vector per text, as rows."""

    def interpreter(self) -> Callable[[], Any]:
        """Return what makes sandboxes for code. Raises HandlerError where there is none."""


def signature_of(spec: SignatureSpec, name: str) -> Any:
    """Return the dspy.Signature of a stored signature."""
    types = PythonTypes()
    fields = {field.name: (types.of(field.type), _field(field, dspy.InputField)) for field in spec.inputs}
    fields |= {field.name: (types.of(field.type), _field(field, dspy.OutputField)) for field in spec.outputs}
    return dspy.Signature(fields, spec.instructions or None, signature_name=_title(name))


def build(definition: ProgramDefinition, services: Services) -> Any:
    """Return the module of a definition that `definitions.problems` finds nothing wrong with."""
    signature = signature_of(definition.signature, definition.name)
    demos = [dspy.Example(**demo) for demo in definition.demos]
    module = _module(definition, signature, services)
    if definition.kind != "knn_few_shot":
        _give_demos(module, demos, definition.signature)
    settings = {"temperature": definition.temperature, "max_tokens": definition.max_tokens}
    for predictor in module.predictors():
        predictor.config |= {name: value for name, value in settings.items() if value is not None}
    return module


def _module(definition: ProgramDefinition, signature: Any, services: Services) -> Any:
    kind, options = definition.kind, definition.options
    if kind in CODE_KINDS:
        return _code_module(definition, signature, services)
    if kind in ("best_of_n", "refine"):
        return Rated(_inner(definition, signature, services), definition, services)
    if kind == "multi_chain_comparison":
        return Compared(signature, options.n or 3)
    if kind == "parallel":
        return Parallel(_inner(definition, signature, services), options.num_threads or 8)
    if kind == "knn_few_shot":
        return FewShot(signature, definition, services)
    return _simple(kind, definition, signature, services)


def _inner(definition: ProgramDefinition, signature: Any, services: Services) -> Any:
    return _simple(definition.options.inner or "predict", definition, signature, services)


def _simple(kind: str, definition: ProgramDefinition, signature: Any, services: Services) -> Any:
    if kind == "react":
        tools = [services.tool(name) for name in definition.tools]
        return dspy.ReAct(signature, tools=tools, max_iters=definition.options.max_iters or 20)
    return dspy.ChainOfThought(signature) if kind == "chain_of_thought" else dspy.Predict(signature)


def _code_module(definition: ProgramDefinition, signature: Any, services: Services) -> Any:
    interpreter, options = services.interpreter(), definition.options
    if definition.kind == "program_of_thought":
        return dspy.ProgramOfThought(signature, max_iters=options.max_iters or 3, interpreter_factory=interpreter)
    tools = [services.tool(name) for name in definition.tools]
    if definition.kind == "code_act":
        return CodeActing(signature, tools, options.max_iters or 5, interpreter)
    return dspy.RLM(
        signature,
        max_iters=options.max_iters or 20,
        max_llm_calls=options.max_llm_calls or 50,
        tools=tools,
        interpreter_factory=interpreter,
    )


class CodeActing(dspy.CodeAct):  # type: ignore[misc]  # dspy has no types
    """CodeAct whose tools stay outside: DSPy's own would copy their source into the sandbox, where they can do nothing.

    The code in the sandbox calls them by name, and they run here.
    """

    def __init__(self, signature: Any, tools: list[Any], max_iters: int, make: Callable[..., Any]) -> None:
        callables = {tool.name: _plainly(tool) for tool in tools}
        named = [
            dspy.Tool(callables[tool.name], name=tool.name, desc=tool.desc, args=tool.args, arg_types=tool.arg_types)
            for tool in tools
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            super().__init__(signature, named, max_iters, lambda: make(tools=callables))
        self.tools: dict[str, Any] = {}  # what is in here would be copied


def _plainly(tool: Any) -> Callable[..., Any]:
    """Return a tool as a function that takes its arguments by position or by name."""
    names = list(tool.args or {})

    def call(*args: Any, **kwargs: Any) -> Any:
        return tool(**dict(zip(names, args, strict=False)), **kwargs)

    return call


class Rated(dspy.Module):  # type: ignore[misc]  # dspy has no types
    """BestOfN or Refine. DSPy's own count failures on themselves, so each call gets a fresh one."""

    def __init__(self, module: Any, definition: ProgramDefinition, services: Services) -> None:
        super().__init__()
        self.module = module
        self.signature = module.signature if hasattr(module, "signature") else module.predict.signature
        self._make = dspy.BestOfN if definition.kind == "best_of_n" else dspy.Refine
        self._attempts = definition.options.n or 3
        self._threshold = 1.0 if definition.options.threshold is None else definition.options.threshold
        self._reward = definition.options.reward or ""
        self._services = services

    def forward(self, **inputs: Any) -> Any:
        """Run attempts until one is good enough; return the best."""

        def reward(given: dict[str, Any], answer: Any) -> float:
            return self._services.rate(self._reward, given, dict(answer.items()))

        made = self._make(module=self.module, N=self._attempts, reward_fn=reward, threshold=self._threshold)
        return made(**inputs)


class Compared(dspy.Module):  # type: ignore[misc]
    """MultiChainComparison with the chains that it compares."""

    def __init__(self, signature: Any, chains: int) -> None:
        super().__init__()
        self.signature = signature
        self.chain = dspy.ChainOfThought(signature, temperature=0.7)
        self.compare = dspy.MultiChainComparison(signature, M=chains)
        self._chains = chains

    async def aforward(self, **inputs: Any) -> Any:
        """Think several times at once, then choose."""
        # The rollout id makes each chain a sample of its own, also where a provider or a cache would repeat itself.
        made = [self.chain.acall(**inputs, config={"rollout_id": index + 1}) for index in range(self._chains)]
        chains = await asyncio.gather(*made)
        attempts = [
            {"reasoning": str(chain.reasoning or "-"), self.compare.last_key: chain[self.compare.last_key]}
            for chain in chains
        ]
        compare = self.compare
        given = {
            f"reasoning_attempt_{index + 1}": _attempt(one, compare.last_key) for index, one in enumerate(attempts)
        }
        return await compare.predict.acall(**given, **inputs)


class Parallel(dspy.Module):  # type: ignore[misc]
    """One program over many inputs at once: `items` in, `results` out in the same order, null where one failed."""

    def __init__(self, module: Any, at_once: int) -> None:
        super().__init__()
        self.module = module
        self._at_once = at_once

    async def aforward(self, items: list[dict[str, Any]]) -> Any:
        """Run the program on each item."""
        places = asyncio.Semaphore(self._at_once)

        async def one(item: dict[str, Any]) -> Any:
            async with places:
                return await self.module.acall(**item)

        outcomes = await asyncio.gather(*map(one, items), return_exceptions=True)
        failed = [
            {"index": index, "error": f"{type(outcome).__name__}: {outcome}"[:1000]}
            for index, outcome in enumerate(outcomes)
            if isinstance(outcome, Exception)
        ]
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
                raise outcome
        return dspy.Prediction(
            results=[None if isinstance(one, BaseException) else dict(one.items()) for one in outcomes], errors=failed
        )


class FewShot(dspy.Module):  # type: ignore[misc]
    """A prompt with the demonstrations whose inputs are nearest to the call's."""

    def __init__(self, signature: Any, definition: ProgramDefinition, services: Services) -> None:
        super().__init__()
        self.signature = signature
        self.predict = dspy.Predict(signature)
        self._names = [field.name for field in definition.signature.inputs]
        self._demos = [dspy.Example(**demo).with_inputs(*self._names) for demo in definition.demos]
        self._k = min(definition.options.k or 3, len(self._demos))
        self._model = definition.options.embedding or "default"
        self._services = services
        self._vectors: np.ndarray | None = None

    async def aforward(self, **inputs: Any) -> Any:
        """Choose demonstrations, then ask."""
        if self._vectors is None:
            texts = [self._text({name: demo.get(name) for name in self._names}) for demo in self._demos]
            self._vectors = _normal(await self._services.embed(self._model, texts))
        query = _normal(await self._services.embed(self._model, [self._text(inputs)]))
        nearest = np.argsort(-(self._vectors @ query[0]), kind="stable")[: self._k]
        # The nearest one last, where a model looks first.
        return await self.predict.acall(**inputs, demos=[self._demos[index] for index in reversed(nearest)])

    def _text(self, inputs: dict[str, Any]) -> str:
        return " | ".join(f"{name}: {inputs.get(name)}" for name in self._names)


def _normal(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths))


def _attempt(chain: dict[str, Any], key: str) -> str:
    """Write an attempt as MultiChainComparison does."""
    reasoning = chain["reasoning"].strip().split("\n")[0].strip()
    answer = str(chain[key]).strip().split("\n")[0].strip()
    return f"«I'm trying to {reasoning} I'm not sure but my prediction is {answer}»"


def _give_demos(module: Any, demos: list[Any], spec: SignatureSpec) -> None:
    """Give demonstrations to the predictors that write the outputs."""
    outputs = {field.name for field in spec.outputs}
    for predictor in module.predictors():
        if outputs <= set(predictor.signature.output_fields):
            predictor.demos = list(demos)


def _field(field: SignatureField, make: Callable[..., Any]) -> Any:
    limits = field.constraints
    given = {name: getattr(limits, name) for name in limits.__struct_fields__ if getattr(limits, name) is not None}
    if field.description:
        given["desc"] = field.description
    if field.default is not None:
        given["default"] = pydantic.TypeAdapter(Any).validate_json(field.default)
    elif make is dspy.InputField and not field.required:
        given["default"] = None
    return make(**given)


def _title(name: str) -> str:
    words = "".join(character if character.isalnum() else " " for character in name).split()
    return "".join(word[:1].upper() + word[1:] for word in words) or "Created"
