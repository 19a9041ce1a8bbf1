from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Route(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUTE_UNSPECIFIED: _ClassVar[Route]
    ROUTE_NATIVE: _ClassVar[Route]
    ROUTE_POOLED: _ClassVar[Route]

class FunctionKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FUNCTION_KIND_UNSPECIFIED: _ClassVar[FunctionKind]
    FUNCTION_KIND_FUNCTION: _ClassVar[FunctionKind]
    FUNCTION_KIND_PROGRAM: _ClassVar[FunctionKind]
    FUNCTION_KIND_BUILTIN: _ClassVar[FunctionKind]

class Placement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PLACEMENT_UNSPECIFIED: _ClassVar[Placement]
    PLACEMENT_NATIVE: _ClassVar[Placement]
    PLACEMENT_POOLED: _ClassVar[Placement]
    PLACEMENT_AUTO: _ClassVar[Placement]
ROUTE_UNSPECIFIED: Route
ROUTE_NATIVE: Route
ROUTE_POOLED: Route
FUNCTION_KIND_UNSPECIFIED: FunctionKind
FUNCTION_KIND_FUNCTION: FunctionKind
FUNCTION_KIND_PROGRAM: FunctionKind
FUNCTION_KIND_BUILTIN: FunctionKind
PLACEMENT_UNSPECIFIED: Placement
PLACEMENT_NATIVE: Placement
PLACEMENT_POOLED: Placement
PLACEMENT_AUTO: Placement

class Payload(_message.Message):
    __slots__ = ("json", "msgpack", "raw", "tensors", "blobs")
    JSON_FIELD_NUMBER: _ClassVar[int]
    MSGPACK_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    TENSORS_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    json: str
    msgpack: bytes
    raw: bytes
    tensors: _containers.RepeatedCompositeFieldContainer[Tensor]
    blobs: _containers.RepeatedCompositeFieldContainer[Blob]
    def __init__(self, json: _Optional[str] = ..., msgpack: _Optional[bytes] = ..., raw: _Optional[bytes] = ..., tensors: _Optional[_Iterable[_Union[Tensor, _Mapping]]] = ..., blobs: _Optional[_Iterable[_Union[Blob, _Mapping]]] = ...) -> None: ...

class Tensor(_message.Message):
    __slots__ = ("name", "dtype", "shape", "data")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Blob(_message.Message):
    __slots__ = ("name", "media_type", "data")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    media_type: str
    data: bytes
    def __init__(self, name: _Optional[str] = ..., media_type: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("request_id", "function", "route", "reason", "pool", "worker", "session_epoch", "queue_us", "worker_us", "model_us", "total_us", "bytes_in", "bytes_out", "memory_change_bytes", "usage", "batch_size", "batch_us", "nested", "budget", "program_version", "attempts", "alternative", "hedged", "fallback", "tried", "tools", "tool_calls", "tool_us", "answers", "key_name")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    SESSION_EPOCH_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    WORKER_US_FIELD_NUMBER: _ClassVar[int]
    MODEL_US_FIELD_NUMBER: _ClassVar[int]
    TOTAL_US_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_CHANGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    BATCH_US_FIELD_NUMBER: _ClassVar[int]
    NESTED_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_VERSION_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVE_FIELD_NUMBER: _ClassVar[int]
    HEDGED_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    TRIED_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_US_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    KEY_NAME_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    function: str
    route: Route
    reason: str
    pool: str
    worker: str
    session_epoch: int
    queue_us: int
    worker_us: int
    model_us: int
    total_us: int
    bytes_in: int
    bytes_out: int
    memory_change_bytes: int
    usage: _containers.RepeatedCompositeFieldContainer[ModelUsage]
    batch_size: int
    batch_us: int
    nested: NestedCalls
    budget: BudgetState
    program_version: int
    attempts: int
    alternative: str
    hedged: bool
    fallback: bool
    tried: _containers.RepeatedCompositeFieldContainer[Attempt]
    tools: _containers.RepeatedCompositeFieldContainer[ToolUse]
    tool_calls: int
    tool_us: int
    answers: _containers.RepeatedCompositeFieldContainer[ModelAnswer]
    key_name: str
    def __init__(self, request_id: _Optional[str] = ..., function: _Optional[str] = ..., route: _Optional[_Union[Route, str]] = ..., reason: _Optional[str] = ..., pool: _Optional[str] = ..., worker: _Optional[str] = ..., session_epoch: _Optional[int] = ..., queue_us: _Optional[int] = ..., worker_us: _Optional[int] = ..., model_us: _Optional[int] = ..., total_us: _Optional[int] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., memory_change_bytes: _Optional[int] = ..., usage: _Optional[_Iterable[_Union[ModelUsage, _Mapping]]] = ..., batch_size: _Optional[int] = ..., batch_us: _Optional[int] = ..., nested: _Optional[_Union[NestedCalls, _Mapping]] = ..., budget: _Optional[_Union[BudgetState, _Mapping]] = ..., program_version: _Optional[int] = ..., attempts: _Optional[int] = ..., alternative: _Optional[str] = ..., hedged: _Optional[bool] = ..., fallback: _Optional[bool] = ..., tried: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., tools: _Optional[_Iterable[_Union[ToolUse, _Mapping]]] = ..., tool_calls: _Optional[int] = ..., tool_us: _Optional[int] = ..., answers: _Optional[_Iterable[_Union[ModelAnswer, _Mapping]]] = ..., key_name: _Optional[str] = ...) -> None: ...

class ModelAnswer(_message.Message):
    __slots__ = ("model", "cause", "passed", "age_ms", "origin_request_id")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    AGE_MS_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    model: str
    cause: str
    passed: _containers.RepeatedScalarFieldContainer[str]
    age_ms: int
    origin_request_id: str
    def __init__(self, model: _Optional[str] = ..., cause: _Optional[str] = ..., passed: _Optional[_Iterable[str]] = ..., age_ms: _Optional[int] = ..., origin_request_id: _Optional[str] = ...) -> None: ...

class ToolUse(_message.Message):
    __slots__ = ("tool", "calls", "failed", "us")
    TOOL_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    US_FIELD_NUMBER: _ClassVar[int]
    tool: str
    calls: int
    failed: int
    us: int
    def __init__(self, tool: _Optional[str] = ..., calls: _Optional[int] = ..., failed: _Optional[int] = ..., us: _Optional[int] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("alternative", "kind", "failure", "us")
    ALTERNATIVE_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    US_FIELD_NUMBER: _ClassVar[int]
    alternative: str
    kind: str
    failure: str
    us: int
    def __init__(self, alternative: _Optional[str] = ..., kind: _Optional[str] = ..., failure: _Optional[str] = ..., us: _Optional[int] = ...) -> None: ...

class NestedCalls(_message.Message):
    __slots__ = ("calls", "failed", "queue_us", "worker_us", "model_us", "bytes_in", "bytes_out", "usage", "listed", "unlisted", "total_us")
    CALLS_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    QUEUE_US_FIELD_NUMBER: _ClassVar[int]
    WORKER_US_FIELD_NUMBER: _ClassVar[int]
    MODEL_US_FIELD_NUMBER: _ClassVar[int]
    BYTES_IN_FIELD_NUMBER: _ClassVar[int]
    BYTES_OUT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    LISTED_FIELD_NUMBER: _ClassVar[int]
    UNLISTED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_US_FIELD_NUMBER: _ClassVar[int]
    calls: int
    failed: int
    queue_us: int
    worker_us: int
    model_us: int
    bytes_in: int
    bytes_out: int
    usage: _containers.RepeatedCompositeFieldContainer[ModelUsage]
    listed: _containers.RepeatedCompositeFieldContainer[NestedCall]
    unlisted: int
    total_us: int
    def __init__(self, calls: _Optional[int] = ..., failed: _Optional[int] = ..., queue_us: _Optional[int] = ..., worker_us: _Optional[int] = ..., model_us: _Optional[int] = ..., bytes_in: _Optional[int] = ..., bytes_out: _Optional[int] = ..., usage: _Optional[_Iterable[_Union[ModelUsage, _Mapping]]] = ..., listed: _Optional[_Iterable[_Union[NestedCall, _Mapping]]] = ..., unlisted: _Optional[int] = ..., total_us: _Optional[int] = ...) -> None: ...

class NestedCall(_message.Message):
    __slots__ = ("function", "code", "reason", "worker", "total_us", "worker_us", "tokens", "cost_usd", "calls")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    TOTAL_US_FIELD_NUMBER: _ClassVar[int]
    WORKER_US_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    function: str
    code: int
    reason: str
    worker: str
    total_us: int
    worker_us: int
    tokens: int
    cost_usd: float
    calls: int
    def __init__(self, function: _Optional[str] = ..., code: _Optional[int] = ..., reason: _Optional[str] = ..., worker: _Optional[str] = ..., total_us: _Optional[int] = ..., worker_us: _Optional[int] = ..., tokens: _Optional[int] = ..., cost_usd: _Optional[float] = ..., calls: _Optional[int] = ...) -> None: ...

class BudgetState(_message.Message):
    __slots__ = ("usd_spent", "usd_left", "tokens_spent", "tokens_left", "calls_spent", "calls_left")
    USD_SPENT_FIELD_NUMBER: _ClassVar[int]
    USD_LEFT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_SPENT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_LEFT_FIELD_NUMBER: _ClassVar[int]
    CALLS_SPENT_FIELD_NUMBER: _ClassVar[int]
    CALLS_LEFT_FIELD_NUMBER: _ClassVar[int]
    usd_spent: float
    usd_left: float
    tokens_spent: int
    tokens_left: int
    calls_spent: int
    calls_left: int
    def __init__(self, usd_spent: _Optional[float] = ..., usd_left: _Optional[float] = ..., tokens_spent: _Optional[int] = ..., tokens_left: _Optional[int] = ..., calls_spent: _Optional[int] = ..., calls_left: _Optional[int] = ...) -> None: ...

class ModelUsage(_message.Message):
    __slots__ = ("model", "calls", "input_tokens", "output_tokens", "cached_tokens", "cost_usd", "cached_calls", "unpriced_calls")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    CACHED_CALLS_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_CALLS_FIELD_NUMBER: _ClassVar[int]
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cost_usd: float
    cached_calls: int
    unpriced_calls: int
    def __init__(self, model: _Optional[str] = ..., calls: _Optional[int] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cached_tokens: _Optional[int] = ..., cost_usd: _Optional[float] = ..., cached_calls: _Optional[int] = ..., unpriced_calls: _Optional[int] = ...) -> None: ...

class FunctionInfo(_message.Message):
    __slots__ = ("name", "kind", "doc", "pool", "placement", "streaming", "idempotent", "arguments_schema", "result_schema", "example", "route", "model_routes", "pure", "thread_safe", "module")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    STREAMING_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    RESULT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    MODEL_ROUTES_FIELD_NUMBER: _ClassVar[int]
    PURE_FIELD_NUMBER: _ClassVar[int]
    THREAD_SAFE_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: FunctionKind
    doc: str
    pool: str
    placement: Placement
    streaming: bool
    idempotent: bool
    arguments_schema: str
    result_schema: str
    example: str
    route: RouteInfo
    model_routes: _containers.RepeatedCompositeFieldContainer[RouteInfo]
    pure: bool
    thread_safe: bool
    module: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[FunctionKind, str]] = ..., doc: _Optional[str] = ..., pool: _Optional[str] = ..., placement: _Optional[_Union[Placement, str]] = ..., streaming: _Optional[bool] = ..., idempotent: _Optional[bool] = ..., arguments_schema: _Optional[str] = ..., result_schema: _Optional[str] = ..., example: _Optional[str] = ..., route: _Optional[_Union[RouteInfo, _Mapping]] = ..., model_routes: _Optional[_Iterable[_Union[RouteInfo, _Mapping]]] = ..., pure: _Optional[bool] = ..., thread_safe: _Optional[bool] = ..., module: _Optional[str] = ...) -> None: ...

class RouteInfo(_message.Message):
    __slots__ = ("name", "choose", "alternatives", "fallback", "attempts", "hedged")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHOOSE_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    HEDGED_FIELD_NUMBER: _ClassVar[int]
    name: str
    choose: str
    alternatives: _containers.RepeatedCompositeFieldContainer[RouteAlternative]
    fallback: _containers.RepeatedScalarFieldContainer[str]
    attempts: int
    hedged: bool
    def __init__(self, name: _Optional[str] = ..., choose: _Optional[str] = ..., alternatives: _Optional[_Iterable[_Union[RouteAlternative, _Mapping]]] = ..., fallback: _Optional[_Iterable[str]] = ..., attempts: _Optional[int] = ..., hedged: _Optional[bool] = ...) -> None: ...

class RouteAlternative(_message.Message):
    __slots__ = ("label", "function", "pool", "model", "weight", "shadow")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    SHADOW_FIELD_NUMBER: _ClassVar[int]
    label: str
    function: str
    pool: str
    model: str
    weight: float
    shadow: float
    def __init__(self, label: _Optional[str] = ..., function: _Optional[str] = ..., pool: _Optional[str] = ..., model: _Optional[str] = ..., weight: _Optional[float] = ..., shadow: _Optional[float] = ...) -> None: ...
