"""Images, audio and files as inputs of programs: how callers write them, how large they may be, what is refused.

Nothing is ever fetched and no path is ever opened: an image's address goes to the provider as it is, everything else
comes as bytes. What names something of the provider's or the server's own (`file_id`, paths) is refused, and so are
texts with the marks by which DSPy tells such inputs from text. Owns no state; imports dspy.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import types
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin, is_typeddict

import dspy
import pydantic
from dspy.adapters.types.base_type import CUSTOM_TYPE_END_IDENTIFIER, CUSTOM_TYPE_START_IDENTIFIER
from pydantic_core import PydanticCustomError, core_schema

from handlers.errors import BadInput
from handlers.models import pictures

if TYPE_CHECKING:
    from collections.abc import Callable

    from handlers.schema import Field

MAX_AUDIO_BYTES = 25 * 1024 * 1024
MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_MEDIA = 64
"""In the inputs of one call."""
_MARKS = (CUSTOM_TYPE_START_IDENTIFIER, CUSTOM_TYPE_END_IDENTIFIER)
_AUDIO = ((b"ID3", "mp3"), (b"\xff\xfb", "mp3"), (b"\xff\xf3", "mp3"), (b"fLaC", "flac"), (b"OggS", "ogg"))
_WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.+-")


class Image(dspy.Image):  # type: ignore[misc]  # dspy has no types
    """DSPy's image without its cache, which would hold the images of the last 32 calls."""

    def format(self) -> list[dict[str, Any]]:
        """Return the part of a message."""
        return [pictures.as_part(self.url, None)]


def _wrong(what: str) -> PydanticCustomError:
    return PydanticCustomError("media", "{what}", {"what": what})


def _image(value: Any) -> Any:
    """Read an image: an address, a data URI, or bytes."""
    if isinstance(value, dspy.Image):
        return value
    given = _fields(value, {"url", "data", "media_type"}, "url")
    if isinstance(given.get("url"), str) and not given["url"].startswith("data:"):
        if "data" in given:
            raise _wrong("expected url or data, got both")
        if (problem := pictures.wrong_address(given["url"])) is not None:
            raise _wrong(problem)
        return Image(given["url"])
    data, declared = _bytes(given, "url", pictures.MAX_BYTES)
    if (problem := pictures.wrong_bytes(data, declared)) is not None:
        raise _wrong(problem)
    return Image(pictures.data_url(data))


def _audio(value: Any) -> Any:
    """Read a recording: a data URI, or bytes."""
    if isinstance(value, dspy.Audio):
        return value
    given = _fields(value, {"data", "audio_format"}, "data")
    data, declared = _bytes(given, "data", MAX_AUDIO_BYTES)
    named = given.get("audio_format") or declared.removeprefix("audio/").removeprefix("x-")
    kind = named or _audio_kind(data)
    if not isinstance(kind, str) or not 0 < len(kind) <= 20 or not _WORD.issuperset(kind):
        raise _wrong("expected audio_format, such as 'wav' or 'mp3', which the bytes do not tell")
    return dspy.Audio(data=base64.b64encode(data).decode(), audio_format=kind)


def _file(value: Any) -> Any:
    """Read a file: a data URI, or bytes with a media type."""
    if isinstance(value, dspy.File):
        return value
    given = _fields(value, {"file_data", "data", "media_type", "filename"}, "file_data")
    name = given.get("filename")
    if name is not None and (not isinstance(name, str) or len(name) > 255 or not name.isprintable()):
        raise _wrong("filename: expected at most 255 printable characters")
    data, declared = _bytes(given, "file_data", MAX_FILE_BYTES)
    kind = declared or ("application/pdf" if data.startswith(b"%PDF-") else "application/octet-stream")
    if len(kind) > 100 or not _WORD.issuperset(kind.lower().replace("/", "", 1)):
        raise _wrong(f"media_type: expected one such as 'application/pdf', got {kind[:40]!r}")
    return dspy.File(file_data=f"data:{kind};base64,{base64.b64encode(data).decode()}", filename=name)


def _fields(value: Any, known: set[str], text: str) -> dict[str, Any]:
    """Return what a caller wrote as an object; a text is the field `text`, bytes are the data."""
    if isinstance(value, str):
        return {text: value}
    if isinstance(value, bytes):
        return {"data": value}
    if not isinstance(value, dict):
        raise _wrong(f"expected an object with {', '.join(sorted(known))}, got {type(value).__name__}")
    if unknown := sorted(str(name) for name in value.keys() - known):
        raise _wrong(f"expected an object with {', '.join(sorted(known))}, got {unknown[0][:64]!r}")
    return value


def _bytes(given: dict[str, Any], text: str, limit: int) -> tuple[bytes, str]:
    """Return the bytes, and the media type that was given with them or an empty text."""
    sources = [given[name] for name in dict.fromkeys((text, "data")) if given.get(name) is not None]
    if len(sources) != 1:
        raise _wrong(f"expected data (base64, or a blob), got {'several' if sources else 'nothing'}")
    source, declared = sources[0], given.get("media_type") or ""
    if not isinstance(declared, str):
        raise _wrong("media_type: expected a text")
    if isinstance(source, str) and source.startswith("data:"):
        head, comma, source = source.partition(",")
        kind, _, coding = head.removeprefix("data:").partition(";")
        if not comma or coding.rpartition(";")[2] != "base64":
            raise _wrong("expected a data URI with base64, such as 'data:image/png;base64,...'")
        declared = declared or kind
    if isinstance(source, str):
        if len(source) > limit * 4 // 3 + 4:
            raise _wrong(f"expected at most {limit} bytes, got {len(source) * 3 // 4}")
        try:
            source = base64.b64decode(source, validate=True)
        except (binascii.Error, ValueError):
            raise _wrong("expected bytes as base64; addresses and paths are not read") from None
    if not isinstance(source, bytes):
        raise _wrong(f"expected bytes as base64 or a blob, got {type(source).__name__}")
    if not 0 < len(source) <= limit:
        raise _wrong(f"expected 1 to {limit} bytes, got {len(source)}")
    return source, declared


def _audio_kind(data: bytes) -> str:
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    return next((kind for mark, kind in _AUDIO if data.startswith(mark)), "")


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


_DATA = {"contentEncoding": "base64"}
_SCHEMAS: dict[type, tuple[Callable[[Any], Any], dict[str, Any], dict[str, Any]]] = {
    dspy.Image: (
        _image,
        {
            "url": _text("An http(s) address, which the provider fetches, or a data URI."),
            "data": _text(f"The bytes, in place of url: {pictures.KINDS}.", **_DATA),
            "media_type": _text("Of the data; they tell it themselves."),
        },
        {"url": "https://example.com/picture.png"},
    ),
    dspy.Audio: (
        _audio,
        {
            "data": _text("The bytes, or a data URI.", **_DATA),
            "audio_format": _text("Such as wav or mp3, where the bytes do not tell it."),
        },
        {"data": "UklGRiQAAABXQVZF", "audio_format": "wav"},
    ),
    dspy.File: (
        _file,
        {
            "file_data": _text("A data URI."),
            "data": _text("The bytes, in place of file_data.", **_DATA),
            "media_type": _text("Of the data, such as application/pdf."),
            "filename": _text("Its name, for the model."),
        },
        {"file_data": "data:text/plain;base64,aGVsbG8=", "filename": "hello.txt"},
    ),
}


class _OnTheWire:
    """How a type of DSPy's is read and described, as metadata of the type."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> Any:
        return core_schema.no_info_plain_validator_function(_SCHEMAS[self.kind][0])

    def __get_pydantic_json_schema__(self, _core: Any, _handler: Any) -> dict[str, Any]:
        _, properties, example = _SCHEMAS[self.kind]
        shape = {"type": "object", "title": self.kind.__name__, "additionalProperties": False}
        return {**shape, "properties": properties, "examples": [example]}


def on_the_wire(fields: dict[str, Field]) -> dict[str, Field]:
    """Return inputs with images, audio and files as callers write them."""
    return {name: dataclasses.replace(field, annotation=_replaced(field.annotation)) for name, field in fields.items()}


def _replaced(annotation: Any) -> Any:
    """Return an annotation with DSPy's types of media, at any depth, read as they travel."""
    if isinstance(annotation, type) and annotation in _SCHEMAS:
        return Annotated[annotation, _OnTheWire(annotation)]
    origin, inner = get_origin(annotation), get_args(annotation)
    if is_typeddict(annotation) or not inner or origin is None:
        return annotation
    if origin is Annotated:
        replaced = _replaced(inner[0])
        return annotation if replaced is inner[0] else Annotated[(replaced, *inner[1:])]
    found = tuple(_replaced(one) for one in inner)
    if all(new is old for new, old in zip(found, inner, strict=True)):
        return annotation
    if origin in (Union, types.UnionType):
        return Union[found]  # noqa: UP007  # made from values
    return origin[found if len(found) > 1 else found[0]]


def check(program: str, inputs: dict[str, Any]) -> None:
    """Refuse inputs that would be taken for what they are not. Raises BadInput."""
    media = 0
    for name, value in inputs.items():
        pending = [value]
        while pending:
            one = pending.pop()
            if isinstance(one, str):
                if any(mark in one for mark in _MARKS):
                    raise _refused(program, name, f"expected a text without {_MARKS[0]!r}, which DSPy itself uses")
            elif isinstance(one, dict):
                pending += [*one.keys(), *one.values()]
            elif isinstance(one, list | tuple | set | frozenset):
                pending += one
            elif isinstance(one, dspy.Type):
                media += isinstance(one, tuple(_SCHEMAS))
                pending += _parts(program, name, one)
            elif isinstance(one, pydantic.BaseModel):
                pending += [value for _, value in one]
            elif dataclasses.is_dataclass(one):
                pending += [getattr(one, field.name) for field in dataclasses.fields(one)]
    if media > MAX_MEDIA:
        raise _refused(program, "inputs", f"expected at most {MAX_MEDIA} images, recordings and files, got {media}")


def without_marks(value: Any) -> Any:
    """Return what a tool has answered without DSPy's marks: from it too DSPy would take images and files."""
    if isinstance(value, str):
        for mark in _MARKS:
            value = value.replace(mark, mark.replace("<<", "< <"))
        return value
    if isinstance(value, dict):
        return {without_marks(key): without_marks(one) for key, one in value.items()}
    return [without_marks(one) for one in value] if isinstance(value, list) else value


def _parts(program: str, name: str, value: Any) -> list[Any]:
    """Return what an object of DSPy's holds; one inside a model of the app's has not been read by this module."""
    if isinstance(value, dspy.File) and (value.file_id is not None or not value.file_data):
        raise _refused(program, name, "expected file_data; files that the provider holds are not a caller's to name")
    return [part for _, part in value]


def _refused(program: str, name: str, what: str) -> BadInput:
    return BadInput(f"{program}: {name}: {what}", violations=((name, what),))
