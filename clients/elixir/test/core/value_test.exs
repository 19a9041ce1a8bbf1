defmodule Bridge.ValueTest do
  use ExUnit.Case, async: true
  doctest Bridge.Value
  doctest Bridge.Tensor

  alias Bridge.{Tensor, Value}

  defmodule Customer do
    defstruct [:name]
    defimpl(Bridge.Argument, do: def(to_plain(customer), do: %{name: customer.name}))
  end

  defmodule Unknown do
    defstruct [:name]
  end

  defp back(value) do
    {packed, tensors} = Value.encode(value)
    {:ok, value} = Value.decode({:msgpack, packed}, Map.new(tensors))
    value
  end

  test "what is sent comes back" do
    for value <- [
          nil,
          true,
          false,
          0,
          127,
          128,
          255,
          256,
          65_535,
          65_536,
          4_294_967_295,
          4_294_967_296,
          18_446_744_073_709_551_615,
          -1,
          -32,
          -33,
          -128,
          -129,
          -32_768,
          -2_147_483_649,
          -9_223_372_036_854_775_808,
          1.5,
          -0.1,
          1.0e300,
          :nan,
          :infinity,
          :neg_infinity,
          "",
          "ü",
          String.duplicate("x", 31),
          String.duplicate("x", 32),
          String.duplicate("x", 300),
          String.duplicate("x", 70_000),
          [],
          Enum.to_list(1..15),
          Enum.to_list(1..16),
          Enum.to_list(1..70_000),
          %{},
          %{"a" => %{"b" => [nil]}},
          Map.new(1..20, &{"key#{&1}", &1}),
          Map.new(1..70_000, &{&1, 0})
        ] do
      assert back(value) == value
    end
  end

  test "integers take the fewest bytes, as MessagePack defines them" do
    for {value, bytes} <- [
          {-33, <<0xD3, -33::64>>},
          {-1, <<0xFF>>},
          {200, <<0xCC, 200>>},
          {1 + 0xFFFFFFFF, <<0xCF, 0x100000000::64>>}
        ] do
      assert {^bytes, []} = Value.encode(value)
    end

    for {bytes, value} <- [{<<0xD0, -100>>, -100}, {<<0xD1, -1000::16>>, -1000}, {<<0xD2, -100_000::32>>, -100_000}] do
      assert Value.decode({:msgpack, bytes}) == {:ok, value}
    end
  end

  test "atoms, dates, ranges and sets become plain values" do
    assert back(%{1 => ~D[2026-11-21], :a => :b}) == %{"a" => "b", 1 => "2026-11-21"}
    assert back(~U[2026-11-21 10:00:00Z]) == "2026-11-21T10:00:00Z"
    assert back([1..3, MapSet.new([1])]) == [[1, 2, 3], [1]]
    assert back(%Customer{name: "Ada"}) == %{"name" => "Ada"}
  end

  test "bytes are told from text" do
    {packed, []} = Value.encode(Bridge.Bytes.new(<<1, 255>>))
    assert packed == <<0xC4, 2, 1, 255>>
    assert Value.decode({:msgpack, packed}) == {:ok, <<1, 255>>}
    assert Value.decode({:msgpack, packed}, %{}, %{}, :tagged) == {:ok, %Bridge.Bytes{data: <<1, 255>>}}

    for size <- [255, 256, 70_000] do
      data = :binary.copy(<<7>>, size)
      assert back(Bridge.Bytes.new(data)) == data
    end
  end

  test "32-bit floats and what is not finite among them are read" do
    assert Value.decode({:msgpack, <<0xCA, 1.5::float-32>>}) == {:ok, 1.5}
    assert Value.decode({:msgpack, <<0xCA, 0x7FC00000::32>>}) == {:ok, :nan}
    assert Value.decode({:msgpack, <<0xCA, 0xFF800000::32>>}) == {:ok, :neg_infinity}
  end

  test "tensors travel beside the value, each under a name of its own" do
    first = Tensor.new([[1, 2]], "INT64")
    second = Tensor.new(2.5, "FP64")
    {packed, tensors} = Value.encode(%{a: first, b: [second]})
    assert [{"tensor/0", _}, {"tensor/1", _}] = tensors
    assert Value.decode({:msgpack, packed}, Map.new(tensors)) == {:ok, %{"a" => first, "b" => [second]}}
    assert {:error, message} = Value.decode({:msgpack, packed}, %{"tensor/0" => first})
    assert message =~ "tensor/1"
  end

  test "JSON, raw and empty bodies are read, blobs put where they belong" do
    assert Value.decode(nil) == {:ok, nil}
    assert Value.decode({:json, ""}) == {:ok, nil}
    assert Value.decode({:json, "[1]"}) == {:ok, [1]}
    assert Value.decode({:raw, <<255>>}) == {:ok, <<255>>}
    assert Value.decode({:json, ~s({"x": {"$blob": "b"}})}, %{}, %{"b" => "data"}) == {:ok, %{"x" => "data"}}
  end

  test "what cannot be sent is refused with the way out" do
    for {value, words} <- [
          {{1, 2}, "send a list or a map"},
          {<<0xFF>>, "Bridge.bytes"},
          {18_446_744_073_709_551_616, "send larger ones as text"},
          {%Unknown{}, "implement Bridge.Argument"},
          {%{{1} => 2}, "a map's keys"},
          {self(), "expected a number"}
        ] do
      error = assert_raise ArgumentError, fn -> Value.encode(value) end
      assert error.message =~ words
    end

    assert_raise ArgumentError, ~r/by name/, fn -> Value.encode_arguments([1, 2]) end
    assert_raise ArgumentError, ~r/by name/, fn -> Value.encode_arguments(1) end
    assert {<<0x80>>, []} = Value.encode_arguments([])
  end

  test "malformed MessagePack is an error" do
    for bytes <- [<<0xC1>>, <<0x92, 1>>, <<0xA5, "abc">>, <<0xD4, 0, 0>>, <<1, 2>>, <<0xCF, 1>>] do
      assert {:error, "expected " <> _} = Value.decode({:msgpack, bytes})
    end
  end

  test "every element type keeps its values" do
    for {dtype, values} <- [
          {"BOOL", [true, false]},
          {"UINT8", [0, 255]},
          {"UINT16", [65_535]},
          {"UINT32", [4_294_967_295]},
          {"UINT64", [18_446_744_073_709_551_615]},
          {"INT8", [-128, 127]},
          {"INT16", [-32_768]},
          {"INT32", [-2_147_483_648]},
          {"INT64", [-9_223_372_036_854_775_808, 9_223_372_036_854_775_807]},
          {"FP16", [1.5, :nan, :infinity, :neg_infinity]},
          {"FP32", [1.5, :nan, :infinity, :neg_infinity]},
          {"FP64", [0.1, :nan, :infinity, :neg_infinity]}
        ] do
      tensor = Tensor.new(values, dtype)
      assert Tensor.check(tensor) == :ok
      assert Tensor.to_list(tensor) == values
    end
  end

  test "shapes nest and are checked" do
    tensor = Tensor.new([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], "INT8")
    assert {tensor.shape, tensor.data} == {[2, 2, 2], <<1, 2, 3, 4, 5, 6, 7, 8>>}
    assert Tensor.to_list(tensor) == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert Tensor.to_list(Tensor.new(7, "INT8")) == 7
    assert Tensor.to_list(Tensor.new([], "FP32")) == []
    assert Tensor.to_list(%Tensor{dtype: "FP32", shape: [2, 0], data: ""}) == [[], []]

    assert_raise ArgumentError, ~r/one shape/, fn -> Tensor.new([[1], [2, 3]], "INT8") end
    assert_raise ArgumentError, ~r/u8/, fn -> Tensor.new([256], "UINT8") end
    assert_raise ArgumentError, ~r/FP32/, fn -> Tensor.new([1], "float") end
    assert {:error, "expected 8 bytes" <> _} = Tensor.check(%Tensor{dtype: "FP32", shape: [2], data: "1234"})
  end
end
