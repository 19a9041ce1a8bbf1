"""The notation of signatures: what it reads, and the column of every mistake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.signatures import field_types as kinds
from handlers.signatures import named_types
from handlers.signatures.compare import accepts
from handlers.signatures.parser import parse, parse_type
from handlers.signatures.scanner import MAX_CHARACTERS, SignatureError
from handlers.signatures.spec import SignatureSpec, from_json, to_json

TICKET = named_types.read({"Ticket": {"type": "object", "properties": {"id": {"type": "integer"}}}})


def mistake(text: str, types=None) -> SignatureError:
    with pytest.raises(SignatureError) as caught:
        parse(text, types)
    return caught.value


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("question -> answer", "question: str -> answer: str"),
        ("q:str,  notes : List[ str ]\n->\n a: float", "q: str, notes: list[str] -> a: float"),
        ("a: Optional[int] -> b: int|None|int", "a: int | None -> b: int | None"),
        ("a: typing.Union[int, Union[str, None]] -> b", "a: int | str | None -> b: str"),
        ("a -> b: Literal['x', \"it's\", 1, -2, True, None]", "a: str -> b: Literal['x', \"it's\", 1, -2, True, None]"),
        ("a: datetime.date, b: datetime -> c: time", "a: datetime.date, b: datetime.datetime -> c: datetime.time"),
        ("i: dspy.Image, h: History -> c: dspy.Code['python'], d: Code", None),
        ("a: dict[str, tuple[int, ...]] -> b: tuple[int, str], c: tuple[()], d: frozenset[int]", None),
        ("a: list, b: dict, c: tuple -> d: Any", "a: list[Any], b: dict[Any, Any], c: tuple[Any, ...] -> d: Any"),
        ("t: Ticket -> ts: list[Ticket] | None", "t: Ticket -> ts: list[Ticket] | None"),
        ("a: Annotated[int, 'a count'] -> b", "a: int -> b: str"),
    ],
)
def test_a_signature_is_read_and_written(text, canonical):
    spec = parse(text, TICKET)
    if canonical is not None:
        assert str(spec) == canonical
    assert parse(str(spec), TICKET) == spec
    assert from_json(to_json(spec)) == spec


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "'->'"),
        ("question, answer", 17, "'->'"),
        ("-> answer", 1, "at least one input"),
        ("question ->", 12, "at least one output"),
        ("a, -> b", 2, "After this comma"),
        ("a -> b,", 7, "After this comma"),
        ("a b -> c", 3, "comma is expected between 'a' and 'b'"),
        ("a -> b -> c", 8, "'->' once"),
        ("a: int = 3 -> b", 8, "no default"),
        ("a: strr -> b", 4, "Did you mean 'str'"),
        ("a: object -> b", 4, "use 'Any'"),
        ("a: Nothing_known -> b", 4, "JSON Schema"),
        ("a: os.system -> b", 4, "no type 'os.system'"),
        ("a: __import__('os') -> b", 4, "no type '__import__'"),
        ("a: list[int -> b", 13, "']' is expected"),
        ("a: list[int, str] -> b", 4, "list takes 1 type"),
        ("a: dict[str] -> b", 4, "dict takes 2 types"),
        ("a: dict[list[int], str] -> b", 4, "keys of a dict"),
        ("a: int[str] -> b", 7, "takes nothing in brackets"),
        ("a: Literal[x] -> b", 12, "texts in quotes"),
        ("a: Literal['x -> b", 12, "no end"),
        ("a: Optional -> b", 4, "brackets"),
        ("a: tuple[int, str, ...] -> b", 20, "'...'"),
        ("a: ; -> b", 4, "';'"),
        ("a → b", 3, "'->'"),
        ("a, a -> b", 4, "twice; the first is at column 1"),
        ("a -> a", 6, "twice"),
        ("signature -> x", 1, "means something else"),
        ("class -> x", 1, "Python's own"),
        ("_a -> x", 1, "begins with '_'"),
        ("frage, größe -> x", 8, "ASCII"),
        ("2a -> x", 1, "name of a field"),
        ("a: -> b", 4, "type is expected"),
        ("a: datetime. -> b", 14, "after the dot"),
    ],
)
def test_a_mistake_has_its_column(text, column, words):
    error = mistake(text)
    assert words in error.message
    assert error.column == column, error.shown


def test_what_a_person_sees_points_at_the_place():
    assert mistake("question: str, n: inr -> answer").shown.splitlines() == [
        "There is no type 'inr'. Did you mean 'int'? (column 19)",
        "  question: str, n: inr -> answer",
        "                    ^^^",
    ]


def test_a_place_far_to_the_right_is_shown_too():
    shown = mistake(", ".join(f"field_{index}" for index in range(50)) + ": inr -> answer").shown.splitlines()
    assert shown[2].index("^") == shown[1].index("inr")


def test_size_and_depth_are_limited():
    assert str(MAX_CHARACTERS) in mistake("a" * MAX_CHARACTERS + " -> b").message
    assert "deep" in mistake("a: " + "list[" * 3000 + " -> b").message
    assert "at most 200 fields" in mistake(", ".join(f"f{index}" for index in range(300)) + " -> b").message
    assert parse_type("list[" * 32 + "int" + "]" * 32) != kinds.ANY


def outcome_of(text: str) -> SignatureSpec | SignatureError:
    try:
        return parse(text)
    except SignatureError as error:
        return error


@given(st.text(alphabet="ab:->,[]|. 'intlstrLeral0=()\n\\\"é", max_size=60))
def test_no_text_does_anything_but_parse_or_be_refused(text):
    outcome = outcome_of(text)
    if isinstance(outcome, SignatureError):
        assert 0 <= outcome.column <= len(text) + 1
        assert outcome.shown
    else:
        assert parse(str(outcome)) == outcome


TYPES = st.recursive(
    st.sampled_from(["str", "int", "float", "bool", "bytes", "Any", "datetime.date", "dspy.Image", "Ticket"]),
    lambda inner: st.one_of(
        inner.map(lambda one: f"list[{one}]"),
        inner.map(lambda one: f"dict[str, {one}]"),
        inner.map(lambda one: f"Optional[{one}]"),
        st.lists(inner, min_size=1, max_size=3).map(lambda some: f"tuple[{', '.join(some)}]"),
        st.lists(inner, min_size=1, max_size=3).map(" | ".join),
        st.lists(st.text(max_size=5) | st.integers(-9, 9), min_size=1, max_size=3).map(
            lambda values: f"Literal[{', '.join(map(repr, values))}]"
        ),
    ),
    max_leaves=6,
)


@given(TYPES)
def test_every_type_survives_its_own_notation(text):
    kind = parse_type(text, TICKET)
    assert parse_type(str(kind), TICKET) == kind


@given(TYPES)
def test_every_type_accepts_itself_and_less(text):
    kind = parse_type(text, TICKET)
    assert accepts(kind, kind)
    assert accepts(parse_type(f"Optional[{text}]", TICKET), kind)
    assert accepts(parse_type("Any"), kind)
