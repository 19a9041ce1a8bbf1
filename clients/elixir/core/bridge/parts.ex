defmodule Bridge.Parts do
  @moduledoc false
  # An item that comes in parts, put together. Pure: nil, or what has come of it.

  @type t :: nil | {total :: pos_integer(), filled :: non_neg_integer(), iodata()}

  @doc "Adds a part: `{:ok, whole item or nil, state}`, or what does not fit."
  @spec add(t(), non_neg_integer(), pos_integer(), binary()) :: {:ok, binary() | nil, t()} | {:error, String.t()}
  def add(nil, offset, total, data), do: add({total, 0, []}, offset, total, data)

  def add({total, filled, parts}, filled, total, data) when byte_size(data) > 0 and filled + byte_size(data) <= total do
    case filled + byte_size(data) do
      ^total -> {:ok, IO.iodata_to_binary([parts | data]), nil}
      filled -> {:ok, nil, {total, filled, [parts | data]}}
    end
  end

  def add({total, filled, _parts}, offset, got, data) do
    {:error, "expected the part at #{filled} of #{total} bytes, got #{offset} to #{offset + byte_size(data)} of #{got}"}
  end
end
