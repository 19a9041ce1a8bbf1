defmodule Bridge.V1.Role do
  @moduledoc """
  Role is who wrote a message.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.Role",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :ROLE_UNSPECIFIED, 0
  field :ROLE_SYSTEM, 1
  field :ROLE_USER, 2
  field :ROLE_ASSISTANT, 3
  field :ROLE_TOOL, 4
end

defmodule Bridge.V1.ImageDetail do
  @moduledoc """
  ImageDetail is how closely a model looks at an image, where it has the choice.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.ImageDetail",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :IMAGE_DETAIL_UNSPECIFIED, 0
  field :IMAGE_DETAIL_LOW, 1
  field :IMAGE_DETAIL_HIGH, 2
end

defmodule Bridge.V1.ToolMode do
  @moduledoc """
  ToolMode is how far a model is free to call tools.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.ToolMode",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :TOOL_MODE_UNSPECIFIED, 0
  field :TOOL_MODE_AUTO, 1
  field :TOOL_MODE_NONE, 2
  field :TOOL_MODE_REQUIRED, 3
end

defmodule Bridge.V1.FinishReason do
  @moduledoc """
  FinishReason is why an answer ended.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.FinishReason",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :FINISH_REASON_UNSPECIFIED, 0
  field :FINISH_REASON_STOP, 1
  field :FINISH_REASON_LENGTH, 2
  field :FINISH_REASON_TOOL_CALLS, 3
  field :FINISH_REASON_CONTENT_FILTER, 4
end

defmodule Bridge.V1.ImageDelivery do
  @moduledoc """
  ImageDelivery is how images come back.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.ImageDelivery",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :IMAGE_DELIVERY_UNSPECIFIED, 0
  field :IMAGE_DELIVERY_DATA, 1
  field :IMAGE_DELIVERY_URL, 2
end

defmodule Bridge.V1.Message do
  @moduledoc """
  Message is one turn of a conversation.
  """

  use Protobuf,
    full_name: "bridge.v1.Message",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :role, 1, type: Bridge.V1.Role, enum: true
  field :content, 2, type: :string
  field :tool_calls, 3, repeated: true, type: Bridge.V1.ToolCall, json_name: "toolCalls"
  field :tool_call_id, 4, type: :string, json_name: "toolCallId"
  field :parts, 30, repeated: true, type: Bridge.V1.ContentPart
end

defmodule Bridge.V1.ContentPart do
  @moduledoc """
  ContentPart is a part of a turn.
  """

  use Protobuf,
    full_name: "bridge.v1.ContentPart",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :part, 0

  field :text, 1, type: :string, oneof: 0
  field :image, 2, type: Bridge.V1.ImageInput, oneof: 0
end

defmodule Bridge.V1.ImageInput do
  @moduledoc """
  ImageInput is an image that a model is shown.
  """

  use Protobuf,
    full_name: "bridge.v1.ImageInput",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :source, 0

  field :url, 1, type: :string, oneof: 0
  field :data, 2, type: :bytes, oneof: 0
  field :media_type, 3, type: :string, json_name: "mediaType"
  field :detail, 4, type: Bridge.V1.ImageDetail, enum: true
end

defmodule Bridge.V1.Tool do
  @moduledoc """
  Tool is a function that the model may ask to be called. The caller calls it.
  """

  use Protobuf, full_name: "bridge.v1.Tool", protoc_gen_elixir_version: "0.17.0", syntax: :proto3

  field :name, 1, type: :string
  field :description, 2, type: :string
  field :parameters_schema, 3, type: :string, json_name: "parametersSchema"
end

defmodule Bridge.V1.ToolChoice do
  @moduledoc """
  ToolChoice is whether a model must call a tool, and which.
  """

  use Protobuf,
    full_name: "bridge.v1.ToolChoice",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :choice, 0

  field :mode, 1, type: Bridge.V1.ToolMode, enum: true, oneof: 0
  field :name, 2, type: :string, oneof: 0
end

defmodule Bridge.V1.ToolCall do
  @moduledoc """
  ToolCall is a model's wish that a tool be called.
  """

  use Protobuf,
    full_name: "bridge.v1.ToolCall",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :id, 1, type: :string
  field :name, 2, type: :string
  field :arguments, 3, type: :string
end

defmodule Bridge.V1.GenerationOptions do
  @moduledoc """
  GenerationOptions steer a model. Unset options are the model's own defaults.
  """

  use Protobuf,
    full_name: "bridge.v1.GenerationOptions",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :temperature, 1, proto3_optional: true, type: :double
  field :top_p, 2, proto3_optional: true, type: :double, json_name: "topP"
  field :max_tokens, 3, proto3_optional: true, type: :int32, json_name: "maxTokens"
  field :stop, 4, repeated: true, type: :string
  field :seed, 5, proto3_optional: true, type: :int64
end

defmodule Bridge.V1.GenerateRequest do
  @moduledoc """
  GenerateRequest carries a conversation.
  """

  use Protobuf,
    full_name: "bridge.v1.GenerateRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :model, 1, type: :string
  field :messages, 2, repeated: true, type: Bridge.V1.Message
  field :options, 3, type: Bridge.V1.GenerationOptions
  field :tools, 4, repeated: true, type: Bridge.V1.Tool
  field :cache, 20, proto3_optional: true, type: :bool
  field :tool_choice, 30, type: Bridge.V1.ToolChoice, json_name: "toolChoice"

  field :parallel_tool_calls, 31,
    proto3_optional: true,
    type: :bool,
    json_name: "parallelToolCalls"
end

defmodule Bridge.V1.GenerateResponse do
  @moduledoc """
  GenerateResponse carries a model's answer.
  """

  use Protobuf,
    full_name: "bridge.v1.GenerateResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :text, 1, type: :string
  field :finish_reason, 2, type: Bridge.V1.FinishReason, json_name: "finishReason", enum: true
  field :model, 3, type: :string
  field :usage, 4, type: Bridge.V1.ModelUsage
  field :tool_calls, 5, repeated: true, type: Bridge.V1.ToolCall, json_name: "toolCalls"
end

defmodule Bridge.V1.StreamGenerateRequest do
  @moduledoc """
  StreamGenerateRequest carries a conversation.
  """

  use Protobuf,
    full_name: "bridge.v1.StreamGenerateRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :model, 1, type: :string
  field :messages, 2, repeated: true, type: Bridge.V1.Message
  field :options, 3, type: Bridge.V1.GenerationOptions
  field :tools, 4, repeated: true, type: Bridge.V1.Tool
  field :cache, 20, proto3_optional: true, type: :bool
  field :tool_choice, 30, type: Bridge.V1.ToolChoice, json_name: "toolChoice"

  field :parallel_tool_calls, 31,
    proto3_optional: true,
    type: :bool,
    json_name: "parallelToolCalls"
end

defmodule Bridge.V1.StreamGenerateResponse do
  @moduledoc """
  StreamGenerateResponse is one event of an answer.
  """

  use Protobuf,
    full_name: "bridge.v1.StreamGenerateResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :event, 0

  field :text_delta, 1, type: :string, json_name: "textDelta", oneof: 0
  field :final, 2, type: Bridge.V1.GenerateResponse, oneof: 0
  field :tool_call_delta, 30, type: Bridge.V1.ToolCallDelta, json_name: "toolCallDelta", oneof: 0
end

defmodule Bridge.V1.ToolCallDelta do
  @moduledoc """
  ToolCallDelta is a part of a tool call that a model is still writing. Parts with the same index join to one call, which
  is whole in the final answer.
  """

  use Protobuf,
    full_name: "bridge.v1.ToolCallDelta",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :index, 1, type: :int32
  field :id, 2, type: :string
  field :name, 3, type: :string
  field :arguments_delta, 4, type: :string, json_name: "argumentsDelta"
end

defmodule Bridge.V1.ExtractRequest do
  @moduledoc """
  ExtractRequest carries a conversation and the schema of the answer.
  """

  use Protobuf,
    full_name: "bridge.v1.ExtractRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :model, 1, type: :string
  field :messages, 2, repeated: true, type: Bridge.V1.Message
  field :schema, 3, type: :string
  field :options, 4, type: Bridge.V1.GenerationOptions
  field :max_retries, 5, proto3_optional: true, type: :int32, json_name: "maxRetries"
  field :cache, 20, proto3_optional: true, type: :bool
end

defmodule Bridge.V1.ExtractResponse do
  @moduledoc """
  ExtractResponse carries an answer that fits the schema.
  """

  use Protobuf,
    full_name: "bridge.v1.ExtractResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :json, 1, type: :string
  field :model, 2, type: :string
  field :usage, 3, type: Bridge.V1.ModelUsage
  field :attempts, 4, type: :int32
end

defmodule Bridge.V1.ListModelsRequest do
  @moduledoc """
  ListModelsRequest asks for the configured models.
  """

  use Protobuf,
    full_name: "bridge.v1.ListModelsRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3
end

defmodule Bridge.V1.ListModelsResponse do
  @moduledoc """
  ListModelsResponse has the configured models.
  """

  use Protobuf,
    full_name: "bridge.v1.ListModelsResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :models, 1, repeated: true, type: Bridge.V1.ModelInfo
end

defmodule Bridge.V1.ModelInfo do
  @moduledoc """
  ModelInfo is a configured model and how it stands. Counts are since the server's start, or since it was configured anew.
  """

  use Protobuf,
    full_name: "bridge.v1.ModelInfo",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :model, 2, type: :string
  field :fallbacks, 3, repeated: true, type: :string

  field :requests_per_minute, 4,
    proto3_optional: true,
    type: :uint32,
    json_name: "requestsPerMinute"

  field :tokens_per_minute, 5, proto3_optional: true, type: :uint64, json_name: "tokensPerMinute"
  field :max_concurrent, 6, proto3_optional: true, type: :uint32, json_name: "maxConcurrent"
  field :running, 7, type: :uint32
  field :waiting, 8, type: :uint32
  field :requests_last_minute, 9, type: :uint32, json_name: "requestsLastMinute"
  field :tokens_last_minute, 10, type: :uint64, json_name: "tokensLastMinute"
  field :cooling_s, 11, type: :double, json_name: "coolingS"
  field :requests, 12, type: :uint64
  field :refused, 13, type: :uint64
  field :cache_ttl_s, 14, type: :double, json_name: "cacheTtlS"
  field :cache_entries, 15, type: :uint64, json_name: "cacheEntries"
  field :cache_bytes, 16, type: :uint64, json_name: "cacheBytes"
  field :cache_hits, 17, type: :uint64, json_name: "cacheHits"
  field :cache_shared, 18, type: :uint64, json_name: "cacheShared"
  field :cache_misses, 19, type: :uint64, json_name: "cacheMisses"
end

defmodule Bridge.V1.ListCostsRequest do
  @moduledoc """
  ListCostsRequest asks for what calls have used.
  """

  use Protobuf,
    full_name: "bridge.v1.ListCostsRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :function, 1, type: :string
end

defmodule Bridge.V1.ListCostsResponse do
  @moduledoc """
  ListCostsResponse has what calls have used, the dearest first.
  """

  use Protobuf,
    full_name: "bridge.v1.ListCostsResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :costs, 1, repeated: true, type: Bridge.V1.Cost
  field :budgets, 2, repeated: true, type: Bridge.V1.BudgetInfo
end

defmodule Bridge.V1.Cost do
  @moduledoc """
  Cost is what the calls of one function by one tenant have used of one model.
  """

  use Protobuf, full_name: "bridge.v1.Cost", protoc_gen_elixir_version: "0.17.0", syntax: :proto3

  field :tenant, 1, type: :string
  field :function, 2, type: :string
  field :model, 3, type: :string
  field :requests, 4, type: :uint64
  field :cached_requests, 5, type: :uint64, json_name: "cachedRequests"
  field :input_tokens, 6, type: :uint64, json_name: "inputTokens"
  field :output_tokens, 7, type: :uint64, json_name: "outputTokens"
  field :cost_usd, 8, type: :double, json_name: "costUsd"
  field :unpriced_requests, 9, type: :uint64, json_name: "unpricedRequests"
end

defmodule Bridge.V1.BudgetInfo do
  @moduledoc """
  BudgetInfo is one holder's share of a budget of the configuration.
  """

  use Protobuf,
    full_name: "bridge.v1.BudgetInfo",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :holder, 2, type: :string
  field :ends_at_s, 3, type: :double, json_name: "endsAtS"
  field :state, 4, type: Bridge.V1.BudgetState
end

defmodule Bridge.V1.StreamExtractRequest do
  @moduledoc """
  StreamExtractRequest carries a conversation and the schema of the answer.
  """

  use Protobuf,
    full_name: "bridge.v1.StreamExtractRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :model, 1, type: :string
  field :messages, 2, repeated: true, type: Bridge.V1.Message
  field :schema, 3, type: :string
  field :options, 4, type: Bridge.V1.GenerationOptions
  field :max_retries, 5, proto3_optional: true, type: :int32, json_name: "maxRetries"
  field :cache, 20, proto3_optional: true, type: :bool
end

defmodule Bridge.V1.StreamExtractResponse do
  @moduledoc """
  StreamExtractResponse is one event of an answer.
  """

  use Protobuf,
    full_name: "bridge.v1.StreamExtractResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :event, 0

  field :partial, 1, type: Bridge.V1.PartialAnswer, oneof: 0
  field :item, 2, type: Bridge.V1.AnswerItem, oneof: 0
  field :final, 3, type: Bridge.V1.ExtractResponse, oneof: 0
end

defmodule Bridge.V1.PartialAnswer do
  @moduledoc """
  PartialAnswer is an answer that is still written. Within an attempt it only grows: keys and items are added, texts
  become longer, everything else is whole when it is first sent. It is not checked against the schema. A reader that is
  slow gets fewer of them.
  """

  use Protobuf,
    full_name: "bridge.v1.PartialAnswer",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :number, 1, type: :int32
  field :attempt, 2, type: :int32
  field :json, 3, type: :string
end

defmodule Bridge.V1.AnswerItem do
  @moduledoc """
  AnswerItem is one whole item of an answer that is a list. It fits the schema of the items; whether the whole list fits
  is known at its end.
  """

  use Protobuf,
    full_name: "bridge.v1.AnswerItem",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :number, 1, type: :int32
  field :attempt, 2, type: :int32
  field :index, 3, type: :int32
  field :json, 4, type: :string
end

defmodule Bridge.V1.Prompt do
  @moduledoc """
  Prompt is one question of a batch.
  """

  use Protobuf,
    full_name: "bridge.v1.Prompt",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :messages, 1, repeated: true, type: Bridge.V1.Message
  field :options, 2, type: Bridge.V1.GenerationOptions
  field :tools, 3, repeated: true, type: Bridge.V1.Tool
  field :tool_choice, 4, type: Bridge.V1.ToolChoice, json_name: "toolChoice"

  field :parallel_tool_calls, 5,
    proto3_optional: true,
    type: :bool,
    json_name: "parallelToolCalls"
end

defmodule Bridge.V1.GenerateBatchRequest do
  @moduledoc """
  GenerateBatchRequest carries many prompts for one model.
  """

  use Protobuf,
    full_name: "bridge.v1.GenerateBatchRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :model, 1, type: :string
  field :prompts, 2, repeated: true, type: Bridge.V1.Prompt
  field :options, 3, type: Bridge.V1.GenerationOptions
  field :max_concurrency, 4, type: :int32, json_name: "maxConcurrency"
  field :cache, 20, proto3_optional: true, type: :bool
end

defmodule Bridge.V1.GenerateBatchResponse do
  @moduledoc """
  GenerateBatchResponse carries the answers.
  """

  use Protobuf,
    full_name: "bridge.v1.GenerateBatchResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :answers, 1, repeated: true, type: Bridge.V1.BatchAnswer
  field :usage, 2, repeated: true, type: Bridge.V1.ModelUsage
  field :failed, 3, type: :int32
end

defmodule Bridge.V1.BatchAnswer do
  @moduledoc """
  BatchAnswer is what became of one prompt.
  """

  use Protobuf,
    full_name: "bridge.v1.BatchAnswer",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :outcome, 0

  field :index, 1, type: :int32
  field :answer, 2, type: Bridge.V1.GenerateResponse, oneof: 0
  field :failure, 3, type: Bridge.V1.Failure, oneof: 0
end

defmodule Bridge.V1.Failure.MetadataEntry do
  use Protobuf,
    full_name: "bridge.v1.Failure.MetadataEntry",
    map: true,
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :key, 1, type: :string
  field :value, 2, type: :string
end

defmodule Bridge.V1.Failure do
  @moduledoc """
  Failure is the failure of one part of a call whose other parts may have gone well. It has what the status of a call of
  its own would have.
  """

  use Protobuf,
    full_name: "bridge.v1.Failure",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :code, 1, type: :int32
  field :reason, 2, type: :string
  field :message, 3, type: :string
  field :metadata, 4, repeated: true, type: Bridge.V1.Failure.MetadataEntry, map: true
  field :violations, 5, repeated: true, type: Bridge.V1.FieldViolation
  field :retry_after_s, 6, proto3_optional: true, type: :double, json_name: "retryAfterS"
end

defmodule Bridge.V1.FieldViolation do
  @moduledoc """
  FieldViolation is one thing that does not fit.
  """

  use Protobuf,
    full_name: "bridge.v1.FieldViolation",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :field, 1, type: :string
  field :description, 2, type: :string
end

defmodule Bridge.V1.StreamGenerateBatchRequest do
  @moduledoc """
  StreamGenerateBatchRequest carries many prompts for one model.
  """

  use Protobuf,
    full_name: "bridge.v1.StreamGenerateBatchRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :model, 1, type: :string
  field :prompts, 2, repeated: true, type: Bridge.V1.Prompt
  field :options, 3, type: Bridge.V1.GenerationOptions
  field :max_concurrency, 4, type: :int32, json_name: "maxConcurrency"
  field :cache, 20, proto3_optional: true, type: :bool
end

defmodule Bridge.V1.StreamGenerateBatchResponse do
  @moduledoc """
  StreamGenerateBatchResponse is one event of a batch.
  """

  use Protobuf,
    full_name: "bridge.v1.StreamGenerateBatchResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :event, 0

  field :answer, 1, type: Bridge.V1.BatchAnswer, oneof: 0
  field :final, 2, type: Bridge.V1.BatchSummary, oneof: 0
end

defmodule Bridge.V1.BatchSummary do
  @moduledoc """
  BatchSummary sums up a batch.
  """

  use Protobuf,
    full_name: "bridge.v1.BatchSummary",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :answered, 1, type: :int32
  field :failed, 2, type: :int32
  field :usage, 3, repeated: true, type: Bridge.V1.ModelUsage
end

defmodule Bridge.V1.ExtractBatchRequest do
  @moduledoc """
  ExtractBatchRequest carries many prompts for one model, and the schema of each answer.
  """

  use Protobuf,
    full_name: "bridge.v1.ExtractBatchRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :model, 1, type: :string
  field :prompts, 2, repeated: true, type: Bridge.V1.Prompt
  field :schema, 3, type: :string
  field :options, 4, type: Bridge.V1.GenerationOptions
  field :max_retries, 5, proto3_optional: true, type: :int32, json_name: "maxRetries"
  field :max_concurrency, 6, type: :int32, json_name: "maxConcurrency"
  field :cache, 20, proto3_optional: true, type: :bool
end

defmodule Bridge.V1.ExtractBatchResponse do
  @moduledoc """
  ExtractBatchResponse carries the answers.
  """

  use Protobuf,
    full_name: "bridge.v1.ExtractBatchResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :answers, 1, repeated: true, type: Bridge.V1.ExtractBatchAnswer
  field :usage, 2, repeated: true, type: Bridge.V1.ModelUsage
  field :failed, 3, type: :int32
end

defmodule Bridge.V1.ExtractBatchAnswer do
  @moduledoc """
  ExtractBatchAnswer is what became of one prompt.
  """

  use Protobuf,
    full_name: "bridge.v1.ExtractBatchAnswer",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :outcome, 0

  field :index, 1, type: :int32
  field :answer, 2, type: Bridge.V1.ExtractResponse, oneof: 0
  field :failure, 3, type: Bridge.V1.Failure, oneof: 0
end

defmodule Bridge.V1.GenerateImagesRequest do
  @moduledoc """
  GenerateImagesRequest says what the images are to show.
  """

  use Protobuf,
    full_name: "bridge.v1.GenerateImagesRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :model, 1, type: :string
  field :prompt, 2, type: :string
  field :count, 3, type: :int32
  field :size, 4, type: :string
  field :quality, 5, type: :string
  field :delivery, 6, type: Bridge.V1.ImageDelivery, enum: true
end

defmodule Bridge.V1.GenerateImagesResponse do
  @moduledoc """
  GenerateImagesResponse carries images.
  """

  use Protobuf,
    full_name: "bridge.v1.GenerateImagesResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :images, 1, repeated: true, type: Bridge.V1.GeneratedImage
  field :model, 2, type: :string
  field :usage, 3, type: Bridge.V1.ModelUsage
end

defmodule Bridge.V1.GeneratedImage do
  @moduledoc """
  GeneratedImage is an image that a model has made.
  """

  use Protobuf,
    full_name: "bridge.v1.GeneratedImage",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :source, 0

  field :data, 1, type: :bytes, oneof: 0
  field :url, 2, type: :string, oneof: 0
  field :media_type, 3, type: :string, json_name: "mediaType"
  field :revised_prompt, 4, type: :string, json_name: "revisedPrompt"
end

defmodule Bridge.V1.ModelService.Service do
  @moduledoc """
  ModelService calls the language models that the server's configuration names.
  """

  use GRPC.Service, name: "bridge.v1.ModelService", protoc_gen_elixir_version: "0.17.0"

  rpc :Generate, Bridge.V1.GenerateRequest, Bridge.V1.GenerateResponse

  rpc :StreamGenerate, Bridge.V1.StreamGenerateRequest, stream(Bridge.V1.StreamGenerateResponse)

  rpc :Extract, Bridge.V1.ExtractRequest, Bridge.V1.ExtractResponse

  rpc :ListModels, Bridge.V1.ListModelsRequest, Bridge.V1.ListModelsResponse

  rpc :ListCosts, Bridge.V1.ListCostsRequest, Bridge.V1.ListCostsResponse

  rpc :StreamExtract, Bridge.V1.StreamExtractRequest, stream(Bridge.V1.StreamExtractResponse)

  rpc :GenerateBatch, Bridge.V1.GenerateBatchRequest, Bridge.V1.GenerateBatchResponse

  rpc :StreamGenerateBatch,
      Bridge.V1.StreamGenerateBatchRequest,
      stream(Bridge.V1.StreamGenerateBatchResponse)

  rpc :ExtractBatch, Bridge.V1.ExtractBatchRequest, Bridge.V1.ExtractBatchResponse

  rpc :GenerateImages, Bridge.V1.GenerateImagesRequest, Bridge.V1.GenerateImagesResponse
end

defmodule Bridge.V1.ModelService.Stub do
  use GRPC.Stub, service: Bridge.V1.ModelService.Service
end
