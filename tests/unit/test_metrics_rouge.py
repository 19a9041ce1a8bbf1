"""ROUGE against rouge-score itself and hand-computed cases."""

from __future__ import annotations

import sys

import pytest
from rouge_score.rouge_scorer import RougeScorer

from handlers.errors import ExtraMissing
from handlers.metrics.parameters import RougeParameters
from handlers.metrics.rouge import score_rouge
from handlers.metrics.scoring import Example

DEFAULTS = RougeParameters()
TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
PREDICTION = "Police killed the gunman.\nHe was armed."
REFERENCE = "The gunman was killed by police.\nHe had been armed with rifles."


@pytest.mark.parametrize("use_stemmer", [False, True])
def test_values_are_rouge_scores(use_stemmer):
    parameters = RougeParameters(rouge_types=TYPES, use_stemmer=use_stemmer)
    score = score_rouge([Example(prediction=PREDICTION, references=(REFERENCE,))], parameters, False).aggregate
    expected = RougeScorer(TYPES, use_stemmer=use_stemmer).score(REFERENCE, PREDICTION)
    for name in TYPES:
        found = tuple(score.details[f"{name}.{part}"] for part in ("precision", "recall", "fmeasure"))
        assert found == tuple(expected[name])
    assert score.value == expected["rouge1"].fmeasure


def test_hand_computed_longest_common_subsequence():
    """'police ... the gunman' of 4 words against 4: three in order."""
    example = Example(prediction="police kill the gunman", references=("police killed the gunman",))
    score = score_rouge([example], DEFAULTS, False).aggregate
    assert score.value == pytest.approx(3 / 4)
    assert score.details["rouge1.recall"] == pytest.approx(3 / 4)
    assert score.details["rouge2.fmeasure"] == pytest.approx(1 / 3)
    stemmed = score_rouge([example], RougeParameters(use_stemmer=True), False).aggregate
    assert stemmed.value == pytest.approx(1)


def test_lines_are_the_sentences_of_rouge_lsum():
    """Lines in another order keep rougeLsum and lower rougeL."""
    example = Example(prediction="one two three\nfour five six", references=("four five six\none two three",))
    score = score_rouge([example], RougeParameters(rouge_types=["rougeLsum", "rougeL"]), False).aggregate
    assert score.value == pytest.approx(1)
    assert score.details["rougeL.fmeasure"] == pytest.approx(1 / 2)


def test_best_reference_counts_for_each_type_and_the_aggregate_is_the_mean():
    examples = [
        Example(prediction="a b c", references=("x y z", "a b c")),
        Example(prediction="a b c", references=("x y z",)),
    ]
    scored = score_rouge(examples, DEFAULTS, True)
    assert [score.value for score in scored.scores] == [1.0, 0.0]
    assert scored.aggregate.value == 0.5
    assert scored.aggregate.details["rouge2.fmeasure"] == 0.5
    assert scored.signature == ""


def test_empty_texts_score_zero():
    assert score_rouge([Example(prediction="", references=("",))], DEFAULTS, False).aggregate.value == 0


def test_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rouge_score.rouge_scorer", None)
    with pytest.raises(ExtraMissing, match=r"polyglot-bridge\[metrics\]"):
        score_rouge([Example(prediction="a", references=("a",))], DEFAULTS, False)
