# A program that has a bridge beside it. Run it in clients/elixir:
#
#     mix run examples/sidecar/sidecar.exs
#
# It starts the server as a supervised child, keeps a session through the end of a worker and through the end of the
# server, streams a DSPy program, hosts a tool that an agent calls, and holds a deadline of 1,500 ms. Each part prints a
# line; the last line is all of it as JSON. `--serve` only starts the server, says where it is, and waits.

defmodule Sidecar do
  alias Bridge.{Connection, Error, Event, Server, Tool, Tools}

  @here __DIR__

  def main(["--serve"]) do
    start()
    tell(%{beam: System.pid(), server: Server.os_pid(Sidecar.Server)})
    Process.sleep(:infinity)
  end

  def main([]) do
    start()

    facts =
      Enum.reduce(
        [&calls/1, &worker_killed/1, &server_killed/1, &program/1, &tool/1, &deadline/1, &overload/1],
        versions(),
        fn part, facts ->
          found = part.(facts)
          tell(found)
          Map.merge(facts, found)
        end
      )

    tell(facts)
  end

  defp start do
    command = System.get_env("BRIDGE_ELIXIR_SERVER", "bridge") |> String.split(" ")

    children = [
      {Server,
       name: Sidecar.Server,
       app: Path.join(@here, "app.py"),
       config: Path.join(@here, "bridge.toml"),
       command: command,
       output: :silent},
      {Connection, name: Sidecar.Bridge, server: Sidecar.Server},
      {Tools, name: Sidecar.Tools, connection: Sidecar.Bridge, tools: [umbrella()]}
    ]

    {:ok, _} = Supervisor.start_link(children, strategy: :one_for_one)
  end

  defp versions do
    package = fn name -> name |> Application.spec(:vsn) |> to_string() end

    %{
      elixir: System.version(),
      otp: System.otp_release(),
      packages: Map.new([:grpc, :grpc_core, :protobuf, :gun, :cowlib, :telemetry], &{&1, package.(&1)})
    }
  end

  defp calls(_facts), do: %{sum: Bridge.call!(Sidecar.Bridge, "add", a: 1, b: 2)}

  # A worker dies: the session goes on with its variables, in another worker, one epoch later.
  defp worker_killed(_facts) do
    session = Bridge.open_session!(Sidecar.Bridge, id: "sidecar-example")
    ["before"] = Bridge.call!(session, "remember", fact: "before")
    before = Bridge.call!(session, "place")
    kill(before["pid"])
    found = eventually(fn -> Bridge.call(session, "place") end)

    %{
      session: session.id,
      epoch: before["epoch"],
      epoch_after_worker: found["epoch"],
      facts_after_worker: Bridge.call!(session, "remember", fact: "after the worker")
    }
  end

  # The server dies in the middle of a call, and its workers with it: the call fails and says so, the supervisor starts
  # it again, and the same session and connection go on.
  defp server_killed(%{session: id}) do
    session = Bridge.Session.of(Sidecar.Bridge, id)
    before = Server.os_pid(Sidecar.Server)
    me = self()
    lost = Task.async(fn -> Sidecar.Bridge |> Bridge.stream("rest", seconds: 30) |> Enum.map(&send(me, &1)) end)
    receive(do: ({:ok, "begun"} -> :ok))
    killed = now()
    kill(before)
    [{:ok, "begun"}, {:error, %Error{} = error}] = Task.await(lost, 30_000)
    told = now() - killed
    3 = Bridge.call!(Sidecar.Bridge, "add", [a: 1, b: 2], wait_for_ready: true)
    back = now() - killed
    place = Bridge.call!(session, "place")

    %{
      lost_call: %{code: error.code, reason: error.reason, ms: told},
      back_ms: back,
      restarted: Server.os_pid(Sidecar.Server) != before,
      session_after_server: place["id"],
      facts_after_server: Bridge.call!(session, "remember", fact: "after the server")
    }
  end

  defp program(_facts) do
    events = Sidecar.Bridge |> Bridge.stream_program!("answer", question: "Why is the sky blue?") |> Enum.to_list()
    text = for %Event.FieldDelta{field: "answer", text: text} <- events, into: "", do: text
    %Event.Final{outputs: outputs} = List.last(events)
    %{deltas: length(events) - 1, streamed: text == outputs["answer"], answer: outputs["answer"]}
  end

  # The agent, a DSPy ReAct program, is on the server; the tool is a function of this node.
  defp tool(_facts) do
    question = "Do I need an umbrella?\ncall umbrella {\"city\": \"Bern\"}"
    {:ok, _} = Tools.await(Sidecar.Tools, 30_000)

    {%{"answer" => answer}, receipt} =
      Bridge.with_receipt(fn ->
        Bridge.program!(Sidecar.Bridge, "agent", [question: question], tools: Sidecar.Tools)
      end)

    %{tool_answer: answer, tool_calls: receipt.tool_calls}
  end

  defp umbrella do
    Tool.new("umbrella",
      description: "Whether one needs an umbrella in a city today.",
      schema: %{type: "object", properties: %{city: %{type: "string"}}, required: ["city"]},
      function: fn %{"city" => city} -> "#{city}: rain from #{node()}" end
    )
  end

  # The server has 1,500 ms, not 1 s and not 2 s; and a call that takes longer ends then, and says where it was.
  defp deadline(_facts) do
    left = for _ <- 1..20, do: Bridge.call!(Sidecar.Bridge, "remaining_ms", %{}, timeout: 1_500)
    started = now()
    {:error, %Error{} = error} = Bridge.call(Sidecar.Bridge, "sleep", [seconds: 30], timeout: 1_500)

    %{
      remaining_ms: %{least: Enum.min(left), most: Enum.max(left)},
      deadline: %{code: error.code, reason: error.reason, ms: now() - started}
    }
  end

  # The connection is well after all this: many calls at a time.
  defp overload(_facts) do
    started = now()

    sums =
      1..500
      |> Task.async_stream(&Bridge.call!(Sidecar.Bridge, "add", a: &1, b: 1), max_concurrency: 50, timeout: 60_000)
      |> Enum.map(fn {:ok, sum} -> sum end)

    %{many: Enum.sum(sums), many_ms: now() - started}
  end

  defp kill(os_pid), do: {_, 0} = System.cmd("kill", ["-KILL", to_string(os_pid)])

  defp eventually(try, until \\ now() + 60_000) do
    case try.() do
      {:ok, value} ->
        value

      other ->
        if now() > until, do: raise("gave up: #{inspect(other)}")
        receive(after: (50 -> eventually(try, until)))
    end
  end

  defp tell(facts), do: IO.puts(Bridge.JSON.encode(facts))
  defp now, do: System.monotonic_time(:millisecond)
end

Sidecar.main(System.argv())
