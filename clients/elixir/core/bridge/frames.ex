defmodule Bridge.Frames do
  @moduledoc false
  # gRPC's framing: a byte (0: not compressed), the length, the message. Pure.
  #
  # Pieces of a message are only put together when the last one is there: a large message comes in thousands.

  defstruct ready: "", pieces: [], size: 0, wanted: 5

  @type t :: %__MODULE__{
          ready: binary(),
          pieces: [binary()],
          size: non_neg_integer(),
          wanted: non_neg_integer()
        }

  @doc "A message to be sent, as iodata."
  @spec pack(iodata()) :: iodata()
  def pack(message), do: [<<0, IO.iodata_length(message)::32>>, message]

  @doc "Adds what has come."
  @spec add(t(), binary()) :: t()
  def add(%__MODULE__{ready: "", size: 0} = frames, data), do: %{frames | ready: data, wanted: 0}

  def add(%__MODULE__{} = frames, data) do
    size = frames.size + byte_size(data)

    if size < frames.wanted do
      %{frames | pieces: [data | frames.pieces], size: size}
    else
      %__MODULE__{ready: IO.iodata_to_binary([frames.ready | Enum.reverse(frames.pieces, [data])]), wanted: 0}
    end
  end

  @doc "The next whole message, or `:more` where there is none yet. `limit` is the largest message in bytes."
  @spec next(t(), pos_integer()) :: {:ok, binary(), t()} | {:more, t()} | {:error, term()}
  def next(%__MODULE__{pieces: [_ | _]} = frames, _limit), do: {:more, frames}

  def next(%__MODULE__{ready: ready} = frames, limit) do
    case ready do
      <<0, size::32, _::binary>> when size > limit -> {:error, {:too_large, size}}
      <<0, size::32, message::binary-size(size), rest::binary>> -> {:ok, message, %{frames | ready: rest, wanted: 0}}
      <<0, size::32, part::binary>> -> {:more, wait(frames, size - byte_size(part))}
      <<0, part::binary>> -> {:more, wait(frames, 4 - byte_size(part))}
      "" -> {:more, wait(frames, 5)}
      _compressed -> {:error, :compressed}
    end
  end

  # `size` counts from here on: what `ready` lacks.
  defp wait(frames, lacking), do: %{frames | wanted: lacking, size: 0}

  @doc "Whether a message has begun and not ended."
  @spec empty?(t()) :: boolean()
  def empty?(%__MODULE__{ready: ready, pieces: pieces}), do: ready == "" and pieces == []
end
