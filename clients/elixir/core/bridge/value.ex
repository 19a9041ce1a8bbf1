defprotocol Bridge.Argument do
  @moduledoc """
  How a struct of yours becomes an argument: as a value that `Bridge.Value` lists.

      defimpl Bridge.Argument, for: MyApp.Customer do
        def to_plain(customer), do: Map.take(customer, [:name, :age])
      end
  """
  @fallback_to_any true

  @doc "The plain value: a map, a list, a text, a number."
  @spec to_plain(t()) :: term()
  def to_plain(struct)
end

defimpl Bridge.Argument, for: [Date, Time, NaiveDateTime, DateTime] do
  def to_plain(%module{} = value), do: module.to_iso8601(value)
end

defimpl Bridge.Argument, for: MapSet do
  def to_plain(set), do: MapSet.to_list(set)
end

defimpl Bridge.Argument, for: URI do
  def to_plain(uri), do: URI.to_string(uri)
end

defimpl Bridge.Argument, for: Range do
  def to_plain(range), do: Enum.to_list(range)
end

defimpl Bridge.Argument, for: Any do
  def to_plain(%Bridge.Tensor{}) do
    raise ArgumentError,
          "expected a value that JSON has a form for, got a Bridge.Tensor; convert it with Bridge.Tensor.to_list/1"
  end

  def to_plain(%{__struct__: module} = value) when module == Decimal, do: apply(module, :to_string, [value])

  def to_plain(%module{}) do
    raise ArgumentError,
          "expected a number, text, list, map, date, Bridge.Bytes or Bridge.Tensor, got a %#{inspect(module)}{}; " <>
            "convert it, or implement Bridge.Argument for it"
  end
end

defmodule Bridge.Value do
  @moduledoc """
  Values on the wire: Elixir terms to a payload and back. Pure.

  | Elixir | Python |
  |---|---|
  | `nil`, `true`, `false` | `None`, `True`, `False` |
  | integers from -2^63 to 2^64-1 | `int` |
  | floats; `:nan`, `:infinity`, `:neg_infinity` | `float` |
  | binaries, which must be UTF-8; other atoms | `str` |
  | `Bridge.bytes(binary)`; in results a plain binary, unless `bytes: :tagged` is asked for | `bytes` |
  | lists, ranges, `MapSet` | `list`, `tuple`, `set` |
  | maps; keys are texts, atoms or integers, in results texts or integers | `dict`, dataclasses, pydantic models |
  | `Date`, `Time`, `DateTime`, `NaiveDateTime`, `Decimal` | text, which the annotation turns into a date or number |
  | `Bridge.Tensor`; an `Nx.Tensor` where Nx is there | `numpy.ndarray` |
  | other structs by `Bridge.Argument` | |

  Values travel as MessagePack, in which 64-bit integers, NaN and bytes are native; arrays travel beside, as they are.
  """

  alias Bridge.{MessagePack, Tensor}

  @type tensors :: [{name :: String.t(), Tensor.t()}]

  @doc """
  Arguments as MessagePack and the tensors beside it. Raises `ArgumentError` for what cannot be sent.

      iex> {packed, []} = Bridge.Value.encode_arguments(a: 1)
      iex> packed
      <<0x81, 0xA1, ?a, 1>>
  """
  @spec encode_arguments(map() | keyword()) :: {binary(), tensors()}
  def encode_arguments(arguments) when is_map(arguments) and not is_struct(arguments), do: encode(arguments)

  def encode_arguments(arguments) when is_list(arguments) do
    unless Keyword.keyword?(arguments) do
      raise ArgumentError, "expected arguments by name, a map or a keyword list, got #{shown(arguments)}"
    end

    encode(Map.new(arguments))
  end

  def encode_arguments(other) do
    raise ArgumentError, "expected arguments by name, a map or a keyword list, got #{shown(other)}"
  end

  @doc "Any value as MessagePack and the tensors beside it. Raises `ArgumentError`."
  @spec encode(term()) :: {binary(), tensors()}
  def encode(value) do
    {packed, tensors} = MessagePack.encode(value, [])
    {IO.iodata_to_binary(packed), Enum.reverse(tensors)}
  end

  @doc """
  The value of a payload's body, `{:msgpack, binary}`, `{:json, text}`, `{:raw, bytes}` or `nil`, with the tensors and
  blobs beside it by name. `{:error, message}` where it is malformed.
  """
  @spec decode(nil | {atom(), binary()}, %{String.t() => term()}, %{String.t() => binary()}, :binary | :tagged) ::
          {:ok, term()} | {:error, String.t()}
  def decode(body, tensors \\ %{}, blobs \\ %{}, bytes \\ :binary)
  def decode(body, tensors, blobs, bytes) when tensors == %{} and blobs == %{}, do: decode_body(body, bytes)

  def decode(body, tensors, blobs, bytes) do
    blobs = Map.new(blobs, fn {name, data} -> {name, as_bytes(data, bytes)} end)

    with {:ok, value} <- decode_body(body, bytes) do
      {:ok, resolve(value, tensors, blobs)}
    end
  catch
    {:missing, kind, name} -> {:error, "the reply refers to #{kind} #{inspect(name)} but carries none of that name"}
  end

  defp decode_body(nil, _bytes), do: {:ok, nil}
  defp decode_body({_form, ""}, _bytes), do: {:ok, nil}
  defp decode_body({:raw, data}, bytes), do: {:ok, as_bytes(data, bytes)}
  defp decode_body({:msgpack, packed}, bytes), do: MessagePack.decode(packed, bytes)
  defp decode_body({:json, text}, _bytes), do: Bridge.JSON.decode(text)

  defp as_bytes(data, :binary), do: data
  defp as_bytes(data, :tagged), do: %Bridge.Bytes{data: data}

  defp resolve(%{"$tensor" => name} = value, tensors, _blobs) when map_size(value) == 1,
    do: named(tensors, "$tensor", name)

  defp resolve(%{"$blob" => name} = value, _tensors, blobs) when map_size(value) == 1, do: named(blobs, "$blob", name)
  defp resolve(%{} = value, _, _) when is_struct(value), do: value
  defp resolve(%{} = value, tensors, blobs), do: Map.new(value, fn {k, v} -> {k, resolve(v, tensors, blobs)} end)
  defp resolve(value, tensors, blobs) when is_list(value), do: Enum.map(value, &resolve(&1, tensors, blobs))
  defp resolve(value, _tensors, _blobs), do: value

  defp named(all, kind, name) do
    case all do
      %{^name => value} -> value
      _ -> throw({:missing, kind, name})
    end
  end

  @doc false
  @spec to_plain(struct()) :: term()
  def to_plain(struct), do: Bridge.Argument.to_plain(struct)

  @doc false
  @spec key(term()) :: String.t()
  def key(key) when is_binary(key), do: key
  def key(key) when is_atom(key), do: Atom.to_string(key)
  def key(key) when is_integer(key), do: Integer.to_string(key)
  def key(key), do: raise(ArgumentError, "expected a map's keys to be texts, atoms or integers, got #{shown(key)}")

  @doc false
  @spec refuse(term()) :: no_return()
  def refuse(value) when is_tuple(value) do
    raise ArgumentError, "expected a value that can be sent, got the tuple #{shown(value)}; send a list or a map"
  end

  def refuse(value) do
    raise ArgumentError, "expected a number, text, list, map, date, Bridge.Bytes or Bridge.Tensor, got #{shown(value)}"
  end

  @doc false
  @spec refuse_text(binary()) :: no_return()
  def refuse_text(data) do
    raise ArgumentError,
          "expected text in UTF-8, got #{byte_size(data)} bytes that are none; wrap bytes in Bridge.bytes/1"
  end

  defp shown(value), do: inspect(value, limit: 5, printable_limit: 60)
end
