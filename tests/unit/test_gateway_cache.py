"""Answers that are kept, and questions that are asked once, whoever asks them."""

import asyncio

import pytest

from bridge.gateway.cache import ENTRY_BYTES, Answer, AnswerCache, Flight


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture(name="clock")
def _clock():
    return Clock()


@pytest.fixture(name="cache")
def _cache(clock):
    return AnswerCache(10.0, 10_000, clock)


async def waiting(cache, count, key=b"q"):
    tasks = [asyncio.create_task(cache.find(key, f"later-{index}")) for index in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_an_answer_is_kept_for_its_time(cache, clock):
    flight = await cache.find(b"q", "first")
    assert isinstance(flight, Flight)
    clock.now = 1.0
    cache.answered(flight, b"answer")
    clock.now = 10.9
    assert await cache.find(b"q", "second") == Answer(b"answer", 1.0, "first")
    clock.now = 11.0
    assert isinstance(await cache.find(b"q", "third"), Flight)
    assert (cache.hits, cache.misses, cache.shared, len(cache), cache.bytes) == (1, 2, 0, 0, 0)


async def test_who_comes_while_it_is_asked_gets_the_same_answer(cache):
    flight = await cache.find(b"q", "first")
    others = await waiting(cache, 3)
    other = await cache.find(b"another", "x")
    assert isinstance(other, Flight), "another question does not wait"
    cache.answered(flight, b"answer")
    assert [(await one).origin for one in others] == ["first"] * 3
    assert (cache.shared, cache.misses) == (3, 2)


async def test_a_failure_is_shared_and_not_kept(cache):
    flight = await cache.find(b"q", "first")
    others = await waiting(cache, 2)
    cache.failed(flight, ValueError("down"))
    for one in others:
        with pytest.raises(ValueError, match="down"):
            await one
    assert isinstance(await cache.find(b"q", "next"), Flight)


async def test_where_who_asked_has_gone_the_next_asks(cache):
    flight = await cache.find(b"q", "first")
    others = await waiting(cache, 3)
    others[0].cancel()
    await asyncio.sleep(0)
    cache.give_up(flight)
    leader = await others[1]
    assert isinstance(leader, Flight)
    assert not others[2].done()
    cache.answered(leader, b"answer")
    assert (await others[2]).origin == "later-1"


async def test_one_that_goes_just_when_it_is_to_ask_lets_the_next_ask(cache):
    flight = await cache.find(b"q", "first")
    others = await waiting(cache, 2)
    cache.give_up(flight)
    others[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await others[0]
    assert isinstance(await others[1], Flight)


async def test_an_answer_that_is_none_to_keep_lets_the_next_ask(cache):
    flight = await cache.find(b"q", "first")
    others = await waiting(cache, 1)
    cache.answered(flight, b"")
    assert isinstance(await others[0], Flight)


async def test_the_bytes_are_bounded_and_what_was_not_wanted_longest_goes(cache):
    size = 2000 - ENTRY_BYTES
    for index in range(5):
        cache.answered(await cache.find(b"%d" % index, "r"), b"x" * size)
    assert isinstance(await cache.find(b"0", "r"), Answer)
    cache.answered(await cache.find(b"5", "r"), b"x" * size)
    assert (len(cache), cache.bytes) == (5, 10_000)
    assert isinstance(await cache.find(b"0", "r"), Answer)
    assert isinstance(await cache.find(b"1", "r"), Flight)
    cache.answered(await cache.find(b"large", "r"), b"x" * 10_000)
    assert isinstance(await cache.find(b"large", "r"), Flight), "larger than all of the cache"
