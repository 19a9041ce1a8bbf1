defmodule Bridge.NxTest do
  # What is asked of Nx, by a stand-in with the same functions: the package itself is no dependency.
  use ExUnit.Case, async: false

  alias Bridge.Tensor

  @moduletag skip: Code.ensure_loaded?(Nx) && "Nx is there; this is about a stand-in"

  setup_all do
    unless Code.ensure_loaded?(Nx) do
      Code.compile_string("""
      defmodule Nx.Tensor do
        defstruct [:data, :type, :shape]
      end

      defmodule Nx do
        def type(tensor), do: tensor.type
        def shape(tensor), do: tensor.shape
        def to_binary(tensor), do: tensor.data
        def from_binary(data, type), do: %Nx.Tensor{data: data, type: type, shape: :flat}
        def reshape(tensor, shape), do: %{tensor | shape: shape}
      end
      """)

      on_exit(fn -> for module <- [Nx, Nx.Tensor], do: :code.delete(module) && :code.purge(module) end)
    end

    :ok
  end

  test "its tensors may be arguments" do
    given = struct(Nx.Tensor, data: <<1.5::float-little-32, 2.0::float-little-32>>, type: {:f, 32}, shape: {2, 1})
    {packed, [{"tensor/0", sent}]} = Bridge.Value.encode(%{x: given})
    assert sent == Tensor.new([[1.5], [2.0]], "FP32")
    assert {:ok, %{"x" => ^sent}} = Bridge.Value.decode({:msgpack, packed}, %{"tensor/0" => sent})
    assert_raise ArgumentError, ~r/Nx.as_type/, fn -> Tensor.from_nx(%{given | type: {:bf, 16}}) end
  end

  test "results become its tensors, booleans as numbers" do
    assert %{type: {:s, 64}, shape: {2}} = Tensor.to_nx(Tensor.new([1, 2], "INT64"))
    assert %{type: {:u, 8}, shape: {}, data: <<1>>} = Tensor.to_nx(Tensor.new(true, "BOOL"))
  end
end
