defmodule Bridge.Server do
  @moduledoc """
  A bridge server beside your program: a supervised child that starts `bridge serve`, waits until it is ready, logs what
  it says, starts it again when it has ended, and ends it with your program, however that ends.

      children = [
        {Bridge.Server, name: MyApp.BridgeServer, app: "priv/python/app.py"},
        {Bridge.Connection, name: MyApp.Bridge, server: MyApp.BridgeServer}
      ]

      Supervisor.start_link(children, strategy: :rest_for_one)

  The server needs Python and the package `polyglot-bridge`, which has the command `bridge`. It runs as a child process
  whose standard input is a pipe from the BEAM: when the pipe ends, because this process ends, its supervisor stops it or
  the BEAM is killed, the server drains and ends, and its workers with it.

  ## Options

    * `:name` - a name for this process, by which connections find the address
    * `:app` - Python files or dotted names of modules, one or a list
    * `:config` - a `bridge.toml`
    * `:address` - where to listen; default `"127.0.0.1:0"`, a free port. Restarts take the same one again, if they can
    * `:command` - the program and its first arguments; default `["bridge"]`, found on the path. A virtual environment's
      is `["/srv/venv/bin/bridge"]`
    * `:args` - more arguments of `bridge serve`, such as `["--pool", "general.size=4"]`
    * `:env` - a map of environment variables, beside the BEAM's own; `nil` or `false` takes one away
    * `:cd` - the folder to run in
    * `:wait` - `true` (the default) to be started only when the server is ready, so that what comes after it in a
      supervisor can call at once; `false` to start meanwhile
    * `:start_timeout` - milliseconds for the server to become ready, default `120_000`: the first start of an app with
      large libraries takes long
    * `:shutdown_timeout` - milliseconds for it to drain when it is stopped, after which it is killed; default `30_000`
    * `:backoff` - `[min: 200, max: 30_000]`: milliseconds before a restart, doubled each time. The first restart of a
      server that was ready comes at once, and one that stays ready for `:max` is taken to be well again
    * `:max_failures` - how often in a row it may fail to become ready before this process ends, so that its supervisor
      decides; default 5. The first start has one try
    * `:output` - `:log` (the default) for what it writes in `Logger`, `:silent`, or a function of a line

  ## Telemetry

  `[:bridge, :server, :ready]` with `%{duration: native}` and `%{server: name, address: address, os_pid: pid}`, and
  `[:bridge, :server, :down]` with `%{pause_ms: ms}` and `%{server: name, status: status}`: the exit status, 128 and a
  signal's number for a signal, or `:start_timeout`.
  """

  use GenServer

  require Logger

  alias Bridge.{Backoff, JSON, ServerOutput}

  @defaults [
    name: nil,
    app: [],
    config: nil,
    address: "127.0.0.1:0",
    command: ["bridge"],
    args: [],
    env: %{},
    cd: nil,
    wait: true,
    start_timeout: 120_000,
    shutdown_timeout: 30_000,
    backoff: [],
    max_failures: 5,
    output: :log
  ]

  @type option :: {atom(), term()}

  @enforce_keys [:options, :backoff]
  defstruct [
    :options,
    :backoff,
    :port,
    :os_pid,
    :address,
    :listening,
    :timer,
    :started,
    part: "",
    failures: 0,
    waiting: []
  ]

  @doc false
  def child_spec(options) do
    %{
      id: options[:name] || __MODULE__,
      start: {__MODULE__, :start_link, [options]},
      # Twice: what is asked to end, and then killed, is waited for.
      shutdown: Keyword.get(options, :shutdown_timeout, @defaults[:shutdown_timeout]) + 5_000
    }
  end

  @doc "Starts the server; returns when it is ready, unless `wait: false`. `{:error, reason}` where it can not be started."
  @spec start_link([option()]) :: GenServer.on_start()
  def start_link(options) do
    options = Keyword.merge(@defaults, Keyword.validate!(options, Keyword.keys(@defaults)))
    start = if options[:name], do: [name: options[:name]], else: []
    GenServer.start_link(__MODULE__, options, [timeout: :infinity] ++ start)
  end

  @doc "The address of the server, `HOST:PORT` or `unix:PATH`; `{:error, :down}` while it is not ready."
  @spec address(GenServer.server()) :: {:ok, String.t()} | {:error, :down}
  def address(server) do
    GenServer.call(server, :address)
  catch
    :exit, _ -> {:error, :down}
  end

  @doc "Waits until the server is ready and returns its address; `{:error, :timeout}` where that takes longer."
  @spec await(GenServer.server(), timeout()) :: {:ok, String.t()} | {:error, :timeout | :down}
  def await(server, timeout \\ 120_000) do
    GenServer.call(server, :await, timeout)
  catch
    :exit, {:timeout, _} -> {:error, :timeout}
    :exit, _ -> {:error, :down}
  end

  @doc "The process id of the running server, `nil` while there is none."
  @spec os_pid(GenServer.server()) :: pos_integer() | nil
  def os_pid(server), do: GenServer.call(server, :os_pid)

  # -- the process

  @impl true
  def init(options) do
    Process.flag(:trap_exit, true)
    backoff = Keyword.merge([min: 200, max: 30_000], options[:backoff])
    state = %__MODULE__{options: options, backoff: Backoff.new(backoff[:min], backoff[:max])}

    with {:ok, state} <- open(state) do
      if options[:wait], do: first_start(state), else: {:ok, state}
    end
  end

  @impl true
  def handle_call(:address, _from, %{address: nil} = state), do: {:reply, {:error, :down}, state}
  def handle_call(:address, _from, state), do: {:reply, {:ok, state.address}, state}
  def handle_call(:await, from, %{address: nil} = state), do: {:noreply, %{state | waiting: [from | state.waiting]}}
  def handle_call(:await, _from, state), do: {:reply, {:ok, state.address}, state}
  def handle_call(:os_pid, _from, state), do: {:reply, state.os_pid, state}

  @impl true
  def handle_info({port, {:data, data}}, %{port: port} = state), do: {:noreply, take(data, state)}
  def handle_info({port, {:exit_status, status}}, %{port: port} = state), do: ended(status, state)
  def handle_info({:start_timeout, port}, %{port: port, address: nil} = state), do: ended(:start_timeout, state)

  def handle_info({:well, port}, %{port: port} = state),
    do: {:noreply, %{state | backoff: Backoff.reset(state.backoff)}}

  def handle_info(:restart, %{port: nil} = state) do
    case open(state) do
      {:ok, state} -> {:noreply, state}
      {:stop, reason} -> {:stop, reason, state}
    end
  end

  # A port that has been closed, and what it still had to say.
  def handle_info(_message, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, %{port: nil}), do: :ok
  def terminate(_reason, state), do: stop(state)

  # -- starting

  defp open(%{options: options} = state) do
    [program | first] = List.wrap(options[:command])

    case System.find_executable(program) do
      nil -> {:stop, {:command_not_found, program}}
      path -> {:ok, started(Port.open({:spawn_executable, path}, port_options(first, state)), state)}
    end
  end

  defp port_options(first, %{options: options} = state) do
    words = first ++ ["serve" | List.wrap(options[:app])] ++ where(state) ++ ["--json", "--exit-with-stdin"]
    words = if options[:config], do: words ++ ["--config", options[:config]], else: words
    folder = if options[:cd], do: [cd: to_charlist(options[:cd])], else: []

    [:binary, :exit_status, :hide, :stderr_to_stdout, {:line, 65_536}, args: words ++ options[:args], env: env(options)] ++
      folder
  end

  # A restart takes the port of the first start, for those who hold the address.
  defp where(%{options: options, listening: listening}) do
    case listening || options[:address] do
      "unix:" <> path -> ["--address", "", "--unix", path]
      address -> ["--address", address]
    end
  end

  defp env(options) do
    for {name, value} <- options[:env],
        do: {to_charlist(name), if(value in [nil, false], do: false, else: to_charlist(value))}
  end

  defp started(port, %{options: options} = state) do
    {:os_pid, os_pid} = Port.info(port, :os_pid) || {:os_pid, nil}
    timer = Process.send_after(self(), {:start_timeout, port}, options[:start_timeout])
    %{state | port: port, os_pid: os_pid, address: nil, part: "", timer: timer, started: System.monotonic_time()}
  end

  # The first start has one try: a wrong app does not become right.
  defp first_start(%{port: port} = state) do
    receive do
      {^port, {:data, data}} ->
        state = take(data, state)
        if state.address, do: {:ok, state}, else: first_start(state)

      {^port, {:exit_status, status}} ->
        {:stop, {:server_ended, status}}

      {:start_timeout, ^port} ->
        stop(state)
        {:stop, :start_timeout}

      {:EXIT, from, reason} when from != port ->
        stop(state)
        {:stop, reason}
    end
  end

  # -- what it says

  defp take({:noeol, part}, state), do: %{state | part: state.part <> part}

  defp take({:eol, part}, state) do
    line = state.part <> part
    state = %{state | part: ""}

    case ready(line, state) do
      {:ok, address} ->
        became_ready(address, state)

      :error ->
        ServerOutput.write(line, state.options[:output], state.options[:name])
        state
    end
  end

  defp ready("{" <> _ = line, %{address: nil}) do
    case JSON.decode(line) do
      {:ok, %{"event" => "ready", "address" => address}} -> {:ok, address}
      _ -> :error
    end
  end

  defp ready(_line, _state), do: :error

  defp became_ready(address, %{options: options} = state) do
    Process.cancel_timer(state.timer)
    timer = Process.send_after(self(), {:well, state.port}, state.backoff.max)
    for from <- state.waiting, do: GenServer.reply(from, {:ok, address})
    for connection <- connections(options[:name]), do: send(connection, :connect)

    :telemetry.execute(
      [:bridge, :server, :ready],
      %{duration: System.monotonic_time() - state.started},
      %{server: options[:name], address: address, os_pid: state.os_pid}
    )

    %{state | address: address, listening: address, timer: timer, waiting: [], failures: 0}
  end

  # Those that go by this server's name and are between two attempts: they need not wait for their next one.
  defp connections(name) do
    for {pid, %{settings: %{server: server}}} <-
          Registry.select(Bridge.Registry, [{{:_, :"$1", :"$2"}, [], [{{:"$1", :"$2"}}]}]),
        server in [name, self()] and server != nil,
        do: pid
  end

  # -- ending

  defp ended(status, state) do
    if status == :start_timeout, do: stop(state)
    Process.cancel_timer(state.timer)
    failures = if state.address, do: 0, else: state.failures + 1
    {pause, backoff} = pause(state)
    name = state.options[:name]
    :telemetry.execute([:bridge, :server, :down], %{pause_ms: pause}, %{server: name, status: status})
    # What holds the port now is not ours: a restart takes another one.
    listening = if failures > 0 and free?(state.options), do: nil, else: state.listening
    state = %{state | port: nil, os_pid: nil, address: nil, failures: failures, backoff: backoff, listening: listening}

    if failures >= state.options[:max_failures] do
      {:stop, {:server_ended, status}, state}
    else
      Logger.warning(
        "the bridge server#{ServerOutput.label(name)} has ended (#{told(status)}); starting it again in #{pause} ms"
      )

      Process.send_after(self(), :restart, pause)
      {:noreply, state}
    end
  end

  defp free?(options), do: String.ends_with?(options[:address], ":0")

  # The first restart of a server that was well comes at once.
  defp pause(%{address: address, backoff: %{attempt: 0} = backoff}) when address != nil do
    {0, %{backoff | attempt: 1}}
  end

  defp pause(state), do: Backoff.next(state.backoff)

  defp told(:start_timeout), do: "it was not ready in time"
  defp told(status) when status > 128, do: "signal #{status - 128}"
  defp told(status), do: "status #{status}"

  # SIGTERM drains; the pipe's end would say the same, but then nobody would tell when it is over.
  defp stop(%{port: port, os_pid: os_pid, options: options} = state) do
    signal(os_pid, "TERM")
    deadline = System.monotonic_time(:millisecond) + options[:shutdown_timeout]

    unless exited?(state, deadline) do
      signal(os_pid, "KILL")
      exited?(state, System.monotonic_time(:millisecond) + 2_000)
    end

    if Port.info(port), do: Port.close(port)
    :ok
  end

  defp exited?(%{port: port} = state, deadline) do
    receive do
      {^port, {:exit_status, _}} -> true
      {^port, {:data, data}} -> state |> last_words(data) |> exited?(deadline)
    after
      max(0, deadline - System.monotonic_time(:millisecond)) -> false
    end
  end

  defp last_words(state, {:noeol, part}), do: %{state | part: state.part <> part}

  defp last_words(state, {:eol, part}) do
    ServerOutput.write(state.part <> part, state.options[:output], state.options[:name])
    %{state | part: ""}
  end

  defp signal(nil, _name), do: :ok

  defp signal(os_pid, name) do
    System.cmd("kill", ["-#{name}", to_string(os_pid)], stderr_to_stdout: true)
    :ok
  end
end
