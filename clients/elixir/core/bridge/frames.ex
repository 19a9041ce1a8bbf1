defmodule Bridge.Frames do
  @moduledoc false
  # gRPC's framing: a byte (0: not compressed), the length, the message. Pure.

  @doc "A message to be sent, as iodata."
  @spec pack(iodata()) :: iodata()
  def pack(message), do: [<<0, IO.iodata_length(message)::32>>, message]

  @doc """
  The next whole message of what has come, or `{:more, what there is}`. `limit` is the largest message in bytes.
  """
  @spec next(binary(), pos_integer()) :: {:ok, binary(), binary()} | {:more, binary()} | {:error, term()}
  def next(<<0, size::32, _::binary>>, limit) when size > limit, do: {:error, {:too_large, size}}
  def next(<<0, size::32, message::binary-size(size), rest::binary>>, _limit), do: {:ok, message, rest}
  def next(<<0, _::binary>> = part, _limit), do: {:more, part}
  def next("", _limit), do: {:more, ""}
  def next(<<_flag, _::binary>>, _limit), do: {:error, :compressed}
end
