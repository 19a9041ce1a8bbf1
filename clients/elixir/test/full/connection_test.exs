defmodule Bridge.ConnectionTest do
  use ExUnit.Case, async: true

  alias Bridge.{Connection, Error, Served}

  defp connect(options) do
    name = Served.unique(:connection)
    start_supervised!({Connection, [name: name] ++ options}, id: name)
    name
  end

  defp free_port do
    {:ok, listener} = :gen_tcp.listen(0, ip: {127, 0, 0, 1})
    {:ok, port} = :inet.port(listener)
    :gen_tcp.close(listener)
    port
  end

  test "starts without a server; a call says what to do" do
    port = free_port()
    connection = connect(address: "127.0.0.1:#{port}")
    refute Connection.connected?(connection)

    assert {:error, %Error{code: :unavailable, reason: "CANNOT_CONNECT"} = error} =
             Bridge.call(connection, "add", a: 1, b: 2)

    assert error.message =~ "connection refused" and error.message =~ "bridge serve"
    assert Error.never_sent?(error) and error.retryable?
    assert [error: %Error{reason: "CANNOT_CONNECT"}] = Enum.to_list(Bridge.stream(connection, "count", to: 1))

    assert {:error, %Error{reason: "CANNOT_CONNECT"}} =
             Bridge.call(connection, "add", %{}, wait_for_ready: true, timeout: 100)

    assert {:error, %Error{}} = Connection.await(connection, 50)
  end

  test "a connection that there is not is an error too" do
    assert {:error, %Error{reason: "CANNOT_CONNECT"} = error} = Bridge.call(:no_such_connection, "add", a: 1, b: 2)
    assert error.message =~ "there is no such process"
  end

  test "what has no HTTP/2 is told apart from a bridge" do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, ip: {127, 0, 0, 1}, active: false])
    {:ok, port} = :inet.port(listener)

    spawn_link(fn ->
      {:ok, socket} = :gen_tcp.accept(listener)
      {:ok, _} = :gen_tcp.recv(socket, 0)
      :gen_tcp.send(socket, "HTTP/1.1 400 Bad Request\r\n\r\n")
      :gen_tcp.recv(socket, 0)
    end)

    connection = connect(address: "127.0.0.1:#{port}")
    assert {:error, %Error{code: :unavailable}} = Bridge.call(connection, "add", [a: 1, b: 2], timeout: 2_000)
  end

  test "options are checked" do
    for {options, words} <- [
          {[], "HOST:PORT"},
          {[address: "localhost"], "HOST:PORT"},
          {[address: "localhost:99999"], "HOST:PORT"},
          {[address: "a:1", server: B], "either"},
          {[address: "a:1", tls: [cert: "x"]], ":cert"},
          {[address: "a:1", tls: "yes"], "keyword"},
          {[address: "a:1", keepalive: 100], "10000"},
          {[address: "a:1", grace: -1], "grace"},
          {[address: "a:1", backoff: [min: 0]], "backoff"},
          {[address: "a:1", timeout: 0], "timeout"},
          {[address: "a:1", adress: 1], ":adress"}
        ] do
      error = assert_raise ArgumentError, fn -> Connection.start_link(options) end
      assert error.message =~ words, error.message
    end

    settings = Connection.Settings.new(address: "[::1]:50051", key: "bk_secret")
    assert settings.target == {:tcp, ~c"::1", 50_051}
    refute inspect(settings) =~ "secret"
    assert Connection.Settings.target("unix:/run/b.sock") == {:unix, "/run/b.sock"}
  end

  test "a key that can not be read is said" do
    connection = connect(address: "127.0.0.1:1", key: "env:NO_SUCH_VARIABLE_OF_BRIDGE")
    assert {:error, %Error{message: message}} = Bridge.call(connection, "add", %{})
    assert message =~ "NO_SUCH_VARIABLE_OF_BRIDGE"
  end

  @tag :served
  test "survives that its server is killed, keeps a session's name, and tells of it" do
    {Bridge.Server, options} = server = Served.own()
    start_supervised!(server)
    connection = connect(server: options[:name], backoff: [min: 20, max: 200])
    me = self()
    events = for event <- [:up, :down, :failed], do: [:bridge, :connection, event]
    :telemetry.attach_many(inspect(connection), events, &__MODULE__.forward/4, {me, connection})
    on_exit(fn -> :telemetry.detach(inspect(connection)) end)

    assert Bridge.call!(connection, "add", a: 1, b: 2) == 3
    session = Bridge.open_session!(connection, mode: :hint)
    assert Bridge.call!(session, "add", a: 1, b: 2) == 3

    tools = Served.unique(:tools)

    tool =
      Bridge.Tool.new("sum",
        function: fn %{"a" => a} -> a + 1 end,
        schema: %{type: "object", properties: %{a: %{type: "integer"}}}
      )

    start_supervised!({Bridge.Tools, name: tools, connection: connection, tools: [tool]})
    assert {:ok, first} = Bridge.Tools.await(tools)

    running = Task.async(fn -> Bridge.call(connection, "slow", seconds: 60.0) end)

    stream =
      Task.async(fn -> connection |> Bridge.stream("drip", path: "/dev/null", number: 10_000) |> Enum.to_list() end)

    until_open(connection, 3)

    os_pid = Bridge.Server.os_pid(options[:name])
    {_, 0} = System.cmd("kill", ["-KILL", "#{os_pid}"])
    assert {:error, %Error{code: :unavailable, reason: "CONNECTION_LOST"} = error} = Task.await(running)
    refute Error.never_sent?(error)
    assert {:error, %Error{reason: "CONNECTION_LOST"}} = List.last(Task.await(stream))
    assert_receive {[:bridge, :connection, :down], %{cause: _}}

    assert Bridge.call!(connection, "add", [a: 1, b: 2], wait_for_ready: true, timeout: 60_000) == 3
    assert_receive {[:bridge, :connection, :up], _}
    assert Bridge.call!(session, "add", a: 1, b: 2) == 3

    assert {:ok, second} = registered_again(tools, first, 500)
    assert second != first

    assert {:ok, %{"answer" => answer}} =
             Bridge.program(connection, "agent", [question: "Go.\ncall sum {\"a\": 41}"], tools: tools)

    assert answer =~ "42"
    assert :sys.get_state(connection).calls.open |> map_size() == 1
  end

  @tag :served
  test "a connection that is closed opens again; calls that repeat themselves get through" do
    connection = connect(address: Served.address())
    assert Bridge.call!(connection, "add", a: 1, b: 2) == 3
    assert :ok = Connection.disconnect(connection)
    refute Connection.connected?(connection)
    assert Bridge.call!(connection, "add", a: 1, b: 2) == 3
    assert Connection.connected?(connection)
  end

  @tag :served
  test "a call is repeated where it may be, as often as was said" do
    connection = connect(address: "127.0.0.1:#{free_port()}")

    {taken, {:error, %Error{reason: "CANNOT_CONNECT"}}} =
      Served.timed(fn -> Bridge.call(connection, "add", %{}, retries: 2) end)

    assert taken >= 300
  end

  @tag :served
  test "many callers share a connection" do
    connection = connect(address: Served.address())

    sums =
      1..500
      |> Task.async_stream(&Bridge.call!(connection, "add", a: &1, b: 1), max_concurrency: 50, ordered: true)
      |> Enum.map(fn {:ok, sum} -> sum end)

    assert sums == Enum.to_list(2..501)
    assert :sys.get_state(connection).calls.open == %{}
  end

  @tag :served
  test "cancelling calls does no harm to those beside them, and leaves nothing" do
    connection = connect(address: Served.address())
    assert Bridge.call!(connection, "add", a: 1, b: 2) == 3
    {:ok, %{gun: gun}} = Connection.lookup(connection)

    beside = Task.async(fn -> for n <- 1..300, do: Bridge.call!(connection, "add", a: n, b: 0) end)

    1..300
    |> Task.async_stream(fn n -> connection |> Bridge.stream!("count", to: 2 + rem(n, 4)) |> Enum.take(2) end,
      max_concurrency: 8
    )
    |> Enum.each(&assert &1 == {:ok, [1, 2]})

    assert Task.await(beside, 60_000) == Enum.to_list(1..300)
    assert {:ok, %{gun: ^gun}} = Connection.lookup(connection)
    until_forgotten(connection, 1_000)
  end

  defp until_forgotten(connection, tries) do
    calls = :sys.get_state(connection).calls

    cond do
      {calls.open, calls.ids, calls.lingering} == {%{}, %{}, %{}} -> :ok
      tries == 0 -> flunk("expected no calls, got #{inspect(calls, limit: 5)}")
      true -> receive(after: (10 -> until_forgotten(connection, tries - 1)))
    end
  end

  defp until_open(connection, number, tries \\ 300) do
    cond do
      map_size(:sys.get_state(connection).calls.open) >= number -> :ok
      tries == 0 -> flunk("expected #{number} open calls")
      true -> receive(after: (10 -> until_open(connection, number, tries - 1)))
    end
  end

  # The old registration stands until the host has noticed.
  defp registered_again(tools, first, tries) do
    case Bridge.Tools.await(tools, 30_000) do
      {:ok, ^first} when tries > 0 -> receive(after: (10 -> registered_again(tools, first, tries - 1)))
      other -> other
    end
  end

  def forward(event, _measurements, metadata, {test, name}) do
    if metadata.name == name, do: send(test, {event, metadata})
  end
end
