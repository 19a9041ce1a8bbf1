"""Created programs between messages and records."""

import pytest

from bridge.conversion import programs as convert_programs
from bridge.v1 import program_pb2
from handlers.errors import BadInput
from handlers.programs.definitions import Options, problems

PERSON = '{"type":"object","properties":{"name":{"type":"string"}}}'


def source(**rest) -> program_pb2.ProgramSource:
    return program_pb2.ProgramSource(**rest)


FULL = source(
    inputs=[
        program_pb2.ProgramField(name="who", type="Person | None", description="Somebody."),
        program_pb2.ProgramField(name="n", type="int", default="3", ge=1, le=9),
    ],
    outputs=[program_pb2.ProgramField(name="text", max_length=100, pattern="^a")],
    types={"Person": PERSON},
    instructions="Write.",
    module=program_pb2.MODULE_KIND_BEST_OF_N,
    options=program_pb2.ModuleOptions(
        inner=program_pb2.MODULE_KIND_REACT, max_iters=4, n=2, reward="rate", threshold=0.5
    ),
    tools=["price"],
    demos=['{"n": 1, "text": "a"}'],
    model="small",
    adapter=program_pb2.PROMPT_ADAPTER_JSON,
    temperature=0.0,
    max_tokens=10,
    doc="For a test.",
)


def test_everything_a_client_can_say_comes_through():
    made = convert_programs.definition_of("made", FULL)
    assert problems(made) == []
    assert str(made.signature) == "who: Person | None, n: int -> text: str"
    assert made.kind == "best_of_n"
    assert made.options == Options(inner="react", max_iters=4, n=2, reward="rate", threshold=0.5)
    assert (made.temperature, made.max_tokens, made.adapter, made.model) == (0.0, 10, "json", "small")
    assert made.signature.inputs[1].default == "3"
    assert made.demos == ({"n": 1, "text": "a"},)
    assert convert_programs.definition_of("made", convert_programs.source_of(made)) == made


def test_little_is_enough():
    made = convert_programs.definition_of("made", source(signature="question -> answer"))
    assert (made.kind, made.adapter, made.temperature, made.options) == ("predict", "", None, Options())
    assert convert_programs.definition_of("made", convert_programs.source_of(made)) == made


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        (source(signature="question: inr -> answer"), "source.signature", "(column 11)"),
        (source(), "source.inputs", "'->'"),
        (source(signature="a -> b", inputs=[program_pb2.ProgramField(name="x")]), "source.signature", "got both"),
        (source(inputs=[program_pb2.ProgramField(name="x")]), "source.inputs", "at least one output"),
        (source(signature="a -> b", module=99), "source.module", "no kind"),
        (source(signature="a -> b", adapter=99), "source.adapter", "no adapter"),
        (source(signature="a -> b", demos=["{"]), "source.demos[0]", "not JSON"),
        (source(signature="a -> b", demos=["{}", "[]"]), "source.demos[1]", "got list"),
        (
            source(signature="a -> b", options=program_pb2.ModuleOptions(inner=program_pb2.MODULE_KIND_RLM)),
            "source.options.inner",
            "can not run inside",
        ),
    ],
)
def test_a_mistake_names_its_place(given, path, words):
    with pytest.raises(BadInput) as caught:
        convert_programs.definition_of("made", given)
    ((found, what),) = caught.value.violations
    assert found == path
    assert words in what
