defmodule Bridge.V1.SessionMode do
  @moduledoc """
  SessionMode is how firmly a session is bound to its worker.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.SessionMode",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :SESSION_MODE_UNSPECIFIED, 0
  field :SESSION_MODE_HINT, 1
  field :SESSION_MODE_STRICT, 2
end

defmodule Bridge.V1.VariableType do
  @moduledoc """
  VariableType is what a variable holds. It stays when the value changes, unless the change replaces it explicitly.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.VariableType",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :VARIABLE_TYPE_UNSPECIFIED, 0
  field :VARIABLE_TYPE_BOOL, 1
  field :VARIABLE_TYPE_INT, 2
  field :VARIABLE_TYPE_FLOAT, 3
  field :VARIABLE_TYPE_STRING, 4
  field :VARIABLE_TYPE_BYTES, 5
  field :VARIABLE_TYPE_LIST, 6
  field :VARIABLE_TYPE_MAP, 7
end

defmodule Bridge.V1.PayloadForm do
  @moduledoc """
  PayloadForm is the form in which values are sent.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.PayloadForm",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :PAYLOAD_FORM_UNSPECIFIED, 0
  field :PAYLOAD_FORM_JSON, 1
  field :PAYLOAD_FORM_MSGPACK, 2
end

defmodule Bridge.V1.Session.WorkersEntry do
  use Protobuf,
    full_name: "bridge.v1.Session.WorkersEntry",
    map: true,
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :key, 1, type: :string
  field :value, 2, type: :string
end

defmodule Bridge.V1.Session do
  @moduledoc """
  Session is a session as the server sees it.
  """

  use Protobuf,
    full_name: "bridge.v1.Session",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :id, 1, type: :string
  field :mode, 2, type: Bridge.V1.SessionMode, enum: true
  field :workers, 3, repeated: true, type: Bridge.V1.Session.WorkersEntry, map: true
  field :epoch, 4, type: :uint64
  field :opened_at, 5, type: Google.Protobuf.Timestamp, json_name: "openedAt"
  field :ttl, 6, type: Google.Protobuf.Duration
  field :calls, 7, type: :uint64
  field :tenant, 8, type: :string
  field :ordered, 9, type: :bool
  field :running, 10, type: :uint32
  field :idle, 11, type: Google.Protobuf.Duration
  field :variables, 12, type: :uint32
  field :variable_bytes, 13, type: :uint64, json_name: "variableBytes"
  field :lost, 14, type: :string
end

defmodule Bridge.V1.OpenRequest do
  @moduledoc """
  OpenRequest asks for a session.
  """

  use Protobuf,
    full_name: "bridge.v1.OpenRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :id, 1, type: :string
  field :mode, 2, type: Bridge.V1.SessionMode, enum: true
  field :ttl, 3, type: Google.Protobuf.Duration
  field :ordered, 4, type: :bool
end

defmodule Bridge.V1.OpenResponse do
  @moduledoc """
  OpenResponse carries the session.
  """

  use Protobuf,
    full_name: "bridge.v1.OpenResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :session, 1, type: Bridge.V1.Session
end

defmodule Bridge.V1.SessionServiceGetRequest do
  @moduledoc """
  SessionServiceGetRequest names a session.
  """

  use Protobuf,
    full_name: "bridge.v1.SessionServiceGetRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :id, 1, type: :string
end

defmodule Bridge.V1.SessionServiceGetResponse do
  @moduledoc """
  SessionServiceGetResponse carries a session.
  """

  use Protobuf,
    full_name: "bridge.v1.SessionServiceGetResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :session, 1, type: Bridge.V1.Session
end

defmodule Bridge.V1.SessionServiceListRequest do
  @moduledoc """
  SessionServiceListRequest asks for a page of sessions.
  """

  use Protobuf,
    full_name: "bridge.v1.SessionServiceListRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :page_size, 1, type: :int32, json_name: "pageSize"
  field :page_token, 2, type: :string, json_name: "pageToken"
end

defmodule Bridge.V1.SessionServiceListResponse do
  @moduledoc """
  SessionServiceListResponse carries a page of sessions.
  """

  use Protobuf,
    full_name: "bridge.v1.SessionServiceListResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :sessions, 1, repeated: true, type: Bridge.V1.Session
  field :next_page_token, 2, type: :string, json_name: "nextPageToken"
end

defmodule Bridge.V1.CloseRequest do
  @moduledoc """
  CloseRequest names a session.
  """

  use Protobuf,
    full_name: "bridge.v1.CloseRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :id, 1, type: :string
end

defmodule Bridge.V1.CloseResponse do
  @moduledoc """
  CloseResponse is empty.
  """

  use Protobuf,
    full_name: "bridge.v1.CloseResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3
end

defmodule Bridge.V1.SessionVariable do
  @moduledoc """
  SessionVariable is a variable at one moment.
  """

  use Protobuf,
    full_name: "bridge.v1.SessionVariable",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :type, 2, type: Bridge.V1.VariableType, enum: true
  field :value, 3, type: Bridge.V1.Payload
  field :version, 4, type: :uint64
end

defmodule Bridge.V1.GetVariableRequest do
  @moduledoc """
  GetVariableRequest names a variable.
  """

  use Protobuf,
    full_name: "bridge.v1.GetVariableRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :session_id, 1, type: :string, json_name: "sessionId"
  field :name, 2, type: :string
  field :form, 3, type: Bridge.V1.PayloadForm, enum: true
end

defmodule Bridge.V1.GetVariableResponse do
  @moduledoc """
  GetVariableResponse carries a variable.
  """

  use Protobuf,
    full_name: "bridge.v1.GetVariableResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :variable, 1, type: Bridge.V1.SessionVariable
end

defmodule Bridge.V1.SetVariableRequest do
  @moduledoc """
  SetVariableRequest gives a variable a value.
  """

  use Protobuf,
    full_name: "bridge.v1.SetVariableRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :session_id, 1, type: :string, json_name: "sessionId"
  field :name, 2, type: :string
  field :value, 3, type: Bridge.V1.Payload
  field :expected_version, 4, proto3_optional: true, type: :uint64, json_name: "expectedVersion"
  field :replace_type, 5, type: :bool, json_name: "replaceType"
end

defmodule Bridge.V1.SetVariableResponse do
  @moduledoc """
  SetVariableResponse carries the variable's new version.
  """

  use Protobuf,
    full_name: "bridge.v1.SetVariableResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :version, 1, type: :uint64
end

defmodule Bridge.V1.ListVariablesRequest do
  @moduledoc """
  ListVariablesRequest names a session.
  """

  use Protobuf,
    full_name: "bridge.v1.ListVariablesRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :session_id, 1, type: :string, json_name: "sessionId"
  field :form, 2, type: Bridge.V1.PayloadForm, enum: true
end

defmodule Bridge.V1.ListVariablesResponse do
  @moduledoc """
  ListVariablesResponse carries the variables.
  """

  use Protobuf,
    full_name: "bridge.v1.ListVariablesResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :variables, 1, repeated: true, type: Bridge.V1.SessionVariable
end

defmodule Bridge.V1.DeleteVariableRequest do
  @moduledoc """
  DeleteVariableRequest names a variable.
  """

  use Protobuf,
    full_name: "bridge.v1.DeleteVariableRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :session_id, 1, type: :string, json_name: "sessionId"
  field :name, 2, type: :string
  field :expected_version, 3, proto3_optional: true, type: :uint64, json_name: "expectedVersion"
end

defmodule Bridge.V1.DeleteVariableResponse do
  @moduledoc """
  DeleteVariableResponse carries the number of the change.
  """

  use Protobuf,
    full_name: "bridge.v1.DeleteVariableResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :version, 1, type: :uint64
end

defmodule Bridge.V1.SessionServiceWatchRequest do
  @moduledoc """
  SessionServiceWatchRequest names a session.
  """

  use Protobuf,
    full_name: "bridge.v1.SessionServiceWatchRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :id, 1, type: :string
  field :form, 2, type: Bridge.V1.PayloadForm, enum: true
end

defmodule Bridge.V1.SessionServiceWatchResponse do
  @moduledoc """
  SessionServiceWatchResponse is one thing that a watcher is told.
  """

  use Protobuf,
    full_name: "bridge.v1.SessionServiceWatchResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :event, 0

  field :snapshot, 1, type: Bridge.V1.VariableSnapshot, oneof: 0
  field :change, 2, type: Bridge.V1.VariableChange, oneof: 0
  field :end, 3, type: Bridge.V1.WatchEnd, oneof: 0
end

defmodule Bridge.V1.VariableSnapshot do
  @moduledoc """
  VariableSnapshot is all variables at one moment.
  """

  use Protobuf,
    full_name: "bridge.v1.VariableSnapshot",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :variables, 1, repeated: true, type: Bridge.V1.SessionVariable
  field :version, 2, type: :uint64
end

defmodule Bridge.V1.VariableChange do
  @moduledoc """
  VariableChange is one change of one variable.
  """

  use Protobuf,
    full_name: "bridge.v1.VariableChange",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :variable, 1, type: Bridge.V1.SessionVariable
  field :deleted, 2, type: :bool
  field :version, 3, type: :uint64
  field :skipped, 4, type: :uint64
end

defmodule Bridge.V1.WatchEnd do
  @moduledoc """
  WatchEnd says why no more changes come.
  """

  use Protobuf,
    full_name: "bridge.v1.WatchEnd",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :reason, 1, type: :string
end

defmodule Bridge.V1.SessionService.Service do
  @moduledoc """
  SessionService opens and closes sessions and reads and writes their variables. Calls that carry a session's id in
  `x-session-id` go to one worker while it lives. A session that was not opened here is opened by its first call.

  A session belongs to the tenant (`x-tenant`) that opened it: for any other there is no such session.
  """

  use GRPC.Service, name: "bridge.v1.SessionService", protoc_gen_elixir_version: "0.17.0"

  rpc :Open, Bridge.V1.OpenRequest, Bridge.V1.OpenResponse

  rpc :Get, Bridge.V1.SessionServiceGetRequest, Bridge.V1.SessionServiceGetResponse

  rpc :List, Bridge.V1.SessionServiceListRequest, Bridge.V1.SessionServiceListResponse

  rpc :Close, Bridge.V1.CloseRequest, Bridge.V1.CloseResponse

  rpc :GetVariable, Bridge.V1.GetVariableRequest, Bridge.V1.GetVariableResponse

  rpc :SetVariable, Bridge.V1.SetVariableRequest, Bridge.V1.SetVariableResponse

  rpc :ListVariables, Bridge.V1.ListVariablesRequest, Bridge.V1.ListVariablesResponse

  rpc :DeleteVariable, Bridge.V1.DeleteVariableRequest, Bridge.V1.DeleteVariableResponse

  rpc :Watch, Bridge.V1.SessionServiceWatchRequest, stream(Bridge.V1.SessionServiceWatchResponse)
end

defmodule Bridge.V1.SessionService.Stub do
  use GRPC.Stub, service: Bridge.V1.SessionService.Service
end
