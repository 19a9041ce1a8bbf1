"""What a request to a model reserves: what is declared, else measured, else the default; and what it settles."""

import asyncio

import msgspec
import pytest

from handlers.context import CallContext
from handlers.contract import CallMeta, ModelOptions, UsageRecord
from handlers.errors import HandlerError, ProviderError
from handlers.models.gate import Gate, as_it_is
from handlers.models.gate_wire import BEGIN, DOLLARS, END, TOKENS, Begin, Begun, End
from handlers.models.spending import DEFAULT_ANSWER, IMAGE, Spending, size_of

TEST = ModelOptions(model="bridge/test")
PRICED = ModelOptions(model="bridge/test", input_price=3.0, output_price=15.0)
UNKNOWN = ModelOptions(model="openai/nobody-knows-this-one")
KINDS = {BEGIN: Begin, END: End}


class Front:
    """Answers asks, and keeps them."""

    def __init__(self):
        self.asked = []

    def ask(self, name, body):
        self.asked.append(msgspec.msgpack.decode(body, type=KINDS[name]))
        return True, msgspec.msgpack.encode(Begun(7))

    async def aask(self, name, body):
        return self.ask(name, body)

    def tell(self, name, body):
        self.ask(name, body)


@pytest.fixture
def front():
    return Front()


def context(front, budget, within=0):
    return CallContext(CallMeta("m", budget=budget, within=within), None, front)


def used(read, written, cost=None):
    return UsageRecord("m", calls=1, input_tokens=read, output_tokens=written, cost_usd=cost)


def gate(options):
    return Gate("default", options)


async def request(gate, front, budget, use=None, max_tokens=None, error=None, within=0):
    question = gate.question("x" * 98, max_tokens=max_tokens)
    async for attempt in gate.visit(context(front, budget, within), question, as_it_is):
        async with attempt:
            if error is not None:
                raise error
            if use is not None:
                attempt.use.take(use)


async def test_without_a_budget_nobody_is_asked(front):
    await request(gate(PRICED), front, 0, used(10, 5))
    assert front.asked == []


async def test_what_is_declared_is_reserved_and_what_was_used_is_settled(front):
    await request(gate(PRICED), front, TOKENS | DOLLARS, used(20, 30, 0.5), max_tokens=40, within=3)
    begin, end = front.asked
    assert (begin.model, begin.within, begin.tokens) == ("default", 3, 51 + 40)
    assert begin.usd == pytest.approx((51 * 3 + 40 * 15) / 1e6)
    assert end == End(7, True, True, 50, 0.5)


async def test_before_any_answer_the_default_is_reserved_and_then_what_was_measured(front):
    model = gate(TEST)
    await request(model, front, TOKENS, used(10, 40))
    assert front.asked[0].tokens == 51 + DEFAULT_ANSWER
    await request(model, front, TOKENS, used(10, 4))
    assert front.asked[2].tokens == int(0.1 * 1.25 * 100) + 1 + 40 * 1.25 + 1, "the longest answer, and a margin"


async def test_long_answers_are_forgotten_in_time(front):
    model = gate(TEST)
    await request(model, front, 0, used(10, 4000))
    for _ in range(300):
        await request(model, front, 0, used(10, 40))
    assert model.spending.expected(100, None)[1] < 60


async def test_a_request_that_fails_gives_back_what_it_reserved(front):
    failed = ProviderError("refused", code="INVALID_ARGUMENT")
    with pytest.raises(ProviderError):
        await request(gate(TEST), front, TOKENS, error=failed)
    end = front.asked[1]
    assert (end.known, end.tokens, end.usd, end.sound) == (True, 0, 0.0, True)


async def test_of_a_request_that_is_cancelled_it_is_not_known_what_it_has_used(front):
    with pytest.raises(asyncio.CancelledError):
        await request(gate(TEST), front, TOKENS, error=asyncio.CancelledError())
    while len(front.asked) < 2:
        await asyncio.sleep(0)
    assert front.asked[1] == End(7, None, False)


async def test_dollars_need_a_price_and_tokens_do_not(front):
    with pytest.raises(HandlerError, match="input_price") as refused:
        await request(gate(UNKNOWN), front, DOLLARS)
    assert (refused.value.reason, front.asked) == ("PRICE_UNKNOWN", [])
    await request(gate(UNKNOWN), front, TOKENS, used(1, 1))
    assert front.asked[0].model == "default"


async def test_what_the_configuration_reserves_is_reserved_without_a_budget(front):
    options = ModelOptions(model="bridge/test", asks=True, reserve=TOKENS)
    await request(gate(options), front, 0, used(1, 1), max_tokens=7)
    assert front.asked[0].tokens == 51 + 7


def test_prices():
    assert Spending(PRICED).price_usd(1_000_000, 100_000) == 3.0 + 1.5
    assert Spending(TEST).price_usd(10, 10) == 0.0
    assert Spending(ModelOptions(model="openai/gpt-4o-mini")).price_usd(1000, 1000) == pytest.approx(0.00075)


def test_prices_of_images():
    priced = Spending(ModelOptions(model="openai/x", image_price=0.25, input_price=1.0, output_price=2.0))
    assert priced.images_price_usd(3, 10, 10) == priced.known_price_usd(10, 10, images=3) == 0.75
    by_tokens = Spending(ModelOptions(model="openai/x", input_price=1.0, output_price=2.0))
    assert by_tokens.images_price_usd(3, 1_000_000, 1_000_000) == 3.0
    assert Spending(ModelOptions(model="bridge/test")).images_price_usd(3, 10, 10) == 0.0
    unknown = Spending(ModelOptions(model="openai/x"))
    assert unknown.images_price_usd(3, 10, 10) is None
    with pytest.raises(HandlerError, match="image_price") as caught:
        unknown.known_price_usd(10, 10, images=3)
    assert caught.value.reason == "PRICE_UNKNOWN"


def test_an_image_counts_by_what_it_costs_not_by_its_bytes():
    small, large = (
        size_of([{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * length}"}}])
        for length in (100, 1_000_000)
    )
    assert small == large > IMAGE
