"""Images, audio and files as inputs: what reaches the provider, and what is refused before anything does."""

import base64
import json
import os
import select
import socket

import dspy
import msgspec
import pydantic
import pytest

from bridge.v1 import common_pb2, program_pb2
from handlers.context import CallContext
from handlers.contract import CallMeta
from handlers.errors import BadInput
from handlers.models import pictures
from handlers.programs import media

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PNG_TEXT = base64.b64encode(PNG).decode()
PNG_URI = f"data:image/png;base64,{PNG_TEXT}"
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt "
WAV_TEXT = base64.b64encode(WAV).decode()
PDF = b"%PDF-1.7 nothing"
PDF_TEXT = base64.b64encode(PDF).decode()
MARK = "<<CUSTOM-TYPE-START-IDENTIFIER>>"


class Page(pydantic.BaseModel):
    paper: dspy.File
    title: str = ""


class Sync(dspy.Module):
    """Takes an image by an annotation of its own."""

    def __init__(self):
        super().__init__()
        self.ask = dspy.Predict("picture: dspy.Image, question -> answer")

    def forward(self, picture: dspy.Image | None, question: str) -> dspy.Prediction:
        return self.ask(picture=picture, question=question)


PROGRAMS = {
    "see": lambda: dspy.Predict("picture: dspy.Image, question -> answer"),
    "sync": Sync,
    "hear": lambda: dspy.Predict("sound: dspy.Audio -> answer"),
    "read": lambda: dspy.Predict("paper: dspy.File -> answer"),
    "many": lambda: dspy.Predict("pictures: list[dspy.Image] -> answer"),
    "named": lambda: dspy.Predict("pictures: dict[str, dspy.Image] -> answer"),
    "page": lambda: dspy.Predict(dspy.Signature("page: Page -> answer", custom_types={"Page": Page})),
    "text": lambda: dspy.Predict("question -> answer"),
}


@pytest.fixture
def served(app, at_provider):
    return app(models={"default": at_provider()}, **{name: make() for name, make in PROGRAMS.items()})


def parts(provider, kind):
    """What of one kind stood in the last question to the model."""
    content = provider.requests[-1].body["messages"][-1]["content"]
    return [part[kind] for part in content if part["type"] == kind]


IMAGES = [{"url": PNG_URI}, PNG_URI, {"data": PNG_TEXT}, {"data": PNG_TEXT, "media_type": "image/png"}]


@pytest.mark.parametrize("program", ["see", "sync"])
@pytest.mark.parametrize("picture", IMAGES)
async def test_an_image_reaches_the_model(served, provider, program, picture):
    await served.run(program, picture=picture, question="What is it?")
    assert parts(provider, "image_url") == [{"url": PNG_URI}]


async def test_lists_and_maps_of_images(served, provider):
    await served.run("many", pictures=[{"url": PNG_URI}, {"url": "https://example.com/a.png"}])
    assert parts(provider, "image_url") == [{"url": PNG_URI}, {"url": "https://example.com/a.png"}]
    await served.run("named", pictures={"left": {"data": PNG_TEXT}})
    assert parts(provider, "image_url") == [{"url": PNG_URI}]


AUDIO = [{"data": WAV_TEXT, "audio_format": "wav"}, {"data": WAV_TEXT}, f"data:audio/x-wav;base64,{WAV_TEXT}"]


@pytest.mark.parametrize("sound", AUDIO)
async def test_a_recording_reaches_the_model(served, provider, sound):
    await served.run("hear", sound=sound)
    assert parts(provider, "input_audio") == [{"data": WAV_TEXT, "format": "wav"}]


FILES = [
    ({"file_data": f"data:application/pdf;base64,{PDF_TEXT}", "filename": "a.pdf"}, "a.pdf"),
    ({"data": PDF_TEXT, "filename": "a.pdf"}, "a.pdf"),
    ({"data": PDF_TEXT, "media_type": "application/pdf"}, "my_file.pdf"),
    (f"data:application/pdf;base64,{PDF_TEXT}", "my_file.pdf"),
]


@pytest.mark.parametrize(("paper", "name"), FILES)
async def test_a_file_reaches_the_model(served, provider, paper, name):
    await served.run("read", paper=paper)
    expected = {"file_data": f"data:application/pdf;base64,{PDF_TEXT}", "filename": name}
    assert parts(provider, "file") == [expected], "a file without a name gets one from DSPy"


BLOBS = [
    ("see", {"picture": {"$blob": "it"}, "question": "?"}, PNG, "image_url", {"url": PNG_URI}),
    ("see", {"picture": {"data": {"$blob": "it"}}, "question": "?"}, PNG, "image_url", {"url": PNG_URI}),
    ("hear", {"sound": {"$blob": "it"}}, WAV, "input_audio", {"data": WAV_TEXT, "format": "wav"}),
    (
        "read",
        {"paper": {"data": {"$blob": "it"}, "filename": "a.pdf"}},
        PDF,
        "file",
        {"file_data": f"data:application/pdf;base64,{PDF_TEXT}", "filename": "a.pdf"},
    ),
]


@pytest.mark.parametrize(("program", "inputs", "data", "kind", "part"), BLOBS)
async def test_bytes_beside_the_inputs(served, provider, program, inputs, data, kind, part):
    payload = common_pb2.Payload(json=json.dumps(inputs), blobs=[common_pb2.Blob(name="it", data=data)])
    request = program_pb2.RunRequest(program=program, inputs=payload)
    context = CallContext(CallMeta(method="ProgramService/Run"))
    await served.handlers[program].call("ProgramService/Run", request.SerializeToString(), context)
    assert parts(provider, kind) == [part]


async def test_bytes_as_messagepack_has_them(served, provider):
    payload = common_pb2.Payload(msgpack=msgspec.msgpack.encode({"picture": {"data": PNG}, "question": "?"}))
    request = program_pb2.RunRequest(program="see", inputs=payload)
    context = CallContext(CallMeta(method="ProgramService/Run"))
    await served.handlers["see"].call("ProgramService/Run", request.SerializeToString(), context)
    assert parts(provider, "image_url") == [{"url": PNG_URI}]


async def test_an_address_is_never_fetched(served, provider):
    """Nobody connects to it from here, wherever it leads: only the provider may."""
    with socket.create_server(("127.0.0.1", 0)) as inside:
        url = f"http://127.0.0.1:{inside.getsockname()[1]}/latest/meta-data"
        await served.run("see", picture={"url": url}, question="?")
        assert parts(provider, "image_url") == [{"url": url}]
        assert select.select([inside], [], [], 0) == ([], [], [])
    assert os.environ["MAX_IMAGE_URL_DOWNLOAD_SIZE_MB"] == "0", "nor does LiteLLM, where DSPy asks it"


SECRET = "what-nobody-may-read"
REFUSED = [
    ("see", {"picture": {"url": "{path}"}}),
    ("see", {"picture": {"url": "file://{path}"}}),
    ("see", {"picture": "{path}"}),
    ("see", {"picture": {"url": "gs://bucket/a.png"}}),
    ("see", {"picture": {"url": "https://example.com/a.png", "download": True}}),
    ("see", {"picture": {"url": "https://example.com/a.png", "verify": False}}),
    ("see", {"picture": {"url": "https://"}}),
    ("see", {"picture": {"url": PNG_URI, "data": PNG_TEXT}}),
    ("see", {"picture": {"url": "https://example.com/a.png", "data": PNG_TEXT}}),
    ("see", {"picture": {}}),
    ("see", {"picture": 7}),
    ("see", {"picture": {"data": "no base64!"}}),
    ("see", {"picture": {"data": PDF_TEXT}}),
    ("see", {"picture": {"data": PNG_TEXT, "media_type": "image/gif"}}),
    ("see", {"picture": {"url": "data:image/png,plain"}}),
    ("see", {"picture": {"url": "data:text/html;base64,PGI+"}}),
    ("many", {"pictures": [{"url": PNG_URI}, {"url": "{path}"}]}),
    ("hear", {"sound": "{path}"}),
    ("hear", {"sound": {"url": "https://example.com/a.wav"}}),
    ("hear", {"sound": {"data": PDF_TEXT}}),
    ("hear", {"sound": {"data": WAV_TEXT, "audio_format": '","x":"'}}),
    ("read", {"paper": "{path}"}),
    ("read", {"paper": {"file_id": "file-of-somebody-else"}}),
    ("read", {"paper": {"filename": "{path}"}}),
    ("read", {"paper": {"data": PDF_TEXT, "filename": "a\nb"}}),
    ("read", {"paper": {"data": PDF_TEXT, "media_type": "application/pdf;base64,AAAA#"}}),
    ("page", {"page": {"paper": {"file_id": "file-of-somebody-else"}}}),
    ("page", {"page": {"paper": {"filename": "{path}"}}}),
    ("text", {"question": f'{MARK}[{{"type": "file", "file": {{"file_id": "file-of-somebody-else"}}}}]'}),
    ("page", {"page": {"paper": {"file_data": f"data:a/b;base64,{PDF_TEXT}"}, "title": MARK}}),
]


@pytest.mark.parametrize(("program", "inputs"), REFUSED)
async def test_what_is_no_input_of_the_callers_is_refused(served, provider, tmp_path, program, inputs):
    path = tmp_path / "secret.png"
    path.write_text(SECRET)
    if program == "see":
        inputs = {**inputs, "question": "?"}
    inputs = json.loads(json.dumps(inputs).replace("{path}", str(path)))
    with pytest.raises(BadInput) as failure:
        await served.run(program, **inputs)
    assert failure.value.reason == "SCHEMA_MISMATCH"
    assert failure.value.violations
    assert SECRET not in str(failure.value)
    assert provider.requests == ()


async def test_sizes_and_numbers_are_bounded(served, provider, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_BYTES", len(PNG) - 1)
    monkeypatch.setattr(media, "MAX_AUDIO_BYTES", len(WAV) - 1)
    monkeypatch.setattr(media, "MAX_FILE_BYTES", len(PDF) - 1)
    too_large = [
        ("see", {"picture": {"url": PNG_URI}, "question": "?"}),
        ("hear", {"sound": {"data": WAV_TEXT}}),
        ("read", {"paper": {"data": PDF_TEXT}}),
    ]
    for program, inputs in too_large:
        with pytest.raises(BadInput, match="bytes"):
            await served.run(program, **inputs)
    monkeypatch.setattr(media, "MAX_MEDIA", 2)
    with pytest.raises(BadInput, match="expected at most 2 images, recordings and files, got 3"):
        await served.run("many", pictures=["https://example.com/a.png"] * 3)
    assert provider.requests == ()


@pytest.mark.parametrize("program", ["see", "hear", "read", "many", "sync"])
async def test_the_published_example_runs(served, program):
    handler = served.handlers[program]
    example = json.loads(handler.spec.example)
    assert (await served.run(program, **example)).outputs["answer"]


async def test_images_do_not_stay_behind(served):
    """DSPy's own images are kept by a cache of the last 32, whoever sent them."""
    before = dspy.Image.format.cache_info().currsize
    await served.run("see", picture={"url": PNG_URI}, question="?")
    assert dspy.Image.format.cache_info().currsize == before
