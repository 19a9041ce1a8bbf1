defmodule Bridge.V1.Route do
  @moduledoc """
  Route is where a call ran.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.Route",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :ROUTE_UNSPECIFIED, 0
  field :ROUTE_NATIVE, 1
  field :ROUTE_POOLED, 2
end

defmodule Bridge.V1.FunctionKind do
  @moduledoc """
  FunctionKind is what a function is made from.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.FunctionKind",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :FUNCTION_KIND_UNSPECIFIED, 0
  field :FUNCTION_KIND_FUNCTION, 1
  field :FUNCTION_KIND_PROGRAM, 2
  field :FUNCTION_KIND_BUILTIN, 3
end

defmodule Bridge.V1.Placement do
  @moduledoc """
  Placement is where a function may run.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.Placement",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :PLACEMENT_UNSPECIFIED, 0
  field :PLACEMENT_NATIVE, 1
  field :PLACEMENT_POOLED, 2
  field :PLACEMENT_AUTO, 3
end

defmodule Bridge.V1.Payload do
  @moduledoc """
  Payload is a value on the wire: the arguments of a call or its result.

  The object itself travels in `body`. Arrays and binary values may travel beside it, as tensors and blobs, and are
  referenced from the object by `{"$tensor": "NAME"}` and `{"$blob": "NAME"}`.
  """

  use Protobuf,
    full_name: "bridge.v1.Payload",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :body, 0

  field :json, 1, type: :string, oneof: 0
  field :msgpack, 2, type: :bytes, oneof: 0
  field :raw, 3, type: :bytes, oneof: 0
  field :tensors, 4, repeated: true, type: Bridge.V1.Tensor
  field :blobs, 5, repeated: true, type: Bridge.V1.Blob
end

defmodule Bridge.V1.Tensor do
  @moduledoc """
  Tensor is a dense array in row-major order.
  """

  use Protobuf,
    full_name: "bridge.v1.Tensor",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :dtype, 2, type: :string
  field :shape, 3, repeated: true, type: :int64
  field :data, 4, type: :bytes
end

defmodule Bridge.V1.Blob do
  @moduledoc """
  Blob is a named piece of binary data.
  """

  use Protobuf, full_name: "bridge.v1.Blob", protoc_gen_elixir_version: "0.17.0", syntax: :proto3

  field :name, 1, type: :string
  field :media_type, 2, type: :string, json_name: "mediaType"
  field :data, 3, type: :bytes
end

defmodule Bridge.V1.Receipt do
  @moduledoc """
  Receipt says where a call's time, memory, tokens and money went, and why it was routed where it was.
  It is sent with every reply in the trailing metadata `bridge-receipt-bin`.
  """

  use Protobuf,
    full_name: "bridge.v1.Receipt",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :request_id, 1, type: :string, json_name: "requestId"
  field :function, 2, type: :string
  field :route, 3, type: Bridge.V1.Route, enum: true
  field :reason, 4, type: :string
  field :pool, 5, type: :string
  field :worker, 6, type: :string
  field :session_epoch, 7, type: :uint64, json_name: "sessionEpoch"
  field :queue_us, 8, type: :uint64, json_name: "queueUs"
  field :worker_us, 9, type: :uint64, json_name: "workerUs"
  field :model_us, 10, type: :uint64, json_name: "modelUs"
  field :total_us, 11, type: :uint64, json_name: "totalUs"
  field :bytes_in, 12, type: :uint64, json_name: "bytesIn"
  field :bytes_out, 13, type: :uint64, json_name: "bytesOut"

  field :memory_change_bytes, 14,
    proto3_optional: true,
    type: :int64,
    json_name: "memoryChangeBytes"

  field :usage, 15, repeated: true, type: Bridge.V1.ModelUsage
  field :batch_size, 20, type: :uint32, json_name: "batchSize"
  field :batch_us, 21, type: :uint64, json_name: "batchUs"
  field :nested, 22, type: Bridge.V1.NestedCalls
  field :budget, 23, type: Bridge.V1.BudgetState
  field :program_version, 24, type: :int64, json_name: "programVersion"
  field :attempts, 30, type: :uint32
  field :alternative, 31, type: :string
  field :hedged, 32, type: :bool
  field :fallback, 33, type: :bool
  field :tried, 34, repeated: true, type: Bridge.V1.Attempt
  field :tools, 40, repeated: true, type: Bridge.V1.ToolUse
  field :tool_calls, 41, type: :uint64, json_name: "toolCalls"
  field :tool_us, 42, type: :uint64, json_name: "toolUs"
  field :answers, 45, repeated: true, type: Bridge.V1.ModelAnswer
  field :key_name, 46, type: :string, json_name: "keyName"
end

defmodule Bridge.V1.ModelAnswer do
  @moduledoc """
  ModelAnswer says which model answered a request, and why, where it was not plainly the one that was asked for.
  """

  use Protobuf,
    full_name: "bridge.v1.ModelAnswer",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :model, 1, type: :string
  field :cause, 2, type: :string
  field :passed, 3, repeated: true, type: :string
  field :age_ms, 4, type: :uint64, json_name: "ageMs"
  field :origin_request_id, 5, type: :string, json_name: "originRequestId"
end

defmodule Bridge.V1.ToolUse do
  @moduledoc """
  ToolUse counts the calls of one tool.
  """

  use Protobuf,
    full_name: "bridge.v1.ToolUse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :tool, 1, type: :string
  field :calls, 2, type: :uint64
  field :failed, 3, type: :uint64
  field :us, 4, type: :uint64
end

defmodule Bridge.V1.Attempt do
  @moduledoc """
  Attempt is one attempt at a call of a route.
  """

  use Protobuf,
    full_name: "bridge.v1.Attempt",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :alternative, 1, type: :string
  field :kind, 2, type: :string
  field :failure, 3, type: :string
  field :us, 4, type: :uint64
end

defmodule Bridge.V1.NestedCalls do
  @moduledoc """
  NestedCalls sums up the calls of other functions that a call has made, and those that these made in turn. Times of
  calls that ran side by side add up to more than the caller took; the caller's own times include the wait for them.
  """

  use Protobuf,
    full_name: "bridge.v1.NestedCalls",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :calls, 1, type: :uint64
  field :failed, 2, type: :uint64
  field :queue_us, 3, type: :uint64, json_name: "queueUs"
  field :worker_us, 4, type: :uint64, json_name: "workerUs"
  field :model_us, 5, type: :uint64, json_name: "modelUs"
  field :bytes_in, 6, type: :uint64, json_name: "bytesIn"
  field :bytes_out, 7, type: :uint64, json_name: "bytesOut"
  field :usage, 8, repeated: true, type: Bridge.V1.ModelUsage
  field :listed, 9, repeated: true, type: Bridge.V1.NestedCall
  field :unlisted, 10, type: :uint64
  field :total_us, 11, type: :uint64, json_name: "totalUs"
end

defmodule Bridge.V1.NestedCall do
  @moduledoc """
  NestedCall is one call that a function has made.
  """

  use Protobuf,
    full_name: "bridge.v1.NestedCall",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :function, 1, type: :string
  field :code, 2, type: :int32
  field :reason, 3, type: :string
  field :worker, 4, type: :string
  field :total_us, 5, type: :uint64, json_name: "totalUs"
  field :worker_us, 6, type: :uint64, json_name: "workerUs"
  field :tokens, 7, type: :uint64
  field :cost_usd, 8, proto3_optional: true, type: :double, json_name: "costUsd"
  field :calls, 9, type: :uint64
end

defmodule Bridge.V1.BudgetState do
  @moduledoc """
  BudgetState says how much of a call's budget is spent: by the call itself, by all that share the budget so far, and
  by reservations whose outcome is not known. Less than nothing is left where a model used more than was reserved.
  """

  use Protobuf,
    full_name: "bridge.v1.BudgetState",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :usd_spent, 1, proto3_optional: true, type: :double, json_name: "usdSpent"
  field :usd_left, 2, proto3_optional: true, type: :double, json_name: "usdLeft"
  field :tokens_spent, 3, proto3_optional: true, type: :int64, json_name: "tokensSpent"
  field :tokens_left, 4, proto3_optional: true, type: :int64, json_name: "tokensLeft"
  field :calls_spent, 5, proto3_optional: true, type: :int64, json_name: "callsSpent"
  field :calls_left, 6, proto3_optional: true, type: :int64, json_name: "callsLeft"
end

defmodule Bridge.V1.ModelUsage do
  @moduledoc """
  ModelUsage counts the use of one language model.
  """

  use Protobuf,
    full_name: "bridge.v1.ModelUsage",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :model, 1, type: :string
  field :calls, 2, type: :uint64
  field :input_tokens, 3, type: :uint64, json_name: "inputTokens"
  field :output_tokens, 4, type: :uint64, json_name: "outputTokens"
  field :cached_tokens, 5, type: :uint64, json_name: "cachedTokens"
  field :cost_usd, 6, proto3_optional: true, type: :double, json_name: "costUsd"
  field :cached_calls, 7, type: :uint64, json_name: "cachedCalls"
  field :unpriced_calls, 8, type: :uint64, json_name: "unpricedCalls"
end

defmodule Bridge.V1.FunctionInfo do
  @moduledoc """
  FunctionInfo describes one function.
  """

  use Protobuf,
    full_name: "bridge.v1.FunctionInfo",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :kind, 2, type: Bridge.V1.FunctionKind, enum: true
  field :doc, 3, type: :string
  field :pool, 4, type: :string
  field :placement, 5, type: Bridge.V1.Placement, enum: true
  field :streaming, 6, type: :bool
  field :idempotent, 7, type: :bool
  field :arguments_schema, 8, type: :string, json_name: "argumentsSchema"
  field :result_schema, 9, type: :string, json_name: "resultSchema"
  field :example, 10, type: :string
  field :route, 20, type: Bridge.V1.RouteInfo
  field :model_routes, 21, repeated: true, type: Bridge.V1.RouteInfo, json_name: "modelRoutes"
  field :pure, 25, type: :bool
  field :thread_safe, 26, type: :bool, json_name: "threadSafe"
  field :module, 40, type: :string
end

defmodule Bridge.V1.RouteInfo do
  @moduledoc """
  RouteInfo says how the calls of a name are answered: by the best of several alternatives.
  """

  use Protobuf,
    full_name: "bridge.v1.RouteInfo",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :choose, 2, type: :string
  field :alternatives, 3, repeated: true, type: Bridge.V1.RouteAlternative
  field :fallback, 4, repeated: true, type: :string
  field :attempts, 5, type: :uint32
  field :hedged, 6, type: :bool
end

defmodule Bridge.V1.RouteAlternative do
  @moduledoc """
  RouteAlternative is one way to answer the calls of a route.
  """

  use Protobuf,
    full_name: "bridge.v1.RouteAlternative",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :label, 1, type: :string
  field :function, 2, type: :string
  field :pool, 3, type: :string
  field :model, 4, type: :string
  field :weight, 5, type: :double
  field :shadow, 6, type: :double
end
