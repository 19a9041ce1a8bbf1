defmodule Bridge.ToolTest do
  use ExUnit.Case, async: true
  doctest Bridge.Tool

  alias Bridge.{Error, Hosting, Tool}

  defmodule Weather do
    use Bridge.Tool,
      name: "weather",
      description: "The weather.",
      schema: %{type: "object", properties: %{city: %{type: "string"}}},
      on_error: :abort

    @impl true
    def call(%{"city" => city}, call), do: {:ok, "#{city}: sun (#{call.id})"}
  end

  defp run(function, arguments \\ "{}") do
    Tool.run(Tool.new("t", function: function), %Tool.Call{id: 7, tool: "t", arguments: arguments})
  end

  test "a module is a tool" do
    tool = Tool.of(Weather)
    assert {tool.name, tool.description, tool.on_error} == {"weather", "The weather.", :abort}
    call = %Tool.Call{id: 7, tool: "weather", arguments: ~s({"city": "Bern"})}
    assert Tool.run(tool, call) == {:result, {:text, "Bern: sun (7)"}}
    assert_raise ArgumentError, fn -> Tool.of(Enum) end
    assert_raise ArgumentError, fn -> Tool.of("weather") end
  end

  test "results are texts as they are and other values as JSON" do
    assert run(fn _ -> "plain" end) == {:result, {:text, "plain"}}
    assert run(fn _ -> %{a: 1} end) == {:result, {:json, ~s({"a":1})}}
    assert run(fn _ -> {:ok, [1]} end) == {:result, {:json, "[1]"}}
    assert run(fn _ -> nil end) == {:result, {:json, "null"}}
    assert run(fn _ -> <<255>> end) == {:result, {:json, ~s("/w==")}}
    assert run(fn arguments, call -> [arguments["a"], call.id] end, ~s({"a": 2})) == {:result, {:json, "[2,7]"}}
  end

  test "failures of every kind are told" do
    assert run(fn _ -> {:error, "no such city"} end) == {:error, "error", "no such city"}
    assert run(fn _ -> {:error, :enoent} end) == {:error, "error", ":enoent"}
    assert run(fn _ -> raise ArgumentError, "bad" end) == {:error, "ArgumentError", "bad"}
    assert {:error, "throw", ":ball"} = run(fn _ -> throw(:ball) end)
    assert {:error, "exit", _} = run(fn _ -> exit(:gone) end)
    assert {:error, "ArgumentError", "expected" <> _} = run(fn _ -> {1, 2} end)
    assert {:error, "ArgumentError", "expected" <> _} = run(fn _ -> 1 end, "not json")
  end

  test "definitions are checked" do
    function = fn _ -> 1 end

    for options <- [
          [],
          [function: 1],
          [function: function, on_error: :retry],
          [function: function, timeout: 0],
          [function: function, schema: "{}"],
          [function: function, max_concurrent: -1]
        ] do
      assert_raise ArgumentError, fn -> Tool.new("t", options) end
    end

    assert_raise ArgumentError, ~r/1 to 64/, fn -> Tool.new("not good", function: function) end
  end

  test "time that is left" do
    assert Tool.Call.remaining(%Tool.Call{id: 1, tool: "t"}) == :infinity
    assert Tool.Call.remaining(%Tool.Call{id: 1, tool: "t", deadline: System.monotonic_time(:millisecond) - 5}) == 0
  end

  describe "a registration" do
    setup do
      tool = Tool.new("t", function: fn _ -> 1 end)
      {:ok, tool: tool, hosting: Hosting.new([tool])}
    end

    test "begins with the tools, goes on with its token", %{hosting: hosting, tool: tool} do
      assert Hosting.opening(hosting) == {:register, [tool]}
      hosting = hosting |> Hosting.registered("r", "secret") |> Hosting.begun(1, :job) |> Hosting.begun(2, :other)
      {:ok, hosting} = Hosting.answered(hosting, 2, "answer")
      assert Hosting.opening(hosting) == {:resume, "secret", [1, 2], ["answer"]}
    end

    test "an answer that nobody waits for is dropped", %{hosting: hosting} do
      hosting = Hosting.begun(hosting, 1, :job)
      assert {:job, hosting} = Hosting.cancelled(hosting, 1)
      assert Hosting.answered(hosting, 1, "late") == :nobody
      assert {nil, ^hosting} = Hosting.cancelled(hosting, 1)
    end

    test "keeps the last answers alone", %{hosting: hosting} do
      hosting =
        Enum.reduce(1..40, Hosting.registered(hosting, "r", "s"), fn id, hosting ->
          {:ok, hosting} = hosting |> Hosting.begun(id, :job) |> Hosting.answered(id, "answer #{id}")
          hosting
        end)

      {:resume, "s", ids, answers} = Hosting.opening(hosting)
      assert ids == Enum.to_list(9..40)
      assert {hd(answers), List.last(answers)} == {"answer 9", "answer 40"}
    end

    test "is made anew where the server has forgotten it, and given up where it is refused", %{hosting: hosting} do
      hosting = hosting |> Hosting.registered("r", "s") |> Hosting.begun(1, :job)
      assert {:again, [], ^hosting} = Hosting.ended(hosting, nil)
      assert {:again, [], ^hosting} = Hosting.ended(hosting, %Error{code: :unavailable})
      forgotten = %Error{code: :not_found, reason: "UNKNOWN_TOOL_REGISTRATION"}
      assert {:again, [:job], %{token: "", running: running}} = Hosting.ended(hosting, forgotten)
      assert running == %{}
      assert {:stop, [:job], _} = Hosting.ended(hosting, %Error{code: :invalid_argument})
    end

    test "takes a name once", %{tool: tool} do
      assert_raise ArgumentError, ~r/twice/, fn -> Hosting.new([tool, tool]) end
    end
  end
end
