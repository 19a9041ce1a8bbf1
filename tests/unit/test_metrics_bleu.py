"""BLEU against sacrebleu's own functions and a hand-computed case."""

from __future__ import annotations

import importlib
import logging
import math
import sys

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from handlers.errors import ExtraMissing
from handlers.metrics.bleu import score_bleu
from handlers.metrics.parameters import BleuParameters
from handlers.metrics.scoring import Example

DEFAULTS = BleuParameters()
EXAMPLES = [
    Example(prediction="The dog bit the man.", references=("The dog had bit the man.", "The dog bit the man.")),
    Example(prediction="It wasn't surprising.", references=("No one was surprised.", "It was not unexpected.")),
    Example(prediction="The man had just bitten him.", references=("The man bit him first.", "The man had bitten it.")),
]


def test_each_text_is_sacrebleus_sentence_bleu():
    scored = score_bleu(EXAMPLES, DEFAULTS, True)
    for score, example in zip(scored.scores, EXAMPLES, strict=True):
        expected = sacrebleu.sentence_bleu(example.prediction, list(example.references))
        assert score.value == expected.score
        assert score.details["brevity_penalty"] == expected.bp
        assert [score.details[f"precision_{n}"] for n in (1, 2, 3, 4)] == expected.precisions


def test_corpus_is_sacrebleus_corpus_bleu_and_not_the_mean():
    scored = score_bleu(EXAMPLES, DEFAULTS, True)
    streams = [[example.references[index] for example in EXAMPLES] for index in (0, 1)]
    expected = sacrebleu.corpus_bleu([example.prediction for example in EXAMPLES], streams)
    assert scored.aggregate.value == expected.score
    assert scored.aggregate.details["prediction_length"] == expected.sys_len
    assert scored.aggregate.details["reference_length"] == expected.ref_len
    assert scored.aggregate.value != pytest.approx(sum(score.value for score in scored.scores) / 3)


def test_signatures_are_sacrebleus():
    version = sacrebleu.__version__
    corpus = score_bleu(EXAMPLES, DEFAULTS, True).signature
    assert corpus == f"nrefs:2|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}"
    single = score_bleu(EXAMPLES[:1], DEFAULTS, False).signature
    assert single == f"nrefs:2|case:mixed|eff:yes|tok:13a|smooth:exp|version:{version}"
    chosen = BleuParameters(tokenize="char", smooth_method="floor", smooth_value=0.5, lowercase=True)
    assert "case:lc|eff:no|tok:char|smooth:floor[0.50]" in score_bleu(EXAMPLES, chosen, True).signature


def test_references_may_differ_in_number():
    examples = [EXAMPLES[0], Example(prediction="Yes.", references=("Yes.",))]
    scored = score_bleu(examples, DEFAULTS, True)
    expected = sacrebleu.corpus_bleu(
        ["The dog bit the man.", "Yes."], [["The dog had bit the man.", "Yes."], ["The dog bit the man.", None]]
    )
    assert scored.aggregate.value == expected.score
    assert scored.signature.startswith("nrefs:var|")


def test_hand_computed():
    """Unigrams 3 of 3, bigrams 1 of 2, length 3 of 4: exp(1 - 4/3) * sqrt(1 * 1/2)."""
    parameters = BleuParameters(max_ngram_order=2, tokenize="none")
    score = score_bleu([Example(prediction="a b d", references=("a b c d",))], parameters, False).aggregate
    assert score.value == pytest.approx(100 * math.exp(1 - 4 / 3) * math.sqrt(1 / 2))


def test_parameters_reach_sacrebleu():
    example = [Example(prediction="the cat", references=("The cat sat",))]
    assert score_bleu(example, BleuParameters(lowercase=True), False).aggregate.value > (
        score_bleu(example, DEFAULTS, False).aggregate.value
    )
    short = [Example(prediction="the cat", references=("the cat",))]
    assert score_bleu(short, DEFAULTS, False).aggregate.value == pytest.approx(100)
    assert score_bleu(short, BleuParameters(effective_order=False), False).aggregate.value == 0
    assert score_bleu(short, BleuParameters(effective_order=True), True).aggregate.value == pytest.approx(100)
    assert score_bleu(short, DEFAULTS, True).aggregate.value == 0


def test_no_text_stays_in_the_library():
    tokenizers = [importlib.import_module(f"sacrebleu.tokenizers.tokenizer_{name}") for name in ("13a", "re", "char")]
    cached = [tokenizers[0].Tokenizer13a, tokenizers[1].TokenizerRegexp, tokenizers[2].TokenizerChar]
    for name in ("13a", "char"):
        score_bleu(EXAMPLES, BleuParameters(tokenize=name), True)
    assert [each.__call__.cache_info().currsize for each in cached] == [0, 0, 0]


def test_it_logs_no_advice(caplog):
    with caplog.at_level(logging.WARNING):
        score_bleu(EXAMPLES, BleuParameters(effective_order=False), False)
    assert not caplog.records


def test_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(ExtraMissing, match=r"polyglot-bridge\[metrics\]"):
        score_bleu(EXAMPLES, DEFAULTS, False)


def test_missing_tokenizer_packages_are_named(monkeypatch):
    module = importlib.import_module("sacrebleu.tokenizers.tokenizer_ja_mecab")
    monkeypatch.setattr(module, "MeCab", None)
    with pytest.raises(ExtraMissing, match=r"sacrebleu\[ja\]"):
        score_bleu(EXAMPLES, BleuParameters(tokenize="ja-mecab"), False)


TEXT = st.text(alphabet="abc .,-", max_size=30)


@given(TEXT, st.lists(TEXT, min_size=1, max_size=3))
def test_range_and_identity(prediction, references):
    score = score_bleu([Example(prediction=prediction, references=tuple(references))], DEFAULTS, False).aggregate
    assert 0 <= score.value <= 100 + 1e-9
    same = score_bleu([Example(prediction=prediction, references=(prediction,))], DEFAULTS, False).aggregate
    assert same.value == pytest.approx(100 if prediction.strip() else 0)
