"""User functions: discovery, signatures, the handler, and the tools for a user's own tests."""

import asyncio
import contextlib
import dataclasses
import functools
import types
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from bridge.v1 import common_pb2, invoke_pb2
from handlers.context import CallContext, current
from handlers.contract import CallMeta
from handlers.errors import BadInput, HandlerError, ResultInvalid
from handlers.functions.declare import Declaration, declaration_of, function
from handlers.functions.discovery import discover_functions, handler_of
from handlers.loading import LoadFailed
from handlers.testing import acall, astream, call, stream

CALL, STREAM = "InvokeService/Call", "InvokeService/StreamCall"


def _module(source, name="app_under_test"):
    module = types.ModuleType(name)
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    return module


def _found(source):
    return {handler.spec.name: handler.spec for handler in discover_functions(_module(source), "app.py")}


def _request(payload, envelope=invoke_pb2.CallRequest):
    return envelope(function="f", arguments=payload).SerializeToString()


def _context():
    return CallContext(CallMeta(method=CALL))


# -- discovery ----------------------------------------------------------------------------------------------------


def test_public_functions_of_the_module_itself_are_served():
    found = _found(
        "from json import dumps\nfrom dataclasses import dataclass\nimport functools, math\n"
        "def b(x: int) -> int:\n    'Doubles.'\n    return 2 * x\n"
        "def _hidden(): ...\n"
        "async def a(): ...\n"
        "class Thing:\n    def method(self): ...\n"
        "@dataclass\nclass Data:\n    x: int\n"
        "@functools.cache\ndef cached(x: int) -> int: return x\n"
        "half = lambda x: x / 2\n"
        "number = 5\nsqrt = math.sqrt\n"
    )
    assert list(found) == ["a", "b", "cached", "half"]
    assert (found["b"].doc, found["b"].module, found["b"].kind) == ("Doubles.", "app.py", "function")
    assert (found["a"].is_async, found["b"].is_async) == (True, False)


def test_all_is_the_list_of_public_functions():
    found = _found(
        "from json import dumps\n__all__ = ['dumps_safe', 'x']\nx = 1\ndef dumps_safe(v): ...\ndef other(): ...\n"
    )
    assert list(found) == ["dumps_safe"]


def test_all_may_list_an_imported_function():
    assert list(_found("from inspect import getdoc\n__all__ = ['getdoc']\n")) == ["getdoc"]


def test_decorated_functions_are_served_wherever_they_come_from():
    source = (
        "from handlers.functions.declare import function\n"
        "@function(name='shop.price', pool='llm', idempotent=True, placement='native', doc='The price.')\n"
        "def _price(item: str) -> float: return 1.0\n"
    )
    inner = _module(source, "inner")
    outer = types.ModuleType("outer")
    outer._price = inner._price
    (handler,) = discover_functions(outer, "outer.py")
    spec = handler.spec
    assert (spec.name, spec.pool, spec.idempotent, spec.placement, spec.doc) == (
        "shop.price",
        "llm",
        True,
        "native",
        "The price.",
    )


def test_a_pure_function_may_be_repeated():
    source = (
        "from bridge import function\n"
        "@function(placement='auto', pure=True, thread_safe=True)\n"
        "def f(x: int) -> int: return x\n"
    )
    spec = _found(source)["f"]
    assert (spec.placement, spec.pure, spec.thread_safe, spec.idempotent) == ("auto", True, True, True)


def test_function_only_attaches_a_record():
    def plain(x):
        return x

    assert function(plain) is plain
    assert declaration_of(plain) == Declaration()
    assert declaration_of(function(name="other")(lambda: None)).name == "other"
    assert declaration_of(len) is None
    with pytest.raises(TypeError, match="expected a function, got int"):
        function(5)
    with pytest.raises(TypeError, match="expected a function, got type"):
        function(int)
    with pytest.raises(ValueError, match="'native', 'pooled' or 'auto', got 'front'"):
        function(placement="front")


REFUSED = {
    "var positional": ("def f(*items): ...", r"function 'f' can not be served: \*items: .* take a list"),
    "var keyword": ("def f(**options): ...", r"\*\*options: .* take a dict"),
    "positional only": ("def f(x, /): ...", r"x: .* remove the '/'"),
    "unknown name": ("def f(x: 'Missing'): ...", "names 'Missing'"),
    "not for the wire": ("import threading\ndef f(x: threading.Thread): ...", "x: expected a type that can come over"),
    "not an annotation": ("def f(x: 5): ...", "'f' can not be served"),
    "auto, not pure": (
        "from bridge import function\n@function(placement='auto', thread_safe=True)\ndef f(): ...",
        "'f' can not be served: placement='auto' .* pure is missing",
    ),
    "auto, nothing declared": (
        "from bridge import function\n@function(placement='auto')\ndef f(): ...",
        "declared pure=True and thread_safe=True; pure and thread_safe are missing",
    ),
    "auto, streams": (
        "from collections.abc import Iterator\nfrom bridge import function\n"
        "@function(placement='auto', pure=True, thread_safe=True)\ndef f() -> Iterator[int]: yield 1",
        "'f' can not be served: it streams",
    ),
    "bad name": ("def größe(): ...", "'größe' can not be served: expected a name of 1 to 128 ASCII"),
    "two of one name": (
        "from handlers.functions.declare import function\n@function(name='g')\ndef f(): ...\ndef g(): ...",
        "two functions named 'g'",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_functions_that_can_not_be_served(case):
    source, message = REFUSED[case]
    with pytest.raises(LoadFailed, match=message):
        _found(source)


def test_examples_and_schemas_are_published():
    spec = _found("def add(a: int, b: int = 2) -> int: return a + b")["add"]
    assert spec.example == '{"a": 1, "b": 2}'
    assert '"default": 2' in spec.arguments_schema
    assert spec.result_schema == '{"type": "integer"}'


# -- calls --------------------------------------------------------------------------------------------------------


def add(a: int, b: int = 1) -> int:
    return a + b


async def slow_add(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


def count(n: int) -> Iterator[int]:
    yield from range(n)


async def count_later(n: int) -> AsyncIterator[int]:
    for value in range(n):
        await asyncio.sleep(0)
        yield value


async def gives_stream(n: int) -> AsyncIterator[int]:
    return count_later(n)


def size(data: bytes, unit: int = 1) -> int:
    return len(data) // unit


def echo(value):
    return value


@dataclasses.dataclass
class Person:
    name: str
    photo: bytes = b""


def greet(people: list[Person]) -> dict[str, Person]:
    return {person.name: person for person in people}


def scale(x: npt.NDArray[np.float32], by: float) -> npt.NDArray[np.float32]:
    return x * np.float32(by)


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_calls_of_every_kind(form):
    assert call(add, form, a=1, b=2) == 3
    assert call(add, form, a=1) == 2
    assert call(slow_add, form, a=1, b=2) == 3
    assert call(echo, form, value={"deep": [1, None, 1.5]}) == {"deep": [1, None, 1.5]}
    assert stream(count, form, n=3) == [0, 1, 2]
    assert stream(count_later, form, n=3) == [0, 1, 2]
    assert stream(gives_stream, form, n=2) == [0, 1]
    assert stream(add, form, a=1) == [2]
    assert stream(slow_add, form, a=1, b=2) == [3]
    photo = b"\xff" if form == "msgpack" else "/w=="
    assert call(greet, form, people=[Person("Ada", b"\xff")]) == {"Ada": {"name": "Ada", "photo": photo}}
    scaled = call(scale, form, x=np.ones(3, np.float32), by=2)
    assert scaled.tolist() == [2.0, 2.0, 2.0]


async def test_calls_inside_a_loop():
    assert await acall(slow_add, a=1, b=2) == 3
    assert await acall(add, a=1) == 2
    assert await astream(count_later, n=2) == [0, 1]
    assert await astream(count, n=2) == [0, 1]


def test_raw_goes_to_the_one_bytes_parameter():
    assert call(size, "raw", data=b"12345") == 5

    def back(data: bytes) -> bytes:
        return data[::-1]

    reply = handler_of(back).call(CALL, _request(common_pb2.Payload(raw=b"abc")), _context())
    assert invoke_pb2.CallResponse.FromString(reply).result.raw == b"cba"


@pytest.mark.parametrize("target", [add, echo, lambda data, other: data])
def test_raw_is_refused_by_other_functions(target):
    with pytest.raises(BadInput, match="raw is for a function with one parameter of type bytes"):
        handler_of(target, name="f").call(CALL, _request(common_pb2.Payload(raw=b"x")), _context())


def test_a_stream_is_not_a_call():
    with pytest.raises(BadInput, match="InvokeService/StreamCall"):
        call(count, n=1)
    with pytest.raises(BadInput, match="InvokeService/StreamCall"):
        call(count_later, n=1)


def test_other_methods_are_not_answered():
    with pytest.raises(HandlerError, match="got ProgramService/Run") as caught:
        handler_of(add).call("ProgramService/Run", b"", _context())
    assert caught.value.code == "UNIMPLEMENTED"


@pytest.mark.parametrize("request_bytes", [b"\xff", b"\x0a\x05ab", _request(common_pb2.Payload(json="x"))[:-1]])
def test_broken_envelopes_are_bad_input(request_bytes):
    with pytest.raises(BadInput, match=r"expected a bridge\.v1\.CallRequest message"):
        handler_of(add).call(CALL, request_bytes, _context())


def test_a_string_that_is_not_utf8_is_bad_input():
    broken = _request(common_pb2.Payload(json='{"a":"~~"}')).replace(b"~~", b"\xff\xfe")
    with pytest.raises(BadInput):
        handler_of(add).call(CALL, broken, _context())


def test_bad_arguments_never_reach_the_function():
    called = []

    def spy(n: int) -> None:
        called.append(n)

    with pytest.raises(BadInput) as caught:
        call(spy, n="5")
    assert caught.value.violations == (("n", "expected an integer, got the string '5'"),)
    with pytest.raises(BadInput):
        stream(spy, n="5")
    assert called == []


def test_results_are_checked():
    def wrong() -> int:
        return "5"

    def late() -> Iterator[int]:
        yield 1
        yield "2"

    def gives_generator():
        return (x for x in [1])

    with pytest.raises(ResultInvalid, match="expected an integer, got the string '5'"):
        call(wrong)
    replies = handler_of(late).stream(STREAM, _request(common_pb2.Payload()), _context())
    assert next(replies)
    with pytest.raises(ResultInvalid):
        next(replies)
    with pytest.raises(ResultInvalid, match="iterator"):
        call(gives_generator)


def test_a_users_exception_passes_unchanged():
    class Boom(BaseException):
        pass

    def fails():
        raise Boom

    with pytest.raises(Boom):
        call(fails)


def test_a_stream_that_is_left_early_is_closed():
    events = []

    def endless() -> Iterator[int]:
        with contextlib.ExitStack() as stack:
            stack.callback(events.append, "closed")
            while True:
                yield 1

    replies = handler_of(endless).stream(STREAM, _request(common_pb2.Payload()), _context())
    next(replies)
    assert events == []
    replies.close()
    assert events == ["closed"]


async def test_an_async_stream_that_is_left_early_is_closed():
    events = []

    async def endless() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
        finally:
            events.append("closed")

    replies = handler_of(endless).stream(STREAM, _request(common_pb2.Payload()), _context())
    await anext(replies)
    await replies.aclose()
    assert events == ["closed"]


async def test_a_cancelled_call_reaches_the_function():
    started, ended = asyncio.Event(), []

    async def waits() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    task = asyncio.create_task(_await(handler_of(waits).call(CALL, _request(common_pb2.Payload()), _context())))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def _await(awaitable):
    return await awaitable


def test_functions_see_their_call():
    def who() -> str:
        return current().meta.method

    assert call(who) == CALL


def test_wrapped_functions_keep_their_signature():
    def logged(target):
        @functools.wraps(target)
        def wrapper(**arguments: Any):
            return target(**arguments)

        return wrapper

    assert call(logged(add), a=1, b=4) == 5
    with pytest.raises(BadInput):
        call(logged(add), a="1")


def test_none_as_default_makes_a_parameter_optional():
    def f(x: int = None) -> str:  # noqa: RUF013
        return str(x)

    assert call(f) == "None"
    assert call(f, x=None) == "None"
    assert call(f, x=1) == "1"


def test_keyword_only_parameters_are_served():
    def f(a: int, *, b: int) -> int:
        return a - b

    assert call(f, a=3, b=1) == 2
    with pytest.raises(BadInput) as caught:
        call(f, a=3)
    assert caught.value.violations == (("b", "expected an integer, got nothing"),)


def test_arguments_are_read_only_views():
    def writes(x: np.ndarray) -> bool:
        return x.flags.writeable or x.flags.owndata

    assert call(writes, x=np.zeros(3)) is False
