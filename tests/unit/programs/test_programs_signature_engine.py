"""The signature engine against DSPy itself: the same fields, in the same order, of the same types."""

import datetime
import warnings

import dspy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.signatures import names
from handlers.signatures.parser import parse
from handlers.signatures.scanner import SignatureError

SIMPLE = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "bytes": bytes,
    "datetime.date": datetime.date,
    "dspy.Image": dspy.Image,
    "dspy.History": dspy.History,
}
TYPES = st.recursive(
    st.sampled_from(sorted(SIMPLE)),
    lambda inner: st.one_of(
        inner.map(lambda one: f"list[{one}]"),
        inner.map(lambda one: f"dict[str, {one}]"),
        inner.map(lambda one: f"Optional[{one}]"),
        st.lists(inner, min_size=2, max_size=3).map(lambda some: f"tuple[{', '.join(some)}]"),
        st.lists(inner, min_size=2, max_size=3, unique=True).map(lambda some: f"Union[{', '.join(some)}]"),
        st.lists(st.sampled_from(["'a'", "'b c'", "1", "True", "None"]), min_size=1, max_size=3, unique=True).map(
            lambda values: f"Literal[{', '.join(values)}]"
        ),
    ),
    max_leaves=5,
)


@given(st.lists(TYPES, min_size=2, max_size=5), st.integers(1, 4))
def test_dspy_reads_the_canonical_notation_as_it_reads_the_original(types, cut):
    cut = min(cut, len(types) - 1)
    fields = [f"f{index}: {text}" for index, text in enumerate(types)]
    text = f"{', '.join(fields[:cut])} -> {', '.join(fields[cut:])}"
    spec = parse(text)
    original, canonical = dspy.Signature(text), dspy.Signature(str(spec))
    assert [field.name for field in spec.inputs] == list(original.input_fields) == list(canonical.input_fields)
    assert [field.name for field in spec.outputs] == list(original.output_fields) == list(canonical.output_fields)
    for name, field in original.fields.items():
        assert canonical.fields[name].annotation == field.annotation


@pytest.mark.parametrize("text", ["a->", "->b", "a: int = 3 -> b", "a, a -> b", "signature -> x", "a -> copy"])
def test_what_dspy_accepts_and_then_gets_wrong_is_refused(text):
    with pytest.raises(SignatureError):
        parse(text)


def breaks(name: str, side: str) -> bool:
    """Whether a field of this name does not come through DSPy unharmed."""
    text = f"{name} -> x" if side == "input" else f"q -> {name}"
    answer = "x" if side == "input" else name
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            predict = dspy.Predict(dspy.Signature(text))
        with dspy.context(lm=dspy.utils.DummyLM([{answer: "v"}])):
            result = predict(**{name if side == "input" else "q": "1"})
        return getattr(result, answer) != "v"
    except Exception:  # whatever DSPy does with it, it is no good as a name
        return True


@pytest.mark.parametrize("side", ["input", "output"])
def test_every_name_that_breaks_dspy_is_reserved(side):
    attributes = {*dir(dspy.Signature), *dir(dspy.Prediction), *dir(dspy.Example), *dir(dspy.Predict), "lm", "config"}
    ordinary = sorted(name for name in attributes if names.problem(name) is None)
    assert [name for name in ordinary if breaks(name, side)] == []
