defmodule Bridge.Connection do
  @moduledoc """
  A connection to a bridge: a process to be supervised, which keeps one HTTP/2 connection open and opens it again where
  it breaks.

      children = [
        {Bridge.Connection, name: MyApp.Bridge, address: "127.0.0.1:50051"}
      ]

  It starts whether there is a server or not. Calls run in the processes that make them; this process only connects,
  tells them over what, and cancels on the server the calls whose processes have died. A call that finds no connection
  makes it try at once, and fails with `"CANNOT_CONNECT"` where that fails; with `wait_for_ready: true` it waits.

  ## Options

    * `:address` - `"HOST:PORT"` or `"unix:/path"`
    * `:server` - instead of an address the name of a `Bridge.Server`, which is asked for it at each attempt
    * `:name` - what calls name it by; default `Bridge.Connection`; `nil` for none
    * `:key` - an API key, or where it is: `"env:NAME"`, `"file:PATH"`, read anew at each connection
    * `:tls` - `true`, or `[ca: PATH, certificate: PATH, key: PATH, server_name: NAME]`, each optional: encrypts the
      connection. Without `ca` the system's certificate authorities are trusted
    * `:timeout`, `:metadata`, `:session`, ... - options of every call, see `Bridge`
    * `:backoff` - `[min: 100, max: 5_000]`, the pauses between attempts to connect, in milliseconds
    * `:connect_timeout` - milliseconds for one attempt; default `5_000`
    * `:keepalive` - a connection that does not answer within this many milliseconds is given up; default `20_000`, at
      least `10_000`, `:infinity` to never ask
    * `:grace` - how many milliseconds after a call's timeout the client stops waiting for the server, which holds the
      timeout itself and says where the time went; default `250`
    * `:max_message_bytes` - the largest message that is taken; default 256 MiB

  ## Telemetry

  `[:bridge, :connection, :up]`, `[:bridge, :connection, :down]` and `[:bridge, :connection, :failed]` (an attempt), with
  `%{address: address, name: name, cause: text}`.

  ## Why not a channel of the `grpc` package

  Its channels (1.0.2) outlive their connection without saying so, wait up to two minutes between attempts, send a
  timeout of 1,500 ms as 1 s and lose the trailers, and so the receipt, of calls that fail. So calls go over a Gun
  connection of this process's own, with that package's generated services for whoever wants them: see `channel/1`.

  To Gun (2.4) the trailers of a call that has just been cancelled are an error of the whole connection. So this process
  resets a cancelled call's stream itself, and lets Gun forget it some seconds later.
  """

  use GenServer

  alias Bridge.{Backoff, Deadline, Error, Failures}
  alias Bridge.Connection.{Calls, Gun, Settings}

  @type t :: GenServer.server()

  @typedoc false
  @type info :: %{gun: pid() | nil, owner: pid(), settings: Settings.t(), headers: [{String.t(), String.t()}]}

  @soon_ms 50

  @doc "Starts a connection; see the options above."
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(options) do
    settings = Settings.new(options)
    GenServer.start_link(__MODULE__, settings, if(settings.name, do: [name: settings.name], else: []))
  end

  @doc false
  def child_spec(options) do
    %{id: Keyword.get(options, :name) || __MODULE__, start: {__MODULE__, :start_link, [options]}, type: :worker}
  end

  @doc "Whether there is a connection now."
  @spec connected?(t()) :: boolean()
  def connected?(connection) do
    match?({:ok, %{gun: gun}} when is_pid(gun), lookup(connection))
  end

  @doc "Waits for a connection; `{:error, error}` where there is none within the time, in milliseconds."
  @spec await(t(), timeout()) :: :ok | {:error, Error.t()}
  def await(connection, timeout \\ 5_000) do
    with {:ok, _info} <- checkout(connection, Deadline.from_timeout(timeout), true, ""), do: :ok
  end

  @doc "Closes the connection; it is opened again by the next call."
  @spec disconnect(t()) :: :ok
  def disconnect(connection), do: GenServer.call(connection, :disconnect)

  @doc """
  The connection as a `GRPC.Channel`, for services that were generated elsewhere, such as those of your functions by
  `bridge proto export`: their stubs then have its reconnecting and its exact deadlines.

      {:ok, reply} = Demo.V1.DemoService.Stub.add(Bridge.Connection.channel(MyApp.Bridge), request, timeout: 1_500)
  """
  @spec channel(t()) :: struct()
  def channel(connection) do
    %GRPC.Channel{
      host: "bridge",
      port: 0,
      scheme: "http",
      adapter: Bridge.Adapter,
      adapter_payload: %{connection: connection, conn_pid: whereis(connection)},
      codec: GRPC.Codec.Proto,
      interceptors: [],
      accepted_compressors: [],
      headers: []
    }
  end

  @doc """
  The error of a call over `channel/1` as the functions of `Bridge` have it: with reason, violations and metadata.

      {:error, error} = Bridge.V1.PoolService.Stub.list(channel, %Bridge.V1.PoolServiceListRequest{})
      Bridge.Connection.error(error).reason
  """
  @spec error(Exception.t()) :: Error.t()
  def error(%GRPC.RPCError{status: status, message: message, details: details}) do
    packed = Google.Rpc.Status.encode(%Google.Rpc.Status{code: status, message: message || "", details: details || []})
    Failures.from_status(packed, %{path: "", address: "", request_id: "", timeout: :infinity})
  end

  @doc false
  @spec lookup(t()) :: {:ok, info()} | :error
  def lookup(connection) do
    with pid when is_pid(pid) <- whereis(connection),
         [{_, info}] <- Registry.lookup(Bridge.Registry, pid) do
      {:ok, info}
    else
      _ -> :error
    end
  end

  @doc false
  @spec checkout(t(), Deadline.t(), boolean(), String.t()) :: {:ok, info()} | {:error, Error.t()}
  def checkout(connection, deadline, wait?, request_id) do
    case lookup(connection) do
      {:ok, %{gun: gun} = info} when is_pid(gun) -> {:ok, info}
      {:ok, info} -> ready(info, deadline, wait?, request_id)
      :error -> {:error, Failures.cannot_connect(inspect(connection), "there is no such process", request_id)}
    end
  end

  defp ready(info, deadline, wait?, request_id) do
    case GenServer.call(info.owner, {:ready, wait?}, Deadline.remaining(deadline)) do
      {:ok, info} -> {:ok, info}
      {:error, cause} -> {:error, Failures.cannot_connect(address(info), cause, request_id)}
    end
  catch
    :exit, {:timeout, _} ->
      {:error, Failures.cannot_connect(info.settings.address, "no connection in time", request_id)}

    :exit, _ ->
      {:error, Failures.cannot_connect(info.settings.address, "its process has ended", request_id)}
  end

  # That of a server beside is known since it was asked.
  defp address(info) do
    case lookup(info.owner) do
      {:ok, info} -> info.settings.address
      :error -> info.settings.address
    end
  end

  @doc false
  @spec stale(info()) :: :ok
  def stale(info), do: GenServer.call(info.owner, {:stale, info.gun})

  @doc false
  def track(info, stream), do: send(info.owner, {:track, self(), info.gun, stream})

  @doc false
  def untrack(info, stream), do: send(info.owner, {:untrack, stream})

  @doc false
  def cancel(info, stream), do: send(info.owner, {:cancel, info.gun, stream})

  defp whereis(pid) when is_pid(pid), do: pid
  defp whereis(name), do: GenServer.whereis(name)

  # -- the process

  @impl true
  def init(settings) do
    Process.flag(:trap_exit, true)

    state = %{
      settings: settings,
      gun: nil,
      monitor: nil,
      status: :idle,
      old: %{},
      backoff: Backoff.new(settings.backoff_min, settings.backoff_max),
      timer: nil,
      cause: "not tried yet",
      failed_at: nil,
      waiting: [],
      calls: %Calls{},
      headers: []
    }

    {:ok, _} = Registry.register(Bridge.Registry, self(), info(state))
    {:ok, state, {:continue, :connect}}
  end

  @impl true
  def handle_continue(:connect, state), do: {:noreply, connect(state)}

  @impl true
  def handle_call({:ready, _wait?}, _from, %{status: :up} = state), do: {:reply, {:ok, info(state)}, state}

  def handle_call({:ready, wait?}, from, state) do
    state = if state.status != :connecting and not just_failed?(state), do: connect(state), else: state

    if wait? or state.status == :connecting do
      {:noreply, %{state | waiting: [{from, wait?} | state.waiting]}}
    else
      {:reply, {:error, state.cause}, state}
    end
  end

  def handle_call({:stale, gun}, _from, %{gun: gun, status: :up} = state) do
    old = Map.put(state.old, state.monitor, gun)
    {:reply, :ok, connect(%{state | old: old, gun: nil, monitor: nil, status: :idle})}
  end

  def handle_call({:stale, _gun}, _from, state), do: {:reply, :ok, state}

  def handle_call(:disconnect, _from, state) do
    {:reply, :ok, state |> drop() |> cancel_timer() |> publish()}
  end

  @impl true
  def handle_info({:track, caller, gun, stream}, state) do
    {:noreply, %{state | calls: Calls.begun(state.calls, caller, gun, stream)}}
  end

  def handle_info({:stream_id, stream, id}, state) do
    {:noreply, %{state | calls: Calls.numbered(state.calls, stream, id)}}
  end

  def handle_info({:untrack, stream}, state), do: {:noreply, %{state | calls: Calls.ended(state.calls, stream)}}

  def handle_info({:cancel, gun, stream}, state) do
    {:noreply, %{state | calls: Calls.cancelled(state.calls, gun, stream)}}
  end

  def handle_info({:forget, gun, stream}, state) do
    {:noreply, %{state | calls: Calls.forget(state.calls, gun, stream)}}
  end

  def handle_info({:gun_up, gun, :http2}, %{gun: gun} = state), do: {:noreply, up(state)}

  def handle_info({:gun_down, gun, _protocol, reason, _streams}, %{gun: gun} = state) do
    {:noreply, down(state, reason)}
  end

  def handle_info({:DOWN, monitor, :process, _pid, reason}, %{monitor: monitor} = state) do
    {:noreply, down(%{state | monitor: nil}, reason)}
  end

  def handle_info({:DOWN, monitor, :process, _pid, _reason}, state) when is_map_key(state.old, monitor) do
    {:noreply, %{state | old: Map.delete(state.old, monitor)}}
  end

  def handle_info({:DOWN, monitor, :process, _pid, _reason}, state) do
    {:noreply, %{state | calls: Calls.abandoned(state.calls, monitor)}}
  end

  def handle_info(:connect, %{status: :idle} = state), do: {:noreply, connect(%{state | timer: nil})}
  def handle_info(_other, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    for gun <- [state.gun | Map.values(state.old)], gun, do: Gun.close(gun)
  end

  defp just_failed?(%{failed_at: nil}), do: false
  defp just_failed?(%{failed_at: at}), do: Deadline.now() - at < @soon_ms

  defp connect(state) do
    state = cancel_timer(state)

    with {:ok, settings} <- Settings.located(state.settings),
         {:ok, gun, headers} <- Gun.open(settings) do
      monitor = Process.monitor(gun)
      %{state | settings: settings, gun: gun, monitor: monitor, status: :connecting, headers: headers}
    else
      {:error, cause} -> failed(state, cause)
    end
  end

  defp up(state) do
    state = publish(%{state | status: :up, backoff: Backoff.reset(state.backoff), cause: ""})
    for {from, _wait?} <- state.waiting, do: GenServer.reply(from, {:ok, info(state)})
    emit(state, :up, "")
    %{state | waiting: []}
  end

  defp down(%{status: was} = state, reason) do
    cause = Gun.cause(reason)
    if was == :up, do: emit(state, :down, cause)
    %{state | calls: Calls.lost(state.calls)} |> drop() |> failed(cause)
  end

  defp failed(state, cause) do
    emit(state, :failed, cause)
    {pause, backoff} = Backoff.next(state.backoff)
    {waiting, refused} = Enum.split_with(state.waiting, fn {_from, wait?} -> wait? end)
    for {from, _wait?} <- refused, do: GenServer.reply(from, {:error, cause})
    waiting = Enum.filter(waiting, fn {{pid, _tag}, _wait?} -> Process.alive?(pid) end)
    timer = Process.send_after(self(), :connect, pause)

    publish(%{
      state
      | status: :idle,
        cause: cause,
        failed_at: Deadline.now(),
        backoff: backoff,
        waiting: waiting,
        timer: timer
    })
  end

  defp drop(state) do
    if state.monitor, do: Process.demonitor(state.monitor, [:flush])
    if state.gun, do: Gun.close(state.gun)
    %{state | gun: nil, monitor: nil, status: :idle}
  end

  defp cancel_timer(%{timer: nil} = state), do: state

  defp cancel_timer(%{timer: timer} = state) do
    Process.cancel_timer(timer)
    %{state | timer: nil}
  end

  defp publish(state) do
    Registry.update_value(Bridge.Registry, self(), fn _ -> info(state) end)
    state
  end

  defp info(state) do
    %{
      gun: if(state.status == :up, do: state.gun),
      owner: self(),
      settings: state.settings,
      headers: state.headers
    }
  end

  defp emit(state, event, cause) do
    metadata = %{address: state.settings.address, name: state.settings.name, cause: cause}
    :telemetry.execute([:bridge, :connection, event], %{system_time: System.system_time()}, metadata)
  end
end
