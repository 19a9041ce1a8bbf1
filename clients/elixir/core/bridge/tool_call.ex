defmodule Bridge.Tool.Call do
  @moduledoc """
  A call of a hosted tool, as a function of two arguments gets it: who runs the program, and how long there is time.

  `deadline` is a moment on the clock of `System.monotonic_time(:millisecond)`; `traceparent`, `request_id` and
  `session_id` are those of the run; `resent` says that it was sent before, over a connection that has broken.
  """

  @enforce_keys [:id, :tool]
  defstruct [:id, :tool, arguments: "", deadline: nil, traceparent: "", request_id: "", session_id: "", resent: false]

  @type t :: %__MODULE__{
          id: non_neg_integer(),
          tool: String.t(),
          arguments: String.t(),
          deadline: integer() | nil,
          traceparent: String.t(),
          request_id: String.t(),
          session_id: String.t(),
          resent: boolean()
        }

  @doc "Milliseconds that are left, never less than 0; `:infinity` where there is no limit."
  @spec remaining(t()) :: timeout()
  def remaining(%__MODULE__{deadline: nil}), do: :infinity
  def remaining(%__MODULE__{deadline: deadline}), do: max(0, deadline - System.monotonic_time(:millisecond))
end
