"""Structured answers by instructor: asks, checks strictly, asks again with the mistakes.

The pydantic model that instructor wants is a shell: it shows the caller's own JSON Schema to the language model,
unchanged, and checks with jsonschema, so that nothing is lost in a translation to Python types (closed objects,
number formats, odd names). Tools are tried first; a provider that refuses tools gets the schema in the prompt.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict, PrivateAttr, ValidationError, model_validator

from handlers.contract import UsageRecord
from handlers.errors import HandlerError
from handlers.models import errors, litellm_library
from handlers.models.answer_schema import AnswerSchema, Violations, json_text, output_invalid
from handlers.models.chat import Extracted
from handlers.models.stream_answer import StreamAnswer
from handlers.redaction import redact
from handlers.usage import total

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import ModelWrapValidatorHandler

    from handlers.context import CallContext
    from handlers.models.growth import Growth
    from handlers.models.litellm_model import LiteLLMModel

_SCHEMA_TITLE = "Answer"
_TOOLS_REFUSED = frozenset({"400", "404", "422", "501"})
"""Statuses by which a provider may say that it does not take tools."""


class _Answer(BaseModel):
    """Base of the shells; `judge` is set by `_shell`."""

    model_config = ConfigDict(extra="allow")
    judge: ClassVar[AnswerSchema]
    found: ClassVar[list[Violations]]
    _value: Any = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, data: Any, handler: ModelWrapValidatorHandler[_Answer]) -> _Answer:
        data = cls.judge.unwrapped(data)
        violations = cls.judge.violations(data)
        if violations:
            cls.found.append(violations)
            raise ValueError("; ".join(f"{path or 'the answer'}: {what}" for path, what in violations))
        answer = handler({})
        answer._value = data
        return answer

    @classmethod
    def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
        """Return the caller's schema, under a title that may be a function's name."""
        return {"properties": {}, **cls.judge.shown, "title": _SCHEMA_TITLE}


class _ToolsIgnored(Exception):
    """The model answered with a text where it had to call a tool: not every server knows tools."""


async def extract(
    model: LiteLLMModel,
    arguments: dict[str, Any],
    schema: AnswerSchema,
    max_retries: int,
    context: CallContext,
    growth: Growth | None = None,
) -> Extracted:
    """Ask `model` until its answer fits. Raises HandlerError: OUTPUT_INVALID when it never does.

    With `growth` the answers come as streams, and it is told of them while they are written.
    """
    run = _Extraction(model, arguments, schema, context, growth)
    try:
        return await run.by_tools(max_retries)
    except _ToolsIgnored:
        left = max_retries - run.attempts
    except HandlerError as error:
        if error.metadata.get("status") not in _TOOLS_REFUSED or run.attempts > 1:
            raise
        left = max_retries
    if left < 0:
        raise run.invalid((("", "it is a text, not a call of the tool that carries the answer"),))
    return await run.by_prompt(left)


class _Extraction:
    """One call of `extract`: owns what its attempts used and the mistakes that they made."""

    def __init__(
        self,
        model: LiteLLMModel,
        arguments: dict[str, Any],
        schema: AnswerSchema,
        context: CallContext,
        growth: Growth | None,
    ) -> None:
        self._model = model
        self._arguments = arguments
        self._context = context
        self._growth = growth
        self._instructor = litellm_library.load_instructor()
        self._shell = _shell(schema)
        self._usage: list[UsageRecord] = []

    @property
    def attempts(self) -> int:
        """How many times the model was asked."""
        return len(self._usage)

    async def by_tools(self, max_retries: int) -> Extracted:
        """Make the model call a tool whose arguments are the answer. Raises _ToolsIgnored."""

        async def ask(**kwargs: Any) -> Any:
            response = await self._ask(kwargs, by_tools=True)
            if not response.choices[0].message.tool_calls:
                raise _ToolsIgnored
            return response

        return await self._run(ask, self._instructor.Mode.TOOLS, max_retries)

    async def by_prompt(self, max_retries: int) -> Extracted:
        """Show the model the schema and read the answer from its text. Works with any model."""

        async def ask(**kwargs: Any) -> Any:
            return await self._ask(kwargs, by_tools=False)

        return await self._run(ask, self._instructor.Mode.MD_JSON, max_retries)

    def invalid(self, violations: Violations) -> HandlerError:
        """Return the failure of a model whose answers never fit."""
        return output_invalid(violations, self.attempts, self._usage[-1].model)

    async def _ask(self, kwargs: dict[str, Any], *, by_tools: bool) -> Any:
        """Send one request. Where somebody watches, its answer comes as a stream."""
        arguments = {**self._arguments, **kwargs}
        if self._growth is None:
            return await self._model.ask(arguments, self._context, self._usage)
        self._growth.begin(self.attempts + 1)
        answer = StreamAnswer()
        async with aclosing(self._model.follow(arguments, self._context, self._usage, answer)) as texts:
            async for text in texts:
                self._growth.add(answer.added_arguments if by_tools else text)
        return answer.response(litellm_library.load())

    async def _run(self, ask: Callable[..., Awaitable[Any]], mode: Any, max_retries: int) -> Extracted:
        client = self._instructor.from_litellm(ask, mode=mode)
        try:
            answer = await client.create(
                response_model=self._shell, messages=list(self._arguments["messages"]), max_retries=max_retries
            )
        except litellm_library.instructor_failures() as error:
            raise self._failure(error) from None
        return Extracted(
            json_text=json_text(answer._value),
            model=self._usage[-1].model,
            usage=total(self._usage[-1].model, self._usage),
            attempts=self.attempts,
        )

    def _failure(self, error: BaseException) -> Exception:
        cause = errors.root_cause(error)
        if isinstance(cause, HandlerError | _ToolsIgnored):
            return cause
        if type(cause).__name__ == "IncompleteOutputException":
            return self.invalid((("", "it was cut: max_tokens is too small"),))
        said = str(cause)
        if isinstance(cause, ValidationError):
            first = cause.errors()[0]
            if first["type"] == "value_error":
                return self.invalid(self._shell.found[-1])
            said = first["msg"]
        said = redact(" ".join(said.split()), [self._model.options.api_key or ""])
        return self.invalid((("", f"it is not an object in JSON: {said[:300]}"),))


def _shell(schema: AnswerSchema) -> type[_Answer]:
    return type(_SCHEMA_TITLE, (_Answer,), {"judge": schema, "found": [], "__module__": __name__, "__doc__": ""})
