"""From configured routes to served ones: what is looked up, what is checked, and what is said of mistakes."""

import json

import pytest

from bridge.conversion.calls import function_info
from bridge.routing.routes import RoutedSpec
from bridge.routing.table import MODEL_FUNCTIONS, RouteProblem, alone, route_table, routed
from bridge.settings.route_tables import RouteConfig
from handlers.contract import BatchRule, Catalogue, FunctionSpec
from handlers.registry import Registry

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}


def schema(required=("text",), **properties):
    kinds = properties or {"text": TEXT}
    return json.dumps(
        {"type": "object", "properties": kinds, "required": list(required), "additionalProperties": False}
    )


def spec(name, **fields):
    fields = {"arguments_schema": schema(), "result_schema": json.dumps(TEXT), "idempotent": True} | fields
    return FunctionSpec(name=name, **fields)


def table(routes, *specs, second=()):
    catalogues = {"general": Catalogue(functions=specs), "second": Catalogue(functions=tuple(second))}
    snapshot = Registry().merge(catalogues)
    return route_table({name: RouteConfig(**config) for name, config in routes.items()}, snapshot, catalogues)


def problems(routes, *specs, second=()):
    with pytest.raises(RouteProblem) as caught:
        table(routes, *specs, second=second)
    return caught.value.problems


def both(**more):
    return {"alternatives": [{"function": "f"}, {"function": "g"}], **more}


def test_a_new_name_looks_like_its_first_alternative():
    made = table({"new": both()}, spec("f", doc="words"), spec("g"))
    entry = made.specs["new"]
    assert (entry.name, entry.doc, entry.pool, entry.idempotent) == ("new", "words", "general", True)
    assert entry.original is None
    assert [one.label for one in entry.route.alternatives] == ["f", "g"]
    assert entry.route.alternatives[0].keys == ("function/new/f", "function/f/pool/general")
    info = function_info(entry, whole=True)
    assert (info.route.choose, info.route.attempts) == ("weights", 1)


def test_an_existing_name_keeps_what_it_was_and_no_shorter_way_is_taken():
    batch = BatchRule()
    made = table({"f": {"retry": {}}}, spec("f", placement="native", batch=batch))
    entry = made.specs["f"]
    assert (entry.placement, entry.is_async, entry.batch) == ("pooled", True, None)
    assert (entry.original.placement, entry.original.batch) == ("native", batch)
    (own,) = entry.route.alternatives
    assert own.spec is entry.original or own.spec == entry.original
    assert own.keys == ("function/f/f", "function/f/native")


def test_one_function_in_two_pools():
    made = table({"f": {"alternatives": [{"pool": "general"}, {"pool": "second"}]}}, spec("f"), second=[spec("f")])
    labels = {one.label: one.spec.pool for one in made.routes["f"].alternatives}
    assert labels == {"f@general": "general", "f@second": "second"}


def test_whether_it_may_be_repeated():
    careful, careless = spec("f"), spec("g", idempotent=False)
    assert not table({"r": both()}, careful, careless).routes["r"].idempotent
    assert table({"r": both(idempotent=True)}, careful, careless).routes["r"].idempotent


def test_routes_of_models_stand_over_the_functions_that_take_models():
    generate = [spec(name, kind="builtin") for name in MODEL_FUNCTIONS]
    made = table({"chat": {"alternatives": [{"model": "small"}, {"model": "big"}], "fallback": ["last"]}}, *generate)
    assert set(made.specs) == set(MODEL_FUNCTIONS)
    entry = made.specs["bridge.models.generate"]
    assert entry.route is None
    route = entry.by_model["chat"]
    assert [one.model for one in (*route.alternatives, *route.fallback)] == ["small", "big", "last"]
    assert route.idempotent
    info = function_info(entry, whole=False)
    assert not info.HasField("route")
    assert [one.name for one in info.model_routes] == ["chat"]
    assert info.placement == function_info(generate[0], whole=False).placement


def test_routes_of_models_need_somebody_who_asks_them():
    (first, *_) = problems({"chat": {"alternatives": [{"model": "small"}]}}, spec("f"))
    assert "bridge.models.generate" in first


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ({"r": {}}, "routes.r: there is no function 'r', so the route needs `alternatives`"),
        ({"r": {"alternatives": [{"function": "ff"}]}}, "routes.r.alternatives.0: There is no function 'ff'; did you"),
        ({"r": {"alternatives": [{"pool": "general"}]}}, "routes.r.alternatives.0: there is no function 'r'; name one"),
        (
            {"r": {"alternatives": [{"function": "f", "pool": "second"}]}},
            "the pool 'second' does not load 'f'; it is in general. Add its module to `modules` of [pools.second]",
        ),
        ({"f": {"fallback": ["nobody"]}}, "routes.f.fallback.0: There is no function 'nobody'"),
        (
            {"f": {"alternatives": [{}, {"function": "f"}]}},
            "routes.f.alternatives: two of them are the same",
        ),
        (
            {"f": {"alternatives": [{}, {"function": "numbers"}]}},
            "routes.f: 'numbers' can not answer for 'f': its arguments differ: text: expected integer, got string",
        ),
        (
            {"f": {"fallback": ["counts"]}},
            "routes.f: 'counts' can not answer for 'f': its result differs: the value: expected string, got integer",
        ),
        ({"f": {"fallback": ["streams"]}}, "'streams' can not answer for 'f': it sends a stream, and the other"),
        (
            {"f": {"fallback": ["program"]}},
            "it is a program, and the other a function",
        ),
        (
            {"f": {"alternatives": [{}, {"function": "careless", "shadow": 0.1}]}},
            "'careless' is to get copies",
        ),
        ({"careless": {"hedge": {}}}, "hedging runs a call twice, but 'careless' is not declared idempotent"),
    ],
)
def test_what_can_not_be_served_is_said_with_its_place(routes, expected):
    functions = [
        spec("f"),
        spec("numbers", arguments_schema=schema(text=NUMBER)),
        spec("counts", result_schema=json.dumps(NUMBER)),
        spec("streams", streaming=True),
        spec("program", kind="program"),
        spec("careless", idempotent=False),
    ]
    (problem,) = problems(routes, *functions)
    assert expected in problem


def test_all_mistakes_are_told_at_once():
    assert len(problems({"a": {}, "b": {}, "f": {"fallback": ["x"]}}, spec("f"))) == 3


def test_a_schema_may_be_wider():
    wide = spec("g", arguments_schema=schema(text=TEXT, more=NUMBER))
    assert table({"f": both()}, spec("f"), wide).routes["f"]


def test_the_route_of_a_function_without_one():
    function = spec("f", pool="general")
    entry = routed(function, alone(function))
    assert isinstance(entry, RoutedSpec)
    assert not entry.route.declared
    assert not function_info(entry, whole=False).HasField("route")


def test_the_catalogue_lies_under_the_routes():
    registry = Registry()
    registry.merge({"general": Catalogue(functions=(spec("f"), spec("g")))})
    made = table({"f": both(), "new": both()}, spec("f"), spec("g"))
    registry.lay_over(made.specs)
    assert [one.name for one in registry.snapshot.functions] == ["f", "g", "new"]
    assert isinstance(registry.snapshot.find("f"), RoutedSpec)
    assert not isinstance(registry.reported.find("f"), RoutedSpec)
    registry.lay_over({})
    assert [one.name for one in registry.snapshot.functions] == ["f", "g"]
