"""JSON that arrives in pieces: what is read of it only grows, and ends as what was written."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.models.growing_json import MISSING, GrowingJson

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)
TOPS = st.lists(VALUES, max_size=4) | st.dictionaries(st.text(max_size=5), VALUES, max_size=4)


def grows(old, new):
    if isinstance(old, dict):
        return isinstance(new, dict) and all(key in new and grows(old[key], new[key]) for key in old)
    if isinstance(old, list):
        return isinstance(new, list) and len(old) <= len(new) and all(map(grows, old, new))
    if isinstance(old, str):
        return isinstance(new, str) and new.startswith(old)
    return type(old) is type(new) and old == new


def pieces(text, cuts):
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    return [text[start:end] for start, end in pairwise(places)]


@given(TOPS, st.lists(st.integers(0, 200)), st.booleans(), st.sampled_from([None, 2]))
def test_every_value_grows_into_the_next_and_the_last_is_the_whole(value, cuts, ascii_only, indent):
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    growing, before = GrowingJson(), MISSING
    for piece in pieces(text, cuts):
        growing.feed(piece)
        now = growing.value()
        assert before is MISSING or grows(before, now), (before, now)
        before = now
        assert json.dumps(now, ensure_ascii=False).encode(), "no half of a surrogate pair"
    assert before == value
    assert not growing.broken


@given(st.lists(VALUES, max_size=5), st.lists(st.integers(0, 300)), st.booleans())
def test_elements_come_once_each_in_order_and_whole(values, cuts, wrapped):
    text = json.dumps({"items": values} if wrapped else values)
    growing, found = GrowingJson(), []
    for piece in pieces(text, cuts):
        growing.feed(piece)
        found += growing.take_elements()
    assert found == values


@given(st.text(max_size=60), st.lists(st.integers(0, 60)))
def test_no_text_makes_it_stumble(text, cuts):
    growing = GrowingJson()
    for piece in pieces(text, cuts):
        growing.feed(piece)
        growing.value()
        growing.take_elements()


def test_an_element_comes_as_soon_as_it_is_whole():
    growing = GrowingJson()
    growing.feed('{"items": [{"a": [1, {"b": 2}]}')
    assert growing.take_elements() == [{"a": [1, {"b": 2}]}]
    growing.feed(", 12")
    assert growing.take_elements() == [], "it may become 123"
    growing.feed("3]")
    assert growing.take_elements() == [123]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Here it is:\n```json\n{"a": "b"}\n```\nAnything else {?', {"a": "b"}),
        ('{"a": 1, "b": tru', {"a": 1}),
        ('{"a": 1, "b', {"a": 1}),
        ('{"a": "x\\u00', {"a": "x"}),
        ('{"a": "\\ud83d\\ude', {"a": ""}),
        ('{"a": "\\ud83d\\ude00', {"a": "\U0001f600"}),
        ("no json at all", MISSING),
    ],
)
def test_what_is_said_so_far(text, value):
    growing = GrowingJson()
    growing.feed(text)
    assert growing.value() == value


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": nonsense}', "{a: 1}", '{"a": 1]', '{"a" "b"}', "[1 2]"])
def test_what_is_no_json_is_broken(text):
    growing = GrowingJson()
    growing.feed(text)
    assert growing.value() is MISSING
    assert growing.broken
