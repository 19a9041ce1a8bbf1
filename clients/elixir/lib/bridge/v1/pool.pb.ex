defmodule Bridge.V1.PoolState do
  @moduledoc """
  PoolState is the state of a pool.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.PoolState",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :POOL_STATE_UNSPECIFIED, 0
  field :POOL_STATE_STARTING, 1
  field :POOL_STATE_READY, 2
  field :POOL_STATE_FAILED, 3
  field :POOL_STATE_DRAINING, 4
  field :POOL_STATE_MISSING_EXTRA, 5
end

defmodule Bridge.V1.WorkerState do
  @moduledoc """
  WorkerState is the state of a worker process.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.WorkerState",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :WORKER_STATE_UNSPECIFIED, 0
  field :WORKER_STATE_STARTING, 1
  field :WORKER_STATE_READY, 2
  field :WORKER_STATE_DRAINING, 3
  field :WORKER_STATE_STOPPING, 4
  field :WORKER_STATE_SUSPENDED, 5
end

defmodule Bridge.V1.AnomalyKind do
  @moduledoc """
  AnomalyKind is what is not as it should be.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.AnomalyKind",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :ANOMALY_KIND_UNSPECIFIED, 0
  field :ANOMALY_KIND_SLOW_WORKER, 1
  field :ANOMALY_KIND_SLOW_FUNCTION, 2
  field :ANOMALY_KIND_FAILING_WORKER, 3
  field :ANOMALY_KIND_FAILING_FUNCTION, 4
  field :ANOMALY_KIND_FAILING_PROVIDER, 5
  field :ANOMALY_KIND_MEMORY_TREND, 6
  field :ANOMALY_KIND_RISING_WAIT, 7
end

defmodule Bridge.V1.AnomalyAction do
  @moduledoc """
  AnomalyAction is what is done about an anomaly.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.AnomalyAction",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :ANOMALY_ACTION_UNSPECIFIED, 0
  field :ANOMALY_ACTION_RECYCLE, 1
  field :ANOMALY_ACTION_OPEN_BREAKER, 2
  field :ANOMALY_ACTION_SCALE_UP, 3
end

defmodule Bridge.V1.BreakerState do
  @moduledoc """
  BreakerState is what a circuit breaker does with calls.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.BreakerState",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :BREAKER_STATE_UNSPECIFIED, 0
  field :BREAKER_STATE_CLOSED, 1
  field :BREAKER_STATE_OPEN, 2
  field :BREAKER_STATE_HALF_OPEN, 3
end

defmodule Bridge.V1.FrontState do
  @moduledoc """
  FrontState is the state of a front process.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.FrontState",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :FRONT_STATE_UNSPECIFIED, 0
  field :FRONT_STATE_STARTING, 1
  field :FRONT_STATE_SERVING, 2
  field :FRONT_STATE_STOPPING, 3
end

defmodule Bridge.V1.Pool do
  @moduledoc """
  Pool is a pool as the server sees it.
  """

  use Protobuf, full_name: "bridge.v1.Pool", protoc_gen_elixir_version: "0.17.0", syntax: :proto3

  field :name, 1, type: :string
  field :state, 2, type: Bridge.V1.PoolState, enum: true
  field :cause, 3, type: :string
  field :size, 4, type: :uint32
  field :concurrency, 5, type: :uint32
  field :queued, 6, type: :uint32
  field :queue_limit, 7, type: :uint32, json_name: "queueLimit"
  field :running, 8, type: :uint32
  field :memory_limit_bytes, 9, type: :uint64, json_name: "memoryLimitBytes"
  field :restarts, 10, type: :uint64
  field :calls, 11, type: :uint64
  field :functions, 12, repeated: true, type: :string
  field :workers, 13, repeated: true, type: Bridge.V1.Worker
  field :proof_age, 14, type: Google.Protobuf.Duration, json_name: "proofAge"
  field :exits, 15, repeated: true, type: Bridge.V1.WorkerExit
  field :min_size, 16, type: :uint32, json_name: "minSize"
  field :max_size, 17, type: :uint32, json_name: "maxSize"
  field :start_kind, 18, type: :string, json_name: "startKind"
  field :start_reason, 19, type: :string, json_name: "startReason"
  field :template_pid, 20, type: :uint32, json_name: "templatePid"
  field :memory_soft_limit_bytes, 21, type: :uint64, json_name: "memorySoftLimitBytes"
  field :queued_bytes, 22, type: :uint64, json_name: "queuedBytes"
  field :queue_bytes_limit, 23, type: :uint64, json_name: "queueBytesLimit"
  field :quarantine, 24, repeated: true, type: Bridge.V1.QuarantinedInput
  field :growth, 25, repeated: true, type: Bridge.V1.FunctionGrowth
  field :check_interval, 26, type: Google.Protobuf.Duration, json_name: "checkInterval"
  field :check_timeout, 27, type: Google.Protobuf.Duration, json_name: "checkTimeout"
  field :grace, 28, type: Google.Protobuf.Duration
  field :cgroups, 29, type: :string
  field :anomalies, 30, repeated: true, type: Bridge.V1.Anomaly
end

defmodule Bridge.V1.Anomaly.NumbersEntry do
  use Protobuf,
    full_name: "bridge.v1.Anomaly.NumbersEntry",
    map: true,
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :key, 1, type: :string
  field :value, 2, type: :double
end

defmodule Bridge.V1.Anomaly do
  @moduledoc """
  Anomaly is something that was found to be far from what it should be.
  """

  use Protobuf,
    full_name: "bridge.v1.Anomaly",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :kind, 1, type: Bridge.V1.AnomalyKind, enum: true
  field :action, 2, type: Bridge.V1.AnomalyAction, enum: true
  field :acted, 3, type: :bool
  field :cause, 4, type: :string
  field :worker, 5, type: :string
  field :function, 6, type: :string
  field :provider, 7, type: :string
  field :age, 8, type: Google.Protobuf.Duration
  field :numbers, 9, repeated: true, type: Bridge.V1.Anomaly.NumbersEntry, map: true
end

defmodule Bridge.V1.QuarantinedInput do
  @moduledoc """
  QuarantinedInput is an input, a function with its arguments, that is refused because it killed workers.
  """

  use Protobuf,
    full_name: "bridge.v1.QuarantinedInput",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :function, 1, type: :string
  field :fingerprint, 2, type: :string
  field :deaths, 3, type: :uint32
  field :left, 4, type: Google.Protobuf.Duration
end

defmodule Bridge.V1.FunctionGrowth do
  @moduledoc """
  FunctionGrowth is what calls of one function have added to the memory of the workers that there were.
  """

  use Protobuf,
    full_name: "bridge.v1.FunctionGrowth",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :function, 1, type: :string
  field :grown_bytes, 2, type: :int64, json_name: "grownBytes"
  field :calls, 3, type: :uint64
end

defmodule Bridge.V1.Worker do
  @moduledoc """
  Worker is a worker process.
  """

  use Protobuf,
    full_name: "bridge.v1.Worker",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :id, 1, type: :string
  field :pid, 2, type: :uint32
  field :state, 3, type: Bridge.V1.WorkerState, enum: true
  field :running, 4, type: :uint32
  field :calls, 5, type: :uint64
  field :rss_bytes, 6, type: :uint64, json_name: "rssBytes"
  field :age, 7, type: Google.Protobuf.Duration
  field :place, 8, type: :uint32
  field :since_answer, 9, type: Google.Protobuf.Duration, json_name: "sinceAnswer"
  field :recycle_reason, 10, type: :string, json_name: "recycleReason"
  field :sessions, 11, type: :uint32
end

defmodule Bridge.V1.WorkerExit do
  @moduledoc """
  WorkerExit is the end of a worker process.
  """

  use Protobuf,
    full_name: "bridge.v1.WorkerExit",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :worker, 1, type: :string
  field :cause, 2, type: :string
  field :stderr_tail, 3, type: :string, json_name: "stderrTail"
  field :age, 4, type: Google.Protobuf.Duration
  field :ordered, 5, type: :bool
end

defmodule Bridge.V1.PoolServiceListRequest do
  @moduledoc """
  PoolServiceListRequest asks for the pools.
  """

  use Protobuf,
    full_name: "bridge.v1.PoolServiceListRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3
end

defmodule Bridge.V1.PoolServiceListResponse do
  @moduledoc """
  PoolServiceListResponse lists the pools.
  """

  use Protobuf,
    full_name: "bridge.v1.PoolServiceListResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :pools, 1, repeated: true, type: Bridge.V1.Pool
  field :open_calls, 2, repeated: true, type: Bridge.V1.OpenCall, json_name: "openCalls"
  field :breakers, 3, repeated: true, type: Bridge.V1.Breaker
  field :fronts, 10, repeated: true, type: Bridge.V1.Front
end

defmodule Bridge.V1.Breaker do
  @moduledoc """
  Breaker is a circuit breaker.
  """

  use Protobuf,
    full_name: "bridge.v1.Breaker",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :key, 1, type: :string
  field :state, 2, type: Bridge.V1.BreakerState, enum: true
  field :cause, 3, type: :string
  field :left, 4, type: Google.Protobuf.Duration
  field :calls, 5, type: :uint64
  field :failures, 6, type: :uint64
  field :refused, 7, type: :uint64
end

defmodule Bridge.V1.OpenBreakerRequest do
  @moduledoc """
  OpenBreakerRequest says which breaker is to open, for how long, and why.
  """

  use Protobuf,
    full_name: "bridge.v1.OpenBreakerRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :key, 1, type: :string
  field :duration, 2, type: Google.Protobuf.Duration
  field :cause, 3, type: :string
end

defmodule Bridge.V1.OpenBreakerResponse do
  @moduledoc """
  OpenBreakerResponse has the breaker as it is now.
  """

  use Protobuf,
    full_name: "bridge.v1.OpenBreakerResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :breaker, 1, type: Bridge.V1.Breaker
end

defmodule Bridge.V1.CloseBreakerRequest do
  @moduledoc """
  CloseBreakerRequest names a breaker.
  """

  use Protobuf,
    full_name: "bridge.v1.CloseBreakerRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :key, 1, type: :string
end

defmodule Bridge.V1.CloseBreakerResponse do
  @moduledoc """
  CloseBreakerResponse says whether that changed anything.
  """

  use Protobuf,
    full_name: "bridge.v1.CloseBreakerResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :closed, 1, type: :bool
end

defmodule Bridge.V1.Front do
  @moduledoc """
  Front is a process that takes gRPC on the server's address and passes every request on to the main process.
  """

  use Protobuf, full_name: "bridge.v1.Front", protoc_gen_elixir_version: "0.17.0", syntax: :proto3

  field :id, 1, type: :string
  field :pid, 2, type: :uint32
  field :state, 3, type: Bridge.V1.FrontState, enum: true
  field :open_calls, 4, type: :uint32, json_name: "openCalls"
  field :calls, 5, type: :uint64
  field :cpu, 6, type: Google.Protobuf.Duration
  field :rss_bytes, 7, type: :uint64, json_name: "rssBytes"
  field :loop_lag, 8, type: Google.Protobuf.Duration, json_name: "loopLag"
  field :link_delay, 9, type: Google.Protobuf.Duration, json_name: "linkDelay"
  field :age, 10, type: Google.Protobuf.Duration
  field :restarts, 11, type: :uint32
end

defmodule Bridge.V1.OpenCall do
  @moduledoc """
  OpenCall is a call that has not ended yet.
  """

  use Protobuf,
    full_name: "bridge.v1.OpenCall",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :request_id, 1, type: :string, json_name: "requestId"
  field :function, 2, type: :string
  field :pool, 3, type: :string
  field :worker, 4, type: :string
  field :age, 5, type: Google.Protobuf.Duration
end

defmodule Bridge.V1.PoolServiceGetRequest do
  @moduledoc """
  PoolServiceGetRequest names a pool.
  """

  use Protobuf,
    full_name: "bridge.v1.PoolServiceGetRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
end

defmodule Bridge.V1.PoolServiceGetResponse do
  @moduledoc """
  PoolServiceGetResponse carries a pool.
  """

  use Protobuf,
    full_name: "bridge.v1.PoolServiceGetResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :pool, 1, type: Bridge.V1.Pool
end

defmodule Bridge.V1.ScaleRequest do
  @moduledoc """
  ScaleRequest sets the number of workers: either size, or one or both bounds.
  """

  use Protobuf,
    full_name: "bridge.v1.ScaleRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :size, 2, proto3_optional: true, type: :uint32
  field :min_size, 3, proto3_optional: true, type: :uint32, json_name: "minSize"
  field :max_size, 4, proto3_optional: true, type: :uint32, json_name: "maxSize"
end

defmodule Bridge.V1.ScaleResponse do
  @moduledoc """
  ScaleResponse carries the pool.
  """

  use Protobuf,
    full_name: "bridge.v1.ScaleResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :pool, 1, type: Bridge.V1.Pool
end

defmodule Bridge.V1.DrainRequest do
  @moduledoc """
  DrainRequest names a pool to drain.
  """

  use Protobuf,
    full_name: "bridge.v1.DrainRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :timeout, 2, type: Google.Protobuf.Duration
end

defmodule Bridge.V1.DrainResponse do
  @moduledoc """
  DrainResponse says whether the pool is idle.
  """

  use Protobuf,
    full_name: "bridge.v1.DrainResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :drained, 1, type: :bool
  field :pool, 2, type: Bridge.V1.Pool
end

defmodule Bridge.V1.ResumeRequest do
  @moduledoc """
  ResumeRequest names a pool to resume.
  """

  use Protobuf,
    full_name: "bridge.v1.ResumeRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
end

defmodule Bridge.V1.ResumeResponse do
  @moduledoc """
  ResumeResponse carries the pool.
  """

  use Protobuf,
    full_name: "bridge.v1.ResumeResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :pool, 1, type: Bridge.V1.Pool
end

defmodule Bridge.V1.RestartRequest do
  @moduledoc """
  RestartRequest names what to replace.
  """

  use Protobuf,
    full_name: "bridge.v1.RestartRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :worker, 2, type: :string
end

defmodule Bridge.V1.RestartResponse do
  @moduledoc """
  RestartResponse says what was replaced.
  """

  use Protobuf,
    full_name: "bridge.v1.RestartResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :replaced, 1, type: :uint32
  field :pool, 2, type: Bridge.V1.Pool
end

defmodule Bridge.V1.CancelRequest do
  @moduledoc """
  CancelRequest names calls.
  """

  use Protobuf,
    full_name: "bridge.v1.CancelRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :request_id, 1, type: :string, json_name: "requestId"
end

defmodule Bridge.V1.CancelResponse do
  @moduledoc """
  CancelResponse says what was cancelled.
  """

  use Protobuf,
    full_name: "bridge.v1.CancelResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :cancelled, 1, type: :uint32
end

defmodule Bridge.V1.ReleaseInputRequest do
  @moduledoc """
  ReleaseInputRequest names an input that is refused.
  """

  use Protobuf,
    full_name: "bridge.v1.ReleaseInputRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :fingerprint, 2, type: :string
end

defmodule Bridge.V1.ReleaseInputResponse do
  @moduledoc """
  ReleaseInputResponse says what was released.
  """

  use Protobuf,
    full_name: "bridge.v1.ReleaseInputResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :released, 1, type: :uint32
end

defmodule Bridge.V1.PoolService.Service do
  @moduledoc """
  PoolService shows the pools and their workers, and changes them while they serve. What it changes lasts until the
  server ends or reloads its configuration.
  """

  use GRPC.Service, name: "bridge.v1.PoolService", protoc_gen_elixir_version: "0.17.0"

  rpc :List, Bridge.V1.PoolServiceListRequest, Bridge.V1.PoolServiceListResponse

  rpc :Get, Bridge.V1.PoolServiceGetRequest, Bridge.V1.PoolServiceGetResponse

  rpc :Scale, Bridge.V1.ScaleRequest, Bridge.V1.ScaleResponse

  rpc :Drain, Bridge.V1.DrainRequest, Bridge.V1.DrainResponse

  rpc :Resume, Bridge.V1.ResumeRequest, Bridge.V1.ResumeResponse

  rpc :Restart, Bridge.V1.RestartRequest, Bridge.V1.RestartResponse

  rpc :Cancel, Bridge.V1.CancelRequest, Bridge.V1.CancelResponse

  rpc :ReleaseInput, Bridge.V1.ReleaseInputRequest, Bridge.V1.ReleaseInputResponse

  rpc :OpenBreaker, Bridge.V1.OpenBreakerRequest, Bridge.V1.OpenBreakerResponse

  rpc :CloseBreaker, Bridge.V1.CloseBreakerRequest, Bridge.V1.CloseBreakerResponse
end

defmodule Bridge.V1.PoolService.Stub do
  use GRPC.Stub, service: Bridge.V1.PoolService.Service
end
