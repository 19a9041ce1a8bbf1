"""What a resumable run keeps, and for whom it waits."""

import asyncio

import pytest

from bridge.call import Identity, new_call
from bridge.errors import BridgeError
from bridge.programs.resume_run import Reader, Run


def a_run(max_events=3, max_bytes=100):
    return Run("token", new_call("ProgramService/StreamRun", Identity("1"), b"", 0.0), max_events, max_bytes)


async def turns(count=10):
    for _ in range(count):
        await asyncio.sleep(0)


async def test_without_readers_the_oldest_events_are_forgotten():
    run = a_run()
    for number in range(1, 8):
        await run.add(b"%d" % number)
    assert (run.first, run.last) == (5, 7)
    assert [run.after(sequence) for sequence in (4, 5, 6, 7)] == [b"5", b"6", b"7", None]
    with pytest.raises(BridgeError) as gap:
        run.check(3)
    assert (gap.value.reason, gap.value.metadata) == ("RESUME_GAP", {"first_sequence": "5"})
    run.check(4)
    run.check(7)
    with pytest.raises(BridgeError) as ahead:
        run.check(8)
    assert ahead.value.reason == "SCHEMA_MISMATCH"


async def test_bytes_are_bounded_too_but_one_event_always_fits():
    run = a_run(max_events=100, max_bytes=10)
    await run.add(b"12345")
    await run.add(b"12345")
    assert run.first == 1
    await run.add(b"1")
    assert run.first == 2
    await run.add(b"x" * 50)
    assert (run.first, run.last) == (4, 4)


async def test_a_reader_that_is_behind_holds_the_run_up_until_it_reads_or_goes():
    run, reader = a_run(), Reader(0)
    run.attach(reader)
    for _ in range(3):
        await run.add(b"x")
    waiting = asyncio.create_task(run.add(b"x"))
    await turns()
    assert not waiting.done()
    reader.after += 1
    run.read()
    await waiting
    assert run.first == 2
    waiting = asyncio.create_task(run.add(b"x"))
    await turns()
    assert not waiting.done()
    assert run.detach(reader)
    await waiting
    assert (run.first, run.last) == (3, 5)


async def test_the_slowest_of_two_readers_counts():
    run, slow, quick = a_run(), Reader(0), Reader(0)
    run.attach(slow)
    run.attach(quick)
    for _ in range(3):
        await run.add(b"x")
    quick.after = 3
    run.read()
    waiting = asyncio.create_task(run.add(b"x"))
    await turns()
    assert not waiting.done()
    assert not run.detach(slow)
    await waiting


@pytest.mark.parametrize("failure", [None, BridgeError(5, "UNKNOWN_PROGRAM", "no")])
async def test_the_end_is_news(failure):
    run = a_run()
    news = run.news

    async def work():
        return failure

    run.task = asyncio.create_task(work())
    run.task.add_done_callback(run.ended)
    await news.wait()
    assert run.is_over
    assert run.failure is failure
    assert not run.cancel(), "it has ended"


async def test_a_cancelled_run_says_so():
    run = a_run()
    run.task = asyncio.create_task(asyncio.Event().wait())
    run.task.add_done_callback(run.ended)
    await turns()
    assert run.cancel()
    await turns()
    assert run.failure.reason == "RUN_CANCELLED"
