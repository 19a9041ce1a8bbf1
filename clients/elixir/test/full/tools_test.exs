defmodule Bridge.ToolsTest do
  use ExUnit.Case, async: true
  @moduletag :served

  alias Bridge.{Error, Served, Tool}

  defmodule Weather do
    use Bridge.Tool,
      name: "weather",
      description: "The weather of a city.",
      schema: %{type: "object", properties: %{city: %{type: "string"}}, required: ["city"]}

    @impl true
    def call(%{"city" => city}, call), do: %{city: city, sun: true, time?: Tool.Call.remaining(call) > 0}
  end

  setup do
    connection = Served.unique(:connection)
    start_supervised!({Bridge.Connection, name: connection, address: Served.address()})
    {:ok, connection: connection}
  end

  defp host(connection, tools, options \\ []) do
    name = Served.unique(:tools)
    start_supervised!({Bridge.Tools, [name: name, connection: connection, tools: tools] ++ options}, id: name)
    name
  end

  test "an agent calls functions and modules of this node", %{connection: connection} do
    me = self()

    add =
      Tool.new("sum",
        function: fn %{"a" => a, "b" => b}, call -> send(me, {:called, call}) && a + b end,
        schema: numbers()
      )

    tools = host(connection, [Weather, add])
    script = "Go.\ncall weather {\"city\": \"Bern\"}\ncall sum {\"a\": 2, \"b\": 40}"

    {{:ok, %{"answer" => answer}}, receipt} =
      Bridge.with_receipt(fn ->
        Bridge.program(connection, "agent", [question: script], tools: tools, request_id: "run-1")
      end)

    assert answer =~ "Bern"
    assert answer =~ "42"
    assert_received {:called, %Tool.Call{tool: "sum", request_id: "run-1", deadline: deadline}}
    assert is_integer(deadline)
    assert receipt.tool_calls == 2
    assert Enum.sort(Enum.map(receipt.tools, & &1.tool)) == ["sum", "weather"]
  end

  test "a failure is told to the model, or ends the run", %{connection: connection} do
    fails = fn _ -> {:error, "the roof is on fire"} end
    observed = host(connection, [Tool.new("shaky", function: fails)])

    assert {:ok, %{"answer" => answer}} =
             Bridge.program(connection, "agent", [question: "Go.\ncall shaky {}"], tools: observed)

    assert answer =~ "roof"

    aborting = host(connection, [Tool.new("strict", function: fails, on_error: :abort)])

    assert {:error, %Error{} = error} =
             Bridge.program(connection, "agent", [question: "Go.\ncall strict {}"], tools: [aborting])

    assert error.message =~ "roof"
  end

  test "the end of the caller ends the tool's process", %{connection: connection} do
    me = self()

    wait = fn _, call ->
      send(me, {:running, self(), Tool.Call.remaining(call)})
      receive(do: (:never -> :ok))
    end

    tools = host(connection, [Tool.new("wait", function: wait)])

    {:ok, caller} =
      Task.start(fn ->
        Bridge.program(connection, "agent", [question: "Go.\ncall wait {}"], tools: tools, timeout: 20_000)
      end)

    assert_receive {:running, pid, left}, 10_000
    assert left in 1..20_000
    monitor = Process.monitor(pid)
    Process.exit(caller, :kill)
    assert_receive {:DOWN, ^monitor, :process, ^pid, {:shutdown, "CALLER_ENDED"}}
    assert {:ok, _} = Bridge.Tools.await(tools)
  end

  test "a tool's own time is over: the model is told, the process ended, though it traps exits", %{
    connection: connection
  } do
    me = self()

    wait = fn _ ->
      Process.flag(:trap_exit, true)
      send(me, {:running, self()})
      receive(do: (:never -> :ok))
    end

    tools = host(connection, [Tool.new("slow", function: wait, timeout: 300)])
    task = Task.async(fn -> Bridge.program(connection, "agent", [question: "Go.\ncall slow {}"], tools: tools) end)
    assert_receive {:running, pid}, 10_000
    monitor = Process.monitor(pid)
    assert_receive {:DOWN, ^monitor, :process, ^pid, :killed}
    assert {:ok, %{"answer" => _}} = Task.await(task, 30_000)
  end

  test "ending the process gives the registration up", %{connection: connection} do
    tools =
      host(connection, [Weather],
        visibility: :tenant,
        metadata: %{"x-tenant" => "t-#{System.unique_integer([:positive])}"}
      )

    {:ok, registration} = Bridge.Tools.await(tools)
    assert registration != ""
    stop_supervised!(tools)
    tools = host(connection, [Weather])
    {:ok, other} = Bridge.Tools.await(tools)
    assert other != registration
  end

  test "a registration that the server refuses is an error", %{connection: connection} do
    bad = %{Tool.new("good", function: fn _ -> 1 end) | name: "not good"}
    tools = host(connection, [bad])
    assert {:error, %Error{code: :invalid_argument}} = Bridge.Tools.await(tools)
  end

  test "telemetry tells of each call", %{connection: connection} do
    me = self()
    tool = "told_#{System.unique_integer([:positive])}"
    events = [[:bridge, :tool, :start], [:bridge, :tool, :stop]]

    :telemetry.attach_many(
      tool,
      events,
      &__MODULE__.forward/4,
      {me, tool}
    )

    on_exit(fn -> :telemetry.detach(tool) end)
    tools = host(connection, [Tool.new(tool, function: fn _ -> 1 end)])
    Bridge.program!(connection, "agent", [question: "Go.\ncall #{tool} {}"], tools: tools)
    assert_receive {[:bridge, :tool, :start], _, %{id: id}}
    assert_receive {[:bridge, :tool, :stop], %{duration: _}, %{id: ^id, outcome: :result}}
  end

  defp numbers do
    %{type: "object", properties: %{a: %{type: "integer"}, b: %{type: "integer"}}, required: ["a", "b"]}
  end

  def forward(event, measurements, metadata, {test, tool}) do
    if metadata.tool == tool, do: send(test, {event, measurements, metadata})
  end

  test "a host that has ended is an error of the program, not of the caller's process", %{connection: connection} do
    tools = host(connection, [Tool.new("idle", function: fn _ -> 1 end)])
    assert {:ok, _} = Bridge.Tools.await(tools)
    stop_supervised!(tools)

    assert {:error, %Error{code: :not_found, reason: "UNKNOWN_TOOL_REGISTRATION", message: message}} =
             Bridge.program(connection, "agent", [question: "Go."], tools: tools)

    assert message =~ inspect(tools)

    assert [error: %Error{reason: "UNKNOWN_TOOL_REGISTRATION"}] =
             connection |> Bridge.stream_program("agent", [question: "Go."], tools: [tools]) |> Enum.to_list()
  end
end
