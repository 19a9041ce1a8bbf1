"""Which changes of a signature break its callers."""

import pytest

from handlers.signatures.compare import compare
from handlers.signatures.field_list import of_fields
from handlers.signatures.parser import parse


def broken(old: str, new: str) -> list[str]:
    return [f"{change.field}: {change.what}" for change in compare(parse(old), parse(new)) if change.breaking]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a -> b", "a -> b"),
        ("a -> b", "a, c: int | None -> b, d"),
        ("a: int -> b: float", "a: float -> b: int"),
        ("a: Literal['x'] -> b: Literal['x', 'y']", "a: Literal['x', 'y'] -> b: Literal['x']"),
        ("a: Literal['x'] -> b: str", "a: str -> b: Literal['x']"),
        ("a: list[int] -> b: tuple[int, ...]", "a: list[float] | None -> b: tuple[int, int]"),
        ("a: dict[str, int] -> b: str", "a: dict[str, Any] -> b: dspy.Code"),
    ],
)
def test_these_changes_break_nobody(old, new):
    assert broken(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("a, c -> b", "a -> b", "c: the input is gone"),
        ("a -> b, c", "a -> b", "c: the output is gone"),
        ("a -> b", "a, c -> b", "c: the input is new and required"),
        ("a: float -> b", "a: int -> b", "a: its type was float, is int"),
        ("a -> b: int", "a -> b: float", "b: its type was int, is float"),
        ("a -> b: int", "a -> b: int | None", "b: its type was int, is int | None"),
        ("a: int | None -> b", "a: int -> b", "a: its type was int | None, is int"),
        ("a: Literal['x', 'y'] -> b", "a: Literal['x'] -> b", None),
        ("a: Literal[1] -> b", "a: Literal[True] -> b", None),
        ("a: list[int] -> b", "a: set[int] -> b", None),
    ],
)
def test_these_changes_break_callers(old, new, what):
    found = broken(old, new)
    assert found
    if what is not None:
        assert what in found


def test_limits_may_be_wider_for_inputs_and_narrower_for_outputs():
    def spec(low, high):
        return of_fields([{"name": "a", "type": "int", "ge": low}], [{"name": "b", "type": "float", "le": high}])

    assert [change.breaking for change in compare(spec(1, 9), spec(0, 8))] == [False, False]
    assert [change.breaking for change in compare(spec(0, 8), spec(1, 9))] == [True, True]


def test_words_break_nobody_and_come_last():
    old = of_fields([{"name": "a", "description": "x"}], [{"name": "b"}], instructions="One.")
    new = of_fields([{"name": "a", "description": "y"}, {"name": "c"}], [{"name": "b"}], instructions="Two.")
    assert [(change.field, change.breaking) for change in compare(old, new)] == [("c", True), ("a", False), ("", False)]
