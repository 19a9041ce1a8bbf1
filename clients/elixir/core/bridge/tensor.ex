defmodule Bridge.Tensor do
  @moduledoc """
  A dense array: element type, shape, and the elements, raw, little-endian, in row-major order.

      iex> tensor = Bridge.Tensor.new([[1.0, 2.0], [3.0, :nan]], "FP32")
      iex> {tensor.shape, Bridge.Tensor.to_list(tensor)}
      {[2, 2], [[1.0, 2.0], [3.0, :nan]]}

  `dtype` is `"BOOL"`, `"UINT8"` to `"UINT64"`, `"INT8"` to `"INT64"`, `"FP16"`, `"FP32"` or `"FP64"`. An `Nx.Tensor` may
  be an argument as it is; `to_nx/1` makes one of a result.
  """

  import Bitwise

  @enforce_keys [:dtype, :shape, :data]
  defstruct [:dtype, :shape, :data]

  @type t :: %__MODULE__{dtype: String.t(), shape: [non_neg_integer()], data: binary()}

  @types %{
    "BOOL" => {:bool, 8},
    "UINT8" => {:u, 8},
    "UINT16" => {:u, 16},
    "UINT32" => {:u, 32},
    "UINT64" => {:u, 64},
    "INT8" => {:s, 8},
    "INT16" => {:s, 16},
    "INT32" => {:s, 32},
    "INT64" => {:s, 64},
    "FP16" => {:f, 16},
    "FP32" => {:f, 32},
    "FP64" => {:f, 64}
  }

  @doc "Nested lists of one shape as a tensor. Raises `ArgumentError`."
  @spec new(term(), String.t()) :: t()
  def new(elements, dtype \\ "FP32") do
    type = type!(dtype)
    shape = shape(elements)
    data = for element <- flat(elements, shape), into: "", do: pack(element, type)
    %__MODULE__{dtype: dtype, shape: shape, data: data}
  end

  @doc "The elements as nested lists; the element itself where the shape is empty."
  @spec to_list(t()) :: term()
  def to_list(%__MODULE__{dtype: dtype, shape: shape, data: data}) do
    data |> unpack(type!(dtype)) |> nest(shape)
  end

  @doc "`:ok`, or what does not fit together."
  @spec check(t()) :: :ok | {:error, String.t()}
  def check(%__MODULE__{dtype: dtype, shape: shape, data: data}) do
    case @types do
      %{^dtype => {_kind, bits}} ->
        wanted = Enum.product(shape) * div(bits, 8)
        got = byte_size(data)

        if got == wanted,
          do: :ok,
          else: {:error, "expected #{wanted} bytes for #{dtype} of shape #{inspect(shape)}, got #{got}"}

      _ ->
        {:error, "expected a dtype of #{Enum.join(Map.keys(@types), ", ")}, got #{inspect(dtype)}"}
    end
  end

  @doc "An `Nx.Tensor` as a tensor. Needs Nx."
  @spec from_nx(struct()) :: t()
  def from_nx(tensor) do
    {kind, bits} = apply(Nx, :type, [tensor])
    name = Enum.find_value(@types, fn {name, type} -> type == {kind, bits} && name end)

    unless name do
      raise ArgumentError,
            "expected a tensor of #{Enum.join(Map.keys(@types), ", ")}, got #{inspect({kind, bits})}; convert it with Nx.as_type/2"
    end

    %__MODULE__{dtype: name, shape: Tuple.to_list(apply(Nx, :shape, [tensor])), data: apply(Nx, :to_binary, [tensor])}
  end

  @doc "The tensor as an `Nx.Tensor`; booleans become `u8`. Needs Nx."
  @spec to_nx(t()) :: struct()
  def to_nx(%__MODULE__{dtype: dtype, shape: shape, data: data}) do
    type =
      case type!(dtype) do
        {:bool, 8} -> {:u, 8}
        type -> type
      end

    flat = apply(Nx, :from_binary, [data, type])
    apply(Nx, :reshape, [flat, List.to_tuple(shape)])
  end

  defp type!(dtype) do
    Map.get(@types, dtype) ||
      raise ArgumentError, "expected a dtype of #{Enum.join(Map.keys(@types), ", ")}, got #{inspect(dtype)}"
  end

  defp shape([first | _] = list), do: [length(list) | shape(first)]
  defp shape([]), do: [0]
  defp shape(_element), do: []

  defp flat(element, []), do: [element]

  defp flat(list, [length | inner]) when is_list(list) and length(list) == length do
    Enum.flat_map(list, &flat(&1, inner))
  end

  defp flat(other, shape) do
    raise ArgumentError, "expected nested lists of one shape, #{inspect(shape)} here, got #{inspect(other, limit: 5)}"
  end

  defp pack(true, {:bool, 8}), do: <<1>>
  defp pack(false, {:bool, 8}), do: <<0>>

  defp pack(n, {kind, bits} = type) when is_integer(n) and kind in [:u, :s] do
    {least, most} = if kind == :u, do: {0, (1 <<< bits) - 1}, else: {-(1 <<< (bits - 1)), (1 <<< (bits - 1)) - 1}
    if n in least..most, do: <<n::little-size(bits)>>, else: refuse(n, type)
  end

  defp pack(n, {:f, bits}) when is_number(n), do: <<n::float-little-size(bits)>>
  defp pack(:nan, {:f, bits}), do: <<not_finite(:nan, bits)::little-size(bits)>>
  defp pack(:infinity, {:f, bits}), do: <<not_finite(:infinity, bits)::little-size(bits)>>
  defp pack(:neg_infinity, {:f, bits}), do: <<not_finite(:neg_infinity, bits)::little-size(bits)>>

  defp pack(element, type), do: refuse(element, type)

  defp refuse(element, {kind, bits}) do
    raise ArgumentError, "expected elements of type #{kind}#{bits}, got #{inspect(element)}"
  end

  defp not_finite(:infinity, 16), do: 0x7C00
  defp not_finite(:neg_infinity, 16), do: 0xFC00
  defp not_finite(:nan, 16), do: 0x7E00
  defp not_finite(:infinity, 32), do: 0x7F800000
  defp not_finite(:neg_infinity, 32), do: 0xFF800000
  defp not_finite(:nan, 32), do: 0x7FC00000
  defp not_finite(:infinity, 64), do: 0x7FF0000000000000
  defp not_finite(:neg_infinity, 64), do: 0xFFF0000000000000
  defp not_finite(:nan, 64), do: 0x7FF8000000000000

  defp unpack(data, {:bool, 8}), do: for(<<n <- data>>, do: n != 0)
  defp unpack(data, {:u, bits}), do: for(<<n::unsigned-little-size(bits) <- data>>, do: n)
  defp unpack(data, {:s, bits}), do: for(<<n::signed-little-size(bits) <- data>>, do: n)
  defp unpack(data, {:f, bits}), do: for(<<element::binary-size(div(bits, 8)) <- data>>, do: float(element, bits))

  defp float(element, bits) do
    case element do
      <<number::float-little-size(bits)>> -> number
      <<raw::little-size(bits)>> -> Enum.find([:infinity, :neg_infinity], :nan, &(not_finite(&1, bits) == raw))
    end
  end

  defp nest([element], []), do: element
  defp nest(elements, [_length]), do: elements

  defp nest(elements, shape) do
    [_ | inner] = shape
    size = Enum.product(inner)

    case size do
      0 -> List.duplicate(nest([], inner), hd(shape))
      _ -> elements |> Enum.chunk_every(size) |> Enum.map(&nest(&1, inner))
    end
  end
end
