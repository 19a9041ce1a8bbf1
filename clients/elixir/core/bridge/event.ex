defmodule Bridge.Event do
  @moduledoc """
  The events of running programs and growing answers. `Bridge.stream_program/4` and `Bridge.stream_generate/3` send them.
  """

  alias __MODULE__

  defmodule FieldDelta do
    @moduledoc "Text that was added to an output field; `last` where the field is complete now."
    defstruct sequence: 0, predictor: "", field: "", text: "", last: false

    @type t :: %__MODULE__{
            sequence: non_neg_integer(),
            predictor: String.t(),
            field: String.t(),
            text: String.t(),
            last: boolean()
          }
  end

  defmodule Final do
    @moduledoc "The end of a run: its outputs, a map with one key (a string) per field."
    defstruct sequence: 0, outputs: %{}
    @type t :: %__MODULE__{sequence: non_neg_integer(), outputs: map()}
  end

  defmodule Status do
    @moduledoc """
    Where a run has come to. `step` is `:started`, `:predictor_started`, `:predictor_ended`, `:model_started`,
    `:model_ended` or `:message`; `seconds` how long it took, where it has ended; `omitted` the events that were left
    out before this one, as this client was so slow to read. `resume_token` (of the first event of a resumable run) is
    a secret.
    """
    @derive {Inspect, except: [:resume_token]}
    defstruct sequence: 0,
              step: :unspecified,
              predictor: "",
              model: "",
              seconds: 0.0,
              error: "",
              message: "",
              omitted: 0,
              resume_token: ""

    @type t :: %__MODULE__{
            sequence: non_neg_integer(),
            step: atom(),
            predictor: String.t(),
            model: String.t(),
            seconds: float(),
            error: String.t(),
            message: String.t(),
            omitted: non_neg_integer(),
            resume_token: String.t()
          }
  end

  defmodule Reasoning do
    @moduledoc "Text that a model has added to its thoughts, which are no part of its answer."
    defstruct sequence: 0, predictor: "", text: ""
    @type t :: %__MODULE__{sequence: non_neg_integer(), predictor: String.t(), text: String.t()}
  end

  defmodule ToolCalled do
    @moduledoc "The program calls a tool. `arguments` is JSON, cut off where `truncated`."
    defstruct sequence: 0, id: "", tool: "", arguments: "", truncated: false

    @type t :: %__MODULE__{
            sequence: non_neg_integer(),
            id: String.t(),
            tool: String.t(),
            arguments: String.t(),
            truncated: boolean()
          }
  end

  defmodule ToolReturned do
    @moduledoc "A tool has answered (`result`, JSON) or failed (`error`)."
    defstruct sequence: 0, id: "", tool: "", result: "", error: "", seconds: 0.0, truncated: false

    @type t :: %__MODULE__{
            sequence: non_neg_integer(),
            id: String.t(),
            tool: String.t(),
            result: String.t(),
            error: String.t(),
            seconds: float(),
            truncated: boolean()
          }
  end

  defmodule Usage do
    @moduledoc "What the run has used so far, one entry per model."
    defstruct sequence: 0, usage: []
    @type t :: %__MODULE__{sequence: non_neg_integer(), usage: [Bridge.ModelUsage.t()]}
  end

  defmodule TextDelta do
    @moduledoc "Text that a model has added to its answer."
    defstruct text: ""
    @type t :: %__MODULE__{text: String.t()}
  end

  defmodule ToolCallDelta do
    @moduledoc "A part of a tool call that a model is still writing; parts with the same index join to one call."
    defstruct index: 0, id: "", name: "", arguments: ""

    @type t :: %__MODULE__{index: non_neg_integer(), id: String.t(), name: String.t(), arguments: String.t()}
  end

  @typedoc "An event of a running program. `Final` is always the last."
  @type t ::
          Event.FieldDelta.t()
          | Event.Final.t()
          | Event.Status.t()
          | Event.Reasoning.t()
          | Event.ToolCalled.t()
          | Event.ToolReturned.t()
          | Event.Usage.t()

  @typedoc "An event of a growing answer. `Bridge.Generation` is always the last."
  @type generation :: Event.TextDelta.t() | Event.ToolCallDelta.t() | Bridge.Generation.t()
end
