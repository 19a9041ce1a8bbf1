"""Exact match and token F1: hand-computed values, and what must hold for every text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.metrics.overlap import exact_match, normalize_answer, score_exact_match, score_token_f1, token_f1
from handlers.metrics.parameters import TextParameters
from handlers.metrics.scoring import Example

DEFAULTS = TextParameters()
AS_IS = TextParameters(normalize=False)


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("The  Cat,\tsat!", "cat sat"),
        ("An apple a day", "apple day"),
        ("theatre another", "theatre another"),
        ("U.S.A.", "usa"),
        ("", ""),
        ("the", ""),
        ("«Été»", "«été»"),  # only ASCII punctuation goes, as in SQuAD's own script
    ],
)
def test_normalisation_is_squads(text, normalized):
    assert normalize_answer(text) == normalized


@pytest.mark.parametrize(
    ("prediction", "reference", "normalize", "value"),
    [
        ("The Eiffel Tower.", "eiffel tower", True, 1.0),
        ("The Eiffel Tower.", "eiffel tower", False, 0.0),
        ("Eiffel", "eiffel tower", True, 0.0),
        ("", "", False, 1.0),
        ("the", "", True, 1.0),
    ],
)
def test_exact_match_of_known_pairs(prediction, reference, normalize, value):
    assert exact_match(prediction, reference, normalize=normalize) == value


@pytest.mark.parametrize(
    ("prediction", "reference", "f1", "precision", "recall"),
    [
        ("cat sat on mat", "cat sat", 4 / 6, 2 / 4, 1.0),
        ("cat cat cat", "cat dog", 2 / 5, 1 / 3, 1 / 2),  # repeats count as often as both have them
        ("dog", "cat", 0.0, 0.0, 0.0),
        ("the", "cat", 0.0, 0.0, 0.0),  # no words left on one side
        ("the", "a", 1.0, 1.0, 1.0),  # nor on the other
    ],
)
def test_token_f1_of_known_pairs(prediction, reference, f1, precision, recall):
    score = token_f1(prediction, reference)
    assert score.value == pytest.approx(f1)
    assert score.details == pytest.approx({"precision": precision, "recall": recall})


def test_without_normalisation_words_keep_case_and_punctuation():
    assert token_f1("Cat sat.", "cat sat.", normalize=False).value == pytest.approx(0.5)


def test_best_reference_counts_and_aggregate_is_the_mean():
    examples = [
        Example(prediction="red car", references=("blue car", "red car", "car")),
        Example(prediction="red car", references=("blue bus", "red bus")),
    ]
    exact = score_exact_match(examples, DEFAULTS, True)
    assert [score.value for score in exact.scores] == [1.0, 0.0]
    assert (exact.aggregate.value, exact.signature) == (0.5, "")
    f1 = score_token_f1(examples, DEFAULTS, True)
    assert [score.value for score in f1.scores] == [1.0, 0.5]
    assert f1.aggregate.value == 0.75
    assert f1.aggregate.details == {"precision": 0.75, "recall": 0.75}


def test_parameters_reach_the_formula():
    examples = [Example(prediction="A Car", references=("car",))]
    assert score_exact_match(examples, DEFAULTS, False).aggregate.value == 1.0
    assert score_exact_match(examples, AS_IS, False).aggregate.value == 0.0


@given(st.text(), st.text(), st.booleans())
def test_exact_match_is_zero_or_one_and_symmetric(left, right, normalize):
    value = exact_match(left, right, normalize=normalize)
    assert value in {0.0, 1.0}
    assert value == exact_match(right, left, normalize=normalize)


@given(st.text(), st.booleans())
def test_identical_texts_score_highest(text, normalize):
    assert exact_match(text, text, normalize=normalize) == 1.0
    assert token_f1(text, text, normalize=normalize).value == 1.0


WORDS = st.lists(st.sampled_from(["red", "blue", "car", "bus", "The", "a."]), max_size=8).map(" ".join)


@given(WORDS, WORDS, st.booleans())
def test_f1_is_symmetric_with_precision_and_recall_exchanged(left, right, normalize):
    there, back = token_f1(left, right, normalize=normalize), token_f1(right, left, normalize=normalize)
    assert 0.0 <= there.value <= 1.0
    assert there.value == back.value
    assert there.details["precision"] == back.details["recall"]
    precision, recall = there.details["precision"], there.details["recall"]
    if precision + recall:
        assert math.isclose(there.value, 2 * precision * recall / (precision + recall))


@given(WORDS, WORDS)
def test_exact_match_implies_full_f1(left, right):
    if exact_match(left, right):
        assert token_f1(left, right).value == 1.0
