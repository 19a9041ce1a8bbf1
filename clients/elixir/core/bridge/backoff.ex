defmodule Bridge.Backoff do
  @moduledoc false
  # Pauses between attempts: each twice the one before up to a limit, less up to a fifth of it by chance, so that the
  # clients of a server that comes back do not all come at once.

  @enforce_keys [:min, :max]
  defstruct [:min, :max, attempt: 0]

  @type t :: %__MODULE__{min: pos_integer(), max: pos_integer(), attempt: non_neg_integer()}

  @spec new(pos_integer(), pos_integer()) :: t()
  def new(min, max) when is_integer(min) and is_integer(max) and min > 0 and max >= min do
    %__MODULE__{min: min, max: max}
  end

  def new(min, max) do
    raise ArgumentError,
          "expected a backoff of [min: ms, max: ms] with 0 < min <= max, got #{inspect(min: min, max: max)}"
  end

  @doc "The next pause in milliseconds; `chance` is from 0.0 to 1.0."
  @spec next(t(), float()) :: {pos_integer(), t()}
  def next(%__MODULE__{} = backoff, chance \\ :rand.uniform()) do
    whole = min(backoff.max, backoff.min * Integer.pow(2, min(backoff.attempt, 30)))
    {max(1, round(whole * (1 - 0.2 * chance))), %{backoff | attempt: backoff.attempt + 1}}
  end

  @spec reset(t()) :: t()
  def reset(%__MODULE__{} = backoff), do: %{backoff | attempt: 0}
end
