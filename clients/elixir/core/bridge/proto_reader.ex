defmodule Bridge.ProtoReader do
  @moduledoc false
  # The fields of a protobuf message without its definition: for the few messages that are read before, or without, the
  # generated ones. Errors are read by the same code whether there are packages or not.

  import Bitwise

  @type field :: {number :: pos_integer(), non_neg_integer() | binary()}

  @doc "The fields in their order: varints and fixed numbers as integers, everything else as its bytes."
  @spec fields(binary()) :: {:ok, [field()]} | :error
  def fields(message) do
    {:ok, read(message, [])}
  catch
    :malformed -> :error
  end

  @doc "The last value of a field, or the default."
  @spec get([field()], pos_integer(), term()) :: term()
  def get(fields, number, default) do
    Enum.reduce(fields, default, fn
      {^number, value}, _ -> value
      _, found -> found
    end)
  end

  @spec all([field()], pos_integer()) :: [term()]
  def all(fields, number), do: for({^number, value} <- fields, do: value)

  @doc "A varint as the signed number of 64 bits that it stands for."
  @spec signed(non_neg_integer()) :: integer()
  def signed(number) when number >= 1 <<< 63, do: number - (1 <<< 64)
  def signed(number), do: number

  @doc "A field of bytes or text, to be sent."
  @spec write(pos_integer(), binary()) :: binary()
  def write(number, data), do: varint(number <<< 3 ||| 2) <> varint(byte_size(data)) <> data

  defp varint(number) when number < 0x80, do: <<number>>
  defp varint(number), do: <<1::1, number::7, varint(number >>> 7)::binary>>

  defp read("", fields), do: Enum.reverse(fields)

  defp read(message, fields) do
    {tag, rest} = number(message, 0, 0)
    {value, rest} = value(tag &&& 7, rest)
    read(rest, [{tag >>> 3, value} | fields])
  end

  defp value(0, rest), do: number(rest, 0, 0)
  defp value(1, <<number::little-64, rest::binary>>), do: {number, rest}
  defp value(5, <<number::little-32, rest::binary>>), do: {number, rest}

  defp value(2, rest) do
    {size, rest} = number(rest, 0, 0)

    case rest do
      <<data::binary-size(size), rest::binary>> -> {data, rest}
      _ -> throw(:malformed)
    end
  end

  defp value(_kind, _rest), do: throw(:malformed)

  defp number(<<1::1, bits::7, rest::binary>>, shift, sum) when shift < 63,
    do: number(rest, shift + 7, sum ||| bits <<< shift)

  defp number(<<0::1, bits::7, rest::binary>>, shift, sum), do: {(sum ||| bits <<< shift) &&& 0xFFFFFFFFFFFFFFFF, rest}
  defp number(_rest, _shift, _sum), do: throw(:malformed)
end
