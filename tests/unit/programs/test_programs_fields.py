"""Fields that grow: whatever the cut of the stream, the pieces of a field join to what DSPy's own parser returns."""

import random

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.programs.fields import ChatFields, XmlFields

SIGNATURE = dspy.Signature("q -> reasoning: str, number: int, answer: str")
TEXT_FIELDS = frozenset({"reasoning", "answer"})


def read(reader, text, cuts):
    pieces, at = [], 0
    for cut in [*sorted(cuts), len(text)]:
        pieces += reader.feed(text[at:cut])
        at = cut
    return pieces + reader.end()


def joined(pieces):
    fields = {}
    for piece in pieces:
        fields[piece.field] = fields.get(piece.field, "") + piece.text
    return fields


def every_letter(text):
    return range(1, len(text))


def chat(reasoning, answer, tail="\n\n[[ ## completed ## ]]\n"):
    return f"[[ ## reasoning ## ]]\n{reasoning}\n\n[[ ## number ## ]]\n7\n\n[[ ## answer ## ]]\n{answer}{tail}"


def assert_like_parser(adapter, make, text, cuts):
    expected = adapter.parse(SIGNATURE, text)
    pieces = read(make(TEXT_FIELDS), text, cuts)
    got = joined(pieces)
    for field in TEXT_FIELDS:
        assert got.get(field, "") == expected[field].strip()
    assert [piece.field for piece in pieces if piece.last] == ["reasoning", "answer"]


HARD_TEXTS = [
    "plain",
    "",
    "two\nlines",
    "windows\r\nlines\r\nhere",
    "a lone \r return",
    "see [[1]] and [[ ## nothing",
    "[[ ## half",
    "[",
    "line\n  [[ # not a header\nmore",
    "blank\n\n\nlines   \n and   inner   space",
    "uni\u2028code \x0b breaks \x85 here",
    "ends in [[",
    "mid-line [[ ## answer ## ]] is no header",
]


@pytest.mark.parametrize("text", HARD_TEXTS)
@pytest.mark.parametrize("tail", ["\n\n[[ ## completed ## ]]\n", "\n[[ ## completed ## ]]", "", "\r"])
def test_chat_letter_by_letter(text, tail):
    whole = chat(text, text + "x", tail)
    assert_like_parser(dspy.ChatAdapter(), ChatFields, whole, every_letter(whole))


@given(
    st.text(alphabet="ab \n\r\t[]#\u2028", max_size=40),
    st.text(alphabet="ab \n\r[] #", max_size=40),
    st.randoms(use_true_random=False),
)
def test_chat_any_text_and_any_cut(reasoning, answer, rng: random.Random):
    whole = chat(reasoning, answer)
    cuts = rng.sample(range(len(whole)), k=rng.randrange(min(20, len(whole))))
    assert_like_parser(dspy.ChatAdapter(), ChatFields, whole, cuts)


def test_chat_text_on_the_line_of_its_header():
    whole = "[[ ## reasoning ## ]] because  \nof it\n[[ ## number ## ]] 7\n[[ ## answer ## ]]yes\n[[ ## completed ## ]]"
    assert_like_parser(dspy.ChatAdapter(), ChatFields, whole, every_letter(whole))


def test_chat_only_the_first_of_two_sections_counts():
    whole = chat("first", "yes", "\n[[ ## reasoning ## ]]\nsecond\n")
    assert_like_parser(dspy.ChatAdapter(), ChatFields, whole, every_letter(whole))


def test_chat_passes_text_on_before_the_line_ends():
    reader = ChatFields(TEXT_FIELDS)
    reader.feed("[[ ## answer ## ]]\n")
    assert [piece.text for piece in reader.feed("The capital")] == ["The capital"]
    assert [piece.text for piece in reader.feed(" of")] == [" of"]


def test_chat_prose_gives_nothing():
    assert read(ChatFields(TEXT_FIELDS), "I would rather talk about the weather.\n[[ ## 1 ## ]]\n", [3, 9]) == []


XML_TEXTS = ["plain", "", "two\nlines", "a &lt; b &amp;amp; c", "x <b>bold</b> tail &amp; more <i/> end", " padded "]


@pytest.mark.parametrize("text", XML_TEXTS)
def test_xml_letter_by_letter(text):
    whole = f"<reasoning>\n{text}\n</reasoning>\n<number>7</number>\n\n<answer>{text}x</answer>"
    assert_like_parser(dspy.XMLAdapter(), XmlFields, whole, every_letter(whole))


def test_xml_that_is_broken_stops_quietly():
    pieces = read(XmlFields(TEXT_FIELDS), "<answer>yes < no</answer>", [10])
    assert not any(piece.last for piece in pieces)
