"""What a request to a model reserves: what is declared, else measured, else the default; and what it settles."""

import asyncio

import msgspec
import pytest

from handlers.context import CallContext
from handlers.contract import CallMeta, ModelOptions, UsageRecord
from handlers.errors import HandlerError, ProviderError
from handlers.models.spending import DEFAULT_ANSWER, DOLLARS, TOKENS, Spending

TEST = ModelOptions(model="bridge/test")
PRICED = ModelOptions(model="bridge/test", input_price=3.0, output_price=15.0)
UNKNOWN = ModelOptions(model="openai/nobody-knows-this-one")
decode = msgspec.msgpack.decode


class Front:
    """Answers asks, and keeps them."""

    def __init__(self):
        self.asked = []

    def ask(self, name, body):
        self.asked.append((name, decode(body)))
        return True, msgspec.msgpack.encode(7)

    async def aask(self, name, body):
        return self.ask(name, body)


@pytest.fixture
def front():
    return Front()


def context(front, budget, within=0):
    return CallContext(CallMeta("m", budget=budget, within=within), None, front)


def used(read, written, cost=None):
    return UsageRecord("m", calls=1, input_tokens=read, output_tokens=written, cost_usd=cost)


async def request(spending, front, budget, use=None, max_tokens=None, error=None, within=0):
    async with spending.reserved(context(front, budget, within), "x" * 98, max_tokens) as found:
        if error is not None:
            raise error
        if use is not None:
            found.take(use)


async def test_without_a_budget_nobody_is_asked(front):
    await request(Spending(PRICED), front, 0, used(10, 5))
    assert front.asked == []


async def test_what_is_declared_is_reserved_and_what_was_used_is_settled(front):
    await request(Spending(PRICED), front, TOKENS | DOLLARS, used(20, 30, 0.5), max_tokens=40, within=3)
    (reserve, reserved), (settle, settled) = front.asked
    assert (reserve, settle) == ("budget.reserve", "budget.settle")
    assert reserved == [3, 51 + 40, pytest.approx((51 * 3 + 40 * 15) / 1e6)]
    assert settled == [3, 7, 50, 0.5]


async def test_before_any_answer_the_default_is_reserved_and_then_what_was_measured(front):
    spending = Spending(TEST)
    await request(spending, front, TOKENS, used(10, 40))
    assert front.asked[0][1][1] == 51 + DEFAULT_ANSWER
    await request(spending, front, TOKENS, used(10, 4))
    assert front.asked[2][1][1] == int(0.1 * 1.25 * 100) + 1 + 40 * 1.25 + 1, "the longest answer, and a margin"


async def test_long_answers_are_forgotten_in_time(front):
    spending = Spending(TEST)
    await request(spending, front, 0, used(10, 4000))
    for _ in range(300):
        await request(spending, front, 0, used(10, 40))
    assert spending.expected(100, None)[1] < 60


async def test_a_request_that_fails_gives_back_what_it_reserved(front):
    with pytest.raises(ProviderError):
        await request(Spending(TEST), front, TOKENS, error=ProviderError("down"))
    assert front.asked[1] == ("budget.settle", [0, 7, 0, 0.0])


async def test_a_request_that_is_cancelled_settles_nothing(front):
    with pytest.raises(asyncio.CancelledError):
        await request(Spending(TEST), front, TOKENS, error=asyncio.CancelledError())
    assert [name for name, _ in front.asked] == ["budget.reserve"]


async def test_dollars_need_a_price_and_tokens_do_not(front):
    with pytest.raises(HandlerError, match="input_price") as refused:
        await request(Spending(UNKNOWN), front, DOLLARS)
    assert (refused.value.reason, front.asked) == ("PRICE_UNKNOWN", [])
    await request(Spending(UNKNOWN), front, TOKENS, used(1, 1))
    assert front.asked[0][0] == "budget.reserve"


def test_prices():
    assert Spending(PRICED).price_usd(1_000_000, 100_000) == 3.0 + 1.5
    assert Spending(TEST).price_usd(10, 10) == 0.0
    assert Spending(ModelOptions(model="openai/gpt-4o-mini")).price_usd(1000, 1000) == pytest.approx(0.00075)
