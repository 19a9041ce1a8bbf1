"""Typed APIs made of Python functions, and one call of a typed method without a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from handlers.context import CallContext
from handlers.contract import CallMeta
from handlers.functions.discovery import handler_of
from handlers.typed import calls
from handlers.typed.lock import Lock, numbered
from handlers.typed.reader import Function, Problem, read
from handlers.typed.shapes import Api
from handlers.typed.values import Values


class Made:
    """An API with its numbers, and the handlers behind it."""

    def __init__(self, functions: tuple[Callable[..., Any], ...], lock: Lock | None = None) -> None:
        self.handlers = {handler.spec.name: handler for handler in map(handler_of, functions)}
        described = [
            Function(
                name=handler.spec.name,
                module="shop",
                streaming=handler.spec.streaming,
                doc=handler.spec.doc,
                arguments_schema=handler.spec.arguments_schema,
                result_schema=handler.spec.result_schema,
            )
            for handler in self.handlers.values()
        ]
        plain, self.problems = read("shop.v1", described)
        self.api: Api
        self.lock: Lock
        self.api, self.lock = numbered(plain, lock or Lock("shop.v1"))
        self.values = Values(self.api)

    def fields(self, message: str) -> dict[str, str]:
        """What the fields of a message are, as the lock has them; optional ones say so."""
        return {
            field.name: f"optional {field.told}" if field.label == "optional" else field.told
            for field in self.api.message(message).fields
        }

    def numbers(self, message: str) -> dict[str, int]:
        return {field.name: field.number for field in self.api.message(message).fields}

    def call(self, name: str, **fields: Any) -> Any:
        """Calls a function by its typed method with the fields of its request; returns the response message."""
        (method,) = [one for one in self.api.methods if one.function == name]
        request = self.values.message_class(method.request)(**fields)
        body = calls.envelope(name, calls.describe(self.api, method), request.SerializeToString())
        answer = self.handlers[name].call(calls.CALL, body, CallContext(CallMeta(calls.CALL), None, None))
        return self.values.message_class(method.response).FromString(answer)


@pytest.fixture
def typed() -> Any:
    """`typed(function, ..., lock=None)`."""

    def one(*functions: Callable[..., Any], lock: Lock | None = None) -> Made:
        return Made(functions, lock)

    return one


@pytest.fixture
def problems_of() -> Any:
    """The problems of functions given by their schemas alone."""

    def one(*functions: Function) -> list[Problem]:
        return read("shop.v1", functions)[1]

    return one
