defmodule Bridge.V1.SimilarityFunction do
  @moduledoc """
  SimilarityFunction is how two vectors are compared.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.SimilarityFunction",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :SIMILARITY_FUNCTION_UNSPECIFIED, 0
  field :SIMILARITY_FUNCTION_COSINE, 1
  field :SIMILARITY_FUNCTION_DOT, 2
  field :SIMILARITY_FUNCTION_EUCLIDEAN, 3
  field :SIMILARITY_FUNCTION_MANHATTAN, 4
end

defmodule Bridge.V1.EmbedRequest do
  @moduledoc """
  EmbedRequest carries texts.
  """

  use Protobuf,
    full_name: "bridge.v1.EmbedRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :model, 1, type: :string
  field :texts, 2, repeated: true, type: :string
  field :normalize, 3, proto3_optional: true, type: :bool
end

defmodule Bridge.V1.EmbedResponse do
  @moduledoc """
  EmbedResponse carries vectors.
  """

  use Protobuf,
    full_name: "bridge.v1.EmbedResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :embeddings, 1, repeated: true, type: Bridge.V1.Embedding
  field :model, 2, type: :string
  field :dimensions, 3, type: :uint32
end

defmodule Bridge.V1.Embedding do
  @moduledoc """
  Embedding is one vector.
  """

  use Protobuf,
    full_name: "bridge.v1.Embedding",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :values, 1, repeated: true, type: :float
end

defmodule Bridge.V1.SimilarityRequest do
  @moduledoc """
  SimilarityRequest carries two lists of texts.
  """

  use Protobuf,
    full_name: "bridge.v1.SimilarityRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :model, 1, type: :string
  field :left, 2, repeated: true, type: :string
  field :right, 3, repeated: true, type: :string
  field :function, 4, type: Bridge.V1.SimilarityFunction, enum: true
  field :pairwise, 5, type: :bool
end

defmodule Bridge.V1.SimilarityResponse do
  @moduledoc """
  SimilarityResponse carries similarities.
  """

  use Protobuf,
    full_name: "bridge.v1.SimilarityResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :rows, 1, repeated: true, type: Bridge.V1.SimilarityRow
  field :model, 2, type: :string
end

defmodule Bridge.V1.SimilarityRow do
  @moduledoc """
  SimilarityRow is one row of similarities.
  """

  use Protobuf,
    full_name: "bridge.v1.SimilarityRow",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :scores, 1, repeated: true, type: :float
end

defmodule Bridge.V1.EmbeddingService.Service do
  @moduledoc """
  EmbeddingService turns texts into vectors and compares them.
  """

  use GRPC.Service, name: "bridge.v1.EmbeddingService", protoc_gen_elixir_version: "0.17.0"

  rpc :Embed, Bridge.V1.EmbedRequest, Bridge.V1.EmbedResponse

  rpc :Similarity, Bridge.V1.SimilarityRequest, Bridge.V1.SimilarityResponse
end

defmodule Bridge.V1.EmbeddingService.Stub do
  use GRPC.Stub, service: Bridge.V1.EmbeddingService.Service
end
