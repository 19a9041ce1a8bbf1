from bridge.v1 import access_pb2 as _access_pb2
from bridge.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunStep(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RUN_STEP_UNSPECIFIED: _ClassVar[RunStep]
    RUN_STEP_STARTED: _ClassVar[RunStep]
    RUN_STEP_PREDICTOR_STARTED: _ClassVar[RunStep]
    RUN_STEP_PREDICTOR_ENDED: _ClassVar[RunStep]
    RUN_STEP_MODEL_STARTED: _ClassVar[RunStep]
    RUN_STEP_MODEL_ENDED: _ClassVar[RunStep]
    RUN_STEP_MESSAGE: _ClassVar[RunStep]

class ModuleKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODULE_KIND_UNSPECIFIED: _ClassVar[ModuleKind]
    MODULE_KIND_PREDICT: _ClassVar[ModuleKind]
    MODULE_KIND_CHAIN_OF_THOUGHT: _ClassVar[ModuleKind]
    MODULE_KIND_REACT: _ClassVar[ModuleKind]
    MODULE_KIND_PROGRAM_OF_THOUGHT: _ClassVar[ModuleKind]
    MODULE_KIND_CODE_ACT: _ClassVar[ModuleKind]
    MODULE_KIND_BEST_OF_N: _ClassVar[ModuleKind]
    MODULE_KIND_REFINE: _ClassVar[ModuleKind]
    MODULE_KIND_MULTI_CHAIN_COMPARISON: _ClassVar[ModuleKind]
    MODULE_KIND_PARALLEL: _ClassVar[ModuleKind]
    MODULE_KIND_KNN_FEW_SHOT: _ClassVar[ModuleKind]
    MODULE_KIND_RLM: _ClassVar[ModuleKind]

class PromptAdapter(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROMPT_ADAPTER_UNSPECIFIED: _ClassVar[PromptAdapter]
    PROMPT_ADAPTER_CHAT: _ClassVar[PromptAdapter]
    PROMPT_ADAPTER_JSON: _ClassVar[PromptAdapter]
    PROMPT_ADAPTER_XML: _ClassVar[PromptAdapter]
    PROMPT_ADAPTER_TWO_STEP: _ClassVar[PromptAdapter]
RUN_STEP_UNSPECIFIED: RunStep
RUN_STEP_STARTED: RunStep
RUN_STEP_PREDICTOR_STARTED: RunStep
RUN_STEP_PREDICTOR_ENDED: RunStep
RUN_STEP_MODEL_STARTED: RunStep
RUN_STEP_MODEL_ENDED: RunStep
RUN_STEP_MESSAGE: RunStep
MODULE_KIND_UNSPECIFIED: ModuleKind
MODULE_KIND_PREDICT: ModuleKind
MODULE_KIND_CHAIN_OF_THOUGHT: ModuleKind
MODULE_KIND_REACT: ModuleKind
MODULE_KIND_PROGRAM_OF_THOUGHT: ModuleKind
MODULE_KIND_CODE_ACT: ModuleKind
MODULE_KIND_BEST_OF_N: ModuleKind
MODULE_KIND_REFINE: ModuleKind
MODULE_KIND_MULTI_CHAIN_COMPARISON: ModuleKind
MODULE_KIND_PARALLEL: ModuleKind
MODULE_KIND_KNN_FEW_SHOT: ModuleKind
MODULE_KIND_RLM: ModuleKind
PROMPT_ADAPTER_UNSPECIFIED: PromptAdapter
PROMPT_ADAPTER_CHAT: PromptAdapter
PROMPT_ADAPTER_JSON: PromptAdapter
PROMPT_ADAPTER_XML: PromptAdapter
PROMPT_ADAPTER_TWO_STEP: PromptAdapter

class RunRequest(_message.Message):
    __slots__ = ("program", "inputs", "model", "adapter", "temperature", "max_tokens", "cache", "version", "tools", "tool_registrations")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_REGISTRATIONS_FIELD_NUMBER: _ClassVar[int]
    program: str
    inputs: _common_pb2.Payload
    model: str
    adapter: PromptAdapter
    temperature: float
    max_tokens: int
    cache: bool
    version: int
    tools: _containers.RepeatedScalarFieldContainer[str]
    tool_registrations: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, program: _Optional[str] = ..., inputs: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ..., model: _Optional[str] = ..., adapter: _Optional[_Union[PromptAdapter, str]] = ..., temperature: _Optional[float] = ..., max_tokens: _Optional[int] = ..., cache: _Optional[bool] = ..., version: _Optional[int] = ..., tools: _Optional[_Iterable[str]] = ..., tool_registrations: _Optional[_Iterable[str]] = ...) -> None: ...

class RunResponse(_message.Message):
    __slots__ = ("outputs",)
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    outputs: _common_pb2.Payload
    def __init__(self, outputs: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ...) -> None: ...

class StreamRunRequest(_message.Message):
    __slots__ = ("program", "inputs", "model", "adapter", "temperature", "max_tokens", "cache", "resumable", "all_events", "version", "tools", "tool_registrations")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    RESUMABLE_FIELD_NUMBER: _ClassVar[int]
    ALL_EVENTS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_REGISTRATIONS_FIELD_NUMBER: _ClassVar[int]
    program: str
    inputs: _common_pb2.Payload
    model: str
    adapter: PromptAdapter
    temperature: float
    max_tokens: int
    cache: bool
    resumable: bool
    all_events: bool
    version: int
    tools: _containers.RepeatedScalarFieldContainer[str]
    tool_registrations: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, program: _Optional[str] = ..., inputs: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ..., model: _Optional[str] = ..., adapter: _Optional[_Union[PromptAdapter, str]] = ..., temperature: _Optional[float] = ..., max_tokens: _Optional[int] = ..., cache: _Optional[bool] = ..., resumable: _Optional[bool] = ..., all_events: _Optional[bool] = ..., version: _Optional[int] = ..., tools: _Optional[_Iterable[str]] = ..., tool_registrations: _Optional[_Iterable[str]] = ...) -> None: ...

class StreamRunResponse(_message.Message):
    __slots__ = ("sequence", "field_delta", "final", "status", "reasoning_delta", "tool_call", "tool_result", "usage", "resume_token")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    FIELD_DELTA_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASONING_DELTA_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_FIELD_NUMBER: _ClassVar[int]
    TOOL_RESULT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    field_delta: FieldDelta
    final: FinalOutputs
    status: RunStatus
    reasoning_delta: ReasoningDelta
    tool_call: RunToolCall
    tool_result: RunToolResult
    usage: RunUsage
    resume_token: str
    def __init__(self, sequence: _Optional[int] = ..., field_delta: _Optional[_Union[FieldDelta, _Mapping]] = ..., final: _Optional[_Union[FinalOutputs, _Mapping]] = ..., status: _Optional[_Union[RunStatus, _Mapping]] = ..., reasoning_delta: _Optional[_Union[ReasoningDelta, _Mapping]] = ..., tool_call: _Optional[_Union[RunToolCall, _Mapping]] = ..., tool_result: _Optional[_Union[RunToolResult, _Mapping]] = ..., usage: _Optional[_Union[RunUsage, _Mapping]] = ..., resume_token: _Optional[str] = ...) -> None: ...

class ResumeRunRequest(_message.Message):
    __slots__ = ("token", "after_sequence")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    token: str
    after_sequence: int
    def __init__(self, token: _Optional[str] = ..., after_sequence: _Optional[int] = ...) -> None: ...

class ResumeRunResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: StreamRunResponse
    def __init__(self, event: _Optional[_Union[StreamRunResponse, _Mapping]] = ...) -> None: ...

class CancelRunRequest(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class CancelRunResponse(_message.Message):
    __slots__ = ("cancelled",)
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    cancelled: bool
    def __init__(self, cancelled: _Optional[bool] = ...) -> None: ...

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

class RunStatus(_message.Message):
    __slots__ = ("step", "predictor", "model", "seconds", "error", "message", "omitted")
    STEP_FIELD_NUMBER: _ClassVar[int]
    PREDICTOR_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    OMITTED_FIELD_NUMBER: _ClassVar[int]
    step: RunStep
    predictor: str
    model: str
    seconds: float
    error: str
    message: str
    omitted: int
    def __init__(self, step: _Optional[_Union[RunStep, str]] = ..., predictor: _Optional[str] = ..., model: _Optional[str] = ..., seconds: _Optional[float] = ..., error: _Optional[str] = ..., message: _Optional[str] = ..., omitted: _Optional[int] = ...) -> None: ...

class ReasoningDelta(_message.Message):
    __slots__ = ("predictor", "text")
    PREDICTOR_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    predictor: str
    text: str
    def __init__(self, predictor: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class RunToolCall(_message.Message):
    __slots__ = ("id", "tool", "arguments", "truncated")
    ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    id: str
    tool: str
    arguments: str
    truncated: bool
    def __init__(self, id: _Optional[str] = ..., tool: _Optional[str] = ..., arguments: _Optional[str] = ..., truncated: _Optional[bool] = ...) -> None: ...

class RunToolResult(_message.Message):
    __slots__ = ("id", "tool", "result", "error", "seconds", "truncated")
    ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    id: str
    tool: str
    result: str
    error: str
    seconds: float
    truncated: bool
    def __init__(self, id: _Optional[str] = ..., tool: _Optional[str] = ..., result: _Optional[str] = ..., error: _Optional[str] = ..., seconds: _Optional[float] = ..., truncated: _Optional[bool] = ...) -> None: ...

class RunUsage(_message.Message):
    __slots__ = ("usage",)
    USAGE_FIELD_NUMBER: _ClassVar[int]
    usage: _containers.RepeatedCompositeFieldContainer[_common_pb2.ModelUsage]
    def __init__(self, usage: _Optional[_Iterable[_Union[_common_pb2.ModelUsage, _Mapping]]] = ...) -> None: ...

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
    __slots__ = ("program", "source")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    program: ProgramInfo
    source: ProgramSource
    def __init__(self, program: _Optional[_Union[ProgramInfo, _Mapping]] = ..., source: _Optional[_Union[ProgramSource, _Mapping]] = ...) -> None: ...

class ProgramInfo(_message.Message):
    __slots__ = ("name", "doc", "signature", "module", "pool", "inputs_schema", "outputs_schema", "example", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    POOL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    doc: str
    signature: str
    module: str
    pool: str
    inputs_schema: str
    outputs_schema: str
    example: str
    version: int
    def __init__(self, name: _Optional[str] = ..., doc: _Optional[str] = ..., signature: _Optional[str] = ..., module: _Optional[str] = ..., pool: _Optional[str] = ..., inputs_schema: _Optional[str] = ..., outputs_schema: _Optional[str] = ..., example: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ProgramSource(_message.Message):
    __slots__ = ("signature", "inputs", "outputs", "types", "instructions", "module", "options", "tools", "demos", "model", "adapter", "temperature", "max_tokens", "doc")
    class TypesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    MODULE_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    DEMOS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DOC_FIELD_NUMBER: _ClassVar[int]
    signature: str
    inputs: _containers.RepeatedCompositeFieldContainer[ProgramField]
    outputs: _containers.RepeatedCompositeFieldContainer[ProgramField]
    types: _containers.ScalarMap[str, str]
    instructions: str
    module: ModuleKind
    options: ModuleOptions
    tools: _containers.RepeatedScalarFieldContainer[str]
    demos: _containers.RepeatedScalarFieldContainer[str]
    model: str
    adapter: PromptAdapter
    temperature: float
    max_tokens: int
    doc: str
    def __init__(self, signature: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[ProgramField, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[ProgramField, _Mapping]]] = ..., types: _Optional[_Mapping[str, str]] = ..., instructions: _Optional[str] = ..., module: _Optional[_Union[ModuleKind, str]] = ..., options: _Optional[_Union[ModuleOptions, _Mapping]] = ..., tools: _Optional[_Iterable[str]] = ..., demos: _Optional[_Iterable[str]] = ..., model: _Optional[str] = ..., adapter: _Optional[_Union[PromptAdapter, str]] = ..., temperature: _Optional[float] = ..., max_tokens: _Optional[int] = ..., doc: _Optional[str] = ...) -> None: ...

class ProgramField(_message.Message):
    __slots__ = ("name", "type", "schema", "description", "default", "ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    GE_FIELD_NUMBER: _ClassVar[int]
    GT_FIELD_NUMBER: _ClassVar[int]
    LE_FIELD_NUMBER: _ClassVar[int]
    LT_FIELD_NUMBER: _ClassVar[int]
    MULTIPLE_OF_FIELD_NUMBER: _ClassVar[int]
    MIN_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MAX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    PATTERN_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: str
    schema: str
    description: str
    default: str
    ge: float
    gt: float
    le: float
    lt: float
    multiple_of: float
    min_length: int
    max_length: int
    pattern: str
    def __init__(self, name: _Optional[str] = ..., type: _Optional[str] = ..., schema: _Optional[str] = ..., description: _Optional[str] = ..., default: _Optional[str] = ..., ge: _Optional[float] = ..., gt: _Optional[float] = ..., le: _Optional[float] = ..., lt: _Optional[float] = ..., multiple_of: _Optional[float] = ..., min_length: _Optional[int] = ..., max_length: _Optional[int] = ..., pattern: _Optional[str] = ...) -> None: ...

class ModuleOptions(_message.Message):
    __slots__ = ("max_iters", "inner", "n", "reward", "threshold", "k", "embedding", "max_llm_calls", "num_threads")
    MAX_ITERS_FIELD_NUMBER: _ClassVar[int]
    INNER_FIELD_NUMBER: _ClassVar[int]
    N_FIELD_NUMBER: _ClassVar[int]
    REWARD_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    MAX_LLM_CALLS_FIELD_NUMBER: _ClassVar[int]
    NUM_THREADS_FIELD_NUMBER: _ClassVar[int]
    max_iters: int
    inner: ModuleKind
    n: int
    reward: str
    threshold: float
    k: int
    embedding: str
    max_llm_calls: int
    num_threads: int
    def __init__(self, max_iters: _Optional[int] = ..., inner: _Optional[_Union[ModuleKind, str]] = ..., n: _Optional[int] = ..., reward: _Optional[str] = ..., threshold: _Optional[float] = ..., k: _Optional[int] = ..., embedding: _Optional[str] = ..., max_llm_calls: _Optional[int] = ..., num_threads: _Optional[int] = ...) -> None: ...

class CreateProgramRequest(_message.Message):
    __slots__ = ("program", "source")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    program: str
    source: ProgramSource
    def __init__(self, program: _Optional[str] = ..., source: _Optional[_Union[ProgramSource, _Mapping]] = ...) -> None: ...

class CreateProgramResponse(_message.Message):
    __slots__ = ("program",)
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    program: ProgramInfo
    def __init__(self, program: _Optional[_Union[ProgramInfo, _Mapping]] = ...) -> None: ...

class UpdateProgramRequest(_message.Message):
    __slots__ = ("program", "source", "expected_version")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    program: str
    source: ProgramSource
    expected_version: int
    def __init__(self, program: _Optional[str] = ..., source: _Optional[_Union[ProgramSource, _Mapping]] = ..., expected_version: _Optional[int] = ...) -> None: ...

class UpdateProgramResponse(_message.Message):
    __slots__ = ("program", "changes")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    program: ProgramInfo
    changes: _containers.RepeatedCompositeFieldContainer[ProgramChange]
    def __init__(self, program: _Optional[_Union[ProgramInfo, _Mapping]] = ..., changes: _Optional[_Iterable[_Union[ProgramChange, _Mapping]]] = ...) -> None: ...

class ProgramChange(_message.Message):
    __slots__ = ("field", "description", "breaking")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    BREAKING_FIELD_NUMBER: _ClassVar[int]
    field: str
    description: str
    breaking: bool
    def __init__(self, field: _Optional[str] = ..., description: _Optional[str] = ..., breaking: _Optional[bool] = ...) -> None: ...

class DeleteProgramRequest(_message.Message):
    __slots__ = ("program",)
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    program: str
    def __init__(self, program: _Optional[str] = ...) -> None: ...

class DeleteProgramResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListProgramVersionsRequest(_message.Message):
    __slots__ = ("program",)
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    program: str
    def __init__(self, program: _Optional[str] = ...) -> None: ...

class ListProgramVersionsResponse(_message.Message):
    __slots__ = ("versions", "serving")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    SERVING_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[ProgramVersion]
    serving: int
    def __init__(self, versions: _Optional[_Iterable[_Union[ProgramVersion, _Mapping]]] = ..., serving: _Optional[int] = ...) -> None: ...

class ProgramVersion(_message.Message):
    __slots__ = ("version", "source")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    version: int
    source: ProgramSource
    def __init__(self, version: _Optional[int] = ..., source: _Optional[_Union[ProgramSource, _Mapping]] = ...) -> None: ...

class ServeProgramVersionRequest(_message.Message):
    __slots__ = ("program", "version")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    program: str
    version: int
    def __init__(self, program: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ServeProgramVersionResponse(_message.Message):
    __slots__ = ("program",)
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    program: ProgramInfo
    def __init__(self, program: _Optional[_Union[ProgramInfo, _Mapping]] = ...) -> None: ...

class CheckSignatureRequest(_message.Message):
    __slots__ = ("source",)
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    source: ProgramSource
    def __init__(self, source: _Optional[_Union[ProgramSource, _Mapping]] = ...) -> None: ...

class CheckSignatureResponse(_message.Message):
    __slots__ = ("signature", "inputs_schema", "outputs_schema", "error", "column", "length")
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    signature: str
    inputs_schema: str
    outputs_schema: str
    error: str
    column: int
    length: int
    def __init__(self, signature: _Optional[str] = ..., inputs_schema: _Optional[str] = ..., outputs_schema: _Optional[str] = ..., error: _Optional[str] = ..., column: _Optional[int] = ..., length: _Optional[int] = ...) -> None: ...
