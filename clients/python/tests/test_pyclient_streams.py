"""Streams end, fail and are left early; leaving one cancels its call on the server."""

import asyncio
import signal
import threading

import bridge_client
import pytest
from bridge_client.v1 import common_pb2, invoke_pb2, model_pb2, program_pb2


def item(number):
    return invoke_pb2.StreamCallResponse(item=common_pb2.Payload(json=str(number))).SerializeToString()


@pytest.fixture
def endless(stub, seen_cancel):
    """A stream without end; the event is set when the server has noticed that its caller is gone."""
    make, gone = seen_cancel
    stub.answer("InvokeService/StreamCall", make(item), stream=True)
    return gone


def test_a_stream_comes_whole_and_in_order(runner, stub):
    stub.answer("InvokeService/StreamCall", [item(number) for number in range(500)])
    assert runner.collect(lambda client: client.stream("count", n=500)) == list(range(500))
    request = invoke_pb2.StreamCallRequest.FromString(stub.last.request)
    assert request.function == "count"
    assert stub.last.metadata["x-timeout-ms"] == "60000"


def test_an_empty_stream(runner, stub):
    stub.answer("InvokeService/StreamCall", [])
    assert runner.collect(lambda client: client.stream("f")) == []


def test_break_cancels(stub, endless):
    with bridge_client.connect(stub.address) as client:
        for number in client.stream("f"):
            if number == 3:
                break
        assert endless.wait(5)


def test_close_cancels_and_ends_the_iterator(stub, endless):
    with bridge_client.connect(stub.address) as client:
        stream = client.stream("f")
        assert next(stream) == 1
        stream.close()
        assert list(stream) == []
        assert endless.wait(5)
        stream.close()


def test_a_with_block_cancels(stub, endless):
    with bridge_client.connect(stub.address) as client:
        with client.stream("f") as stream:
            assert next(stream) == 1
        assert endless.wait(5)


def test_closing_from_another_thread_ends_the_iterator(stub):
    waiting, gone = threading.Event(), threading.Event()

    def silent(request, context):
        context.add_callback(gone.set)
        waiting.set()
        gone.wait(10)
        yield from ()

    stub.answer("InvokeService/StreamCall", silent, stream=True)
    with bridge_client.connect(stub.address) as client:
        stream = client.stream("f")
        closer = threading.Thread(target=lambda: (waiting.wait(5), stream.close()))
        closer.start()
        assert list(stream) == []
        closer.join()
    assert gone.wait(5)


def test_an_unreadable_item_cancels(stub, seen_cancel):
    make, gone = seen_cancel
    stub.answer("InvokeService/StreamCall", make(lambda number: b"\xff"), stream=True)
    with bridge_client.connect(stub.address) as client:
        stream = client.stream("f")
        with pytest.raises(bridge_client.UnexpectedReply):
            next(stream)
        assert gone.wait(5)
        assert list(stream) == []


async def test_async_break_cancels(stub, endless):
    async with bridge_client.connect_async(stub.address) as client:
        async for number in client.stream("f"):
            if number == 3:
                break
        assert await asyncio.to_thread(endless.wait, 5)


async def test_async_block_cancels(stub, endless):
    async with bridge_client.connect_async(stub.address) as client:
        async with client.stream("f") as stream:
            assert await anext(stream) == 1
        assert await asyncio.to_thread(endless.wait, 5)
        assert [one async for one in stream] == []


async def test_async_unreadable_item_cancels(stub, seen_cancel):
    make, gone = seen_cancel
    stub.answer("InvokeService/StreamCall", make(lambda number: b"\xff"), stream=True)
    async with bridge_client.connect_async(stub.address) as client:
        with pytest.raises(bridge_client.UnexpectedReply):
            await anext(client.stream("f"))
        assert await asyncio.to_thread(gone.wait, 5)


async def hanging(stub, method, *, stream):
    """Makes the method hang until its caller is gone. Returns events: begun, gone."""
    begun, gone = threading.Event(), threading.Event()

    def answer(request, context):
        context.add_callback(gone.set)
        begun.set()
        gone.wait(10)
        return iter(()) if stream else b""

    stub.answer(method, answer, stream=stream)
    return begun, gone


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
async def test_cancelling_the_task_cancels_the_call(stub, stream):
    begun, gone = await hanging(stub, "InvokeService/StreamCall" if stream else "InvokeService/Call", stream=stream)
    async with bridge_client.connect_async(stub.address) as client:

        async def use():
            return await (anext(client.stream("f")) if stream else client.call("f"))

        task = asyncio.create_task(use())
        assert await asyncio.to_thread(begun.wait, 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(gone.wait, 5)


async def test_closing_a_stream_from_another_task_ends_it(stub):
    begun, gone = await hanging(stub, "InvokeService/StreamCall", stream=True)
    async with bridge_client.connect_async(stub.address) as client:
        stream = client.stream("f")

        async def use():
            return [one async for one in stream]

        task = asyncio.create_task(use())
        assert await asyncio.to_thread(begun.wait, 5)
        await stream.aclose()
        assert await task == []
        assert await asyncio.to_thread(gone.wait, 5)


async def test_a_timeout_around_a_call_cancels_it(stub):
    _, gone = await hanging(stub, "InvokeService/Call", stream=False)
    async with bridge_client.connect_async(stub.address) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await client.call("f")
        assert await asyncio.to_thread(gone.wait, 5)


def test_an_interrupt_cancels_a_blocking_call(stub):
    begun, gone = threading.Event(), threading.Event()

    def answer(request, context):
        context.add_callback(gone.set)
        if not gone.wait(0.2):  # so that the client is at rest in its wait, where grpcio cancels on an interrupt
            begun.set()
        gone.wait(10)
        return b""

    stub.answer("InvokeService/Call", answer)
    main = threading.main_thread().ident
    interrupter = threading.Thread(target=lambda: (begun.wait(5), signal.pthread_kill(main, signal.SIGINT)))
    interrupter.start()
    with bridge_client.connect(stub.address) as client:
        with pytest.raises(KeyboardInterrupt):
            client.call("f")
        assert gone.wait(5)
    interrupter.join()


def test_events_of_a_newer_server_are_skipped(runner, stub):
    unknown = b"\x08\x01\xaa\x06\x01x"  # sequence 1 and a field that this client does not know
    final = program_pb2.StreamRunResponse(sequence=2)
    final.final.outputs.json = '{"a": 1}'
    stub.answer("ProgramService/StreamRun", [unknown, final])
    (only,) = runner.collect(lambda client: client.programs.stream("p"))
    assert only == bridge_client.Final(sequence=2, outputs=bridge_client.Outputs({"a": 1}))
    delta = model_pb2.StreamGenerateResponse(text_delta="x")
    stub.answer("ModelService/StreamGenerate", [b"", delta, b""])
    assert runner.collect(lambda client: client.models.stream("hi")) == [bridge_client.TextDelta(text="x")]


def parts(payload, size):
    data = payload.SerializeToString()
    for at in range(0, len(data), size):
        part = invoke_pb2.ItemPart(offset=at, total=len(data), data=data[at : at + size])
        yield invoke_pb2.StreamCallResponse(part=part).SerializeToString()


def test_results_in_parts_are_put_together(runner, stub):
    text = common_pb2.Payload(json='"' + "x" * 10_000 + '"')
    stub.answer("InvokeService/StreamCall", [*parts(text, 4096), item(1), *parts(text, 9_000)])
    found = runner.collect(lambda client: client.with_options(chunk_bytes=4096).stream("f"))
    assert found == ["x" * 10_000, 1, "x" * 10_000]
    assert invoke_pb2.StreamCallRequest.FromString(stub.last.request).chunk_bytes == 4096


def test_a_call_takes_its_one_result_in_parts(runner, stub):
    stub.answer("InvokeService/StreamCall", [*parts(common_pb2.Payload(json='"' + "x" * 10_000 + '"'), 4096)])
    assert runner.run(lambda client: client.with_options(chunk_bytes=4096).call("f")) == "x" * 10_000
    stub.answer("InvokeService/StreamCall", [item(1), item(2)])
    with pytest.raises(bridge_client.UnexpectedReply, match=r"one result, got 2; use stream\(\)"):
        runner.run(lambda client: client.with_options(chunk_bytes=4096).call("f"))


@pytest.mark.parametrize("wrong", [[1, 0], [0, 2], [0, 0]], ids=["not the first", "a gap", "twice"])
def test_parts_that_do_not_fit_are_an_unexpected_reply(runner, stub, wrong):
    whole = [*parts(common_pb2.Payload(json='"' + "x" * 10_000 + '"'), 4096)]
    stub.answer("InvokeService/StreamCall", [whole[index] for index in wrong])
    with pytest.raises(bridge_client.UnexpectedReply, match="expected the part at"):
        runner.collect(lambda client: client.stream("f"))


def test_too_small_parts_are_refused_at_once():
    with pytest.raises(ValueError, match="at least 4096"):
        bridge_client.connect("127.0.0.1:1").with_options(chunk_bytes=100)
