from bridge.v1 import access_pb2 as _access_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ToolVisibility(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOOL_VISIBILITY_UNSPECIFIED: _ClassVar[ToolVisibility]
    TOOL_VISIBILITY_RUN: _ClassVar[ToolVisibility]
    TOOL_VISIBILITY_SESSION: _ClassVar[ToolVisibility]
    TOOL_VISIBILITY_TENANT: _ClassVar[ToolVisibility]

class ToolErrorPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOOL_ERROR_POLICY_UNSPECIFIED: _ClassVar[ToolErrorPolicy]
    TOOL_ERROR_POLICY_OBSERVE: _ClassVar[ToolErrorPolicy]
    TOOL_ERROR_POLICY_ABORT: _ClassVar[ToolErrorPolicy]
TOOL_VISIBILITY_UNSPECIFIED: ToolVisibility
TOOL_VISIBILITY_RUN: ToolVisibility
TOOL_VISIBILITY_SESSION: ToolVisibility
TOOL_VISIBILITY_TENANT: ToolVisibility
TOOL_ERROR_POLICY_UNSPECIFIED: ToolErrorPolicy
TOOL_ERROR_POLICY_OBSERVE: ToolErrorPolicy
TOOL_ERROR_POLICY_ABORT: ToolErrorPolicy

class HostRequest(_message.Message):
    __slots__ = ("register", "result", "error", "goodbye")
    REGISTER_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    register: RegisterTools
    result: HostedResult
    error: HostedError
    goodbye: HostGoodbye
    def __init__(self, register: _Optional[_Union[RegisterTools, _Mapping]] = ..., result: _Optional[_Union[HostedResult, _Mapping]] = ..., error: _Optional[_Union[HostedError, _Mapping]] = ..., goodbye: _Optional[_Union[HostGoodbye, _Mapping]] = ...) -> None: ...

class HostResponse(_message.Message):
    __slots__ = ("registered", "call", "cancel", "draining")
    REGISTERED_FIELD_NUMBER: _ClassVar[int]
    CALL_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    registered: ToolsRegistered
    call: HostedCall
    cancel: CancelHostedCall
    draining: HostDraining
    def __init__(self, registered: _Optional[_Union[ToolsRegistered, _Mapping]] = ..., call: _Optional[_Union[HostedCall, _Mapping]] = ..., cancel: _Optional[_Union[CancelHostedCall, _Mapping]] = ..., draining: _Optional[_Union[HostDraining, _Mapping]] = ...) -> None: ...

class RegisterTools(_message.Message):
    __slots__ = ("tools", "token", "working_on", "visibility")
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    WORKING_ON_FIELD_NUMBER: _ClassVar[int]
    VISIBILITY_FIELD_NUMBER: _ClassVar[int]
    tools: _containers.RepeatedCompositeFieldContainer[HostedTool]
    token: str
    working_on: _containers.RepeatedScalarFieldContainer[int]
    visibility: ToolVisibility
    def __init__(self, tools: _Optional[_Iterable[_Union[HostedTool, _Mapping]]] = ..., token: _Optional[str] = ..., working_on: _Optional[_Iterable[int]] = ..., visibility: _Optional[_Union[ToolVisibility, str]] = ...) -> None: ...

class HostedTool(_message.Message):
    __slots__ = ("name", "description", "arguments_schema", "on_error", "timeout_ms", "max_concurrent", "idempotent")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    ON_ERROR_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENT_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    arguments_schema: str
    on_error: ToolErrorPolicy
    timeout_ms: int
    max_concurrent: int
    idempotent: bool
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., arguments_schema: _Optional[str] = ..., on_error: _Optional[_Union[ToolErrorPolicy, str]] = ..., timeout_ms: _Optional[int] = ..., max_concurrent: _Optional[int] = ..., idempotent: _Optional[bool] = ...) -> None: ...

class ToolsRegistered(_message.Message):
    __slots__ = ("registration", "token", "resume_ttl_ms", "max_result_bytes", "max_calls", "resumed")
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    RESUME_TTL_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_RESULT_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_CALLS_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    registration: str
    token: str
    resume_ttl_ms: int
    max_result_bytes: int
    max_calls: int
    resumed: bool
    def __init__(self, registration: _Optional[str] = ..., token: _Optional[str] = ..., resume_ttl_ms: _Optional[int] = ..., max_result_bytes: _Optional[int] = ..., max_calls: _Optional[int] = ..., resumed: _Optional[bool] = ...) -> None: ...

class HostedCall(_message.Message):
    __slots__ = ("id", "tool", "arguments", "timeout_ms", "traceparent", "request_id", "session_id", "resent")
    ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    TRACEPARENT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    RESENT_FIELD_NUMBER: _ClassVar[int]
    id: int
    tool: str
    arguments: str
    timeout_ms: int
    traceparent: str
    request_id: str
    session_id: str
    resent: bool
    def __init__(self, id: _Optional[int] = ..., tool: _Optional[str] = ..., arguments: _Optional[str] = ..., timeout_ms: _Optional[int] = ..., traceparent: _Optional[str] = ..., request_id: _Optional[str] = ..., session_id: _Optional[str] = ..., resent: _Optional[bool] = ...) -> None: ...

class CancelHostedCall(_message.Message):
    __slots__ = ("id", "reason")
    ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    id: int
    reason: str
    def __init__(self, id: _Optional[int] = ..., reason: _Optional[str] = ...) -> None: ...

class HostGoodbye(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HostDraining(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HostedResult(_message.Message):
    __slots__ = ("id", "json", "text")
    ID_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    id: int
    json: str
    text: str
    def __init__(self, id: _Optional[int] = ..., json: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class HostedError(_message.Message):
    __slots__ = ("id", "message", "type")
    ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    id: int
    message: str
    type: str
    def __init__(self, id: _Optional[int] = ..., message: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class ListToolsRequest(_message.Message):
    __slots__ = ("registration",)
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    registration: str
    def __init__(self, registration: _Optional[str] = ...) -> None: ...

class ListToolsResponse(_message.Message):
    __slots__ = ("tools",)
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    tools: _containers.RepeatedCompositeFieldContainer[ToolInfo]
    def __init__(self, tools: _Optional[_Iterable[_Union[ToolInfo, _Mapping]]] = ...) -> None: ...

class ToolInfo(_message.Message):
    __slots__ = ("tool", "registration", "connected", "open_calls")
    TOOL_FIELD_NUMBER: _ClassVar[int]
    REGISTRATION_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    OPEN_CALLS_FIELD_NUMBER: _ClassVar[int]
    tool: HostedTool
    registration: str
    connected: bool
    open_calls: int
    def __init__(self, tool: _Optional[_Union[HostedTool, _Mapping]] = ..., registration: _Optional[str] = ..., connected: _Optional[bool] = ..., open_calls: _Optional[int] = ...) -> None: ...
