defmodule Bridge.Grpc.Health.V1.HealthCheckResponse.ServingStatus do
  @moduledoc false

  use Protobuf,
    enum: true,
    full_name: "grpc.health.v1.HealthCheckResponse.ServingStatus",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :UNKNOWN, 0
  field :SERVING, 1
  field :NOT_SERVING, 2
  field :SERVICE_UNKNOWN, 3
end

defmodule Bridge.Grpc.Health.V1.HealthCheckRequest do
  @moduledoc false

  use Protobuf,
    full_name: "grpc.health.v1.HealthCheckRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :service, 1, type: :string
end

defmodule Bridge.Grpc.Health.V1.HealthCheckResponse do
  @moduledoc false

  use Protobuf,
    full_name: "grpc.health.v1.HealthCheckResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :status, 1, type: Bridge.Grpc.Health.V1.HealthCheckResponse.ServingStatus, enum: true
end

defmodule Bridge.Grpc.Health.V1.HealthListRequest do
  @moduledoc false

  use Protobuf,
    full_name: "grpc.health.v1.HealthListRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3
end

defmodule Bridge.Grpc.Health.V1.HealthListResponse.StatusesEntry do
  @moduledoc false

  use Protobuf,
    full_name: "grpc.health.v1.HealthListResponse.StatusesEntry",
    map: true,
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :key, 1, type: :string
  field :value, 2, type: Bridge.Grpc.Health.V1.HealthCheckResponse
end

defmodule Bridge.Grpc.Health.V1.HealthListResponse do
  @moduledoc false

  use Protobuf,
    full_name: "grpc.health.v1.HealthListResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :statuses, 1,
    repeated: true,
    type: Bridge.Grpc.Health.V1.HealthListResponse.StatusesEntry,
    map: true
end

defmodule Bridge.Grpc.Health.V1.Health.Service do
  @moduledoc false

  use GRPC.Service, name: "grpc.health.v1.Health", protoc_gen_elixir_version: "0.17.0"

  rpc :Check, Bridge.Grpc.Health.V1.HealthCheckRequest, Bridge.Grpc.Health.V1.HealthCheckResponse

  rpc :List, Bridge.Grpc.Health.V1.HealthListRequest, Bridge.Grpc.Health.V1.HealthListResponse

  rpc :Watch,
      Bridge.Grpc.Health.V1.HealthCheckRequest,
      stream(Bridge.Grpc.Health.V1.HealthCheckResponse)
end

defmodule Bridge.Grpc.Health.V1.Health.Stub do
  @moduledoc false

  use GRPC.Stub, service: Bridge.Grpc.Health.V1.Health.Service
end
