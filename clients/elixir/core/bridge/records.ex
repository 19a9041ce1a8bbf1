defmodule Bridge.ModelUsage do
  @moduledoc "Use of one language model. `cost_usd` is for calls whose price is known; `nil` where there are none."
  defstruct model: "",
            calls: 0,
            input_tokens: 0,
            output_tokens: 0,
            cached_tokens: 0,
            cost_usd: nil,
            cached_calls: 0,
            unpriced_calls: 0

  @type t :: %__MODULE__{
          model: String.t(),
          calls: non_neg_integer(),
          input_tokens: non_neg_integer(),
          output_tokens: non_neg_integer(),
          cached_tokens: non_neg_integer(),
          cost_usd: float() | nil,
          cached_calls: non_neg_integer(),
          unpriced_calls: non_neg_integer()
        }
end

defmodule Bridge.FunctionInfo do
  @moduledoc """
  One function of the server's catalogue. `kind` is `:function`, `:program` or `:builtin`, `placement` `:native`,
  `:pooled` or `:auto`. Schemas (JSON Schema, as maps) and `example` come with `Bridge.describe/3` alone.
  """
  defstruct name: "",
            kind: :unspecified,
            doc: "",
            pool: "",
            placement: :unspecified,
            streaming: false,
            idempotent: false,
            arguments_schema: %{},
            result_schema: %{},
            example: %{},
            module: ""

  @type t :: %__MODULE__{
          name: String.t(),
          kind: atom(),
          doc: String.t(),
          pool: String.t(),
          placement: atom(),
          streaming: boolean(),
          idempotent: boolean(),
          arguments_schema: map(),
          result_schema: map(),
          example: map(),
          module: String.t()
        }
end

defmodule Bridge.ProgramInfo do
  @moduledoc """
  One DSPy program. Schemas and `example` come with `Bridge.describe_program/3` alone. `version` is the one of a
  created program that serves; 0 for a program of the app.
  """
  defstruct name: "",
            doc: "",
            signature: "",
            module: "",
            pool: "",
            inputs_schema: %{},
            outputs_schema: %{},
            example: %{},
            version: 0

  @type t :: %__MODULE__{
          name: String.t(),
          doc: String.t(),
          signature: String.t(),
          module: String.t(),
          pool: String.t(),
          inputs_schema: map(),
          outputs_schema: map(),
          example: map(),
          version: non_neg_integer()
        }
end

defmodule Bridge.Generation do
  @moduledoc """
  A model's whole answer. `finish_reason` is `:stop`, `:length`, `:tool_calls`, `:content_filter` or `:unspecified`;
  `tool_calls` are maps with `:id`, `:name` and `:arguments`, JSON text that the model wrote. The turn to go on with is
  `%{role: :assistant, content: answer.text, tool_calls: answer.tool_calls}`.
  """
  defstruct text: "", finish_reason: :unspecified, model: "", usage: nil, tool_calls: []

  @type tool_call :: %{id: String.t(), name: String.t(), arguments: String.t()}
  @type t :: %__MODULE__{
          text: String.t(),
          finish_reason: atom(),
          model: String.t(),
          usage: Bridge.ModelUsage.t() | nil,
          tool_calls: [tool_call()]
        }
end

defmodule Bridge.Embeddings do
  @moduledoc "One vector, a list of floats, per text, in the order of the texts."
  defstruct vectors: [], model: "", dimensions: 0
  @type t :: %__MODULE__{vectors: [[float()]], model: String.t(), dimensions: non_neg_integer()}
end

defmodule Bridge.Score do
  @moduledoc """
  The score of one prediction, in the metric's own range, with the parts that it is made from. `signature` is the
  library's string that makes the score reproducible; it may be empty.
  """
  defstruct value: 0.0, details: %{}, parameters: %{}, signature: ""

  @type t :: %__MODULE__{
          value: float(),
          details: %{String.t() => float()},
          parameters: map(),
          signature: String.t()
        }
end

defmodule Bridge.BatchScore do
  @moduledoc """
  The scores of many predictions, each `%{value: float, details: map}`. `aggregate` is the score of all together: the
  corpus score where the metric defines one, else the mean.
  """
  defstruct scores: [], aggregate: nil, parameters: %{}, signature: ""

  @type part :: %{value: float(), details: %{String.t() => float()}}
  @type t :: %__MODULE__{scores: [part()], aggregate: part() | nil, parameters: map(), signature: String.t()}
end

defmodule Bridge.SessionInfo do
  @moduledoc """
  A session as the server sees it. `workers` has its worker in each pool that it has used, `epoch` counts its moves,
  `ttl_ms` is how long it lives without a call. `lost` is why its calls are refused, or empty.
  """
  defstruct id: "",
            mode: :unspecified,
            workers: %{},
            epoch: 0,
            opened_at: nil,
            ttl_ms: 0,
            calls: 0,
            tenant: "",
            ordered: false,
            running: 0,
            variables: 0,
            lost: ""

  @type t :: %__MODULE__{
          id: String.t(),
          mode: atom(),
          workers: %{String.t() => String.t()},
          epoch: non_neg_integer(),
          opened_at: DateTime.t() | nil,
          ttl_ms: non_neg_integer(),
          calls: non_neg_integer(),
          tenant: String.t(),
          ordered: boolean(),
          running: non_neg_integer(),
          variables: non_neg_integer(),
          lost: String.t()
        }
end

defmodule Bridge.Session do
  @moduledoc """
  A session of a connection: may stand wherever a connection may, and those calls then belong to the session.
  `Bridge.open_session/2` opens one; `Bridge.Session.of/3` names one that another process has opened.
  """
  @enforce_keys [:connection, :id]
  defstruct [:connection, :id, mode: nil]

  @type t :: %__MODULE__{connection: GenServer.server(), id: String.t(), mode: :hint | :strict | nil}

  @doc "The session with this id, which is opened by its first call where it is not open. Asks nobody."
  @spec of(GenServer.server(), String.t(), :hint | :strict | nil) :: t()
  def of(connection, id, mode \\ nil) when is_binary(id), do: %__MODULE__{connection: connection, id: id, mode: mode}
end

defmodule Bridge.Receipt do
  @moduledoc """
  Where a call's time, memory, tokens and money went, and why it was routed where it was. Times are in microseconds.

  `route` is `:native` (in the front process) or `:pooled` (in a worker). `nested` sums up the calls of other functions
  that this one has made, `budget` says what is left of the call's budget, `tools` counts the calls of tools by agents;
  `tokens/1` and `cost_usd/1` sum both the call's own use of models and that of its nested calls.
  """
  defstruct request_id: "",
            function: "",
            route: :unspecified,
            reason: "",
            pool: "",
            worker: "",
            session_epoch: 0,
            queue_us: 0,
            worker_us: 0,
            model_us: 0,
            total_us: 0,
            bytes_in: 0,
            bytes_out: 0,
            memory_change_bytes: nil,
            usage: [],
            batch_size: 0,
            batch_us: 0,
            nested: nil,
            budget: nil,
            program_version: 0,
            attempts: 0,
            alternative: "",
            hedged: false,
            fallback: false,
            tools: [],
            tool_calls: 0,
            tool_us: 0,
            answers: []

  @type t :: %__MODULE__{}

  @doc "Microseconds in neither the queue nor the worker: the front's own work, and the way there and back."
  @spec transfer_us(t()) :: non_neg_integer()
  def transfer_us(%__MODULE__{} = receipt), do: max(0, receipt.total_us - receipt.queue_us - receipt.worker_us)

  @doc "Tokens of prompts and answers, nested calls included."
  @spec tokens(t()) :: non_neg_integer()
  def tokens(%__MODULE__{} = receipt),
    do: Enum.sum(for use <- all_usage(receipt), do: use.input_tokens + use.output_tokens)

  @doc "US dollars, nested calls included, as far as prices are known; `nil` where none is."
  @spec cost_usd(t()) :: float() | nil
  def cost_usd(%__MODULE__{} = receipt) do
    case for use <- all_usage(receipt), use.cost_usd != nil, do: use.cost_usd do
      [] -> nil
      known -> Enum.sum(known)
    end
  end

  defp all_usage(%{usage: usage, nested: nil}), do: usage
  defp all_usage(%{usage: usage, nested: nested}), do: usage ++ nested.usage
end
