"""The merged catalogue: where items belong, conflicts, names, paging."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.contract import Catalogue, FunctionSpec, MetricDetails
from handlers.errors import BadInput, Unknown
from handlers.registry import Conflict, Registry, Snapshot


def _spec(name, **fields):
    return FunctionSpec(name=name, **{"module": "app.py"} | fields)


def _merge(**by_pool):
    return Registry().merge({pool: Catalogue(functions=tuple(specs)) for pool, specs in by_pool.items()})


def _pools(snapshot):
    return {spec.name: spec.pool for spec in snapshot.functions}


def test_where_items_belong():
    everywhere = [_spec("f"), _spec("p", kind="program"), _spec("bridge.echo", kind="builtin", module=None)]
    snapshot = _merge(
        embeddings=[*everywhere[2:], _spec("bridge.embeddings.embed", kind="builtin", module=None)],
        llm=[*everywhere, _spec("asks", pool="llm"), _spec("only", module="llm_only.py")],
        general=[*everywhere, _spec("asks", pool="llm")],
    )
    assert _pools(snapshot) == {
        "f": "general",
        "p": "llm",
        "asks": "llm",
        "only": "llm",
        "bridge.echo": "general",
        "bridge.embeddings.embed": "embeddings",
    }
    assert [spec.name for spec in snapshot.programs] == ["p"]


def test_without_the_default_pool_the_first_that_reported_has_it():
    assert _pools(_merge(zeta=[_spec("f")], alpha=[_spec("f")])) == {"f": "zeta"}
    assert _pools(_merge(general=[_spec("p", kind="program")])) == {"p": "general"}


def test_other_default_pools():
    catalogue = Catalogue(functions=(_spec("f"),))
    snapshot = Registry().merge({"a": catalogue, "b": catalogue}, {"function": "b", "program": "b"})
    assert _pools(snapshot) == {"f": "b"}


CONFLICTS = {
    "two modules": (
        {"general": [_spec("f", module="a.py")], "llm": [_spec("f", module="b.py")]},
        r"named 'f'.*module a\.py \(pool 'general'\).*module b\.py \(pool 'llm'\)",
    ),
    "a built-in's name": (
        {"general": [_spec("bridge.echo", module=None, kind="builtin")], "llm": [_spec("bridge.echo")]},
        r"the bridge itself.*module app\.py",
    ),
    "function and program": ({"general": [_spec("f")], "llm": [_spec("f", kind="program")]}, "named 'f'"),
    "unknown pool": (
        {"general": [_spec("f", pool="gpu")], "llm": []},
        "asks for the pool 'gpu', which does not exist; the pools are general, llm",
    ),
    "pool that does not load it": (
        {"general": [_spec("f", pool="llm")], "llm": []},
        r"does not load the module app\.py; add it to `modules` of \[pools\.llm\]",
    ),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_conflicts_are_told_and_change_nothing(case):
    by_pool, message = CONFLICTS[case]
    registry = Registry()
    before = registry.merge({"general": Catalogue(functions=(_spec("old"),))})
    with pytest.raises(Conflict, match=message):
        registry.merge({pool: Catalogue(functions=tuple(specs)) for pool, specs in by_pool.items()})
    assert registry.snapshot is before


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "größe", "x" * 129, "%2e", "<script>", "a\n"])
def test_names_have_one_rule(name):
    with pytest.raises(Conflict, match="expected a name of 1 to 128"):
        _merge(general=[_spec(name)])


def test_a_merge_makes_a_new_generation_and_leaves_the_old_snapshot_as_it_was():
    registry = Registry()
    assert (registry.snapshot.generation, registry.snapshot.functions) == (0, ())
    first = registry.merge({"general": Catalogue(functions=(_spec("a"),))})
    second = registry.merge({"general": Catalogue(functions=(_spec("b"),))})
    assert (first.generation, second.generation) == (1, 2)
    assert registry.snapshot is second
    assert first.find("a").name == "a"


def test_unknown_names():
    snapshot = _merge(general=[_spec("summarise"), _spec("p", kind="program"), _spec("shop.price")])
    for wrong, right in (("sumarise", "summarise"), ("price", "shop.price")):
        with pytest.raises(Unknown, match=f"did you mean '{right}'") as caught:
            snapshot.find(wrong)
        assert (caught.value.reason, caught.value.metadata) == ("UNKNOWN_FUNCTION", {"did_you_mean": right})
    with pytest.raises(Unknown, match=r"there is p, shop\.price, summarise"):
        snapshot.find("zzz")
    with pytest.raises(Unknown, match="a name of 10000 characters"):
        snapshot.find("x" * 10_000)
    with pytest.raises(Unknown) as caught:
        snapshot.find_program("summarise")
    assert caught.value.reason == "UNKNOWN_PROGRAM"
    assert snapshot.find_program("p").kind == "program"
    with pytest.raises(Unknown, match="there is none at all"):
        Snapshot().find("f")


def test_metrics_are_found_by_the_name_that_callers_use():
    details = [MetricDetails(metric=name, parameters_schema="{}") for name in ("rouge", "bleu")]
    specs = [_spec(f"bridge.metrics.{one.metric}", kind="builtin", module=None, metric=one) for one in details]
    snapshot = _merge(general=specs)
    assert [spec.metric.metric for spec in snapshot.metrics] == ["bleu", "rouge"]
    assert snapshot.find_metric("bleu").name == "bridge.metrics.bleu"
    with pytest.raises(Unknown, match="did you mean 'bleu'") as caught:
        snapshot.find_metric("blue")
    assert caught.value.reason == "UNKNOWN_METRIC"


def _pages(snapshot, prefix, size):
    names, token, pages = [], "", 0
    while True:
        page, token = snapshot.page(prefix, size, token)
        names += [spec.name for spec in page]
        pages += 1
        assert len(page) <= (size or 100)
        if not token:
            return names, pages


@given(
    st.sets(st.text("ab.", min_size=1, max_size=5), max_size=30),
    st.text("ab.", max_size=2),
    st.integers(0, 7),
)
@settings(deadline=None)
def test_pages_give_every_name_once_and_in_order(names, prefix, size):
    snapshot = _merge(general=[_spec(name) for name in names])
    expected = sorted(name for name in names if name.startswith(prefix))
    found, pages = _pages(snapshot, prefix, size)
    assert found == expected
    assert pages == max(1, -(-len(expected) // (size or 100)))


def test_a_token_outlives_a_change_of_the_catalogue():
    before = _merge(general=[_spec(name) for name in ("a", "b", "c", "d")])
    _, token = before.page(size=2)
    after = _merge(general=[_spec(name) for name in ("a", "aa", "c", "e")])
    assert [spec.name for spec in after.page(size=2, token=token)[0]] == ["c", "e"]


@pytest.mark.parametrize(
    ("size", "token", "path"),
    [
        (-1, "", "page_size"),
        (1001, "", "page_size"),
        (0, "!", "page_token"),
        (0, "Lw==", "page_token"),
        (0, "é", "page_token"),
    ],
)
def test_bad_pages(size, token, path):
    with pytest.raises(BadInput) as caught:
        Snapshot().page("", size, token)
    assert caught.value.violations[0][0] == path


def test_programs_have_pages_too():
    snapshot = _merge(llm=[_spec(name, kind="program") for name in "cab"], general=[_spec("f")])
    page, token = snapshot.page_programs(size=2)
    assert [spec.name for spec in page] == ["a", "b"]
    assert [spec.name for spec in snapshot.page_programs(2, token)[0]] == ["c"]
