defmodule Bridge.VariablesTest do
  use ExUnit.Case, async: true
  @moduletag :served

  alias Bridge.{Error, Served}

  setup do
    name = Served.unique(:connection)
    start_supervised!({Bridge.Connection, name: name, address: Served.address()})
    {:ok, session: Bridge.open_session!(name), connection: name}
  end

  test "variables are set, read, listed and deleted", %{session: session} do
    assert {:ok, 1} = Bridge.set_variable(session, "count", 9_007_199_254_740_993)

    assert {:ok, %{name: "count", type: :int, value: 9_007_199_254_740_993, version: 1}} =
             Bridge.variable(session, "count")

    assert {:ok, 2} = Bridge.set_variable(session, "facts", ["a", %{"b" => nil}])
    assert {:ok, 3} = Bridge.set_variable(session, "raw", Bridge.bytes(<<1, 255>>))

    assert {:ok, [%{name: "count"}, %{name: "facts", type: :list}, %{name: "raw", type: :bytes, value: <<1, 255>>}]} =
             Bridge.variables(session)

    assert {:error, %Error{code: :aborted, reason: "VERSION_MISMATCH"}} =
             Bridge.set_variable(session, "count", 2, expected_version: 7)

    assert {:error, %Error{reason: "VARIABLE_TYPE"}} = Bridge.set_variable(session, "count", "two")
    assert {:ok, 4} = Bridge.set_variable(session, "count", "two", replace_type: true, expected_version: 1)
    assert {:ok, 5} = Bridge.delete_variable(session, "count")
    assert {:error, %Error{code: :not_found, reason: "UNKNOWN_VARIABLE"}} = Bridge.variable(session, "count")
    assert_raise ArgumentError, ~r/tensors/, fn -> Bridge.set_variable(session, "t", Bridge.Tensor.new([1.0])) end
  end

  test "a watcher sees the variables, each change, and the end", %{session: session} do
    {:ok, 1} = Bridge.set_variable(session, "a", 1)
    me = self()

    watcher =
      Task.async(fn ->
        session
        |> Bridge.watch_variables(timeout: :infinity)
        |> Enum.map(fn {:ok, event} -> send(me, event) end)
      end)

    assert_receive {:snapshot, [%{name: "a", value: 1}], 1}
    {:ok, 2} = Bridge.set_variable(session, "a", 2)
    assert_receive {:change, %{name: "a", value: 2, version: 2}, 2}
    {:ok, 3} = Bridge.delete_variable(session, "a")
    assert_receive {:deleted, "a", 3}
    :ok = Bridge.close_session(session)
    assert_receive {:ended, "closed"}
    assert length(Task.await(watcher)) == 4
  end

  test "what a call would do is explained", %{connection: connection} do
    assert {:ok, explained} = Bridge.explain(connection, "add", a: 1, b: 2)

    assert %{function: "add", placement: :pooled, alternatives: [%{pool: "general", route: :pooled, chosen: true} | _]} =
             explained

    assert explained.request_bytes > 0
  end
end
