from bridge.v1 import common_pb2 as _common_pb2
from bridge.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Priority(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRIORITY_UNSPECIFIED: _ClassVar[Priority]
    PRIORITY_LOW: _ClassVar[Priority]
    PRIORITY_NORMAL: _ClassVar[Priority]
    PRIORITY_HIGH: _ClassVar[Priority]
PRIORITY_UNSPECIFIED: Priority
PRIORITY_LOW: Priority
PRIORITY_NORMAL: Priority
PRIORITY_HIGH: Priority

class CallRequest(_message.Message):
    __slots__ = ("function", "arguments")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    function: str
    arguments: _common_pb2.Payload
    def __init__(self, function: _Optional[str] = ..., arguments: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ...) -> None: ...

class CallResponse(_message.Message):
    __slots__ = ("result",)
    RESULT_FIELD_NUMBER: _ClassVar[int]
    result: _common_pb2.Payload
    def __init__(self, result: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ...) -> None: ...

class StreamCallRequest(_message.Message):
    __slots__ = ("function", "arguments", "aggregate", "chunk_bytes")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    AGGREGATE_FIELD_NUMBER: _ClassVar[int]
    CHUNK_BYTES_FIELD_NUMBER: _ClassVar[int]
    function: str
    arguments: _common_pb2.Payload
    aggregate: bool
    chunk_bytes: int
    def __init__(self, function: _Optional[str] = ..., arguments: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ..., aggregate: _Optional[bool] = ..., chunk_bytes: _Optional[int] = ...) -> None: ...

class StreamCallResponse(_message.Message):
    __slots__ = ("item", "items", "part")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    item: _common_pb2.Payload
    items: _containers.RepeatedCompositeFieldContainer[_common_pb2.Payload]
    part: ItemPart
    def __init__(self, item: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ..., items: _Optional[_Iterable[_Union[_common_pb2.Payload, _Mapping]]] = ..., part: _Optional[_Union[ItemPart, _Mapping]] = ...) -> None: ...

class ItemPart(_message.Message):
    __slots__ = ("offset", "total", "data")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    offset: int
    total: int
    data: bytes
    def __init__(self, offset: _Optional[int] = ..., total: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class MultiplexRequest(_message.Message):
    __slots__ = ("calls", "cancelled_ids")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_IDS_FIELD_NUMBER: _ClassVar[int]
    calls: _containers.RepeatedCompositeFieldContainer[MultiplexCall]
    cancelled_ids: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, calls: _Optional[_Iterable[_Union[MultiplexCall, _Mapping]]] = ..., cancelled_ids: _Optional[_Iterable[int]] = ...) -> None: ...

class MultiplexCall(_message.Message):
    __slots__ = ("id", "request", "options")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    id: int
    request: CallRequest
    options: MultiplexOptions
    def __init__(self, id: _Optional[int] = ..., request: _Optional[_Union[CallRequest, _Mapping]] = ..., options: _Optional[_Union[MultiplexOptions, _Mapping]] = ...) -> None: ...

class MultiplexOptions(_message.Message):
    __slots__ = ("timeout_ms", "request_id", "session_id", "session_mode", "priority", "traceparent")
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_MODE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    timeout_ms: int
    request_id: str
    session_id: str
    session_mode: _session_pb2.SessionMode
    priority: Priority
    traceparent: str
    def __init__(self, timeout_ms: _Optional[int] = ..., request_id: _Optional[str] = ..., session_id: _Optional[str] = ..., session_mode: _Optional[_Union[_session_pb2.SessionMode, str]] = ..., priority: _Optional[_Union[Priority, str]] = ..., traceparent: _Optional[str] = ...) -> None: ...

class MultiplexResponse(_message.Message):
    __slots__ = ("results", "shared_receipts", "max_open_calls")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    SHARED_RECEIPTS_FIELD_NUMBER: _ClassVar[int]
    MAX_OPEN_CALLS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[MultiplexResult]
    shared_receipts: _containers.RepeatedCompositeFieldContainer[_common_pb2.Receipt]
    max_open_calls: int
    def __init__(self, results: _Optional[_Iterable[_Union[MultiplexResult, _Mapping]]] = ..., shared_receipts: _Optional[_Iterable[_Union[_common_pb2.Receipt, _Mapping]]] = ..., max_open_calls: _Optional[int] = ...) -> None: ...

class MultiplexResult(_message.Message):
    __slots__ = ("id", "response", "error", "receipt", "shared_receipt")
    ID_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    SHARED_RECEIPT_FIELD_NUMBER: _ClassVar[int]
    id: int
    response: CallResponse
    error: bytes
    receipt: _common_pb2.Receipt
    shared_receipt: int
    def __init__(self, id: _Optional[int] = ..., response: _Optional[_Union[CallResponse, _Mapping]] = ..., error: _Optional[bytes] = ..., receipt: _Optional[_Union[_common_pb2.Receipt, _Mapping]] = ..., shared_receipt: _Optional[int] = ...) -> None: ...

class ListFunctionsRequest(_message.Message):
    __slots__ = ("prefix", "page_size", "page_token")
    PREFIX_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prefix: str
    page_size: int
    page_token: str
    def __init__(self, prefix: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListFunctionsResponse(_message.Message):
    __slots__ = ("functions", "next_page_token")
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    functions: _containers.RepeatedCompositeFieldContainer[_common_pb2.FunctionInfo]
    next_page_token: str
    def __init__(self, functions: _Optional[_Iterable[_Union[_common_pb2.FunctionInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DescribeFunctionRequest(_message.Message):
    __slots__ = ("function",)
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    function: str
    def __init__(self, function: _Optional[str] = ...) -> None: ...

class DescribeFunctionResponse(_message.Message):
    __slots__ = ("function",)
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    function: _common_pb2.FunctionInfo
    def __init__(self, function: _Optional[_Union[_common_pb2.FunctionInfo, _Mapping]] = ...) -> None: ...
