"""What was spent, by who has spent it."""

import msgspec

from bridge.call import Identity, new_call
from bridge.receipts.costs import OTHER, Costs, Spender
from handlers.contract import ReplyMeta, UsageRecord


def a_call(tenant, function, *uses):
    call = new_call("InvokeService/Call", Identity("r", tenant=tenant), b"", 0.0)
    call.function, call.meta = function, ReplyMeta(usage=uses)
    return call


def use(model="m", cost=1.0, calls=1):
    return UsageRecord(model, calls=calls, input_tokens=10, output_tokens=5, cost_usd=cost)


def test_sums_by_tenant_function_and_model_the_dearest_first():
    costs = Costs()
    for call in (
        a_call("a", "f", use(), use("n", 0.5)),
        a_call("a", "f", use(cost=2.0)),
        a_call("b", "f", use(cost=2.5)),
    ):
        costs.add(call)
    rows = list(costs.rows())
    assert [(spender, found.cost_usd, found.calls) for spender, found in rows] == [
        (Spender("a", "f", "m"), 3.0, 2),
        (Spender("b", "f", "m"), 2.5, 1),
        (Spender("a", "f", "n"), 0.5, 1),
    ]
    assert [spender.tenant for spender, _ in costs.rows("b")] == ["b"]
    assert not list(costs.rows("b", "g"))


def test_a_name_for_every_call_does_not_grow_it_without_end():
    costs = Costs(most=3)
    for index in range(100):
        costs.add(a_call(f"t{index}", "f", use()))
    rows = dict(costs.rows())
    assert len(rows) == 4
    rest = rows[Spender(OTHER, OTHER, OTHER)]
    assert (rest.calls, rest.cost_usd) == (97, 97.0)
    assert sum(found.cost_usd for found in rows.values()) == 100.0
    assert not list(costs.rows(OTHER)), "no tenant's own"


def test_a_few_have_series_of_their_own():
    costs = Costs()
    for index in range(10):
        costs.add(a_call(f"t{index}", "f", use(cost=float(index))))
    top = costs.top(3)
    assert [spender.tenant for spender in top] == ["t9", "t8", "t7", OTHER]
    assert sum(found.cost_usd for found in top.values()) == 45.0


def test_what_has_no_price_counts():
    costs = Costs()
    free = msgspec.structs.replace(use(), cost_usd=None, unpriced_calls=1)
    costs.add(a_call("a", "f", free))
    ((_, found),) = costs.rows()
    assert (found.cost_usd, found.unpriced_calls) == (None, 1)
