"""Artefacts of programs in files: state by name, refusals, models at their addresses; what DSPy's own loading does."""

import json
import logging
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import dspy
import msgspec
import pydantic
import pytest

from handlers.contract import EntryOptions, ModelOptions
from handlers.loading import LoadFailed
from handlers.programs.artefacts import dspy_file, record
from handlers.programs.artefacts.record import ArtefactError
from handlers.programs.artefacts.saving import check, of_program, refuse_secrets, restore, save_program
from handlers.programs.artefacts.store import ArtefactStore
from handlers.programs.discovery import discover_programs
from handlers.programs.lm import LanguageModels
from handlers.secret_scan import Scanner


class Customer(pydantic.BaseModel):
    name: str
    age: int


class Triage(dspy.Signature):
    """Route a ticket."""

    ticket: str = dspy.InputField(desc="what the customer wrote")
    customer: Customer = dspy.InputField()
    queue: Literal["billing", "technical"] = dspy.OutputField(desc="where it goes")
    urgency: int = dspy.OutputField(desc="0 to 9")


class Desk(dspy.Module):
    def __init__(self) -> None:
        self.first = dspy.Predict(Triage)
        self.others = {"again": [dspy.ChainOfThought("note -> queue")]}

    def forward(self, ticket: str, customer: Customer) -> dspy.Prediction:
        return self.first(ticket=ticket, customer=customer)


def learnt() -> Desk:
    """A program as an optimiser leaves it."""
    desk = Desk()
    demo = dspy.Example(ticket="lost card", customer=Customer(name="Ann", age=40), queue="billing", urgency=7)
    desk.first.demos = [demo]
    desk.first.signature = desk.first.signature.with_instructions("Route well.").with_updated_fields(
        "urgency", prefix="How urgent:", desc="9 is at once"
    )
    desk.others["again"][0].predict.demos = [{"note": "n", "reasoning": "r", "queue": "q", "augmented": True}]
    return desk


@pytest.fixture
def app_file(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text("the_source = 1\n")
    return path


def loaded(
    program: Any, artefact: record.Artefact, app_file: Path, models: dict[str, ModelOptions] | None = None
) -> Any:
    options = EntryOptions(pool="llm", models=models or {})
    restore(program, artefact, app_file, options, LanguageModels(options.models))
    return program


def test_a_state_comes_back_whole_into_a_fresh_program(app_file: Path) -> None:
    saved = record.decode(record.encode(of_program(learnt(), "desk", app_file)), "it")
    desk = loaded(Desk(), saved, app_file)
    assert desk.first.signature.instructions == "Route well."
    extra = desk.first.signature.output_fields["urgency"].json_schema_extra
    assert (extra["prefix"], extra["desc"]) == ("How urgent:", "9 is at once")
    assert desk.first.signature.input_fields["ticket"].json_schema_extra["desc"] == "what the customer wrote"
    (demo,) = desk.first.demos
    assert demo.customer == Customer(name="Ann", age=40)  # its type again, not a dict
    assert desk.others["again"][0].predict.demos[0]["augmented"] is True
    assert of_program(desk, "desk", app_file) == saved


def test_a_compiled_module_inside_keeps_what_it_has_learnt(app_file: Path) -> None:
    desk = learnt()
    desk.others["again"][0]._compiled = True
    assert "others['again'][0].predict" not in desk.dump_state()  # DSPy leaves it out
    saved = of_program(desk, "desk", app_file)
    assert [len(state.demos) for name, state in saved.predictors.items() if "again" in name] == [1]


class Renamed(dspy.Signature):
    """Route a ticket."""

    ticket: str = dspy.InputField()
    customer: Customer = dspy.InputField()
    department: Literal["billing", "technical"] = dspy.OutputField(desc="the department")
    urgency: int = dspy.OutputField(desc="0 to 9")


class Reordered(dspy.Signature):
    """Route a ticket."""

    customer: Customer = dspy.InputField(desc="who wrote")
    ticket: str = dspy.InputField()
    urgency: int = dspy.OutputField()
    queue: Literal["billing", "technical"] = dspy.OutputField()


def test_dspy_gives_the_state_of_renamed_and_moved_fields_to_the_wrong_ones() -> None:
    """The trap: should DSPy stop doing so, our own way of loading may become simpler."""
    state = dspy.Predict(Triage).dump_state()
    moved = dspy.Predict(Reordered)
    moved.load_state(state)
    assert moved.signature.input_fields["customer"].json_schema_extra["desc"] == "what the customer wrote"
    renamed = dspy.Predict(Renamed)
    renamed.load_state(state)
    assert renamed.signature.output_fields["department"].json_schema_extra["prefix"] == "Queue:"


def test_fields_that_moved_get_their_own_state_by_name(app_file: Path) -> None:
    saved = of_program(dspy.Predict(Triage), "triage", app_file)
    moved = loaded(dspy.Predict(Reordered), saved, app_file)
    described = {name: field.json_schema_extra["desc"] for name, field in moved.signature.fields.items()}
    assert described == {
        "customer": "${customer}",
        "ticket": "what the customer wrote",
        "urgency": "0 to 9",
        "queue": "where it goes",
    }
    assert list(moved.signature.fields) == ["customer", "ticket", "urgency", "queue"]


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (
            dspy.Predict(Renamed),
            "has no field 'queue', which the artefact has.*has no field 'department', which the prog",
        ),
        (dspy.Predict(Triage.with_updated_fields("urgency", type_=float)), "'urgency' was int and is float"),
        (dspy.Predict(Triage.append("extra", dspy.OutputField())), "the artefact has no field 'extra'"),
        (
            dspy.Predict(Triage.delete("queue").append("queue", dspy.InputField(), type_=str)),
            "was an output and is an in",
        ),
        (dspy.ChainOfThought(Triage), "no predictor 'self'.*no predictor 'predict'"),
    ],
    ids=["renamed", "type", "added", "side", "predictors"],
)
def test_another_signature_is_refused_and_the_program_left_alone(program: Any, why: str, app_file: Path) -> None:
    saved = of_program(dspy.Predict(Triage), "triage", app_file)
    before = program.dump_state()
    with pytest.raises(ArtefactError, match=why):
        loaded(program, saved, app_file)
    assert program.dump_state() == before


def test_a_type_of_the_same_name_with_other_fields_is_refused(app_file: Path) -> None:
    saved = of_program(dspy.Predict(Triage), "triage", app_file)
    other = pydantic.create_model("Customer", name=(str, ...), age=(str, ...))
    with pytest.raises(ArtefactError, match=r"'customer' was Customer and is Customer, defined otherwise"):
        loaded(dspy.Predict(Triage.with_updated_fields("customer", type_=other)), saved, app_file)


def test_a_demo_that_does_not_fit_its_field_is_refused_with_its_place(app_file: Path) -> None:
    saved = of_program(learnt(), "desk", app_file)
    state = saved.predictors["first"]
    broken = msgspec.structs.replace(state, demos=({**state.demos[0], "queue": "sales"},))
    saved = msgspec.structs.replace(saved, predictors={**saved.predictors, "first": broken})
    desk = Desk()
    with pytest.raises(ArtefactError, match=r"first\.demos\[0\]\.queue does not fit Literal"):
        loaded(desk, saved, app_file)
    assert desk.others["again"][0].predict.demos == []  # nothing was taken over


def test_another_source_is_refused_unless_told_so(app_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved = of_program(dspy.Predict(Triage), "triage", app_file)
    app_file.write_text("the_source = 2\n")
    with pytest.raises(ArtefactError, match=r"saved with other code: app\.py has changed.*source_changes"):
        check(dspy.Predict(Triage), saved, app_file, "refuse")
    with caplog.at_level(logging.WARNING):
        check(dspy.Predict(Triage), saved, app_file, "warn")
    assert "app.py has changed" in caplog.text


def test_other_versions_of_libraries_are_told(app_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved = of_program(dspy.Predict(Triage), "triage", app_file)
    old = msgspec.structs.replace(saved, lock={**saved.lock, "dspy": "2.6.0"})
    with caplog.at_level(logging.WARNING):
        check(dspy.Predict(Triage), old, app_file, "refuse")
    assert f"dspy was 2.6.0, is {saved.lock['dspy']}" in caplog.text


# -- models ---------------------------------------------------------------------------------------------------------


def test_dspy_drops_the_address_of_a_saved_model() -> None:
    """The trap: what is loaded asks the provider's own address, with whatever key is there."""
    program = dspy.Predict("question -> answer")
    program.lm = dspy.LM("openai/local", api_base="http://127.0.0.1:9/v1", api_key="sk-none-of-yours-12345")
    again = dspy.Predict("question -> answer")
    again.load_state(program.dump_state())
    assert again.lm.model == "openai/local"
    assert "api_base" not in again.lm.kwargs


async def test_a_saved_model_is_asked_at_its_address_with_the_configured_key(
    app_file: Path, provider: Any, at_provider: Any
) -> None:
    program = dspy.Predict("question -> answer")
    program.lm = dspy.LM("openai/test", api_base=provider.base_url, api_key="sk-the-authors-own-key", temperature=0.25)
    saved = of_program(program, "ask", app_file)
    assert b"sk-the-authors" not in record.encode(saved)
    again = loaded(dspy.Predict("question -> answer"), saved, app_file, {"local": at_provider("test")})
    assert again.lm.kwargs["api_base"] == provider.base_url
    await again.acall(question="Where?")
    (sent,) = provider.requests
    assert sent.headers["authorization"] == "Bearer sk-a-key-nobody-may-see"
    assert sent.body["temperature"] == 0.25


@pytest.mark.parametrize(
    "configured",
    [{}, {"other": "openai/other"}, {"elsewhere": "openai/test"}],
    ids=["none", "another model", "another address"],
)
def test_a_saved_model_that_is_not_configured_at_its_address_is_refused(
    configured: dict[str, str], app_file: Path
) -> None:
    program = dspy.Predict("question -> answer")
    program.lm = dspy.LM("openai/test", api_base="http://127.0.0.1:9/v1", api_key="sk-the-authors-own-key")
    saved = of_program(program, "ask", app_file)
    models = {name: ModelOptions(model=model) for name, model in configured.items()}
    again = dspy.Predict("question -> answer")
    with pytest.raises(ArtefactError, match=r"'openai/test' at http://127\.0\.0\.1:9/v1.*--without-models"):
        loaded(again, saved, app_file, models)
    assert again.lm is None


def test_without_models_a_program_keeps_the_one_that_it_has(app_file: Path) -> None:
    program = dspy.Predict("question -> answer")
    program.lm = dspy.LM("openai/test", api_base="http://127.0.0.1:9/v1", api_key="sk-the-authors-own-key")
    saved = of_program(program, "ask", app_file, models=False)
    again = dspy.Predict("question -> answer")
    own = again.lm = dspy.LM("openai/mine", api_key="sk-mine-and-only-mine")
    assert loaded(again, saved, app_file).lm is own


# -- what is refused ------------------------------------------------------------------------------------------------


def changed(app_file: Path, **parts: Any) -> bytes:
    plain = json.loads(record.encode(of_program(learnt(), "desk", app_file)))
    return json.dumps({**plain, **parts}).encode()


@pytest.mark.parametrize(
    ("parts", "why"),
    [
        ({"format_version": 2}, "format version 2; this bridge reads version 1"),
        ({"format": "other"}, "expected the format 'bridge-program', got 'other'"),
        ({"surprise": 1}, "holds what is not known.*surprise"),
        (
            {"predictors": {"x": {"instructions": "", "fields": {}, "hook": "os.system"}}},
            r"not known.*hook.*predictors",
        ),
        ({"lock": {"python": 3}}, "holds what is not known"),
    ],
)
def test_what_is_not_known_is_refused(parts: dict[str, Any], why: str, app_file: Path) -> None:
    with pytest.raises(ArtefactError, match=why):
        record.decode(changed(app_file, **parts), "the file")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\x80\x04\x95\x00", "pickle or an archive"),
        (b"PK\x03\x04", "pickle or an archive"),
        (b"{", "is no artefact"),
        (b"[]", "is no artefact"),
        (b'{"self": {"demos": []}}', "DSPy saved is taken over with --state"),
        (b"[" * 100_000, "is no artefact"),
    ],
)
def test_what_is_no_artefact_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ArtefactError, match=why):
        record.decode(data, "the file")


def test_a_state_with_a_secret_is_not_saved(app_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_DB_PASSWORD", "swordfish-and-chips")
    desk = learnt()
    desk.first.demos[0]["ticket"] = "my key is sk-abcdefghijklmnop1234"
    desk.others["again"][0].predict.demos[0]["note"] = "log in by swordfish-and-chips"
    with pytest.raises(ArtefactError) as caught:
        save_program(desk, "desk", app=app_file, to=tmp_path / "saved")
    told = str(caught.value)
    assert "predictors.first.demos[0].ticket: looks like a provider's key" in told
    assert "demos[0].note: holds the value of $SHOP_DB_PASSWORD" in told
    assert "sk-abc" not in told
    assert "swordfish" not in told
    assert not (tmp_path / "saved").exists()


def test_settings_of_a_model_that_are_secrets_are_refused(app_file: Path) -> None:
    program = dspy.Predict("question -> answer")
    program.lm = dspy.LM("openai/test", api_key="sk-fine", aws_secret_access_key="plain looking")
    with pytest.raises(ArtefactError, match=r"lm\.settings\.aws_secret_access_key: is a secret by its name"):
        refuse_secrets(of_program(program, "ask", app_file), Scanner.of({}))


# -- DSPy's own files -----------------------------------------------------------------------------------------------


def test_a_file_of_dspy_is_taken_over_by_prefixes(tmp_path: Path, app_file: Path) -> None:
    program = dspy.Predict(Triage)
    program.demos = [dspy.Example(ticket="t", customer=Customer(name="A", age=1), queue="billing", urgency=1)]
    program.save(tmp_path / "state.json")
    moved = dspy.Predict(Reordered)
    state = dspy_file.read((tmp_path / "state.json").read_bytes(), "state.json", moved)
    assert state["self"].fields["ticket"].description == "what the customer wrote"
    assert state["self"].demos[0]["customer"] == {"name": "A", "age": 1}
    with pytest.raises(ArtefactError, match="does not say which field is which"):
        dspy_file.read((tmp_path / "state.json").read_bytes(), "state.json", dspy.Predict(Renamed))
    with pytest.raises(ArtefactError, match="pickle is never loaded"):
        dspy_file.read(b"\x80\x04", "state.pkl", moved)


def test_the_address_of_a_model_in_a_file_of_dspy_is_kept(tmp_path: Path) -> None:
    program = dspy.Predict("question -> answer")
    program.lm = dspy.LM(
        "openai/local", api_base="http://127.0.0.1:9/v1", api_key="sk-none-of-yours-12345", temperature=0.5
    )
    program.save(tmp_path / "state.json")
    (state,) = dspy_file.read((tmp_path / "state.json").read_bytes(), "state.json", program).values()
    assert state.lm == record.LmState(
        model="openai/local", api_base="http://127.0.0.1:9/v1", settings={"temperature": 0.5}
    )


# -- serving --------------------------------------------------------------------------------------------------------


def serve(app_file: Path, directory: Path, program: Any, **options: Any) -> Any:
    module = ModuleType("an_app")
    module.__file__ = str(app_file)
    module.desk = program  # type: ignore[attr-defined]
    return discover_programs(module, "app.py", EntryOptions(pool="llm", artefacts=str(directory), **options))


def test_the_version_that_serves_is_loaded_over_the_file(app_file: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    assert save_program(learnt(), "desk", app=app_file, to=saved) == 1
    plain = Desk()
    serve(app_file, saved, plain)
    assert plain.first.demos == []  # saved, not promoted
    ArtefactStore(saved).promote("desk", 1)
    serve(app_file, saved, plain)
    assert len(plain.first.demos) == 1
    app_file.write_text("the_source = 2\n")
    with pytest.raises(LoadFailed, match=r"saved version of the program 'desk' can not be loaded.*app\.py has changed"):
        serve(app_file, saved, Desk())
    serve(app_file, saved, Desk(), source_changes="warn")


def test_dspys_cache_is_off_in_a_worker_as_its_key_knows_neither_key_nor_address(
    tmp_path: Path, app_file: Path, provider: Any
) -> None:
    """The trap, and that it is shut: what one key was told is never another's answer."""
    first = dspy.LM("openai/test", api_base=provider.base_url, api_key="sk-the-key-of-tenant-one", num_retries=0)
    elsewhere = dspy.LM(
        "openai/test", api_base="http://127.0.0.1:9/v1", api_key="sk-the-key-of-tenant-two", num_retries=0
    )
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    try:
        answer = first("the same question")
        assert elsewhere("the same question") == answer  # the trap: nobody listens there
        serve(app_file, tmp_path, Desk())
        with pytest.raises(dspy.LMError):
            elsewhere("the same question")
    finally:
        dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
