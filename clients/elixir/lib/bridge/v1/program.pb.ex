defmodule Bridge.V1.RunStep do
  @moduledoc """
  RunStep is where a run has come to.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.RunStep",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :RUN_STEP_UNSPECIFIED, 0
  field :RUN_STEP_STARTED, 1
  field :RUN_STEP_PREDICTOR_STARTED, 2
  field :RUN_STEP_PREDICTOR_ENDED, 3
  field :RUN_STEP_MODEL_STARTED, 4
  field :RUN_STEP_MODEL_ENDED, 5
  field :RUN_STEP_MESSAGE, 6
end

defmodule Bridge.V1.ModuleKind do
  @moduledoc """
  ModuleKind is how a program goes about its work.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.ModuleKind",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :MODULE_KIND_UNSPECIFIED, 0
  field :MODULE_KIND_PREDICT, 1
  field :MODULE_KIND_CHAIN_OF_THOUGHT, 2
  field :MODULE_KIND_REACT, 3
  field :MODULE_KIND_PROGRAM_OF_THOUGHT, 4
  field :MODULE_KIND_CODE_ACT, 5
  field :MODULE_KIND_BEST_OF_N, 6
  field :MODULE_KIND_REFINE, 7
  field :MODULE_KIND_MULTI_CHAIN_COMPARISON, 8
  field :MODULE_KIND_PARALLEL, 9
  field :MODULE_KIND_KNN_FEW_SHOT, 10
  field :MODULE_KIND_RLM, 11
end

defmodule Bridge.V1.PromptAdapter do
  @moduledoc """
  PromptAdapter is how a signature becomes a prompt.
  """

  use Protobuf,
    enum: true,
    full_name: "bridge.v1.PromptAdapter",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :PROMPT_ADAPTER_UNSPECIFIED, 0
  field :PROMPT_ADAPTER_CHAT, 1
  field :PROMPT_ADAPTER_JSON, 2
  field :PROMPT_ADAPTER_XML, 3
  field :PROMPT_ADAPTER_TWO_STEP, 4
end

defmodule Bridge.V1.RunRequest do
  @moduledoc """
  RunRequest names a program and carries its inputs.
  """

  use Protobuf,
    full_name: "bridge.v1.RunRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :program, 1, type: :string
  field :inputs, 2, type: Bridge.V1.Payload
  field :model, 3, type: :string
  field :adapter, 4, type: Bridge.V1.PromptAdapter, enum: true
  field :temperature, 5, proto3_optional: true, type: :double
  field :max_tokens, 6, proto3_optional: true, type: :int32, json_name: "maxTokens"
  field :cache, 7, proto3_optional: true, type: :bool
  field :version, 10, type: :int64
  field :tools, 13, repeated: true, type: :string
  field :tool_registrations, 14, repeated: true, type: :string, json_name: "toolRegistrations"
end

defmodule Bridge.V1.RunResponse do
  @moduledoc """
  RunResponse carries a program's outputs.
  """

  use Protobuf,
    full_name: "bridge.v1.RunResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :outputs, 1, type: Bridge.V1.Payload
end

defmodule Bridge.V1.StreamRunRequest do
  @moduledoc """
  StreamRunRequest names a program and carries its inputs.
  """

  use Protobuf,
    full_name: "bridge.v1.StreamRunRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :program, 1, type: :string
  field :inputs, 2, type: Bridge.V1.Payload
  field :model, 3, type: :string
  field :adapter, 4, type: Bridge.V1.PromptAdapter, enum: true
  field :temperature, 5, proto3_optional: true, type: :double
  field :max_tokens, 6, proto3_optional: true, type: :int32, json_name: "maxTokens"
  field :cache, 7, proto3_optional: true, type: :bool
  field :resumable, 8, type: :bool
  field :all_events, 9, type: :bool, json_name: "allEvents"
  field :version, 10, type: :int64
  field :tools, 13, repeated: true, type: :string
  field :tool_registrations, 14, repeated: true, type: :string, json_name: "toolRegistrations"
end

defmodule Bridge.V1.StreamRunResponse do
  @moduledoc """
  StreamRunResponse is one event of a running program.
  """

  use Protobuf,
    full_name: "bridge.v1.StreamRunResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  oneof :event, 0

  field :sequence, 1, type: :uint64
  field :field_delta, 2, type: Bridge.V1.FieldDelta, json_name: "fieldDelta", oneof: 0
  field :final, 3, type: Bridge.V1.FinalOutputs, oneof: 0
  field :status, 4, type: Bridge.V1.RunStatus, oneof: 0
  field :reasoning_delta, 5, type: Bridge.V1.ReasoningDelta, json_name: "reasoningDelta", oneof: 0
  field :tool_call, 6, type: Bridge.V1.RunToolCall, json_name: "toolCall", oneof: 0
  field :tool_result, 7, type: Bridge.V1.RunToolResult, json_name: "toolResult", oneof: 0
  field :usage, 8, type: Bridge.V1.RunUsage, oneof: 0
  field :resume_token, 20, type: :string, json_name: "resumeToken"
end

defmodule Bridge.V1.ResumeRunRequest do
  @moduledoc """
  ResumeRunRequest names a run and says where to go on.
  """

  use Protobuf,
    full_name: "bridge.v1.ResumeRunRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :token, 1, type: :string
  field :after_sequence, 2, type: :uint64, json_name: "afterSequence"
end

defmodule Bridge.V1.ResumeRunResponse do
  @moduledoc """
  ResumeRunResponse is one event of a run.
  """

  use Protobuf,
    full_name: "bridge.v1.ResumeRunResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :event, 1, type: Bridge.V1.StreamRunResponse
end

defmodule Bridge.V1.CancelRunRequest do
  @moduledoc """
  CancelRunRequest names a run.
  """

  use Protobuf,
    full_name: "bridge.v1.CancelRunRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :token, 1, type: :string
end

defmodule Bridge.V1.CancelRunResponse do
  @moduledoc """
  CancelRunResponse says that the run has been told to end, unless it had ended.
  """

  use Protobuf,
    full_name: "bridge.v1.CancelRunResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :cancelled, 1, type: :bool
end

defmodule Bridge.V1.FieldDelta do
  @moduledoc """
  FieldDelta is text that was added to an output field.
  """

  use Protobuf,
    full_name: "bridge.v1.FieldDelta",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :predictor, 1, type: :string
  field :field, 2, type: :string
  field :text, 3, type: :string
  field :last, 4, type: :bool
end

defmodule Bridge.V1.RunStatus do
  @moduledoc """
  RunStatus says where a run has come to.
  """

  use Protobuf,
    full_name: "bridge.v1.RunStatus",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :step, 1, type: Bridge.V1.RunStep, enum: true
  field :predictor, 2, type: :string
  field :model, 3, type: :string
  field :seconds, 4, type: :double
  field :error, 5, type: :string
  field :message, 6, type: :string
  field :omitted, 7, type: :uint64
end

defmodule Bridge.V1.ReasoningDelta do
  @moduledoc """
  ReasoningDelta is text that a model has added to its thoughts.
  """

  use Protobuf,
    full_name: "bridge.v1.ReasoningDelta",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :predictor, 1, type: :string
  field :text, 2, type: :string
end

defmodule Bridge.V1.RunToolCall do
  @moduledoc """
  RunToolCall is a call of a tool by a program.
  """

  use Protobuf,
    full_name: "bridge.v1.RunToolCall",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :id, 1, type: :string
  field :tool, 2, type: :string
  field :arguments, 3, type: :string
  field :truncated, 4, type: :bool
end

defmodule Bridge.V1.RunToolResult do
  @moduledoc """
  RunToolResult is how a call of a tool has ended.
  """

  use Protobuf,
    full_name: "bridge.v1.RunToolResult",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :id, 1, type: :string
  field :tool, 2, type: :string
  field :result, 3, type: :string
  field :error, 4, type: :string
  field :seconds, 5, type: :double
  field :truncated, 6, type: :bool
end

defmodule Bridge.V1.RunUsage do
  @moduledoc """
  RunUsage is what a run has used so far.
  """

  use Protobuf,
    full_name: "bridge.v1.RunUsage",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :usage, 1, repeated: true, type: Bridge.V1.ModelUsage
end

defmodule Bridge.V1.FinalOutputs do
  @moduledoc """
  FinalOutputs are a program's outputs.
  """

  use Protobuf,
    full_name: "bridge.v1.FinalOutputs",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :outputs, 1, type: Bridge.V1.Payload
end

defmodule Bridge.V1.ProgramServiceListRequest do
  @moduledoc """
  ProgramServiceListRequest asks for a page of programs.
  """

  use Protobuf,
    full_name: "bridge.v1.ProgramServiceListRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :page_size, 1, type: :int32, json_name: "pageSize"
  field :page_token, 2, type: :string, json_name: "pageToken"
end

defmodule Bridge.V1.ProgramServiceListResponse do
  @moduledoc """
  ProgramServiceListResponse is a page of programs.
  """

  use Protobuf,
    full_name: "bridge.v1.ProgramServiceListResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :programs, 1, repeated: true, type: Bridge.V1.ProgramInfo
  field :next_page_token, 2, type: :string, json_name: "nextPageToken"
end

defmodule Bridge.V1.ProgramServiceDescribeRequest do
  @moduledoc """
  ProgramServiceDescribeRequest names a program.
  """

  use Protobuf,
    full_name: "bridge.v1.ProgramServiceDescribeRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :program, 1, type: :string
end

defmodule Bridge.V1.ProgramServiceDescribeResponse do
  @moduledoc """
  ProgramServiceDescribeResponse describes a program.
  """

  use Protobuf,
    full_name: "bridge.v1.ProgramServiceDescribeResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :program, 1, type: Bridge.V1.ProgramInfo
  field :source, 2, type: Bridge.V1.ProgramSource
end

defmodule Bridge.V1.ProgramInfo do
  @moduledoc """
  ProgramInfo describes one program.
  """

  use Protobuf,
    full_name: "bridge.v1.ProgramInfo",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :doc, 2, type: :string
  field :signature, 3, type: :string
  field :module, 4, type: :string
  field :pool, 5, type: :string
  field :inputs_schema, 6, type: :string, json_name: "inputsSchema"
  field :outputs_schema, 7, type: :string, json_name: "outputsSchema"
  field :example, 8, type: :string
  field :version, 9, type: :int64
end

defmodule Bridge.V1.ProgramSource.TypesEntry do
  use Protobuf,
    full_name: "bridge.v1.ProgramSource.TypesEntry",
    map: true,
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :key, 1, type: :string
  field :value, 2, type: :string
end

defmodule Bridge.V1.ProgramSource do
  @moduledoc """
  ProgramSource is what a program is made from. It is data: nothing in it is ever run as code.
  """

  use Protobuf,
    full_name: "bridge.v1.ProgramSource",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :signature, 1, type: :string
  field :inputs, 2, repeated: true, type: Bridge.V1.ProgramField
  field :outputs, 3, repeated: true, type: Bridge.V1.ProgramField
  field :types, 4, repeated: true, type: Bridge.V1.ProgramSource.TypesEntry, map: true
  field :instructions, 5, type: :string
  field :module, 6, type: Bridge.V1.ModuleKind, enum: true
  field :options, 7, type: Bridge.V1.ModuleOptions
  field :tools, 8, repeated: true, type: :string
  field :demos, 9, repeated: true, type: :string
  field :model, 10, type: :string
  field :adapter, 11, type: Bridge.V1.PromptAdapter, enum: true
  field :temperature, 12, proto3_optional: true, type: :double
  field :max_tokens, 13, proto3_optional: true, type: :int32, json_name: "maxTokens"
  field :doc, 14, type: :string
end

defmodule Bridge.V1.ProgramField do
  @moduledoc """
  ProgramField is one input or output.
  """

  use Protobuf,
    full_name: "bridge.v1.ProgramField",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :name, 1, type: :string
  field :type, 2, type: :string
  field :schema, 3, type: :string
  field :description, 4, type: :string
  field :default, 5, proto3_optional: true, type: :string
  field :ge, 6, proto3_optional: true, type: :double
  field :gt, 7, proto3_optional: true, type: :double
  field :le, 8, proto3_optional: true, type: :double
  field :lt, 9, proto3_optional: true, type: :double
  field :multiple_of, 10, proto3_optional: true, type: :double, json_name: "multipleOf"
  field :min_length, 11, proto3_optional: true, type: :int64, json_name: "minLength"
  field :max_length, 12, proto3_optional: true, type: :int64, json_name: "maxLength"
  field :pattern, 13, proto3_optional: true, type: :string
end

defmodule Bridge.V1.ModuleOptions do
  @moduledoc """
  ModuleOptions are what only some kinds of module know; what does not apply to the kind is refused.
  """

  use Protobuf,
    full_name: "bridge.v1.ModuleOptions",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :max_iters, 1, proto3_optional: true, type: :int32, json_name: "maxIters"
  field :inner, 2, proto3_optional: true, type: Bridge.V1.ModuleKind, enum: true
  field :n, 3, proto3_optional: true, type: :int32
  field :reward, 4, type: :string
  field :threshold, 5, proto3_optional: true, type: :double
  field :k, 6, proto3_optional: true, type: :int32
  field :embedding, 7, type: :string
  field :max_llm_calls, 8, proto3_optional: true, type: :int32, json_name: "maxLlmCalls"
  field :num_threads, 9, proto3_optional: true, type: :int32, json_name: "numThreads"
end

defmodule Bridge.V1.CreateProgramRequest do
  @moduledoc """
  CreateProgramRequest names a new program and says what it is made from.
  """

  use Protobuf,
    full_name: "bridge.v1.CreateProgramRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :program, 1, type: :string
  field :source, 2, type: Bridge.V1.ProgramSource
end

defmodule Bridge.V1.CreateProgramResponse do
  @moduledoc """
  CreateProgramResponse describes the new program.
  """

  use Protobuf,
    full_name: "bridge.v1.CreateProgramResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :program, 1, type: Bridge.V1.ProgramInfo
end

defmodule Bridge.V1.UpdateProgramRequest do
  @moduledoc """
  UpdateProgramRequest says what the next version of a program is made from, all of it.
  """

  use Protobuf,
    full_name: "bridge.v1.UpdateProgramRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :program, 1, type: :string
  field :source, 2, type: Bridge.V1.ProgramSource
  field :expected_version, 3, type: :int64, json_name: "expectedVersion"
end

defmodule Bridge.V1.UpdateProgramResponse do
  @moduledoc """
  UpdateProgramResponse describes the program that serves now.
  """

  use Protobuf,
    full_name: "bridge.v1.UpdateProgramResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :program, 1, type: Bridge.V1.ProgramInfo
  field :changes, 2, repeated: true, type: Bridge.V1.ProgramChange
end

defmodule Bridge.V1.ProgramChange do
  @moduledoc """
  ProgramChange is one difference between two versions of a program's signature.
  """

  use Protobuf,
    full_name: "bridge.v1.ProgramChange",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :field, 1, type: :string
  field :description, 2, type: :string
  field :breaking, 3, type: :bool
end

defmodule Bridge.V1.DeleteProgramRequest do
  @moduledoc """
  DeleteProgramRequest names a created program.
  """

  use Protobuf,
    full_name: "bridge.v1.DeleteProgramRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :program, 1, type: :string
end

defmodule Bridge.V1.DeleteProgramResponse do
  @moduledoc """
  DeleteProgramResponse says that the program is gone.
  """

  use Protobuf,
    full_name: "bridge.v1.DeleteProgramResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3
end

defmodule Bridge.V1.ListProgramVersionsRequest do
  @moduledoc """
  ListProgramVersionsRequest names a created program.
  """

  use Protobuf,
    full_name: "bridge.v1.ListProgramVersionsRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :program, 1, type: :string
end

defmodule Bridge.V1.ListProgramVersionsResponse do
  @moduledoc """
  ListProgramVersionsResponse lists versions.
  """

  use Protobuf,
    full_name: "bridge.v1.ListProgramVersionsResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :versions, 1, repeated: true, type: Bridge.V1.ProgramVersion
  field :serving, 2, type: :int64
end

defmodule Bridge.V1.ProgramVersion do
  @moduledoc """
  ProgramVersion is one version of a created program.
  """

  use Protobuf,
    full_name: "bridge.v1.ProgramVersion",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :version, 1, type: :int64
  field :source, 2, type: Bridge.V1.ProgramSource
end

defmodule Bridge.V1.ServeProgramVersionRequest do
  @moduledoc """
  ServeProgramVersionRequest names a version.
  """

  use Protobuf,
    full_name: "bridge.v1.ServeProgramVersionRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :program, 1, type: :string
  field :version, 2, type: :int64
end

defmodule Bridge.V1.ServeProgramVersionResponse do
  @moduledoc """
  ServeProgramVersionResponse describes the program that serves now.
  """

  use Protobuf,
    full_name: "bridge.v1.ServeProgramVersionResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :program, 1, type: Bridge.V1.ProgramInfo
end

defmodule Bridge.V1.CheckSignatureRequest do
  @moduledoc """
  CheckSignatureRequest carries a signature.
  """

  use Protobuf,
    full_name: "bridge.v1.CheckSignatureRequest",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :source, 1, type: Bridge.V1.ProgramSource
end

defmodule Bridge.V1.CheckSignatureResponse do
  @moduledoc """
  CheckSignatureResponse says what a signature means, or what is wrong with it.
  """

  use Protobuf,
    full_name: "bridge.v1.CheckSignatureResponse",
    protoc_gen_elixir_version: "0.17.0",
    syntax: :proto3

  field :signature, 1, type: :string
  field :inputs_schema, 2, type: :string, json_name: "inputsSchema"
  field :outputs_schema, 3, type: :string, json_name: "outputsSchema"
  field :error, 4, type: :string
  field :column, 5, type: :int32
  field :length, 6, type: :int32
end

defmodule Bridge.V1.ProgramService.Service do
  @moduledoc """
  ProgramService runs the DSPy programs of the app.
  """

  use GRPC.Service, name: "bridge.v1.ProgramService", protoc_gen_elixir_version: "0.17.0"

  rpc :Run, Bridge.V1.RunRequest, Bridge.V1.RunResponse

  rpc :StreamRun, Bridge.V1.StreamRunRequest, stream(Bridge.V1.StreamRunResponse)

  rpc :ResumeRun, Bridge.V1.ResumeRunRequest, stream(Bridge.V1.ResumeRunResponse)

  rpc :CancelRun, Bridge.V1.CancelRunRequest, Bridge.V1.CancelRunResponse

  rpc :List, Bridge.V1.ProgramServiceListRequest, Bridge.V1.ProgramServiceListResponse

  rpc :Describe, Bridge.V1.ProgramServiceDescribeRequest, Bridge.V1.ProgramServiceDescribeResponse

  rpc :CreateProgram, Bridge.V1.CreateProgramRequest, Bridge.V1.CreateProgramResponse

  rpc :UpdateProgram, Bridge.V1.UpdateProgramRequest, Bridge.V1.UpdateProgramResponse

  rpc :DeleteProgram, Bridge.V1.DeleteProgramRequest, Bridge.V1.DeleteProgramResponse

  rpc :ListProgramVersions,
      Bridge.V1.ListProgramVersionsRequest,
      Bridge.V1.ListProgramVersionsResponse

  rpc :ServeProgramVersion,
      Bridge.V1.ServeProgramVersionRequest,
      Bridge.V1.ServeProgramVersionResponse

  rpc :CheckSignature, Bridge.V1.CheckSignatureRequest, Bridge.V1.CheckSignatureResponse
end

defmodule Bridge.V1.ProgramService.Stub do
  use GRPC.Stub, service: Bridge.V1.ProgramService.Service
end
