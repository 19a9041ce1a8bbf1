from bridge.v1 import access_pb2 as _access_pb2
from bridge.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListMetricsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListMetricsResponse(_message.Message):
    __slots__ = ("metrics",)
    METRICS_FIELD_NUMBER: _ClassVar[int]
    metrics: _containers.RepeatedCompositeFieldContainer[MetricInfo]
    def __init__(self, metrics: _Optional[_Iterable[_Union[MetricInfo, _Mapping]]] = ...) -> None: ...

class MetricInfo(_message.Message):
    __slots__ = ("name", "doc", "parameters_schema", "placement", "pool", "available", "missing_extra")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    PLACEMENT_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    MISSING_EXTRA_FIELD_NUMBER: _ClassVar[int]
    name: str
    doc: str
    parameters_schema: str
    placement: _common_pb2.Placement
    pool: str
    available: bool
    missing_extra: str
    def __init__(self, name: _Optional[str] = ..., doc: _Optional[str] = ..., parameters_schema: _Optional[str] = ..., placement: _Optional[_Union[_common_pb2.Placement, str]] = ..., pool: _Optional[str] = ..., available: _Optional[bool] = ..., missing_extra: _Optional[str] = ...) -> None: ...

class ScoredExample(_message.Message):
    __slots__ = ("prediction", "references")
    PREDICTION_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    prediction: str
    references: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, prediction: _Optional[str] = ..., references: _Optional[_Iterable[str]] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("metric", "example", "parameters")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    metric: str
    example: ScoredExample
    parameters: str
    def __init__(self, metric: _Optional[str] = ..., example: _Optional[_Union[ScoredExample, _Mapping]] = ..., parameters: _Optional[str] = ...) -> None: ...

class MetricScore(_message.Message):
    __slots__ = ("value", "details")
    class DetailsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    value: float
    details: _containers.ScalarMap[str, float]
    def __init__(self, value: _Optional[float] = ..., details: _Optional[_Mapping[str, float]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("score", "parameters", "signature")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    score: MetricScore
    parameters: str
    signature: str
    def __init__(self, score: _Optional[_Union[MetricScore, _Mapping]] = ..., parameters: _Optional[str] = ..., signature: _Optional[str] = ...) -> None: ...

class ScoreBatchRequest(_message.Message):
    __slots__ = ("metric", "examples", "parameters")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    EXAMPLES_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    metric: str
    examples: _containers.RepeatedCompositeFieldContainer[ScoredExample]
    parameters: str
    def __init__(self, metric: _Optional[str] = ..., examples: _Optional[_Iterable[_Union[ScoredExample, _Mapping]]] = ..., parameters: _Optional[str] = ...) -> None: ...

class ScoreBatchResponse(_message.Message):
    __slots__ = ("scores", "aggregate", "parameters", "signature")
    SCORES_FIELD_NUMBER: _ClassVar[int]
    AGGREGATE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    scores: _containers.RepeatedCompositeFieldContainer[MetricScore]
    aggregate: MetricScore
    parameters: str
    signature: str
    def __init__(self, scores: _Optional[_Iterable[_Union[MetricScore, _Mapping]]] = ..., aggregate: _Optional[_Union[MetricScore, _Mapping]] = ..., parameters: _Optional[str] = ..., signature: _Optional[str] = ...) -> None: ...
