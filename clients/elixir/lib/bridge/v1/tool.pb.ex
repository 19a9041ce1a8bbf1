defmodule Bridge.V1.ToolVisibility do
  @moduledoc """
  ToolVisibility says which runs may use tools. None ever sees those of another tenant.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.ToolVisibility",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :TOOL_VISIBILITY_UNSPECIFIED, 0
  field :TOOL_VISIBILITY_RUN, 1
  field :TOOL_VISIBILITY_SESSION, 2
  field :TOOL_VISIBILITY_TENANT, 3
end

defmodule Bridge.V1.ToolErrorPolicy do
  @moduledoc """
  ToolErrorPolicy says what follows when a call of a tool fails, is late, or gets no answer.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.ToolErrorPolicy",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :TOOL_ERROR_POLICY_UNSPECIFIED, 0
  field :TOOL_ERROR_POLICY_OBSERVE, 1
  field :TOOL_ERROR_POLICY_ABORT, 2
end

defmodule Bridge.V1.HostRequest do
  @moduledoc """
  HostRequest is one message of a client that hosts tools.
  """

  use Protobuf,
    full_name: "bridge.v1.HostRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :message, 0

  field :register, 1, type: Bridge.V1.RegisterTools, oneof: 0
  field :result, 2, type: Bridge.V1.HostedResult, oneof: 0
  field :error, 3, type: Bridge.V1.HostedError, oneof: 0
  field :goodbye, 4, type: Bridge.V1.HostGoodbye, oneof: 0
end

defmodule Bridge.V1.HostResponse do
  @moduledoc """
  HostResponse is one message to a client that hosts tools.
  """

  use Protobuf,
    full_name: "bridge.v1.HostResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :message, 0

  field :registered, 1, type: Bridge.V1.ToolsRegistered, oneof: 0
  field :call, 2, type: Bridge.V1.HostedCall, oneof: 0
  field :cancel, 3, type: Bridge.V1.CancelHostedCall, oneof: 0
  field :draining, 4, type: Bridge.V1.HostDraining, oneof: 0
end

defmodule Bridge.V1.RegisterTools do
  @moduledoc """
  RegisterTools says which functions a client hosts.
  """

  use Protobuf,
    full_name: "bridge.v1.RegisterTools",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :tools, 1, repeated: true, type: Bridge.V1.HostedTool
  field :token, 2, type: :string
  field :working_on, 3, repeated: true, type: :uint64, json_name: "workingOn"
  field :visibility, 4, type: Bridge.V1.ToolVisibility, enum: true
end

defmodule Bridge.V1.HostedTool do
  @moduledoc """
  HostedTool is one function that a client hosts.
  """

  use Protobuf,
    full_name: "bridge.v1.HostedTool",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :description, 2, type: :string
  field :arguments_schema, 3, type: :string, json_name: "argumentsSchema"
  field :on_error, 4, type: Bridge.V1.ToolErrorPolicy, json_name: "onError", enum: true
  field :timeout_ms, 5, type: :uint32, json_name: "timeoutMs"
  field :max_concurrent, 6, type: :uint32, json_name: "maxConcurrent"
  field :idempotent, 7, type: :bool
end

defmodule Bridge.V1.ToolsRegistered do
  @moduledoc """
  ToolsRegistered acknowledges a registration.
  """

  use Protobuf,
    full_name: "bridge.v1.ToolsRegistered",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :registration, 1, type: :string
  field :token, 2, type: :string
  field :resume_ttl_ms, 3, type: :uint32, json_name: "resumeTtlMs"
  field :max_result_bytes, 4, type: :uint32, json_name: "maxResultBytes"
  field :max_calls, 5, type: :uint32, json_name: "maxCalls"
  field :resumed, 6, type: :bool
end

defmodule Bridge.V1.HostedCall do
  @moduledoc """
  HostedCall asks the client to run a function.
  """

  use Protobuf,
    full_name: "bridge.v1.HostedCall",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :id, 1, type: :uint64
  field :tool, 2, type: :string
  field :arguments, 3, type: :string
  field :timeout_ms, 4, type: :uint32, json_name: "timeoutMs"
  field :traceparent, 5, type: :string
  field :request_id, 6, type: :string, json_name: "requestId"
  field :session_id, 7, type: :string, json_name: "sessionId"
  field :resent, 8, type: :bool
end

defmodule Bridge.V1.CancelHostedCall do
  @moduledoc """
  CancelHostedCall says that nobody waits for a call any more.
  """

  use Protobuf,
    full_name: "bridge.v1.CancelHostedCall",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :id, 1, type: :uint64
  field :reason, 2, type: :string
end

defmodule Bridge.V1.HostGoodbye do
  @moduledoc """
  HostGoodbye says that a client hosts its tools no longer.
  """

  use Protobuf,
    full_name: "bridge.v1.HostGoodbye",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3
end

defmodule Bridge.V1.HostDraining do
  @moduledoc """
  HostDraining says that the server shuts down.
  """

  use Protobuf,
    full_name: "bridge.v1.HostDraining",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3
end

defmodule Bridge.V1.HostedResult do
  @moduledoc """
  HostedResult is the answer to a call that went well.
  """

  use Protobuf,
    full_name: "bridge.v1.HostedResult",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :value, 0

  field :id, 1, type: :uint64
  field :json, 2, type: :string, oneof: 0
  field :text, 3, type: :string, oneof: 0
end

defmodule Bridge.V1.HostedError do
  @moduledoc """
  HostedError is the answer to a call that failed.
  """

  use Protobuf,
    full_name: "bridge.v1.HostedError",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :id, 1, type: :uint64
  field :message, 2, type: :string
  field :type, 3, type: :string
end

defmodule Bridge.V1.ListToolsRequest do
  @moduledoc """
  ListToolsRequest asks for tools.
  """

  use Protobuf,
    full_name: "bridge.v1.ListToolsRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :registration, 1, type: :string
end

defmodule Bridge.V1.ListToolsResponse do
  @moduledoc """
  ListToolsResponse lists tools.
  """

  use Protobuf,
    full_name: "bridge.v1.ListToolsResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :tools, 1, repeated: true, type: Bridge.V1.ToolInfo
end

defmodule Bridge.V1.ToolInfo do
  @moduledoc """
  ToolInfo is a tool that a client hosts.
  """

  use Protobuf,
    full_name: "bridge.v1.ToolInfo",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :tool, 1, type: Bridge.V1.HostedTool
  field :registration, 2, type: :string
  field :connected, 3, type: :bool
  field :open_calls, 4, type: :uint32, json_name: "openCalls"
end

defmodule Bridge.V1.ToolService.Service do
  @moduledoc """
  ToolService lets a client host functions that programs may call as tools.
  """

  use GRPC.Service, name: "bridge.v1.ToolService", protoc_gen_elixir_version: "0.17.0"

  rpc :Host, stream(Bridge.V1.HostRequest), stream(Bridge.V1.HostResponse)

  rpc :ListTools, Bridge.V1.ListToolsRequest, Bridge.V1.ListToolsResponse
end

defmodule Bridge.V1.ToolService.Stub do
  use GRPC.Stub, service: Bridge.V1.ToolService.Service
end
