"""The metrics as functions: which are opened where, and what a request gets back."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bridge.v1 import common_pb2, invoke_pb2, metric_pb2
from handlers.context import CallContext
from handlers.contract import CallMeta, EntryOptions
from handlers.errors import BadInput, HandlerError
from handlers.metrics import catalog
from handlers.metrics.service import open_handlers

CONTEXT = CallContext(CallMeta(method="test"))
GENERAL = {handler.spec.name: handler for handler in open_handlers(EntryOptions(pool="general"))}


def score(name, prediction, references, parameters=""):
    example = metric_pb2.ScoredExample(prediction=prediction, references=references)
    request = metric_pb2.ScoreRequest(metric=name, example=example, parameters=parameters)
    handler = GENERAL[f"bridge.metrics.{name}"]
    return metric_pb2.ScoreResponse.FromString(
        handler.call("MetricService/Score", request.SerializeToString(), CONTEXT)
    )


def score_batch(name, examples, parameters=""):
    request = metric_pb2.ScoreBatchRequest(
        metric=name,
        examples=[metric_pb2.ScoredExample(prediction=p, references=references) for p, references in examples],
        parameters=parameters,
    )
    handler = GENERAL[f"bridge.metrics.{name}"]
    return metric_pb2.ScoreBatchResponse.FromString(
        handler.call("MetricService/ScoreBatch", request.SerializeToString(), CONTEXT)
    )


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (EntryOptions(pool="general"), {"bleu", "exact_match", "rouge", "token_f1"}),
        (EntryOptions(pool="embeddings"), {"semantic_similarity"}),
        (EntryOptions(pool="llm"), set()),
        (EntryOptions(pool="general", native_only=True), {"bleu", "exact_match", "token_f1"}),
        (EntryOptions(pool="front", native_only=True), {"bleu", "exact_match", "token_f1"}),
    ],
)
def test_an_entry_opens_what_belongs_to_it(options, names):
    assert {handler.spec.metric.metric for handler in open_handlers(options)} == names


def test_what_is_opened_is_described_as_the_catalogue_says():
    for handler in [*GENERAL.values(), *open_handlers(EntryOptions(pool="embeddings"))]:
        spec, entry = handler.spec, catalog.find(handler.spec.metric.metric)
        assert (spec.name, spec.kind, spec.doc) == (entry.function, "builtin", entry.doc)
        assert (spec.placement, spec.pool) == (entry.placement, entry.pool)
        assert spec.idempotent
        assert not spec.is_async
        assert spec.metric.parameters_schema == entry.parameters_schema
        assert json.loads(spec.arguments_schema)["required"] == ["example"]


def test_a_score_carries_its_parameters_and_signature():
    response = score("bleu", "The cat sat.", ["The cat sat."], '{"tokenize": "intl"}')
    assert response.score.value == pytest.approx(100)
    assert response.score.details["brevity_penalty"] == 1
    assert json.loads(response.parameters) == {
        "tokenize": "intl",
        "smooth_method": "exp",
        "smooth_value": None,
        "lowercase": False,
        "effective_order": None,
        "max_ngram_order": 4,
    }
    assert "tok:intl" in response.signature
    plain = score("exact_match", "The cat!", ["cat"])
    assert (plain.score.value, plain.parameters, plain.signature) == (1.0, '{"normalize":true}', "")


def test_a_batch_keeps_the_order_and_each_score_is_the_single_one():
    examples = [("red car", ["red bus"]), ("the dog bit the man", ["the dog bit a man", "x"]), ("x", ["y"])]
    for name in ("bleu", "exact_match", "token_f1", "rouge"):
        batch = score_batch(name, examples)
        singles = [score(name, prediction, references) for prediction, references in examples]
        assert [each.value for each in batch.scores] == [single.score.value for single in singles]
        assert [dict(each.details) for each in batch.scores] == [dict(single.score.details) for single in singles]


@pytest.mark.parametrize("name", ["exact_match", "token_f1", "rouge"])
def test_aggregate_is_the_mean(name):
    batch = score_batch(name, [("red car", ["red bus"]), ("a b", ["a b"])])
    assert batch.aggregate.value == pytest.approx(sum(each.value for each in batch.scores) / 2)


def test_the_aggregate_of_bleu_is_the_corpus_score():
    batch = score_batch("bleu", [("the dog bit the man today", ["the dog bit the man"]), ("yes", ["yes"])])
    assert batch.aggregate.details["prediction_length"] == 7
    assert batch.aggregate.value != pytest.approx(sum(each.value for each in batch.scores) / 2)
    assert "eff:no" in batch.signature


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (metric_pb2.ScoreRequest(metric="bleu"), "example"),
        (metric_pb2.ScoreRequest(example=metric_pb2.ScoredExample(prediction="x")), "example.references"),
        (metric_pb2.ScoreRequest(metric="rouge", example={"prediction": "x", "references": ["x"]}), "metric"),
        (metric_pb2.ScoreRequest(parameters='{"tokenize": "spm"}'), "parameters.tokenize"),
    ],
)
def test_what_is_wrong_with_one_example_is_named(request_, path):
    with pytest.raises(BadInput) as caught:
        GENERAL["bridge.metrics.bleu"].call("MetricService/Score", request_.SerializeToString(), CONTEXT)
    assert [violation[0] for violation in caught.value.violations] == [path]


@pytest.mark.parametrize(
    ("examples", "path"), [([], "examples"), ([("a", ["a"]), ("b", [])], "examples[1].references")]
)
def test_what_is_wrong_with_a_batch_is_named(examples, path):
    with pytest.raises(BadInput) as caught:
        score_batch("token_f1", examples)
    assert [violation[0] for violation in caught.value.violations] == [path]


def test_it_is_callable_by_its_name_with_the_example_of_its_description():
    for handler in GENERAL.values():
        call = invoke_pb2.CallRequest(arguments=common_pb2.Payload(json=handler.spec.example))
        reply = handler.call("InvokeService/Call", call.SerializeToString(), CONTEXT)
        result = json.loads(invoke_pb2.CallResponse.FromString(reply).result.json)
        assert result["score"]["value"] > 0
        assert json.loads(result["parameters"])


def test_semantic_similarity_without_a_model_says_what_to_configure():
    (handler,) = open_handlers(EntryOptions(pool="embeddings"))
    request = metric_pb2.ScoreRequest(example={"prediction": "x", "references": ["y"]})
    with pytest.raises(HandlerError, match=r"\[embeddings\.default\]") as caught:
        handler.call("MetricService/Score", request.SerializeToString(), CONTEXT)
    assert (caught.value.code, caught.value.reason) == ("FAILED_PRECONDITION", "MODEL_NOT_CONFIGURED")


HEAVY = ("torch", "nltk", "sacrebleu", "rouge_score", "sentence_transformers", "transformers", "numpy")
SCRIPT = f"""
import sys
from handlers.contract import EmbeddingOptions, EntryOptions
from handlers.embeddings import service as embeddings
from handlers.metrics import service as metrics
options = EntryOptions(pool="embeddings", embeddings={{"default": EmbeddingOptions(model="package:nothing")}})
assert len(embeddings.open_handlers(options) + metrics.open_handlers(options)) == 3
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def test_opening_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
