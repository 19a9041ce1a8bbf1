"""Texts in runs of a model by a budget of tokens, and several requests answered by few runs, each by itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.v1 import embedding_pb2 as pb
from handlers.contract import EmbeddingOptions
from handlers.embeddings import requests
from handlers.embeddings.models import MAX_TEXTS, EmbeddingModels, LoadedModel
from handlers.embeddings.runs import lengths_of, plan
from handlers.errors import BadInput, ResultInvalid, Unknown


@given(st.lists(st.integers(1, 600), max_size=100), st.integers(1, 2000), st.integers(1, 40))
def test_every_text_is_in_one_run_within_the_budget(lengths, budget, most):
    runs = plan(lengths, budget, most)
    assert sorted(index for run in runs for index in run) == list(range(len(lengths)))
    for run in runs:
        assert 1 <= len(run) <= most
        assert len(run) == 1 or len(run) * max(lengths[index] for index in run) <= budget
    longest = [max(lengths[index] for index in run) for run in runs]
    assert longest == sorted(longest)


def test_texts_of_like_length_run_together():
    assert plan([100, 5, 90, 6], 250, 32) == [[1, 3], [2, 0]]
    assert plan([100, 5, 90, 6], 0, 3) == [[0, 1, 2], [3]], "without a budget as they come"


class Transformer:
    """Makes [characters, 1] of a text; NaN of one with a question mark. `runs` has what ran together."""

    max_seq_length = 8

    def __init__(self):
        self.runs = []
        self.tokenizer = Tokenizer()

    def encode(self, texts, *, batch_size, normalize_embeddings, show_progress_bar, convert_to_numpy):
        assert batch_size == len(texts)
        self.runs.append(list(texts))
        rows = [[float("nan") if "?" in text else len(text), 1.0] for text in texts]
        rows = np.array(rows, dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True) if normalize_embeddings else rows


class Tokenizer:
    is_fast = True

    def __call__(self, texts, *, padding, truncation, max_length):
        return {"input_ids": [[0] * min(max_length, len(text.split())) for text in texts]}


class Models(EmbeddingModels):
    def __init__(self, **options):
        self.transformers = {"default": Transformer(), "other": Transformer()}
        super().__init__({name: EmbeddingOptions(model="scripted", **options) for name in self.transformers})

    def load(self, name):
        return LoadedModel(transformer=self.transformers[name], dimensions=2)


def test_lengths_are_those_that_the_model_reads():
    assert lengths_of(Transformer(), ["a b", "a " * 20]) == [2, 8]
    assert lengths_of(object(), ["a b", "c"]) == [1, 1]


def test_several_requests_of_one_model_share_runs_and_keep_their_order():
    models = Models(token_budget=12)
    asked = [pb.EmbedRequest(texts=["a b c d", "x"], normalize=False), pb.EmbedRequest(texts=["yyy"], normalize=False)]
    asked.append(pb.EmbedRequest(texts=["a b c d e", "zz"], normalize=False))
    found = requests.embed_together(models, asked)
    lengths = [[row.values[0] for row in response.embeddings] for response, _ in found]
    assert lengths == [[7, 1], [3], [9, 2]]
    assert models.transformers["default"].runs == [["x", "yyy", "zz"], ["a b c d", "a b c d e"]]
    assert [weight for _, weight in found] == [6, 2, 7], "by tokens"


def test_models_and_scaling_are_each_requests_own():
    models = Models()
    asked = [pb.EmbedRequest(texts=["abc"]), pb.EmbedRequest(model="other", texts=["ab"], normalize=False)]
    (scaled, _), (plain, _) = requests.embed_together(models, asked)
    assert np.linalg.norm(scaled.embeddings[0].values) == pytest.approx(1)
    assert (list(plain.embeddings[0].values), plain.model) == ([2, 1], "other")


def test_one_requests_fault_is_its_own():
    asked = [
        pb.EmbedRequest(texts=["good"]),
        pb.EmbedRequest(texts=["bad?"]),
        pb.EmbedRequest(model="none", texts=["x"]),
        pb.EmbedRequest(texts=["x"] * (MAX_TEXTS + 1)),
        pb.EmbedRequest(),
    ]
    kinds = [type(response) for response, _ in requests.embed_together(Models(), asked)]
    assert kinds == [pb.EmbedResponse, ResultInvalid, Unknown, BadInput, pb.EmbedResponse]


def test_the_rule_is_each_models_own():
    rule = Models(max_calls=7, token_budget=0).rule()
    assert (rule.max_items, rule.similar_sizes, set(rule.by_name)) == (7, False, {"default", "other"})
    assert Models(max_calls=1).rule() is None
    assert EmbeddingModels({}).rule() is None
