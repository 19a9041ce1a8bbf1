"""The entry: every failure of user code is a value, every cancel passes through, every stream is closed."""

import asyncio
import contextlib

import msgspec
import pytest

from handlers.contract import CallMeta, EntryOptions, FunctionSpec, ReplyMeta, UsageRecord
from handlers.entry import Entry
from handlers.errors import BadInput
from handlers.loading import LoadFailed

META = msgspec.msgpack.encode(CallMeta("InvokeService/Call"))


class Made:
    """A handler out of a plain function or generator function of (request, context)."""

    def __init__(self, work, name="f", is_async=False):
        self.spec = FunctionSpec(name=name, is_async=is_async)
        self._work = work

    def call(self, _method, request, context):
        return self._work(request, context)

    stream = call


class Cancel(BaseException):
    """As the pool's cancel looks to an entry."""

    ends_call = True


def entry_of(*handlers, **options):
    entry = Entry(EntryOptions(pool="p", **options))
    entry._add(list(handlers))
    return entry


def failure(result):
    ok, meta, body = result
    assert (ok, body) == (False, b"")
    return msgspec.msgpack.decode(meta, type=ReplyMeta).error


def raising(error):
    def work(*_):
        raise error

    return work


async def acall(entry):
    return await entry.acall("f", META, b"in", None)


def both(entry):
    """The result of a call in both of its forms."""
    return [entry.call("f", META, b"in", None), asyncio.run(acall(entry))]


# -- calls --------------------------------------------------------------------------------------------------------


def test_a_call_returns_its_bytes():
    async def work(request, _context):
        await asyncio.sleep(0)
        return request + b"!"

    assert both(entry_of(Made(lambda request, _: request + b"!"))) == [(True, b"", b"in!")] * 2
    assert both(entry_of(Made(work, is_async=True))) == [(True, b"", b"in!")] * 2


@pytest.mark.parametrize(
    ("error", "code", "reason", "kind"),
    [
        (ValueError("no"), "UNKNOWN", "USER_EXCEPTION", "ValueError"),
        (SystemExit(1), "UNKNOWN", "USER_EXCEPTION", "SystemExit"),
        (GeneratorExit(), "UNKNOWN", "USER_EXCEPTION", "GeneratorExit"),
        (asyncio.CancelledError(), "UNKNOWN", "USER_EXCEPTION", "CancelledError"),
        (BadInput("expected x"), "INVALID_ARGUMENT", "SCHEMA_MISMATCH", ""),
    ],
)
def test_a_failure_is_a_value(error, code, reason, kind):
    for result in both(entry_of(Made(raising(error)))):
        record = failure(result)
        assert (record.code, record.reason, record.type, record.traceback) == (code, reason, kind, "")


def test_a_traceback_is_passed_on_only_where_it_is_asked_for(capsys):
    entry = entry_of(Made(raising(ValueError("no"))), expose_tracebacks=True)
    assert "in work" in failure(entry.call("f", META, b"", None)).traceback
    assert "ValueError: no" in capsys.readouterr().err


def test_an_unknown_function_is_told_by_pool():
    for result in both(entry_of()):
        record = failure(result)
        assert (record.code, record.reason) == ("NOT_FOUND", "UNKNOWN_FUNCTION")


def test_usage_is_reported_with_success_and_with_failure():
    def work(request, context):
        context.record_usage(UsageRecord("m", calls=1), 0.5)
        if request == b"in":
            raise ValueError
        return b""

    entry = entry_of(Made(work))
    for body in (b"in", b"other"):
        meta = msgspec.msgpack.decode(entry.call("f", META, body, None)[1], type=ReplyMeta)
        assert (meta.usage[0].model, meta.model_s) == ("m", 0.5)


def test_two_functions_of_one_name_are_refused():
    with pytest.raises(LoadFailed, match="two functions are named 'f'"):
        entry_of(Made(None), Made(None))


def test_a_cancel_passes_through(capsys):
    with pytest.raises(Cancel):
        entry_of(Made(raising(Cancel()))).call("f", META, b"", None)
    assert capsys.readouterr().err == "", "a cancel is no failure of user code"


async def test_a_cancelled_task_passes_through():
    async def work(*_):
        await asyncio.Event().wait()

    task = asyncio.ensure_future(acall(entry_of(Made(work, is_async=True))))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# -- streams ------------------------------------------------------------------------------------------------------


class Items:
    """Generators that note how they end, in both forms."""

    def __init__(self, then=None):
        self.ends = []
        self._then = then

    def sync(self, *_):
        try:
            yield b"1"
            yield b"2"
            if self._then is not None:
                raise self._then
        finally:
            self.ends.append("closed")

    async def asynchronous(self, *_):
        try:
            yield b"1"
            await asyncio.sleep(0)
            yield b"2"
            if self._then is not None:
                raise self._then
        finally:
            await asyncio.sleep(0)
            self.ends.append("closed")


def streams(entry):
    """All that a stream gives, in both of its forms."""

    async def astream():
        return [item async for item in entry.astream("f", META, b"", None)]

    return [list(entry.stream("f", META, b"", None)), asyncio.run(astream())]


@pytest.mark.parametrize("form", ["sync", "asynchronous"])
def test_a_stream_gives_its_items_and_its_result(form):
    items = Items()
    expected = [b"1", b"2", (True, b"", b"")]
    assert streams(entry_of(Made(getattr(items, form), is_async=form != "sync"))) == [expected] * 2
    assert items.ends == ["closed"] * 2


@pytest.mark.parametrize("form", ["sync", "asynchronous"])
@pytest.mark.parametrize("error", [ValueError("no"), GeneratorExit(), asyncio.CancelledError(), KeyboardInterrupt()])
def test_a_stream_that_fails_ends_with_the_failure(form, error):
    entry = entry_of(Made(getattr(Items(error), form), is_async=form != "sync"))
    for *chunks, result in [list(entry.stream("f", META, b"", None)), asyncio.run(collect(entry))]:
        assert chunks == [b"1", b"2"]
        assert failure(result).type == type(error).__name__


async def collect(entry):
    return [item async for item in entry.astream("f", META, b"", None)]


@pytest.mark.parametrize("form", ["sync", "asynchronous"])
def test_a_stream_closed_early_closes_the_handlers_iterator(form):
    items = Items()
    entry = entry_of(Made(getattr(items, form), is_async=form != "sync"))
    stream = entry.stream("f", META, b"", None)
    assert next(stream) == b"1"
    stream.close()
    assert items.ends == ["closed"]

    async def leave():
        async with contextlib.aclosing(entry.astream("f", META, b"", None)) as stream:
            async for _ in stream:
                return

    asyncio.run(leave())
    assert items.ends == ["closed"] * 2


def test_what_a_close_raises_is_logged_and_nothing_else(capsys):
    def items(*_):
        try:
            yield b"1"
        finally:
            raise ValueError("in the cleanup")

    stream = entry_of(Made(items)).stream("f", META, b"", None)
    next(stream)
    stream.close()
    assert "in the cleanup" in capsys.readouterr().err


def test_a_cancel_between_two_items_closes_the_handlers_iterator():
    items = Items()
    stream = entry_of(Made(items.sync)).stream("f", META, b"", None)
    next(stream)
    with pytest.raises(Cancel):
        stream.throw(Cancel())
    assert items.ends == ["closed"]


def test_an_iterator_that_is_no_generator_has_nothing_to_close():
    entry = entry_of(Made(lambda *_: iter([b"1", b"2"])))
    stream = entry.stream("f", META, b"", None)
    assert next(stream) == b"1"
    stream.close()
    assert streams(entry) == [[b"1", b"2", (True, b"", b"")]] * 2
