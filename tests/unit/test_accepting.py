"""The server that accepts many calls at a time does what grpcio's own does."""

import asyncio
import logging

import grpc
import grpc.aio
import pytest

from bridge import accepting
from bridge.accepting import OPEN_UNARY, _Accepting, _Steps, make_server

ECHO, HOLD, BREAK, COUNT = "/test.S/Echo", "/test.S/Hold", "/test.S/Break", "/test.S/Count"


class Handlers(grpc.GenericRpcHandler):
    """Four methods; what happens to a held call is told to `ends`."""

    def __init__(self):
        self.begun = 0
        self.let_go = asyncio.Event()
        self.ends = asyncio.Queue()
        self._found = {
            ECHO: grpc.unary_unary_rpc_method_handler(self._echo),
            HOLD: grpc.unary_unary_rpc_method_handler(self._hold),
            BREAK: grpc.unary_unary_rpc_method_handler(self._break),
            COUNT: grpc.unary_stream_rpc_method_handler(self._count),
        }

    def service(self, details):
        return self._found.get(details.method)

    async def _echo(self, request, context):
        context.set_trailing_metadata((("x-left", str(context.time_remaining() is not None)),))
        return request

    async def _hold(self, request, _context):
        self.begun += 1
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.ends.put_nowait("cancelled")
            raise
        self.ends.put_nowait("answered")
        return request

    async def _break(self, _request, context):
        await context.abort(grpc.StatusCode.DATA_LOSS, "broken", (("x-why", "test"),))

    async def _count(self, request, context):
        for number in range(int(request)):
            await context.write(str(number).encode())


@pytest.fixture(params=["many", "one"])
async def served(request, monkeypatch):
    """A server, its handlers and a channel to it; `one` is grpcio's own way, as for versions that are not known."""
    if request.param == "one":
        monkeypatch.setattr(accepting, "TESTED", "0.")
    handlers = Handlers()
    server = make_server([("grpc.so_reuseport", 0)], handlers, [ECHO, HOLD, BREAK], [COUNT])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    assert isinstance(server._server, _Accepting) == (request.param == "many")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield server, handlers, channel
    await server.stop(None)


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def until_it_fails(method):
    while True:
        await method(b"late", timeout=1)


async def test_many_callers_at_once_get_their_own_answers(served):
    _, _, channel = served
    echo = channel.unary_unary(ECHO)
    calls = [echo(str(number).encode(), timeout=20) for number in range(40 * OPEN_UNARY)]
    assert await asyncio.gather(*calls) == [str(number).encode() for number in range(40 * OPEN_UNARY)]
    assert dict(await calls[0].trailing_metadata()) == {"x-left": "True"}


async def test_more_calls_are_held_than_requests_are_open(served):
    _, handlers, channel = served
    calls = [channel.unary_unary(HOLD)(b"x", timeout=20) for _ in range(5 * OPEN_UNARY)]
    await until(lambda: handlers.begun == 5 * OPEN_UNARY)
    handlers.let_go.set()
    assert await asyncio.gather(*calls) == [b"x"] * 5 * OPEN_UNARY


async def test_streams_errors_and_methods_that_are_not_there(served):
    _, _, channel = served
    assert [part async for part in channel.unary_stream(COUNT)(b"3", timeout=10)] == [b"0", b"1", b"2"]
    with pytest.raises(grpc.aio.AioRpcError) as broken:
        await channel.unary_unary(BREAK)(b"", timeout=10)
    assert (broken.value.code(), broken.value.details()) == (grpc.StatusCode.DATA_LOSS, "broken")
    assert broken.value.trailing_metadata()["x-why"] == "test"
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await channel.unary_unary("/test.S/Missing")(b"", timeout=10)
    assert missing.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("way", ["cancel", "deadline"])
async def test_the_end_of_a_call_reaches_its_handler(served, way):
    _, handlers, channel = served
    call = channel.unary_unary(HOLD)(b"x", timeout=0.3 if way == "deadline" else 20)
    await until(lambda: handlers.begun)
    if way == "cancel":
        call.cancel()
    with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
        await call
    assert await asyncio.wait_for(handlers.ends.get(), 10) == "cancelled"


async def test_a_server_that_stops_lets_calls_end_and_takes_no_more(served):
    server, handlers, channel = served
    call = channel.unary_unary(HOLD)(b"x", timeout=20)
    await until(lambda: handlers.begun)
    stopping = asyncio.ensure_future(server.stop(10))
    with pytest.raises(grpc.aio.AioRpcError):
        await until_it_fails(channel.unary_unary(ECHO))
    handlers.let_go.set()
    assert await call == b"x"
    await stopping


async def test_a_server_that_stops_at_once_cancels_and_leaves_nothing(served):
    server, handlers, channel = served
    call = channel.unary_unary(HOLD)(b"x", timeout=20)
    await until(lambda: handlers.begun)
    await server.stop(None)
    assert await asyncio.wait_for(handlers.ends.get(), 10) == "cancelled"
    with pytest.raises(grpc.aio.AioRpcError):
        await call
    if isinstance(server._server, _Accepting):
        await until(lambda: not server._server._accepting and not server._server._calls)


async def test_a_call_that_can_not_be_begun_ends_nothing_else(served, monkeypatch):
    server, _, channel = served
    told = asyncio.Queue()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.put_nowait(context["exception"]))
    begin = accepting.cygrpc._schedule_rpc_coro

    async def fails(handling, *_about):
        handling.close()
        raise OSError("the core refuses")

    monkeypatch.setattr(accepting.cygrpc, "_schedule_rpc_coro", fails)
    lost = [channel.unary_unary(ECHO)(b"x", timeout=0.5) for _ in range(2 * OPEN_UNARY)]
    ends = await asyncio.gather(*lost, return_exceptions=True)
    monkeypatch.setattr(accepting.cygrpc, "_schedule_rpc_coro", begin)
    if isinstance(server._server, _Accepting):
        assert all(isinstance(end, grpc.aio.AioRpcError) for end in ends)
        assert all([isinstance(await asyncio.wait_for(told.get(), 10), OSError) for _ in lost])
    assert await channel.unary_unary(ECHO)(b"on", timeout=10) == b"on"


async def test_calls_that_have_ended_are_let_go(served):
    server, _, channel = served
    if not isinstance(server._server, _Accepting):
        pytest.skip("grpcio's own server keeps its own books")
    await asyncio.gather(*(channel.unary_unary(ECHO)(b"", timeout=10) for _ in range(50)))
    await until(lambda: not server._server._calls)


async def test_the_version_that_is_installed_is_one_that_was_tested():
    assert grpc.__version__.startswith(accepting.TESTED), "look at grpcio's aio/server.pyx.pxi, then change TESTED"


async def test_versions_that_are_not_known_are_named(monkeypatch, caplog):
    monkeypatch.setattr(accepting, "TESTED", "0.")
    with caplog.at_level(logging.WARNING, "bridge.server"):
        server = make_server([], Handlers(), [ECHO], [])
    assert f"grpcio {grpc.__version__} is not what this server was tested with (0.*)" in caplog.text
    await server.stop(None)


async def test_steps_pass_on_what_a_coroutine_raises():
    futures = [asyncio.get_running_loop().create_future() for _ in range(2)]
    errors, everyone = [], set()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: errors.append(context["exception"]))

    async def work():
        assert await futures[0] == 1
        await futures[1]

    steps = _Steps(work(), everyone)
    everyone.add(steps)
    steps()
    futures[0].set_result(1)
    futures[1].set_exception(KeyError("gone"))
    await until(lambda: errors)
    assert isinstance(errors[0], KeyError)
    assert everyone == set()
