defmodule Bridge.MessagePack do
  @moduledoc false
  # MessagePack without any package. Writes what `Bridge.Value` lists, putting tensors aside; reads everything but
  # extension types, which the bridge does not send.

  import Bitwise

  alias Bridge.{Bytes, Tensor, Value}

  @most 0xFFFFFFFFFFFFFFFF
  @half 0x8000000000000000

  @doc "The value as iodata, and the tensors that were met, the last one first."
  @spec encode(term(), Value.tensors()) :: {iodata(), Value.tensors()}
  def encode(nil, tensors), do: {<<0xC0>>, tensors}
  def encode(false, tensors), do: {<<0xC2>>, tensors}
  def encode(true, tensors), do: {<<0xC3>>, tensors}
  def encode(:nan, tensors), do: {<<0xCB, 0x7FF8000000000000::64>>, tensors}
  def encode(:infinity, tensors), do: {<<0xCB, 0x7FF0000000000000::64>>, tensors}
  def encode(:neg_infinity, tensors), do: {<<0xCB, 0xFFF0000000000000::64>>, tensors}
  def encode(value, tensors) when is_atom(value), do: {text(Atom.to_string(value)), tensors}
  def encode(value, tensors) when is_binary(value), do: {text(value), tensors}
  def encode(value, tensors) when is_integer(value), do: {integer(value), tensors}
  def encode(value, tensors) when is_float(value), do: {<<0xCB, value::float-64>>, tensors}

  def encode(value, tensors) when is_list(value) do
    {items, tensors} = Enum.map_reduce(value, tensors, &encode/2)
    {[head(length(value), 0x90, 15, 0xDC) | items], tensors}
  end

  def encode(%Bytes{data: data}, tensors), do: {[bytes_head(byte_size(data)) | data], tensors}

  def encode(%Tensor{} = tensor, tensors) do
    # The slash keeps the name apart from every parameter: a tensor named like a parameter would be its argument.
    name = "tensor/#{length(tensors)}"
    {reference, _} = encode(%{"$tensor" => name}, [])
    {reference, [{name, tensor} | tensors]}
  end

  def encode(%{__struct__: module} = value, tensors) when module == Nx.Tensor do
    encode(Tensor.from_nx(value), tensors)
  end

  def encode(%_{} = value, tensors), do: encode(Value.to_plain(value), tensors)

  def encode(value, tensors) when is_map(value) do
    {members, tensors} =
      Enum.map_reduce(value, tensors, fn {key, item}, tensors ->
        {packed, tensors} = encode(item, tensors)
        {[key(key) | packed], tensors}
      end)

    {[head(map_size(value), 0x80, 15, 0xDE) | members], tensors}
  end

  def encode(value, _tensors), do: Value.refuse(value)

  defp key(key) when is_integer(key), do: integer(key)
  defp key(key), do: text(Value.key(key))

  defp text(text) do
    unless String.valid?(text), do: Value.refuse_text(text)

    case byte_size(text) do
      size when size < 32 -> <<0xA0 ||| size, text::binary>>
      size when size < 0x100 -> <<0xD9, size, text::binary>>
      size when size < 0x10000 -> [<<0xDA, size::16>> | text]
      size -> [<<0xDB, size::32>> | text]
    end
  end

  defp bytes_head(size) when size < 0x100, do: <<0xC4, size>>
  defp bytes_head(size) when size < 0x10000, do: <<0xC5, size::16>>
  defp bytes_head(size), do: <<0xC6, size::32>>

  defp head(size, small, most, _large) when size <= most, do: <<small ||| size>>
  defp head(size, _small, _most, large) when size < 0x10000, do: <<large, size::16>>
  defp head(size, _small, _most, large), do: <<large + 1, size::32>>

  defp integer(value) when value in 0..0x7F, do: <<value>>
  defp integer(value) when value in -32..-1, do: <<value::8>>
  defp integer(value) when value >= 0 and value < 0x100, do: <<0xCC, value>>
  defp integer(value) when value >= 0 and value < 0x10000, do: <<0xCD, value::16>>
  defp integer(value) when value >= 0 and value < 0x100000000, do: <<0xCE, value::32>>
  defp integer(value) when value >= 0 and value <= @most, do: <<0xCF, value::64>>
  defp integer(value) when value < 0 and value >= -@half, do: <<0xD3, value::64>>

  defp integer(value) do
    raise ArgumentError, "expected integers from -2^63 to 2^64-1, got #{value}; send larger ones as text"
  end

  # -- reading

  @doc "Reads one value; bytes become binaries, or `Bridge.Bytes` where they are to be tagged."
  @spec decode(binary(), :binary | :tagged) :: {:ok, term()} | {:error, String.t()}
  def decode(packed, bytes \\ :binary) do
    case value(packed, bytes == :tagged) do
      {value, ""} -> {:ok, value}
      {_value, rest} -> {:error, "expected one MessagePack value, got #{byte_size(rest)} bytes after it"}
    end
  catch
    {:msgpack, message} -> {:error, message}
  end

  defp value(<<0::1, number::7, rest::binary>>, _tag), do: {number, rest}
  defp value(<<0b101::3, size::5, text::binary-size(size), rest::binary>>, _tag), do: {text, rest}
  defp value(<<0x8::4, size::4, rest::binary>>, tag), do: map(rest, size, [], tag)
  defp value(<<0x9::4, size::4, rest::binary>>, tag), do: list(rest, size, [], tag)
  defp value(<<0xCB, number::float-64, rest::binary>>, _tag), do: {number, rest}

  defp value(<<0xCB, bits::64, rest::binary>>, _tag),
    do: {not_finite(bits, 0x7FF0000000000000, 0xFFF0000000000000), rest}

  defp value(<<0xC0, rest::binary>>, _tag), do: {nil, rest}
  defp value(<<0xC2, rest::binary>>, _tag), do: {false, rest}
  defp value(<<0xC3, rest::binary>>, _tag), do: {true, rest}
  defp value(<<0xD9, size, text::binary-size(size), rest::binary>>, _tag), do: {text, rest}
  defp value(<<0xDA, size::16, text::binary-size(size), rest::binary>>, _tag), do: {text, rest}
  defp value(<<0xDB, size::32, text::binary-size(size), rest::binary>>, _tag), do: {text, rest}
  defp value(<<0xCC, number, rest::binary>>, _tag), do: {number, rest}
  defp value(<<0xCD, number::16, rest::binary>>, _tag), do: {number, rest}
  defp value(<<0xCE, number::32, rest::binary>>, _tag), do: {number, rest}
  defp value(<<0xCF, number::64, rest::binary>>, _tag), do: {number, rest}
  defp value(<<0b111::3, number::5, rest::binary>>, _tag), do: {number - 32, rest}
  defp value(<<0xD0, number::signed-8, rest::binary>>, _tag), do: {number, rest}
  defp value(<<0xD1, number::signed-16, rest::binary>>, _tag), do: {number, rest}
  defp value(<<0xD2, number::signed-32, rest::binary>>, _tag), do: {number, rest}
  defp value(<<0xD3, number::signed-64, rest::binary>>, _tag), do: {number, rest}
  defp value(<<0xC4, size, data::binary-size(size), rest::binary>>, tag), do: {bytes(data, tag), rest}
  defp value(<<0xC5, size::16, data::binary-size(size), rest::binary>>, tag), do: {bytes(data, tag), rest}
  defp value(<<0xC6, size::32, data::binary-size(size), rest::binary>>, tag), do: {bytes(data, tag), rest}
  defp value(<<0xDC, size::16, rest::binary>>, tag), do: list(rest, size, [], tag)
  defp value(<<0xDD, size::32, rest::binary>>, tag), do: list(rest, size, [], tag)
  defp value(<<0xDE, size::16, rest::binary>>, tag), do: map(rest, size, [], tag)
  defp value(<<0xDF, size::32, rest::binary>>, tag), do: map(rest, size, [], tag)
  defp value(<<0xCA, number::float-32, rest::binary>>, _tag), do: {number, rest}
  defp value(<<0xCA, bits::32, rest::binary>>, _tag), do: {not_finite(bits, 0x7F800000, 0xFF800000), rest}
  defp value("", _tag), do: throw({:msgpack, "expected a MessagePack value, got the end"})
  defp value(<<kind, _::binary>>, _tag), do: throw({:msgpack, "expected a whole MessagePack value, got kind #{kind}"})

  defp not_finite(bits, bits, _negative), do: :infinity
  defp not_finite(bits, _positive, bits), do: :neg_infinity
  defp not_finite(_bits, _positive, _negative), do: :nan

  defp bytes(data, false), do: data
  defp bytes(data, true), do: %Bytes{data: data}

  defp list(rest, 0, items, _tag), do: {Enum.reverse(items), rest}

  defp list(rest, left, items, tag) do
    {item, rest} = value(rest, tag)
    list(rest, left - 1, [item | items], tag)
  end

  defp map(rest, 0, members, _tag), do: {Map.new(Enum.reverse(members)), rest}

  defp map(rest, left, members, tag) do
    {key, rest} = value(rest, tag)
    {item, rest} = value(rest, tag)
    map(rest, left - 1, [{key, item} | members], tag)
  end
end
