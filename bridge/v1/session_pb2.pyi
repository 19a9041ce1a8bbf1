import datetime

from bridge.v1 import access_pb2 as _access_pb2
from bridge.v1 import common_pb2 as _common_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_MODE_UNSPECIFIED: _ClassVar[SessionMode]
    SESSION_MODE_HINT: _ClassVar[SessionMode]
    SESSION_MODE_STRICT: _ClassVar[SessionMode]

class VariableType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VARIABLE_TYPE_UNSPECIFIED: _ClassVar[VariableType]
    VARIABLE_TYPE_BOOL: _ClassVar[VariableType]
    VARIABLE_TYPE_INT: _ClassVar[VariableType]
    VARIABLE_TYPE_FLOAT: _ClassVar[VariableType]
    VARIABLE_TYPE_STRING: _ClassVar[VariableType]
    VARIABLE_TYPE_BYTES: _ClassVar[VariableType]
    VARIABLE_TYPE_LIST: _ClassVar[VariableType]
    VARIABLE_TYPE_MAP: _ClassVar[VariableType]

class PayloadForm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PAYLOAD_FORM_UNSPECIFIED: _ClassVar[PayloadForm]
    PAYLOAD_FORM_JSON: _ClassVar[PayloadForm]
    PAYLOAD_FORM_MSGPACK: _ClassVar[PayloadForm]
SESSION_MODE_UNSPECIFIED: SessionMode
SESSION_MODE_HINT: SessionMode
SESSION_MODE_STRICT: SessionMode
VARIABLE_TYPE_UNSPECIFIED: VariableType
VARIABLE_TYPE_BOOL: VariableType
VARIABLE_TYPE_INT: VariableType
VARIABLE_TYPE_FLOAT: VariableType
VARIABLE_TYPE_STRING: VariableType
VARIABLE_TYPE_BYTES: VariableType
VARIABLE_TYPE_LIST: VariableType
VARIABLE_TYPE_MAP: VariableType
PAYLOAD_FORM_UNSPECIFIED: PayloadForm
PAYLOAD_FORM_JSON: PayloadForm
PAYLOAD_FORM_MSGPACK: PayloadForm

class Session(_message.Message):
    __slots__ = ("id", "mode", "workers", "epoch", "opened_at", "ttl", "calls", "tenant", "ordered", "running", "idle", "variables", "variable_bytes", "lost")
    class WorkersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    OPENED_AT_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    ORDERED_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    VARIABLE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    id: str
    mode: SessionMode
    workers: _containers.ScalarMap[str, str]
    epoch: int
    opened_at: _timestamp_pb2.Timestamp
    ttl: _duration_pb2.Duration
    calls: int
    tenant: str
    ordered: bool
    running: int
    idle: _duration_pb2.Duration
    variables: int
    variable_bytes: int
    lost: str
    def __init__(self, id: _Optional[str] = ..., mode: _Optional[_Union[SessionMode, str]] = ..., workers: _Optional[_Mapping[str, str]] = ..., epoch: _Optional[int] = ..., opened_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., calls: _Optional[int] = ..., tenant: _Optional[str] = ..., ordered: _Optional[bool] = ..., running: _Optional[int] = ..., idle: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., variables: _Optional[int] = ..., variable_bytes: _Optional[int] = ..., lost: _Optional[str] = ...) -> None: ...

class OpenRequest(_message.Message):
    __slots__ = ("id", "mode", "ttl", "ordered")
    ID_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    ORDERED_FIELD_NUMBER: _ClassVar[int]
    id: str
    mode: SessionMode
    ttl: _duration_pb2.Duration
    ordered: bool
    def __init__(self, id: _Optional[str] = ..., mode: _Optional[_Union[SessionMode, str]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., ordered: _Optional[bool] = ...) -> None: ...

class OpenResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: Session
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class SessionServiceGetRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class SessionServiceGetResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: Session
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class SessionServiceListRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class SessionServiceListResponse(_message.Message):
    __slots__ = ("sessions", "next_page_token")
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    next_page_token: str
    def __init__(self, sessions: _Optional[_Iterable[_Union[Session, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CloseRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CloseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SessionVariable(_message.Message):
    __slots__ = ("name", "type", "value", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: VariableType
    value: _common_pb2.Payload
    version: int
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[VariableType, str]] = ..., value: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ..., version: _Optional[int] = ...) -> None: ...

class GetVariableRequest(_message.Message):
    __slots__ = ("session_id", "name", "form")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    name: str
    form: PayloadForm
    def __init__(self, session_id: _Optional[str] = ..., name: _Optional[str] = ..., form: _Optional[_Union[PayloadForm, str]] = ...) -> None: ...

class GetVariableResponse(_message.Message):
    __slots__ = ("variable",)
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    variable: SessionVariable
    def __init__(self, variable: _Optional[_Union[SessionVariable, _Mapping]] = ...) -> None: ...

class SetVariableRequest(_message.Message):
    __slots__ = ("session_id", "name", "value", "expected_version", "replace_type")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    REPLACE_TYPE_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    name: str
    value: _common_pb2.Payload
    expected_version: int
    replace_type: bool
    def __init__(self, session_id: _Optional[str] = ..., name: _Optional[str] = ..., value: _Optional[_Union[_common_pb2.Payload, _Mapping]] = ..., expected_version: _Optional[int] = ..., replace_type: _Optional[bool] = ...) -> None: ...

class SetVariableResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class ListVariablesRequest(_message.Message):
    __slots__ = ("session_id", "form")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    form: PayloadForm
    def __init__(self, session_id: _Optional[str] = ..., form: _Optional[_Union[PayloadForm, str]] = ...) -> None: ...

class ListVariablesResponse(_message.Message):
    __slots__ = ("variables",)
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    variables: _containers.RepeatedCompositeFieldContainer[SessionVariable]
    def __init__(self, variables: _Optional[_Iterable[_Union[SessionVariable, _Mapping]]] = ...) -> None: ...

class DeleteVariableRequest(_message.Message):
    __slots__ = ("session_id", "name", "expected_version")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    name: str
    expected_version: int
    def __init__(self, session_id: _Optional[str] = ..., name: _Optional[str] = ..., expected_version: _Optional[int] = ...) -> None: ...

class DeleteVariableResponse(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class SessionServiceWatchRequest(_message.Message):
    __slots__ = ("id", "form")
    ID_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    id: str
    form: PayloadForm
    def __init__(self, id: _Optional[str] = ..., form: _Optional[_Union[PayloadForm, str]] = ...) -> None: ...

class SessionServiceWatchResponse(_message.Message):
    __slots__ = ("snapshot", "change", "end")
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    snapshot: VariableSnapshot
    change: VariableChange
    end: WatchEnd
    def __init__(self, snapshot: _Optional[_Union[VariableSnapshot, _Mapping]] = ..., change: _Optional[_Union[VariableChange, _Mapping]] = ..., end: _Optional[_Union[WatchEnd, _Mapping]] = ...) -> None: ...

class VariableSnapshot(_message.Message):
    __slots__ = ("variables", "version")
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    variables: _containers.RepeatedCompositeFieldContainer[SessionVariable]
    version: int
    def __init__(self, variables: _Optional[_Iterable[_Union[SessionVariable, _Mapping]]] = ..., version: _Optional[int] = ...) -> None: ...

class VariableChange(_message.Message):
    __slots__ = ("variable", "deleted", "version", "skipped")
    VARIABLE_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    variable: SessionVariable
    deleted: bool
    version: int
    skipped: int
    def __init__(self, variable: _Optional[_Union[SessionVariable, _Mapping]] = ..., deleted: _Optional[bool] = ..., version: _Optional[int] = ..., skipped: _Optional[int] = ...) -> None: ...

class WatchEnd(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...
