"""Variables of sessions: types, versions, limits, and what those who watch are told, however slowly they read."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BridgeError, Code
from bridge.sessions import values
from bridge.sessions.variables import CHANGES_KEPT, Budget, VariableLimits, Variables
from bridge.v1.common_pb2 import Payload

MOST = 1 << 16


@pytest.fixture
def limits():
    return VariableLimits(variables=4, value_bytes=1000, session_bytes=2000, total_bytes=3000, watchers=2)


@pytest.fixture
def variables(limits):
    return Variables(Budget(limits))


def refused(action):
    with pytest.raises(BridgeError) as caught:
        action()
    return caught.value


def put(variables, name, value, expected=None, **more):
    kind, packed = values.of_value(value, MOST)
    return variables.set(name, kind, packed, expected, **more).version


def value_of(variable):
    return msgspec.msgpack.decode(variable.packed)


# -- values -------------------------------------------------------------------------------------------------------

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(plain)
def test_a_value_comes_back_as_it_was_kept(value):
    if value is None:
        return
    kind, packed = values.of_value(value, 1 << 20)
    assert values.of_packed(packed, 1 << 20) == (kind, packed)
    found = msgspec.msgpack.decode(values.to_payload(packed, "msgpack").msgpack)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("payload", "kind", "json"),
    [
        (Payload(json="1"), "int", "1"),
        (Payload(json="1.0"), "float", "1.0"),
        (Payload(json='{"a": [1, null, "x"]}'), "map", '{"a":[1,null,"x"]}'),
        (Payload(raw=b"\xff\x00"), "bytes", '"/wA="'),
        (Payload(json="9223372036854775808"), "int", "9223372036854775808"),
        (Payload(msgpack=msgspec.msgpack.encode(float("nan"))), "float", '"NaN"'),
    ],
)
def test_values_of_the_wire(payload, kind, json):
    found, packed = values.of_payload(payload, MOST)
    assert (found, values.to_payload(packed, "json").json) == (kind, json)


@pytest.mark.parametrize(
    "payload",
    [
        Payload(),
        Payload(json="null"),
        Payload(json="{"),
        Payload(json="36893488147419103232"),
        Payload(json='"' + "x" * MOST + '"'),
        Payload(json='"' + "x" * (3 * MOST) + '"'),
        Payload(json="[" * 300 + "]" * 300),
        Payload(msgpack=msgspec.msgpack.encode({1: 2})),
        Payload(msgpack=msgspec.msgpack.encode([{b"k": 2}])),
        Payload(msgpack=b"\xd6\xff\x00\x00\x00\x01"),
        Payload(msgpack=b"\xc1"),
        Payload(json='{"$tensor": "t"}'),
    ],
    ids=str,
)
def test_values_that_can_not_be(payload):
    error = refused(lambda: values.of_payload(payload, MOST))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "SCHEMA_MISMATCH")
    assert error.violations[0][0] == "value"


# -- types --------------------------------------------------------------------------------------------------------


def test_a_type_stays_unless_it_is_replaced(variables):
    put(variables, "n", 1)
    error = refused(lambda: put(variables, "n", "one"))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "VARIABLE_TYPE")
    assert (error.metadata["type"], error.metadata["got"]) == ("int", "string")
    assert value_of(variables.get("n")) == 1
    assert refused(lambda: put(variables, "n", 1.5)).reason == "VARIABLE_TYPE"
    assert refused(lambda: put(variables, "n", True)).reason == "VARIABLE_TYPE"
    put(variables, "n", "one", replace_type=True)
    assert variables.get("n").kind == "string"
    variables.delete("n")
    put(variables, "n", 2.5)
    assert variables.get("n").kind == "float"


def test_a_float_takes_an_integer_that_it_can_hold(variables):
    put(variables, "f", 1.5)
    put(variables, "f", 2)
    assert (variables.get("f").kind, value_of(variables.get("f"))) == ("float", 2.0)
    assert type(value_of(variables.get("f"))) is float
    assert refused(lambda: put(variables, "f", 2**53 + 1)).reason == "VARIABLE_TYPE"


# -- versions -----------------------------------------------------------------------------------------------------


def test_versions_decide_who_may_write(variables):
    first = put(variables, "n", 1, 0)
    error = refused(lambda: put(variables, "n", 2, 0))
    assert (error.code, error.reason, error.metadata) == (Code.ABORTED, "VERSION_MISMATCH", {"version": str(first)})
    second = put(variables, "n", 2, first)
    assert second > first
    assert refused(lambda: variables.delete("n", first)).reason == "VERSION_MISMATCH"
    variables.delete("n", second)
    assert put(variables, "n", 1, 0) > second, "no number comes twice, also for one that was deleted"
    assert refused(lambda: put(variables, "m", 1, second)).reason == "VERSION_MISMATCH"


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 129, "ä", "a\n"])
def test_names_that_can_not_be(variables, name):
    error = refused(lambda: put(variables, name, 1))
    assert (error.reason, error.violations[0][0]) == ("SCHEMA_MISMATCH", "name")
    assert refused(lambda: variables.get(name)).reason == "UNKNOWN_VARIABLE"


# -- limits -------------------------------------------------------------------------------------------------------


def test_limits(limits):
    budget = Budget(limits)
    variables, others = Variables(budget), Variables(budget)
    for name in "abcd":
        put(variables, name, 1)
    error = refused(lambda: put(variables, "e", 1))
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "VARIABLE_LIMIT")
    assert error.metadata["setting"] == "sessions.max_variables"
    put(variables, "a", 2)
    setting = refused(lambda: put(variables, "b", b"x" * 1700, replace_type=True)).metadata["setting"]
    assert setting == "sessions.max_session_bytes"
    assert value_of(variables.get("b")) == 1, "what was refused has changed nothing"
    put(variables, "b", b"x" * 1400, replace_type=True)
    setting = refused(lambda: put(others, "a", b"x" * 1300)).metadata["setting"]
    assert setting == "sessions.max_total_bytes"
    variables.delete("b")
    put(others, "a", b"x" * 1300)
    variables.end("closed")
    others.end("closed")
    assert budget.used == 0


# -- watching -----------------------------------------------------------------------------------------------------


async def everything(watcher):
    found = []
    while changes := await watcher.take():
        found += changes
    return found


async def test_a_watcher_is_told_each_change_in_order(variables):
    put(variables, "a", 1)
    watcher = variables.watch()
    put(variables, "a", 2)
    put(variables, "b", 1)
    variables.delete("a")
    variables.end("closed")
    changes = await everything(watcher)
    assert [(c.name, c.variable and value_of(c.variable), c.version) for c in changes] == [
        ("a", 2, 2),
        ("b", 1, 3),
        ("a", None, 4),
    ]
    assert (watcher.reason, [c.skipped for c in changes]) == ("closed", [0, 0, 0])


async def test_a_watcher_waits_for_changes(variables):
    watcher = variables.watch()
    waiting = asyncio.ensure_future(watcher.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    put(variables, "a", 1)
    assert [c.name for c in await waiting] == ["a"]
    variables.unwatch(watcher)
    put(variables, "a", 2)
    variables.end("expired")
    assert watcher.reason == "", "who does not watch is told nothing"


async def test_so_many_may_watch(variables):
    first = variables.watch()
    variables.watch()
    assert refused(variables.watch).reason == "WATCH_LIMIT"
    variables.unwatch(first)
    variables.watch()


steps = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 99) | st.none() | st.just("take")), max_size=900)


@given(steps)
def test_who_watches_sees_what_is_true_in_the_end(steps):
    """A reader of any speed: versions rise, what it was told adds up to what is there, what it missed is counted."""

    async def run():
        variables = Variables(Budget(VariableLimits(variables=4)))
        put(variables, "a", 0)
        seen = {variable.name: value_of(variable) for variable in variables.all()}
        watcher, told, before = variables.watch(), [], variables.version
        for name, what in steps:
            if what == "take":
                put(variables, "a", 7)
                told += await watcher.take()
            elif what is not None:
                put(variables, name, what)
            elif variables.find(name) is not None:
                variables.delete(name)
            assert len(watcher._pending) <= CHANGES_KEPT
        there = {variable.name: value_of(variable) for variable in variables.all()}
        variables.end("closed")
        told += await everything(watcher)
        for change in told:
            assert change.version > before
            before = change.version
            if change.variable is None:
                del seen[change.name]
            else:
                seen[change.name] = value_of(change.variable)
        assert seen == there
        skipped = sum(change.skipped for change in told) + watcher._skipped
        assert len(told) + skipped == variables.version - 1

    asyncio.run(run())


async def test_a_reader_that_is_slow_holds_little(variables):
    watcher = variables.watch()
    for number in range(5000):
        put(variables, "abcd"[number % 4], number)
    assert len(watcher._pending) <= CHANGES_KEPT
    changes = await watcher.take()
    assert changes[0].skipped + len(changes) == 5000
    assert value_of(changes[-1].variable) == 4999
    large = variables.watch()
    variables.unwatch(watcher)
    for _ in range(100):
        put(variables, "a", b"x" * 900, replace_type=True)
    assert large._size <= 4 * 2000
