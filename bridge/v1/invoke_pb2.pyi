from bridge.v1 import access_pb2 as _access_pb2
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

class ExplainRequest(_message.Message):
    __slots__ = ("function", "request_bytes", "arguments")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    function: str
    request_bytes: int
    arguments: _common_pb2.Payload
    def __init__(self, function: _Optional[str] = ..., request_bytes: _Optional[int] = ..., arguments: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("function", "placement", "request_bytes", "reason", "alternatives", "front")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    FRONT_FIELD_NUMBER: _ClassVar[int]
    function: str
    placement: _common_pb2.Placement
    request_bytes: int
    reason: str
    alternatives: _containers.RepeatedCompositeFieldContainer[Alternative]
    front: FrontLoad
    def __init__(self, function: _Optional[str] = ..., placement: _Optional[_Union[_common_pb2.Placement, str]] = ..., request_bytes: _Optional[int] = ..., reason: _Optional[str] = ..., alternatives: _Optional[_Iterable[_Union[Alternative, _Mapping]]] = ..., front: _Optional[_Union[FrontLoad, _Mapping]] = ...) -> None: ...

class Alternative(_message.Message):
    __slots__ = ("function", "route", "pool", "chosen", "excluded", "prediction", "service", "transfer", "load", "worker", "weight", "cost_usd", "failure_rate", "breaker", "copies_only", "label", "fallback", "attempts")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    FAILURE_RATE_FIELD_NUMBER: _ClassVar[int]
    BREAKER_FIELD_NUMBER: _ClassVar[int]
    COPIES_ONLY_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    function: str
    route: _common_pb2.Route
    pool: str
    chosen: bool
    excluded: str
    prediction: Prediction
    service: MeasuredTimes
    transfer: MeasuredTimes
    load: PoolLoad
    worker: str
    weight: float
    cost_usd: float
    failure_rate: float
    breaker: str
    copies_only: bool
    label: str
    fallback: bool
    attempts: MeasuredTimes
    def __init__(self, function: _Optional[str] = ..., route: _Optional[_Union[_common_pb2.Route, str]] = ..., pool: _Optional[str] = ..., chosen: _Optional[bool] = ..., excluded: _Optional[str] = ..., prediction: _Optional[_Union[Prediction, _Mapping]] = ..., service: _Optional[_Union[MeasuredTimes, _Mapping]] = ..., transfer: _Optional[_Union[MeasuredTimes, _Mapping]] = ..., load: _Optional[_Union[PoolLoad, _Mapping]] = ..., worker: _Optional[str] = ..., weight: _Optional[float] = ..., cost_usd: _Optional[float] = ..., failure_rate: _Optional[float] = ..., breaker: _Optional[str] = ..., copies_only: _Optional[bool] = ..., label: _Optional[str] = ..., fallback: _Optional[bool] = ..., attempts: _Optional[_Union[MeasuredTimes, _Mapping]] = ...) -> None: ...

class Prediction(_message.Message):
    __slots__ = ("total_us", "queue_us", "transfer_us", "service_us", "burden_us")
    TOTAL_US_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_US_FIELD_NUMBER: _ClassVar[int]
    SERVICE_US_FIELD_NUMBER: _ClassVar[int]
    BURDEN_US_FIELD_NUMBER: _ClassVar[int]
    total_us: int
    queue_us: int
    transfer_us: int
    service_us: int
    burden_us: int
    def __init__(self, total_us: _Optional[int] = ..., queue_us: _Optional[int] = ..., transfer_us: _Optional[int] = ..., service_us: _Optional[int] = ..., burden_us: _Optional[int] = ...) -> None: ...

class MeasuredTimes(_message.Message):
    __slots__ = ("samples", "mean_us", "p50_us", "p99_us", "min_request_bytes", "max_request_bytes")
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    MEAN_US_FIELD_NUMBER: _ClassVar[int]
    P50_US_FIELD_NUMBER: _ClassVar[int]
    P99_US_FIELD_NUMBER: _ClassVar[int]
    MIN_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    samples: float
    mean_us: int
    p50_us: int
    p99_us: int
    min_request_bytes: int
    max_request_bytes: int
    def __init__(self, samples: _Optional[float] = ..., mean_us: _Optional[int] = ..., p50_us: _Optional[int] = ..., p99_us: _Optional[int] = ..., min_request_bytes: _Optional[int] = ..., max_request_bytes: _Optional[int] = ...) -> None: ...

class PoolLoad(_message.Message):
    __slots__ = ("workers", "waiting", "wait_us")
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    WAIT_US_FIELD_NUMBER: _ClassVar[int]
    workers: int
    waiting: int
    wait_us: int
    def __init__(self, workers: _Optional[int] = ..., waiting: _Optional[int] = ..., wait_us: _Optional[int] = ...) -> None: ...

class FrontLoad(_message.Message):
    __slots__ = ("busy", "lag_us", "native_running", "native_limit", "max_request_bytes", "max_p99_us")
    BUSY_FIELD_NUMBER: _ClassVar[int]
    LAG_US_FIELD_NUMBER: _ClassVar[int]
    NATIVE_RUNNING_FIELD_NUMBER: _ClassVar[int]
    NATIVE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    MAX_REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_P99_US_FIELD_NUMBER: _ClassVar[int]
    busy: float
    lag_us: int
    native_running: int
    native_limit: int
    max_request_bytes: int
    max_p99_us: int
    def __init__(self, busy: _Optional[float] = ..., lag_us: _Optional[int] = ..., native_running: _Optional[int] = ..., native_limit: _Optional[int] = ..., max_request_bytes: _Optional[int] = ..., max_p99_us: _Optional[int] = ...) -> None: ...
