from bridge_client.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunRequest(_message.Message):
    __slots__ = ("program", "inputs", "model")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    program: str
    inputs: _common_pb2.Payload
    model: str
    def __init__(self, program: _Optional[str] = ..., inputs: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ..., model: _Optional[str] = ...) -> None: ...

class RunResponse(_message.Message):
    __slots__ = ("outputs",)
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    outputs: _common_pb2.Payload
    def __init__(self, outputs: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ...) -> None: ...

class StreamRunRequest(_message.Message):
    __slots__ = ("program", "inputs", "model")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    program: str
    inputs: _common_pb2.Payload
    model: str
    def __init__(self, program: _Optional[str] = ..., inputs: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ..., model: _Optional[str] = ...) -> None: ...

class StreamRunResponse(_message.Message):
    __slots__ = ("sequence", "field_delta", "final")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FIELD_DELTA_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    field_delta: FieldDelta
    final: FinalOutputs
    def __init__(self, sequence: _Optional[int] = ..., field_delta: _Optional[_Union[FieldDelta, _Mapping]] = ..., final: _Optional[_Union[FinalOutputs, _Mapping]] = ...) -> None: ...

class FieldDelta(_message.Message):
    __slots__ = ("predictor", "field", "text", "last")
    PREDICTOR_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    predictor: str
    field: str
    text: str
    last: bool
    def __init__(self, predictor: _Optional[str] = ..., field: _Optional[str] = ..., text: _Optional[str] = ..., last: _Optional[bool] = ...) -> None: ...

class FinalOutputs(_message.Message):
    __slots__ = ("outputs",)
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    outputs: _common_pb2.Payload
    def __init__(self, outputs: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ...) -> None: ...

class ProgramServiceListRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ProgramServiceListResponse(_message.Message):
    __slots__ = ("programs", "next_page_token")
    PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    programs: _containers.RepeatedCompositeFieldContainer[ProgramInfo]
    next_page_token: str
    def __init__(self, programs: _Optional[_Iterable[_Union[ProgramInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ProgramServiceDescribeRequest(_message.Message):
    __slots__ = ("program",)
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    program: str
    def __init__(self, program: _Optional[str] = ...) -> None: ...

class ProgramServiceDescribeResponse(_message.Message):
    __slots__ = ("program",)
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    program: ProgramInfo
    def __init__(self, program: _Optional[_Union[ProgramInfo, _Mapping]] = ...) -> None: ...

class ProgramInfo(_message.Message):
    __slots__ = ("name", "doc", "signature", "module", "pool", "inputs_schema", "outputs_schema", "example")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    doc: str
    signature: str
    module: str
    pool: str
    inputs_schema: str
    outputs_schema: str
    example: str
    def __init__(self, name: _Optional[str] = ..., doc: _Optional[str] = ..., signature: _Optional[str] = ..., module: _Optional[str] = ..., pool: _Optional[str] = ..., inputs_schema: _Optional[str] = ..., outputs_schema: _Optional[str] = ..., example: _Optional[str] = ...) -> None: ...
