defmodule Bridge.V1.Priority do
  @moduledoc """
  Priority says which calls go first where calls wait for a worker.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.Priority",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :PRIORITY_UNSPECIFIED, 0
  field :PRIORITY_LOW, 1
  field :PRIORITY_NORMAL, 2
  field :PRIORITY_HIGH, 3
end

defmodule Bridge.V1.CallRequest do
  @moduledoc """
  CallRequest names a function and carries its arguments.
  """

  use Protobuf,
    full_name: "bridge.v1.CallRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :function, 1, type: :string
  field :arguments, 2, type: Bridge.V1.Payload
end

defmodule Bridge.V1.CallResponse do
  @moduledoc """
  CallResponse carries a function's result.
  """

  use Protobuf,
    full_name: "bridge.v1.CallResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :result, 1, type: Bridge.V1.Payload
end

defmodule Bridge.V1.StreamCallRequest do
  @moduledoc """
  StreamCallRequest names a function and carries its arguments.
  """

  use Protobuf,
    full_name: "bridge.v1.StreamCallRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :function, 1, type: :string
  field :arguments, 2, type: Bridge.V1.Payload
  field :aggregate, 3, type: :bool
  field :chunk_bytes, 20, type: :uint64, json_name: "chunkBytes"
end

defmodule Bridge.V1.StreamCallResponse do
  @moduledoc """
  StreamCallResponse carries one item of a function's stream, or several where the request has set `aggregate`, or a
  part of one where it has set `chunk_bytes`.
  """

  use Protobuf,
    full_name: "bridge.v1.StreamCallResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :item, 1, type: Bridge.V1.Payload
  field :items, 2, repeated: true, type: Bridge.V1.Payload
  field :part, 20, type: Bridge.V1.ItemPart
end

defmodule Bridge.V1.ItemPart do
  @moduledoc """
  ItemPart is a part of one item. The parts of an item follow one another without a gap; put together, their data is
  the item, a serialized Payload.
  """

  use Protobuf,
    full_name: "bridge.v1.ItemPart",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :offset, 1, type: :uint64
  field :total, 2, type: :uint64
  field :data, 3, type: :bytes
end

defmodule Bridge.V1.MultiplexRequest do
  @moduledoc """
  MultiplexRequest carries calls to be made, and the ids of calls to be cancelled.
  """

  use Protobuf,
    full_name: "bridge.v1.MultiplexRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :calls, 1, repeated: true, type: Bridge.V1.MultiplexCall
  field :cancelled_ids, 2, repeated: true, type: :uint64, json_name: "cancelledIds"
end

defmodule Bridge.V1.MultiplexCall do
  @moduledoc """
  MultiplexCall is one call of a multiplexed stream.
  """

  use Protobuf,
    full_name: "bridge.v1.MultiplexCall",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :id, 1, type: :uint64
  field :request, 2, type: Bridge.V1.CallRequest
  field :options, 3, type: Bridge.V1.MultiplexOptions
end

defmodule Bridge.V1.MultiplexOptions do
  @moduledoc """
  MultiplexOptions says of one call what metadata says of a unary one.
  """

  use Protobuf,
    full_name: "bridge.v1.MultiplexOptions",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :timeout_ms, 1, type: :uint64, json_name: "timeoutMs"
  field :request_id, 2, type: :string, json_name: "requestId"
  field :session_id, 3, type: :string, json_name: "sessionId"
  field :session_mode, 4, type: Bridge.V1.SessionMode, json_name: "sessionMode", enum: true
  field :priority, 5, type: Bridge.V1.Priority, enum: true
  field :traceparent, 6, type: :string
end

defmodule Bridge.V1.MultiplexResponse do
  @moduledoc """
  MultiplexResponse carries the answers of calls that have ended. The first one of a stream comes at once, has no
  results, and says how many calls may be open.
  """

  use Protobuf,
    full_name: "bridge.v1.MultiplexResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :results, 1, repeated: true, type: Bridge.V1.MultiplexResult
  field :shared_receipts, 2, repeated: true, type: Bridge.V1.Receipt, json_name: "sharedReceipts"
  field :max_open_calls, 3, type: :uint32, json_name: "maxOpenCalls"
end

defmodule Bridge.V1.MultiplexResult do
  @moduledoc """
  MultiplexResult is the answer of one call.
  """

  use Protobuf,
    full_name: "bridge.v1.MultiplexResult",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :outcome, 0

  field :id, 1, type: :uint64
  field :response, 2, type: Bridge.V1.CallResponse, oneof: 0
  field :error, 3, type: :bytes, oneof: 0
  field :receipt, 4, type: Bridge.V1.Receipt
  field :shared_receipt, 5, type: :uint32, json_name: "sharedReceipt"
end

defmodule Bridge.V1.ListFunctionsRequest do
  @moduledoc """
  ListFunctionsRequest asks for a page of the catalogue.
  """

  use Protobuf,
    full_name: "bridge.v1.ListFunctionsRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :prefix, 1, type: :string
  field :page_size, 2, type: :int32, json_name: "pageSize"
  field :page_token, 3, type: :string, json_name: "pageToken"
end

defmodule Bridge.V1.ListFunctionsResponse do
  @moduledoc """
  ListFunctionsResponse is a page of the catalogue.
  """

  use Protobuf,
    full_name: "bridge.v1.ListFunctionsResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :functions, 1, repeated: true, type: Bridge.V1.FunctionInfo
  field :next_page_token, 2, type: :string, json_name: "nextPageToken"
end

defmodule Bridge.V1.DescribeFunctionRequest do
  @moduledoc """
  DescribeFunctionRequest names a function.
  """

  use Protobuf,
    full_name: "bridge.v1.DescribeFunctionRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :function, 1, type: :string
end

defmodule Bridge.V1.DescribeFunctionResponse do
  @moduledoc """
  DescribeFunctionResponse describes a function.
  """

  use Protobuf,
    full_name: "bridge.v1.DescribeFunctionResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :function, 1, type: Bridge.V1.FunctionInfo
end

defmodule Bridge.V1.ExplainRequest do
  @moduledoc """
  ExplainRequest says which call is meant. Its arguments count by their size alone.
  """

  use Protobuf,
    full_name: "bridge.v1.ExplainRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :function, 1, type: :string
  field :request_bytes, 2, type: :uint64, json_name: "requestBytes"
  field :arguments, 3, type: Bridge.V1.Payload
end

defmodule Bridge.V1.ExplainResponse do
  @moduledoc """
  ExplainResponse is a decision and what it rests on.
  """

  use Protobuf,
    full_name: "bridge.v1.ExplainResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :function, 1, type: :string
  field :placement, 2, type: Bridge.V1.Placement, enum: true
  field :request_bytes, 3, type: :uint64, json_name: "requestBytes"
  field :reason, 4, type: :string
  field :alternatives, 5, repeated: true, type: Bridge.V1.Alternative
  field :front, 6, type: Bridge.V1.FrontLoad
end

defmodule Bridge.V1.Alternative do
  @moduledoc """
  Alternative is one way that a call may go.
  """

  use Protobuf,
    full_name: "bridge.v1.Alternative",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :function, 1, type: :string
  field :route, 2, type: Bridge.V1.Route, enum: true
  field :pool, 3, type: :string
  field :chosen, 4, type: :bool
  field :excluded, 5, type: :string
  field :prediction, 6, type: Bridge.V1.Prediction
  field :service, 7, type: Bridge.V1.MeasuredTimes
  field :transfer, 8, type: Bridge.V1.MeasuredTimes
  field :load, 9, type: Bridge.V1.PoolLoad
  field :worker, 10, type: :string
  field :weight, 20, proto3_optional: true, type: :double
  field :cost_usd, 21, proto3_optional: true, type: :double, json_name: "costUsd"
  field :failure_rate, 22, proto3_optional: true, type: :double, json_name: "failureRate"
  field :breaker, 23, type: :string
  field :copies_only, 24, type: :bool, json_name: "copiesOnly"
  field :label, 25, type: :string
  field :fallback, 26, type: :bool
  field :attempts, 27, type: Bridge.V1.MeasuredTimes
end

defmodule Bridge.V1.Prediction do
  @moduledoc """
  Prediction says how long a call is predicted to take on one way, in microseconds.
  """

  use Protobuf,
    full_name: "bridge.v1.Prediction",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :total_us, 1, type: :uint64, json_name: "totalUs"
  field :queue_us, 2, type: :uint64, json_name: "queueUs"
  field :transfer_us, 3, type: :uint64, json_name: "transferUs"
  field :service_us, 4, type: :uint64, json_name: "serviceUs"
  field :burden_us, 5, type: :uint64, json_name: "burdenUs"
end

defmodule Bridge.V1.MeasuredTimes do
  @moduledoc """
  MeasuredTimes sums up what was measured, in microseconds. Old calls count less.
  """

  use Protobuf,
    full_name: "bridge.v1.MeasuredTimes",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :samples, 1, type: :double
  field :mean_us, 2, type: :uint64, json_name: "meanUs"
  field :p50_us, 3, type: :uint64, json_name: "p50Us"
  field :p99_us, 4, type: :uint64, json_name: "p99Us"
  field :min_request_bytes, 5, type: :uint64, json_name: "minRequestBytes"
  field :max_request_bytes, 6, type: :uint64, json_name: "maxRequestBytes"
end

defmodule Bridge.V1.PoolLoad do
  @moduledoc """
  PoolLoad says how busy a pool is.
  """

  use Protobuf,
    full_name: "bridge.v1.PoolLoad",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :workers, 1, type: :uint32
  field :waiting, 2, type: :uint32
  field :wait_us, 3, type: :uint64, json_name: "waitUs"
end

defmodule Bridge.V1.FrontLoad do
  @moduledoc """
  FrontLoad says how busy the front process is, and what it may take on.
  """

  use Protobuf,
    full_name: "bridge.v1.FrontLoad",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :busy, 1, type: :double
  field :lag_us, 2, type: :uint64, json_name: "lagUs"
  field :native_running, 3, type: :uint32, json_name: "nativeRunning"
  field :native_limit, 4, type: :uint32, json_name: "nativeLimit"
  field :max_request_bytes, 5, type: :uint64, json_name: "maxRequestBytes"
  field :max_p99_us, 6, type: :uint64, json_name: "maxP99Us"
end

defmodule Bridge.V1.InvokeService.Service do
  @moduledoc """
  InvokeService calls any function that the server offers, by its name.
  """

  use GRPC.Service, name: "bridge.v1.InvokeService", protoc_gen_elixir_version: "0.17.0"

  rpc :Call, Bridge.V1.CallRequest, Bridge.V1.CallResponse, %{__name_collision__: true}

  rpc :StreamCall, Bridge.V1.StreamCallRequest, stream(Bridge.V1.StreamCallResponse)

  rpc :Multiplex, stream(Bridge.V1.MultiplexRequest), stream(Bridge.V1.MultiplexResponse)

  rpc :ListFunctions, Bridge.V1.ListFunctionsRequest, Bridge.V1.ListFunctionsResponse

  rpc :DescribeFunction, Bridge.V1.DescribeFunctionRequest, Bridge.V1.DescribeFunctionResponse

  rpc :Explain, Bridge.V1.ExplainRequest, Bridge.V1.ExplainResponse
end

defmodule Bridge.V1.InvokeService.Stub do
  use GRPC.Stub, service: Bridge.V1.InvokeService.Service
end
