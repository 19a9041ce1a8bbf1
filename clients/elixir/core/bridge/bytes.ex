defmodule Bridge.Bytes do
  @moduledoc "Bytes among values, told from text. `Bridge.bytes/1` makes one."

  @enforce_keys [:data]
  defstruct [:data]

  @type t :: %__MODULE__{data: binary()}
end
