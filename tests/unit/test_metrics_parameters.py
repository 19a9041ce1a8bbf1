"""How metrics' parameters are read, and what is said about those that do not fit."""

from __future__ import annotations

import json

import pytest

from handlers.errors import BadInput, Unknown
from handlers.metrics import catalog
from handlers.metrics.parameters import BleuParameters, RougeParameters, SemanticParameters, TextParameters, parse


def violations_of(kind, text):
    with pytest.raises(BadInput) as caught:
        parse(kind, text)
    assert caught.value.reason == "SCHEMA_MISMATCH"
    return dict(caught.value.violations)


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_nothing_means_the_defaults(text):
    assert parse(BleuParameters, text).model_dump() == {
        "tokenize": "13a",
        "smooth_method": "exp",
        "smooth_value": None,
        "lowercase": False,
        "effective_order": None,
        "max_ngram_order": 4,
    }
    assert parse(RougeParameters, text).rouge_types == ["rougeL", "rouge1", "rouge2"]
    assert parse(SemanticParameters, text).model == "default"


@pytest.mark.parametrize(("method", "value"), [("floor", 0.1), ("add-k", 1.0), ("exp", None), ("none", None)])
def test_the_smoothing_value_that_is_used_is_reported(method, value):
    assert parse(BleuParameters, json.dumps({"smooth_method": method})).smooth_value == value


def test_a_reported_set_can_be_sent_back():
    first = parse(BleuParameters, '{"smooth_method": "floor", "effective_order": true}')
    assert parse(BleuParameters, first.model_dump_json()) == first


@pytest.mark.parametrize(
    ("kind", "text", "path", "part"),
    [
        (TextParameters, '{"normalize": 1}', "parameters.normalize", "boolean"),
        (TextParameters, '{"normalise": true}', "parameters.normalise", "Did you mean 'normalize'?"),
        (TextParameters, "{", "parameters", "JSON object"),
        (TextParameters, "[]", "parameters", "got an array"),
        (TextParameters, "null", "parameters", "got null"),
        (TextParameters, "[" * 100_000, "parameters", "JSON object"),
        (BleuParameters, '{"tokenize": "moses"}', "parameters.tokenize", "'13a'"),
        (BleuParameters, '{"tokenize": "flores200"}', "parameters.tokenize", "downloads a model"),
        (BleuParameters, '{"tokenize": "spm"}', "parameters.tokenize", "downloads a model"),
        (BleuParameters, '{"tokenize": []}', "parameters.tokenize", "'13a'"),
        (BleuParameters, '{"smooth_method": "floor", "smooth_value": 0}', "parameters.smooth_value", "greater than 0"),
        (BleuParameters, '{"smooth_value": 1}', "parameters", "no meaning for smooth_method 'exp'"),
        (BleuParameters, '{"smooth_method": []}', "parameters.smooth_method", "'floor'"),
        (BleuParameters, '{"max_ngram_order": 0}', "parameters.max_ngram_order", "greater than or equal to 1"),
        (BleuParameters, '{"max_ngram_order": 4.5}', "parameters.max_ngram_order", "integer"),
        (RougeParameters, '{"rouge_types": ["rouge1", "rougeX"]}', "parameters.rouge_types[1]", "rougeX"),
        (RougeParameters, '{"rouge_types": ["rouge0"]}', "parameters.rouge_types[0]", "rouge0"),
        (RougeParameters, '{"rouge_types": []}', "parameters.rouge_types", "at least 1"),
        (SemanticParameters, '{"model": ""}', "parameters.model", "at least 1"),
    ],
)
def test_what_does_not_fit_is_named_by_its_path(kind, text, path, part):
    found = violations_of(kind, text)
    assert list(found) == [path]
    assert part in found[path]


def test_every_mistake_is_named_at_once():
    found = violations_of(BleuParameters, '{"lowercase": "yes", "max_ngram_order": "4", "x": 1}')
    assert set(found) == {"parameters.lowercase", "parameters.max_ngram_order", "parameters.x"}


def test_the_catalogue_is_in_order_and_every_entry_describes_itself():
    names = [entry.name for entry in catalog.METRICS]
    assert names == sorted(names) == ["bleu", "exact_match", "rouge", "semantic_similarity", "token_f1"]
    for entry in catalog.METRICS:
        schema = json.loads(entry.parameters_schema)
        assert schema["additionalProperties"] is False
        assert all("description" in each and "default" in each for each in schema["properties"].values())
        assert entry.function == f"bridge.metrics.{entry.name}"


def test_a_library_that_is_not_there_makes_a_metric_unavailable():
    entry = catalog.MetricEntry(
        name="x", doc="", parameters=TextParameters, placement="pooled", pool="general", libraries=("no_such_library",)
    )
    assert not entry.installed()


@pytest.mark.parametrize(
    ("name", "suggestion"), [("blue", "bleu"), ("ROUGE-L", "rouge"), ("f1", "token_f1"), ("exactmatch", "exact_match")]
)
def test_a_wrong_name_suggests_the_right_one(name, suggestion):
    with pytest.raises(Unknown, match=f"Did you mean '{suggestion}'") as caught:
        catalog.find(name)
    assert (caught.value.code, caught.value.reason) == ("NOT_FOUND", "UNKNOWN_METRIC")
    assert "semantic_similarity" in str(caught.value)


def test_a_right_name_is_found():
    assert catalog.find("rouge").parameters is RougeParameters


@pytest.mark.model
def test_with_every_extra_every_metric_is_installed():
    assert [entry.name for entry in catalog.METRICS if not entry.installed()] == []
