import datetime

from bridge.v1 import access_pb2 as _access_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PoolState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POOL_STATE_UNSPECIFIED: _ClassVar[PoolState]
    POOL_STATE_STARTING: _ClassVar[PoolState]
    POOL_STATE_READY: _ClassVar[PoolState]
    POOL_STATE_FAILED: _ClassVar[PoolState]
    POOL_STATE_DRAINING: _ClassVar[PoolState]
    POOL_STATE_MISSING_EXTRA: _ClassVar[PoolState]

class WorkerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WORKER_STATE_UNSPECIFIED: _ClassVar[WorkerState]
    WORKER_STATE_STARTING: _ClassVar[WorkerState]
    WORKER_STATE_READY: _ClassVar[WorkerState]
    WORKER_STATE_DRAINING: _ClassVar[WorkerState]
    WORKER_STATE_STOPPING: _ClassVar[WorkerState]
    WORKER_STATE_SUSPENDED: _ClassVar[WorkerState]

class AnomalyKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANOMALY_KIND_UNSPECIFIED: _ClassVar[AnomalyKind]
    ANOMALY_KIND_SLOW_WORKER: _ClassVar[AnomalyKind]
    ANOMALY_KIND_SLOW_FUNCTION: _ClassVar[AnomalyKind]
    ANOMALY_KIND_FAILING_WORKER: _ClassVar[AnomalyKind]
    ANOMALY_KIND_FAILING_FUNCTION: _ClassVar[AnomalyKind]
    ANOMALY_KIND_FAILING_PROVIDER: _ClassVar[AnomalyKind]
    ANOMALY_KIND_MEMORY_TREND: _ClassVar[AnomalyKind]
    ANOMALY_KIND_RISING_WAIT: _ClassVar[AnomalyKind]

class AnomalyAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ANOMALY_ACTION_UNSPECIFIED: _ClassVar[AnomalyAction]
    ANOMALY_ACTION_RECYCLE: _ClassVar[AnomalyAction]
    ANOMALY_ACTION_OPEN_BREAKER: _ClassVar[AnomalyAction]
    ANOMALY_ACTION_SCALE_UP: _ClassVar[AnomalyAction]

class BreakerState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BREAKER_STATE_UNSPECIFIED: _ClassVar[BreakerState]
    BREAKER_STATE_CLOSED: _ClassVar[BreakerState]
    BREAKER_STATE_OPEN: _ClassVar[BreakerState]
    BREAKER_STATE_HALF_OPEN: _ClassVar[BreakerState]

class FrontState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FRONT_STATE_UNSPECIFIED: _ClassVar[FrontState]
    FRONT_STATE_STARTING: _ClassVar[FrontState]
    FRONT_STATE_SERVING: _ClassVar[FrontState]
    FRONT_STATE_STOPPING: _ClassVar[FrontState]
POOL_STATE_UNSPECIFIED: PoolState
POOL_STATE_STARTING: PoolState
POOL_STATE_READY: PoolState
POOL_STATE_FAILED: PoolState
POOL_STATE_DRAINING: PoolState
POOL_STATE_MISSING_EXTRA: PoolState
WORKER_STATE_UNSPECIFIED: WorkerState
WORKER_STATE_STARTING: WorkerState
WORKER_STATE_READY: WorkerState
WORKER_STATE_DRAINING: WorkerState
WORKER_STATE_STOPPING: WorkerState
WORKER_STATE_SUSPENDED: WorkerState
ANOMALY_KIND_UNSPECIFIED: AnomalyKind
ANOMALY_KIND_SLOW_WORKER: AnomalyKind
ANOMALY_KIND_SLOW_FUNCTION: AnomalyKind
ANOMALY_KIND_FAILING_WORKER: AnomalyKind
ANOMALY_KIND_FAILING_FUNCTION: AnomalyKind
ANOMALY_KIND_FAILING_PROVIDER: AnomalyKind
ANOMALY_KIND_MEMORY_TREND: AnomalyKind
ANOMALY_KIND_RISING_WAIT: AnomalyKind
ANOMALY_ACTION_UNSPECIFIED: AnomalyAction
ANOMALY_ACTION_RECYCLE: AnomalyAction
ANOMALY_ACTION_OPEN_BREAKER: AnomalyAction
ANOMALY_ACTION_SCALE_UP: AnomalyAction
BREAKER_STATE_UNSPECIFIED: BreakerState
BREAKER_STATE_CLOSED: BreakerState
BREAKER_STATE_OPEN: BreakerState
BREAKER_STATE_HALF_OPEN: BreakerState
FRONT_STATE_UNSPECIFIED: FrontState
FRONT_STATE_STARTING: FrontState
FRONT_STATE_SERVING: FrontState
FRONT_STATE_STOPPING: FrontState

class Pool(_message.Message):
    __slots__ = ("name", "state", "cause", "size", "concurrency", "queued", "queue_limit", "running", "memory_limit_bytes", "restarts", "calls", "functions", "workers", "proof_age", "exits", "min_size", "max_size", "start_kind", "start_reason", "template_pid", "memory_soft_limit_bytes", "queued_bytes", "queue_bytes_limit", "quarantine", "growth", "check_interval", "check_timeout", "grace", "cgroups", "anomalies")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    QUEUE_LIMIT_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    PROOF_AGE_FIELD_NUMBER: _ClassVar[int]
    EXITS_FIELD_NUMBER: _ClassVar[int]
    MIN_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_SIZE_FIELD_NUMBER: _ClassVar[int]
    START_KIND_FIELD_NUMBER: _ClassVar[int]
    START_REASON_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_PID_FIELD_NUMBER: _ClassVar[int]
    MEMORY_SOFT_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUEUED_BYTES_FIELD_NUMBER: _ClassVar[int]
    QUEUE_BYTES_LIMIT_FIELD_NUMBER: _ClassVar[int]
    QUARANTINE_FIELD_NUMBER: _ClassVar[int]
    GROWTH_FIELD_NUMBER: _ClassVar[int]
    CHECK_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    CHECK_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    CGROUPS_FIELD_NUMBER: _ClassVar[int]
    ANOMALIES_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: PoolState
    cause: str
    size: int
    concurrency: int
    queued: int
    queue_limit: int
    running: int
    memory_limit_bytes: int
    restarts: int
    calls: int
    functions: _containers.RepeatedScalarFieldContainer[str]
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    proof_age: _duration_pb2.Duration
    exits: _containers.RepeatedCompositeFieldContainer[WorkerExit]
    min_size: int
    max_size: int
    start_kind: str
    start_reason: str
    template_pid: int
    memory_soft_limit_bytes: int
    queued_bytes: int
    queue_bytes_limit: int
    quarantine: _containers.RepeatedCompositeFieldContainer[QuarantinedInput]
    growth: _containers.RepeatedCompositeFieldContainer[FunctionGrowth]
    check_interval: _duration_pb2.Duration
    check_timeout: _duration_pb2.Duration
    grace: _duration_pb2.Duration
    cgroups: str
    anomalies: _containers.RepeatedCompositeFieldContainer[Anomaly]
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[PoolState, str]] = ..., cause: _Optional[str] = ..., size: _Optional[int] = ..., concurrency: _Optional[int] = ..., queued: _Optional[int] = ..., queue_limit: _Optional[int] = ..., running: _Optional[int] = ..., memory_limit_bytes: _Optional[int] = ..., restarts: _Optional[int] = ..., calls: _Optional[int] = ..., functions: _Optional[_Iterable[str]] = ..., workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ..., proof_age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., exits: _Optional[_Iterable[_Union[WorkerExit, _Mapping]]] = ..., min_size: _Optional[int] = ..., max_size: _Optional[int] = ..., start_kind: _Optional[str] = ..., start_reason: _Optional[str] = ..., template_pid: _Optional[int] = ..., memory_soft_limit_bytes: _Optional[int] = ..., queued_bytes: _Optional[int] = ..., queue_bytes_limit: _Optional[int] = ..., quarantine: _Optional[_Iterable[_Union[QuarantinedInput, _Mapping]]] = ..., growth: _Optional[_Iterable[_Union[FunctionGrowth, _Mapping]]] = ..., check_interval: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., check_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cgroups: _Optional[str] = ..., anomalies: _Optional[_Iterable[_Union[Anomaly, _Mapping]]] = ...) -> None: ...

class Anomaly(_message.Message):
    __slots__ = ("kind", "action", "acted", "cause", "worker", "function", "provider", "age", "numbers")
    class NumbersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ACTED_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    kind: AnomalyKind
    action: AnomalyAction
    acted: bool
    cause: str
    worker: str
    function: str
    provider: str
    age: _duration_pb2.Duration
    numbers: _containers.ScalarMap[str, float]
    def __init__(self, kind: _Optional[_Union[AnomalyKind, str]] = ..., action: _Optional[_Union[AnomalyAction, str]] = ..., acted: _Optional[bool] = ..., cause: _Optional[str] = ..., worker: _Optional[str] = ..., function: _Optional[str] = ..., provider: _Optional[str] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., numbers: _Optional[_Mapping[str, float]] = ...) -> None: ...

class QuarantinedInput(_message.Message):
    __slots__ = ("function", "fingerprint", "deaths", "left")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    DEATHS_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    function: str
    fingerprint: str
    deaths: int
    left: _duration_pb2.Duration
    def __init__(self, function: _Optional[str] = ..., fingerprint: _Optional[str] = ..., deaths: _Optional[int] = ..., left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class FunctionGrowth(_message.Message):
    __slots__ = ("function", "grown_bytes", "calls")
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    GROWN_BYTES_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    function: str
    grown_bytes: int
    calls: int
    def __init__(self, function: _Optional[str] = ..., grown_bytes: _Optional[int] = ..., calls: _Optional[int] = ...) -> None: ...

class Worker(_message.Message):
    __slots__ = ("id", "pid", "state", "running", "calls", "rss_bytes", "age", "place", "since_answer", "recycle_reason", "sessions")
    ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    RSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    SINCE_ANSWER_FIELD_NUMBER: _ClassVar[int]
    RECYCLE_REASON_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    id: str
    pid: int
    state: WorkerState
    running: int
    calls: int
    rss_bytes: int
    age: _duration_pb2.Duration
    place: int
    since_answer: _duration_pb2.Duration
    recycle_reason: str
    sessions: int
    def __init__(self, id: _Optional[str] = ..., pid: _Optional[int] = ..., state: _Optional[_Union[WorkerState, str]] = ..., running: _Optional[int] = ..., calls: _Optional[int] = ..., rss_bytes: _Optional[int] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., place: _Optional[int] = ..., since_answer: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., recycle_reason: _Optional[str] = ..., sessions: _Optional[int] = ...) -> None: ...

class WorkerExit(_message.Message):
    __slots__ = ("worker", "cause", "stderr_tail", "age", "ordered")
    WORKER_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    STDERR_TAIL_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    ORDERED_FIELD_NUMBER: _ClassVar[int]
    worker: str
    cause: str
    stderr_tail: str
    age: _duration_pb2.Duration
    ordered: bool
    def __init__(self, worker: _Optional[str] = ..., cause: _Optional[str] = ..., stderr_tail: _Optional[str] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., ordered: _Optional[bool] = ...) -> None: ...

class PoolServiceListRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PoolServiceListResponse(_message.Message):
    __slots__ = ("pools", "open_calls", "breakers", "fronts")
    POOLS_FIELD_NUMBER: _ClassVar[int]
    OPEN_CALLS_FIELD_NUMBER: _ClassVar[int]
    BREAKERS_FIELD_NUMBER: _ClassVar[int]
    FRONTS_FIELD_NUMBER: _ClassVar[int]
    pools: _containers.RepeatedCompositeFieldContainer[Pool]
    open_calls: _containers.RepeatedCompositeFieldContainer[OpenCall]
    breakers: _containers.RepeatedCompositeFieldContainer[Breaker]
    fronts: _containers.RepeatedCompositeFieldContainer[Front]
    def __init__(self, pools: _Optional[_Iterable[_Union[Pool, _Mapping]]] = ..., open_calls: _Optional[_Iterable[_Union[OpenCall, _Mapping]]] = ..., breakers: _Optional[_Iterable[_Union[Breaker, _Mapping]]] = ..., fronts: _Optional[_Iterable[_Union[Front, _Mapping]]] = ...) -> None: ...

class Breaker(_message.Message):
    __slots__ = ("key", "state", "cause", "left", "calls", "failures", "refused")
    KEY_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    key: str
    state: BreakerState
    cause: str
    left: _duration_pb2.Duration
    calls: int
    failures: int
    refused: int
    def __init__(self, key: _Optional[str] = ..., state: _Optional[_Union[BreakerState, str]] = ..., cause: _Optional[str] = ..., left: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., calls: _Optional[int] = ..., failures: _Optional[int] = ..., refused: _Optional[int] = ...) -> None: ...

class OpenBreakerRequest(_message.Message):
    __slots__ = ("key", "duration", "cause")
    KEY_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    key: str
    duration: _duration_pb2.Duration
    cause: str
    def __init__(self, key: _Optional[str] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cause: _Optional[str] = ...) -> None: ...

class OpenBreakerResponse(_message.Message):
    __slots__ = ("breaker",)
    BREAKER_FIELD_NUMBER: _ClassVar[int]
    breaker: Breaker
    def __init__(self, breaker: _Optional[_Union[Breaker, _Mapping]] = ...) -> None: ...

class CloseBreakerRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class CloseBreakerResponse(_message.Message):
    __slots__ = ("closed",)
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    closed: bool
    def __init__(self, closed: _Optional[bool] = ...) -> None: ...

class Front(_message.Message):
    __slots__ = ("id", "pid", "state", "open_calls", "calls", "cpu", "rss_bytes", "loop_lag", "link_delay", "age", "restarts")
    ID_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OPEN_CALLS_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CPU_FIELD_NUMBER: _ClassVar[int]
    RSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOOP_LAG_FIELD_NUMBER: _ClassVar[int]
    LINK_DELAY_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    pid: int
    state: FrontState
    open_calls: int
    calls: int
    cpu: _duration_pb2.Duration
    rss_bytes: int
    loop_lag: _duration_pb2.Duration
    link_delay: _duration_pb2.Duration
    age: _duration_pb2.Duration
    restarts: int
    def __init__(self, id: _Optional[str] = ..., pid: _Optional[int] = ..., state: _Optional[_Union[FrontState, str]] = ..., open_calls: _Optional[int] = ..., calls: _Optional[int] = ..., cpu: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., rss_bytes: _Optional[int] = ..., loop_lag: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., link_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., restarts: _Optional[int] = ...) -> None: ...

class OpenCall(_message.Message):
    __slots__ = ("request_id", "function", "pool", "worker", "age")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    FUNCTION_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    AGE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    function: str
    pool: str
    worker: str
    age: _duration_pb2.Duration
    def __init__(self, request_id: _Optional[str] = ..., function: _Optional[str] = ..., pool: _Optional[str] = ..., worker: _Optional[str] = ..., age: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PoolServiceGetRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class PoolServiceGetResponse(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: Pool
    def __init__(self, pool: _Optional[_Union[Pool, _Mapping]] = ...) -> None: ...

class ScaleRequest(_message.Message):
    __slots__ = ("name", "size", "min_size", "max_size")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    MIN_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_SIZE_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: int
    min_size: int
    max_size: int
    def __init__(self, name: _Optional[str] = ..., size: _Optional[int] = ..., min_size: _Optional[int] = ..., max_size: _Optional[int] = ...) -> None: ...

class ScaleResponse(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: Pool
    def __init__(self, pool: _Optional[_Union[Pool, _Mapping]] = ...) -> None: ...

class DrainRequest(_message.Message):
    __slots__ = ("name", "timeout")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    name: str
    timeout: _duration_pb2.Duration
    def __init__(self, name: _Optional[str] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class DrainResponse(_message.Message):
    __slots__ = ("drained", "pool")
    DRAINED_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    drained: bool
    pool: Pool
    def __init__(self, drained: _Optional[bool] = ..., pool: _Optional[_Union[Pool, _Mapping]] = ...) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ResumeResponse(_message.Message):
    __slots__ = ("pool",)
    POOL_FIELD_NUMBER: _ClassVar[int]
    pool: Pool
    def __init__(self, pool: _Optional[_Union[Pool, _Mapping]] = ...) -> None: ...

class RestartRequest(_message.Message):
    __slots__ = ("name", "worker")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    name: str
    worker: str
    def __init__(self, name: _Optional[str] = ..., worker: _Optional[str] = ...) -> None: ...

class RestartResponse(_message.Message):
    __slots__ = ("replaced", "pool")
    REPLACED_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    replaced: int
    pool: Pool
    def __init__(self, replaced: _Optional[int] = ..., pool: _Optional[_Union[Pool, _Mapping]] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("request_id",)
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    def __init__(self, request_id: _Optional[str] = ...) -> None: ...

class CancelResponse(_message.Message):
    __slots__ = ("cancelled",)
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    cancelled: int
    def __init__(self, cancelled: _Optional[int] = ...) -> None: ...

class ReleaseInputRequest(_message.Message):
    __slots__ = ("name", "fingerprint")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    name: str
    fingerprint: str
    def __init__(self, name: _Optional[str] = ..., fingerprint: _Optional[str] = ...) -> None: ...

class ReleaseInputResponse(_message.Message):
    __slots__ = ("released",)
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    released: int
    def __init__(self, released: _Optional[int] = ...) -> None: ...
