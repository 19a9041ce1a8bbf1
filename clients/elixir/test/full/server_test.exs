defmodule Bridge.ServerTest do
  # The starter against scripts that behave as a server does, or does not. The real one is in acceptance_test.exs.
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog

  @ready ~s(echo '{"event":"ready","address":"127.0.0.1:4711","functions":[]}')
  # Not a child of the shell: it would hold the pipe that the port reads when the shell has been killed.
  @until_stdin_ends "exec cat > /dev/null"

  @moduletag :tmp_dir

  setup context do
    test = self()
    handler = "server-test-#{inspect(test)}"
    name = Module.concat(__MODULE__, "Server#{System.unique_integer([:positive])}")

    events = [[:bridge, :server, :ready], [:bridge, :server, :down]]
    :telemetry.attach_many(handler, events, &__MODULE__.forward/4, {test, name})
    on_exit(fn -> :telemetry.detach(handler) end)
    %{name: name, folder: context.tmp_dir}
  end

  test "is started when the server is ready, and gives its address", context do
    start_supervised!({Bridge.Server, options(context, [@ready, @until_stdin_ends])})

    assert Bridge.Server.address(context.name) == {:ok, "127.0.0.1:4711"}
    assert Bridge.Server.await(context.name) == {:ok, "127.0.0.1:4711"}
    assert_received {:ready, %{duration: duration}, %{address: "127.0.0.1:4711", os_pid: os_pid}}
    assert duration > 0
    assert alive?(os_pid)
  end

  test "passes the app, the address and more on", context do
    script = [~s(echo "$WORD $@" > words; pwd >> words), @ready, @until_stdin_ends]

    start_supervised!(
      {Bridge.Server,
       options(context, script,
         app: ["one.py", "two"],
         config: "b.toml",
         address: "unix:/run/b.sock",
         args: ["--pool", "general.size=4"],
         env: %{"WORD" => "größe", "HOME" => nil},
         cd: context.folder
       )}
    )

    assert File.read!(Path.join(context.folder, "words")) ==
             "größe serve one.py two --address  --unix /run/b.sock --json --exit-with-stdin --config b.toml " <>
               "--pool general.size=4\n#{context.folder}\n"
  end

  test "starts a server that was killed at once, on the port that it had", context do
    script = [~s(echo "$@" >> words), @ready, @until_stdin_ends]
    start_supervised!({Bridge.Server, options(context, script, cd: context.folder)})
    assert_received {:ready, _, %{os_pid: first}}

    assert capture_log(fn ->
             signal(first, "KILL")
             assert_receive {:down, %{pause_ms: 0}, %{status: 137}}, 5_000
             assert_receive {:ready, _, %{os_pid: second}}, 5_000
             assert second != first
           end) =~ "has ended (signal 9); starting it again in 0 ms"

    assert {:ok, "127.0.0.1:4711"} = Bridge.Server.address(context.name)
    words = context.folder |> Path.join("words") |> File.read!() |> String.split("\n")
    assert [first, again, ""] = words
    assert first =~ "--address 127.0.0.1:0 "
    assert again =~ "--address 127.0.0.1:4711 "
  end

  test "answers that the server is down while it is, and tells those who wait", context do
    # The first start is told apart from the others by a file; those wait until the test lets them go on.
    script = [
      "if [ -e started ]; then while [ ! -e go ]; do sleep 0.01; done; fi",
      "touch started",
      @ready,
      @until_stdin_ends
    ]

    start_supervised!({Bridge.Server, options(context, script, cd: context.folder)})
    assert_received {:ready, _, %{os_pid: os_pid}}
    waiting = Task.async(fn -> receive(do: (:go -> Bridge.Server.await(context.name))) end)

    capture_log(fn ->
      signal(os_pid, "KILL")
      assert_receive {:down, _, _}, 5_000
      assert Bridge.Server.address(context.name) == {:error, :down}
      assert Bridge.Server.await(context.name, 10) == {:error, :timeout}
      send(waiting.pid, :go)
      File.touch!(Path.join(context.folder, "go"))
      assert Task.await(waiting) == {:ok, "127.0.0.1:4711"}
    end)
  end

  test "ends the server with itself, and waits for it", context do
    script = ["trap 'sleep 0.3; echo drained; exit 0' TERM", @ready, "while :; do sleep 0.05; done"]
    log = self()
    start_supervised!({Bridge.Server, options(context, script, output: &send(log, {:line, &1}))})
    assert_received {:ready, _, %{os_pid: os_pid}}

    assert :ok = stop_supervised(context.name)
    refute alive?(os_pid)
    assert_received {:line, "drained"}
    assert Bridge.Server.address(context.name) == {:error, :down}
  end

  test "kills a server that does not drain", context do
    script = ["trap '' TERM", @ready, "while :; do sleep 0.05; done"]
    start_supervised!({Bridge.Server, options(context, script, shutdown_timeout: 100)})
    assert_received {:ready, _, %{os_pid: os_pid}}

    assert :ok = stop_supervised(context.name)
    refute alive?(os_pid)
  end

  test "the server's standard input ends when the process is killed", context do
    start_supervised!({Bridge.Server, options(context, [@ready, @until_stdin_ends])}, restart: :temporary)
    assert_received {:ready, _, %{os_pid: os_pid}}

    Process.exit(Process.whereis(context.name), :kill)
    assert eventually(fn -> not alive?(os_pid) end)
  end

  test "a first start that fails says so, and is not tried again", context do
    script = ["echo started >> starts", "echo 'no such app' >&2", "exit 2"]

    log =
      capture_log(fn ->
        assert {:error, {{:server_ended, 2}, _}} =
                 start_supervised({Bridge.Server, options(context, script, cd: context.folder)})
      end)

    assert log =~ "no such app"
    assert File.read!(Path.join(context.folder, "starts")) == "started\n"
  end

  test "a first start that takes too long is killed", context do
    assert {:error, {:start_timeout, _}} =
             start_supervised(
               {Bridge.Server,
                options(context, ["echo $$ > pid", "exec sleep 60"], start_timeout: 300, cd: context.folder)}
             )

    refute context.folder |> Path.join("pid") |> File.read!() |> String.trim() |> alive?()
  end

  test "a command that is not there is an error", context do
    assert {:error, {{:command_not_found, "no-such-bridge"}, _}} =
             start_supervised({Bridge.Server, name: context.name, command: "no-such-bridge"})
  end

  test "ends when the server fails to start too often", context do
    script = ["if [ -e started ]; then exit 3; fi", "touch started", @ready, @until_stdin_ends]
    options = options(context, script, cd: context.folder, max_failures: 3, backoff: [min: 1, max: 50])
    pid = start_supervised!({Bridge.Server, options}, restart: :temporary)
    monitor = Process.monitor(pid)
    assert_received {:ready, _, %{os_pid: os_pid}}

    capture_log(fn ->
      signal(os_pid, "TERM")
      assert_receive {:DOWN, ^monitor, :process, _, {:server_ended, 3}}, 5_000
    end)

    assert_received {:down, %{pause_ms: 0}, %{status: 143}}
    for _ <- 1..3, do: assert_received({:down, %{pause_ms: pause}, %{status: 3}} when pause > 0)
  end

  test "starts meanwhile where nobody wants to wait", context do
    script = ["while [ ! -e go ]; do sleep 0.01; done", @ready, @until_stdin_ends]
    start_supervised!({Bridge.Server, options(context, script, wait: false, cd: context.folder)})
    assert Bridge.Server.address(context.name) == {:error, :down}
    File.touch!(Path.join(context.folder, "go"))
    assert Bridge.Server.await(context.name) == {:ok, "127.0.0.1:4711"}
  end

  test "unknown options are refused", context do
    assert_raise ArgumentError, ~r/unknown keys \[:adress\]/, fn ->
      Bridge.Server.start_link(name: context.name, adress: "x")
    end
  end

  test "what the server writes goes to the log, with its level", context do
    lines = [
      ~s({"time": "t", "level": "warning", "message": "worker died", "pool": "llm", "pid": 7}),
      ~s({"error":{"exit_code":2,"message":"the port is taken"}}),
      "Traceback: broken",
      ~s({"some": "json"})
    ]

    script = Enum.map(lines, &"echo '#{&1}'") ++ [@ready, @until_stdin_ends]
    log = capture_log(fn -> start_supervised!({Bridge.Server, options(context, script)}) end)
    assert log =~ ~r/\[warning\] bridge server .*: worker died pid=7 pool=llm/
    assert log =~ ~r/\[error\] bridge server .*: the port is taken/
    assert log =~ ~r/\[info\] bridge server .*: Traceback: broken/
    assert log =~ ~r/\[info\] bridge server .*: {"some": "json"}/
  end

  test "a line longer than the port's buffer is one line", context do
    functions = Enum.map_join(1..20_000, ",", &~s("function_number_#{&1}"))

    File.write!(
      Path.join(context.folder, "line"),
      ~s({"event":"ready","address":"127.0.0.1:1","functions":[#{functions}]}\n)
    )

    start_supervised!({Bridge.Server, options(context, ["cat line", @until_stdin_ends], cd: context.folder)})
    assert Bridge.Server.address(context.name) == {:ok, "127.0.0.1:1"}
  end

  def forward(event, measurements, metadata, {test, name}) do
    if metadata.server == name, do: send(test, {List.last(event), measurements, metadata})
  end

  defp options(context, script, more \\ []) do
    path = Path.join(context.folder, "server.sh")
    File.write!(path, Enum.join(["#!/bin/sh" | script], "\n") <> "\n")
    File.chmod!(path, 0o755)
    Keyword.merge([name: context.name, command: path], more)
  end

  defp signal(os_pid, name), do: {_, 0} = System.cmd("kill", ["-#{name}", to_string(os_pid)])

  defp alive?(os_pid), do: match?({_, 0}, System.cmd("kill", ["-0", to_string(os_pid)], stderr_to_stdout: true))

  defp eventually(condition, tries \\ 200) do
    cond do
      condition.() -> true
      tries == 0 -> false
      true -> receive(after: (25 -> eventually(condition, tries - 1)))
    end
  end
end
