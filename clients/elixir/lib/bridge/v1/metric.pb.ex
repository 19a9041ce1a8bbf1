defmodule Bridge.V1.ListMetricsRequest do
  @moduledoc """
  ListMetricsRequest asks for the metrics.
  """

  use Protobuf,
    full_name: "bridge.v1.ListMetricsRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3
end

defmodule Bridge.V1.ListMetricsResponse do
  @moduledoc """
  ListMetricsResponse lists the metrics.
  """

  use Protobuf,
    full_name: "bridge.v1.ListMetricsResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :metrics, 1, repeated: true, type: Bridge.V1.MetricInfo
end

defmodule Bridge.V1.MetricInfo do
  @moduledoc """
  MetricInfo describes one metric.
  """

  use Protobuf,
    full_name: "bridge.v1.MetricInfo",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :doc, 2, type: :string
  field :parameters_schema, 3, type: :string, json_name: "parametersSchema"
  field :placement, 4, type: Bridge.V1.Placement, enum: true
  field :pool, 5, type: :string
  field :available, 6, type: :bool
  field :missing_extra, 7, type: :string, json_name: "missingExtra"
end

defmodule Bridge.V1.ScoredExample do
  @moduledoc """
  ScoredExample is a prediction and what it should have been.
  """

  use Protobuf,
    full_name: "bridge.v1.ScoredExample",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :prediction, 1, type: :string
  field :references, 2, repeated: true, type: :string
end

defmodule Bridge.V1.ScoreRequest do
  @moduledoc """
  ScoreRequest names a metric and carries one example.
  """

  use Protobuf,
    full_name: "bridge.v1.ScoreRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :metric, 1, type: :string
  field :example, 2, type: Bridge.V1.ScoredExample
  field :parameters, 3, type: :string
end

defmodule Bridge.V1.MetricScore.DetailsEntry do
  use Protobuf,
    full_name: "bridge.v1.MetricScore.DetailsEntry",
    map: true,
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :key, 1, type: :string
  field :value, 2, type: :double
end

defmodule Bridge.V1.MetricScore do
  @moduledoc """
  MetricScore is a metric's result.
  """

  use Protobuf,
    full_name: "bridge.v1.MetricScore",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :value, 1, type: :double
  field :details, 2, repeated: true, type: Bridge.V1.MetricScore.DetailsEntry, map: true
end

defmodule Bridge.V1.ScoreResponse do
  @moduledoc """
  ScoreResponse carries a score.
  """

  use Protobuf,
    full_name: "bridge.v1.ScoreResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :score, 1, type: Bridge.V1.MetricScore
  field :parameters, 2, type: :string
  field :signature, 3, type: :string
end

defmodule Bridge.V1.ScoreBatchRequest do
  @moduledoc """
  ScoreBatchRequest names a metric and carries examples.
  """

  use Protobuf,
    full_name: "bridge.v1.ScoreBatchRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :metric, 1, type: :string
  field :examples, 2, repeated: true, type: Bridge.V1.ScoredExample
  field :parameters, 3, type: :string
end

defmodule Bridge.V1.ScoreBatchResponse do
  @moduledoc """
  ScoreBatchResponse carries scores.
  """

  use Protobuf,
    full_name: "bridge.v1.ScoreBatchResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :scores, 1, repeated: true, type: Bridge.V1.MetricScore
  field :aggregate, 2, type: Bridge.V1.MetricScore
  field :parameters, 3, type: :string
  field :signature, 4, type: :string
end

defmodule Bridge.V1.MetricService.Service do
  @moduledoc """
  MetricService scores texts against references.
  """

  use GRPC.Service, name: "bridge.v1.MetricService", protoc_gen_elixir_version: "0.17.0"

  rpc :ListMetrics, Bridge.V1.ListMetricsRequest, Bridge.V1.ListMetricsResponse

  rpc :Score, Bridge.V1.ScoreRequest, Bridge.V1.ScoreResponse

  rpc :ScoreBatch, Bridge.V1.ScoreBatchRequest, Bridge.V1.ScoreBatchResponse
end

defmodule Bridge.V1.MetricService.Stub do
  use GRPC.Stub, service: Bridge.V1.MetricService.Service
end
