"""The handler of a function that runs once for several calls: a list for each parameter, a list of results.

Answers `InvokeService/Call`, `InvokeService/StreamCall` and batches of the former. Of a batch each member succeeds or
fails by itself: bad arguments, an exception in place of a result, a result of the wrong type. Where the function itself
raises, an idempotent one is run again for each member alone; else all members fail. Owns no state; it must not know how
calls were gathered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from bridge.v1 import invoke_pb2
from handlers import batches
from handlers.entry import attempt, attempt_async, record_of
from handlers.errors import ResultInvalid
from handlers.functions.handler import CALL, FunctionHandler

if TYPE_CHECKING:
    from handlers.codec import Form
    from handlers.context import CallContext
    from handlers.contract import FunctionSpec
    from handlers.functions.signature import Signature
    from handlers.typed.calls import TypedMethod

Arguments = dict[str, Any]
Entered = tuple[Arguments, "Form | TypedMethod"]
"""What a member brings, and what writes its answer."""


class BatchedHandler(FunctionHandler):
    """One function of lists, ready to be called for one call or for several."""

    def __init__(self, function: Callable[..., Any], spec: FunctionSpec, signature: Signature) -> None:
        self._together = function
        super().__init__(self._alone_async if spec.is_async else self._alone, spec, signature)

    def call(self, method: str, request: bytes, context: CallContext) -> bytes | Awaitable[bytes]:
        """Answer a call or a batch of calls. Raises what concerns all of its members."""
        if method != batches.METHOD:
            return super().call(method, request, context)
        members, limit = batches.unpack(request)
        reading = [(member, attempt(partial(self._member, member))) for member in members]
        read = [found for _, found in reading if not isinstance(found, BaseException)]
        ids = [member.meta.request_id for member, _ in reading]
        replies = [found if isinstance(found, BaseException) else None for _, found in reading]
        if self.spec.is_async:
            return self._batch_async(read, replies, ids, limit)
        results = self._run([arguments for arguments, _ in read]) if read else []
        return self._packed(results, read, replies, ids, limit)

    async def _batch_async(
        self, read: list[Entered], replies: list[BaseException | None], ids: list[str], limit: int
    ) -> bytes:
        results = await self._run_async([arguments for arguments, _ in read]) if read else []
        return self._packed(results, read, replies, ids, limit)

    def _member(self, member: batches.Member) -> Entered:
        if member.meta.method != CALL:
            return self._typed_member(member)
        return self._read(invoke_pb2.CallRequest, member.request)

    def _typed_member(self, member: batches.Member) -> Entered:
        from handlers.typed import calls

        if member.meta.method != calls.CALL:
            raise self._not_answered(member.meta.method, CALL)
        method, request = calls.open_typed(member.request)
        arguments, _ = self._read(invoke_pb2.CallRequest, request)
        return arguments, method

    def _answer(self, value: Any, form: Form | TypedMethod) -> bytes:
        if isinstance(form, str):
            return super()._answer(value, form)
        return form.answer(super()._answer(value, "msgpack"))

    def _run(self, members: list[Arguments]) -> list[Any]:
        """Return a result or an exception for each member."""
        found = attempt(lambda: self._checked(self._together(**_columns(members)), len(members)))
        if not isinstance(found, BaseException):
            return found
        if not self.spec.idempotent or len(members) == 1:
            raise found
        return [attempt(partial(self._alone, **arguments)) for arguments in members]

    async def _run_async(self, members: list[Arguments]) -> list[Any]:
        found = await attempt_async(self._checked_async(members))
        if not isinstance(found, BaseException):
            return found
        if not self.spec.idempotent or len(members) == 1:
            raise found
        return [await attempt_async(self._alone_async(**arguments)) for arguments in members]

    async def _checked_async(self, members: list[Arguments]) -> list[Any]:
        return self._checked(await self._together(**_columns(members)), len(members))

    def _checked(self, results: Any, count: int) -> list[Any]:
        try:
            found = list(results)
        except TypeError:
            raise ResultInvalid(
                f"{self.spec.name} is batched: expected a list of {count} results, got {type(results).__name__}"
            ) from None
        if len(found) != count:
            raise ResultInvalid(
                f"{self.spec.name} is batched: expected one result for each of {count} calls, got {len(found)}; put an "
                "exception in the place of a result that there is not"
            )
        return found

    def _alone(self, /, **arguments: Any) -> Any:
        """Run the function for one call."""
        return _result(self._checked(self._together(**_columns([arguments])), 1))

    async def _alone_async(self, /, **arguments: Any) -> Any:
        return _result(await self._checked_async([arguments]))

    def _packed(
        self,
        results: list[Any],
        read: list[Entered],
        replies: list[BaseException | None],
        ids: list[str],
        limit: int,
    ) -> bytes:
        """Return the reply of a batch. `replies` has None where a result is to stand."""
        made = iter(zip(results, read, strict=True))
        answers = []
        for request_id, failure in zip(ids, replies, strict=True):
            reply: bytes | BaseException
            if failure is None:
                result, (_, form) = next(made)
                reply = result if isinstance(result, BaseException) else attempt(partial(self._answer, result, form))
            else:
                reply = failure
            if isinstance(reply, BaseException):
                answers.append(batches.failed(record_of(reply, request_id)))
            else:
                answers.append(batches.good(reply))
        return batches.pack_answers(answers, limit)


def _columns(members: list[Arguments]) -> dict[str, list[Any]]:
    return {name: [arguments[name] for arguments in members] for name in members[0]}


def _result(results: list[Any]) -> Any:
    """Return the one result. Raises it where it is an exception."""
    (result,) = results
    if isinstance(result, BaseException):
        raise result
    return result
