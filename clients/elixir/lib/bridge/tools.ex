defmodule Bridge.Tools do
  @moduledoc """
  Hosts functions of this node as the tools of agents on the server: a process to be supervised.

      children = [
        {Bridge.Connection, name: MyApp.Bridge, address: "127.0.0.1:50051"},
        {Bridge.Tools, name: MyApp.Tools, connection: MyApp.Bridge, tools: [MyApp.WeatherTool]}
      ]

      Bridge.program(MyApp.Bridge, "assistant", [question: "Do I need an umbrella?"], tools: MyApp.Tools)

  The registration is kept when the connection breaks: it is taken up again with what still runs, and made anew where
  the server has forgotten it. Each call runs in a process of its own. It is told to exit, with `{:shutdown, reason}`,
  when nobody waits for it any more, its deadline has passed, or this process ends, and is killed half a second later.

  ## Options

    * `:connection` - the connection, or a session of one; required
    * `:tools` - `Bridge.Tool`s, or modules that `use Bridge.Tool`; required
    * `:name` - what programs and callers name the process by; default `Bridge.Tools`
    * `:visibility` - who may use the tools: `:run` (the default), runs that name this process; `:session`, also runs of
      the same session, by the tools' names; `:tenant`, also all runs of the tenant
    * `:metadata`, `:session` - options of the stream's call, see `Bridge`

  ## Telemetry

  `[:bridge, :tool, :start]`, `[:bridge, :tool, :stop]` (`duration`; `outcome` is `:result`, `:error` or `:cancelled`),
  with `%{tool: name, id: id, request_id: id, traceparent: text}`.
  """

  use GenServer

  alias Bridge.{Backoff, Caller, CallOptions, Connection, Deadline, Error, Hosting, Tool, Transport, V1}
  alias Bridge.Tools.Messages

  @type t :: GenServer.server()

  @own [:connection, :tools, :name, :visibility]
  @visibilities [:run, :session, :tenant]
  @kill_after 500

  @doc "Starts to host tools; see the options above. Does not wait for the registration: see `await/2`."
  @spec start_link(keyword()) :: GenServer.on_start()
  def start_link(options) do
    {own, rest} = CallOptions.split(options, @own)
    hosting = Hosting.new(Keyword.fetch!(own, :tools))
    visibility = own[:visibility] || :run

    unless visibility in @visibilities do
      raise ArgumentError, "expected visibility to be one of #{inspect(@visibilities)}, got #{inspect(visibility)}"
    end

    name = Keyword.get(own, :name, __MODULE__)
    arguments = {Keyword.fetch!(own, :connection), hosting, visibility, Keyword.put(rest, :timeout, :infinity)}
    GenServer.start_link(__MODULE__, arguments, if(name, do: [name: name], else: []))
  end

  @doc "Waits until the tools are registered, and returns the registration's id."
  @spec await(t(), timeout()) :: {:ok, String.t()} | {:error, Error.t()}
  def await(tools, timeout \\ 5_000) do
    GenServer.call(tools, :await, timeout)
  catch
    :exit, {:timeout, _} ->
      {:error, %Error{code: :deadline_exceeded, message: "the tools were not registered within #{timeout} ms"}}

    :exit, _ ->
      message = "#{inspect(tools)} hosts no tools: there is no such process, or it has ended"
      {:error, %Error{code: :not_found, reason: "UNKNOWN_TOOL_REGISTRATION", message: message}}
  end

  @doc false
  @spec hosted(t()) :: {:ok, %{registration: String.t(), names: [String.t()]}} | {:error, Error.t()}
  def hosted(tools) do
    with {:ok, registration} <- await(tools) do
      {:ok, %{registration: registration, names: GenServer.call(tools, :names)}}
    end
  catch
    :exit, _ ->
      message = "expected a Bridge.Tools process that hosts tools, got #{inspect(tools)}, which does not or no longer"
      {:error, %Error{code: :not_found, reason: "UNKNOWN_TOOL_REGISTRATION", message: message}}
  end

  @doc "Hosts the tools no longer: gives the registration up and ends the process."
  @spec stop(t()) :: :ok
  def stop(tools), do: GenServer.stop(tools)

  @impl true
  def init({connection, hosting, visibility, options}) do
    Process.flag(:trap_exit, true)

    state = %{
      connection: connection,
      options: options,
      visibility: visibility,
      hosting: hosting,
      call: nil,
      opening: nil,
      ready?: false,
      error: nil,
      backoff: Backoff.new(50, 5_000),
      waiting: [],
      tasks: %{}
    }

    {:ok, state, {:continue, :open}}
  end

  @impl true
  def handle_continue(:open, state), do: {:noreply, open(state)}

  @impl true
  def handle_call(:await, _from, %{ready?: true} = state), do: {:reply, {:ok, state.hosting.registration}, state}
  def handle_call(:await, _from, %{error: %Error{} = error} = state), do: {:reply, {:error, error}, state}
  def handle_call(:await, from, state), do: {:noreply, %{state | waiting: [from | state.waiting]}}
  def handle_call(:names, _from, state), do: {:reply, Map.keys(state.hosting.tools), state}

  # -- the stream

  # Whether there is a connection is asked in a process of its own: it may take a while, and calls go on meanwhile.
  defp open(state) do
    prepared = Caller.prepare(state.connection, %{path: "/bridge.v1.ToolService/Host", name: "tools"}, state.options)
    me = self()

    pid =
      spawn_link(fn ->
        found =
          Connection.checkout(prepared.connection, Deadline.from_timeout(:infinity), true, prepared.facts.request_id)

        send(me, {:connected, self(), found, prepared})
      end)

    %{state | opening: pid}
  end

  @impl true
  def handle_info({:connected, pid, {:ok, info}, prepared}, %{opening: pid} = state) do
    headers = CallOptions.headers(prepared.options, prepared.facts.request_id)
    call = Transport.open_conversation(info, headers, prepared.deadline, prepared.facts)
    for message <- Messages.opening(state.hosting, state.visibility), do: Transport.send_message(call, message)
    {:noreply, %{state | opening: nil, call: call}}
  end

  def handle_info({:connected, pid, {:error, error}, _prepared}, %{opening: pid} = state) do
    {:noreply, ended(%{state | opening: nil}, error)}
  end

  def handle_info({reference, message}, %{call: %Transport{alias: reference} = call} = state) do
    {:noreply, message |> Transport.absorb(call) |> go_on(state)}
  end

  def handle_info({:DOWN, reference, :process, _gun, reason}, %{call: %Transport{alias: reference} = call} = state) do
    {:noreply, call |> Transport.gone(reason) |> go_on(state)}
  end

  def handle_info(:open, %{call: nil, opening: nil} = state), do: {:noreply, open(state)}

  def handle_info({:answer, pid, outcome}, state) when is_map_key(state.tasks, pid) do
    {:noreply, answer(state, pid, outcome)}
  end

  def handle_info({:EXIT, pid, reason}, state) when is_map_key(state.tasks, pid) do
    {:noreply, answer(state, pid, {:error, "exit", "the tool's process ended: #{inspect(reason, limit: 5)}"})}
  end

  def handle_info({:overdue, pid}, state) do
    {:noreply, if(is_map_key(state.tasks, pid), do: late(state, pid), else: state)}
  end

  def handle_info({:kill, pid}, state) do
    Process.exit(pid, :kill)
    {:noreply, state}
  end

  def handle_info({:EXIT, pid, reason}, %{opening: pid} = state) when reason != :normal do
    {:noreply, ended(%{state | opening: nil}, nil)}
  end

  # The parent's end ends this process too, in its own time: GenServer sees to it. Others are tools that have ended.
  def handle_info(_other, state), do: {:noreply, state}

  defp go_on({:cont, call}, state), do: drain(Transport.pop(call), state)
  defp go_on({:done, _trailers, _call}, state), do: ended(%{state | call: nil}, nil)
  defp go_on({:error, error, _trailers}, state), do: ended(%{state | call: nil}, error)
  defp go_on({:unsent, _cause}, state), do: ended(%{state | call: nil}, nil)

  defp drain({:message, message, call}, state), do: drain(Transport.pop(call), hear(message, %{state | call: call}))
  defp drain({:empty, call}, state), do: %{state | call: call}
  defp drain(failure, state), do: go_on(failure, state)

  defp hear(message, state) do
    case V1.HostResponse.decode(message).message do
      {:registered, registered} -> registered(state, registered)
      {:call, call} -> begin(state, Messages.call(call))
      {:cancel, cancel} -> cancel(state, cancel.id, cancel.reason)
      _draining -> state
    end
  end

  defp registered(state, %{registration: registration, token: token}) do
    for from <- state.waiting, do: GenServer.reply(from, {:ok, registration})
    hosting = Hosting.registered(state.hosting, registration, token)
    %{state | hosting: hosting, ready?: true, waiting: [], backoff: Backoff.reset(state.backoff), error: nil}
  end

  # The stream has ended: it is opened again, now or in a while, unless the server does not want it.
  defp ended(state, error) do
    {next, jobs, hosting} = Hosting.ended(state.hosting, error)
    state = Enum.reduce(jobs, %{state | hosting: hosting, ready?: false}, &end_task(&2, &1, "CALLER_ENDED"))

    case next do
      :again ->
        {pause, backoff} = Backoff.next(state.backoff)
        Process.send_after(self(), :open, pause)
        %{state | backoff: backoff}

      :stop ->
        for from <- state.waiting, do: GenServer.reply(from, {:error, error})
        %{state | error: error, waiting: []}
    end
  end

  # -- calls

  defp begin(state, %Tool.Call{} = call) do
    metadata = Map.take(call, [:tool, :id, :request_id, :traceparent])
    started = System.monotonic_time()

    :telemetry.execute(
      [:bridge, :tool, :start],
      %{monotonic_time: started, system_time: System.system_time()},
      metadata
    )

    tool = Map.fetch!(state.hosting.tools, call.tool)
    me = self()
    pid = spawn_link(fn -> send(me, {:answer, self(), Tool.run(tool, call)}) end)
    timer = call.deadline && Process.send_after(self(), {:overdue, pid}, Tool.Call.remaining(call))
    task = %{id: call.id, metadata: metadata, started: started, timer: timer}
    %{state | tasks: Map.put(state.tasks, pid, task), hosting: Hosting.begun(state.hosting, call.id, pid)}
  end

  defp answer(state, pid, outcome) do
    {task, state} = forget(state, pid, elem(outcome, 0))
    answer = Messages.answer(task.id, outcome)

    case Hosting.answered(state.hosting, task.id, answer) do
      {:ok, hosting} ->
        if state.call, do: Transport.send_message(state.call, answer)
        %{state | hosting: hosting}

      :nobody ->
        state
    end
  end

  # The server cancels a call at its deadline too; this one holds where it is not heard.
  defp late(state, pid), do: cancel(state, state.tasks[pid].id, "TOOL_TIMEOUT")

  defp cancel(state, id, reason) do
    case Hosting.cancelled(state.hosting, id) do
      {nil, _hosting} -> state
      {pid, hosting} -> end_task(%{state | hosting: hosting}, pid, reason)
    end
  end

  defp end_task(state, pid, reason) do
    {_task, state} = forget(state, pid, :cancelled)
    Process.exit(pid, {:shutdown, reason})
    Process.send_after(self(), {:kill, pid}, @kill_after)
    state
  end

  defp forget(state, pid, outcome) do
    {task, tasks} = Map.pop!(state.tasks, pid)
    if task.timer, do: Process.cancel_timer(task.timer)
    metadata = Map.put(task.metadata, :outcome, outcome)
    :telemetry.execute([:bridge, :tool, :stop], %{duration: System.monotonic_time() - task.started}, metadata)
    {task, %{state | tasks: tasks}}
  end

  @impl true
  def terminate(_reason, state) do
    for pid <- Map.keys(state.tasks), do: Process.exit(pid, {:shutdown, "CALLER_ENDED"})

    if state.call do
      Transport.send_message(state.call, Messages.goodbye())
      Transport.end_requests(state.call)
      await_end(state.call, Deadline.from_timeout(1_000))
    end
  end

  # So that the server has heard the goodbye when this returns.
  defp await_end(%{alias: reference} = call, deadline) do
    receive do
      {^reference, message} ->
        with {:cont, call} <- Transport.absorb(message, call), do: await_end(call, deadline)

      {:DOWN, ^reference, :process, _gun, _reason} ->
        :ok
    after
      Deadline.remaining(deadline) -> Transport.close(call)
    end
  end
end
