defmodule Bridge.Bytes do
  @moduledoc "Bytes among values, told from text. `new/1`, or `Bridge.bytes/1`, makes one."

  @enforce_keys [:data]
  defstruct [:data]

  @type t :: %__MODULE__{data: binary()}

  @doc "Bytes for an argument."
  @spec new(binary()) :: t()
  def new(data) when is_binary(data), do: %__MODULE__{data: data}
end
