defmodule Conformance.Case do
  @moduledoc false
  # One case: its steps one after the other, what they have opened, and what runs beside them. Whatever a case has
  # opened ends with the process that runs it.

  alias Bridge.JSON
  alias Conformance.{Crash, Skip, Steps, Values}

  @pause_ms 50
  @empty %{connections: %{}, sessions: %{}, hosted: %{}, background: %{}, runs: %{}, connect: %{}, index: 0}

  @doc "Answers cases until the end of the input."
  def serve do
    case IO.binread(:stdio, :line) do
      :eof -> :ok
      line -> serve_line(JSON.decode!(String.trim_trailing(line, "\n")))
    end
  end

  defp serve_line(given) do
    me = self()

    {pid, monitor} =
      spawn_monitor(fn ->
        Process.flag(:trap_exit, true)
        answer = answer(given)
        send(me, {:answer, self(), answer})
      end)

    answer =
      receive do
        {:answer, ^pid, answer} ->
          receive(do: ({:DOWN, ^monitor, :process, ^pid, _} -> answer))

        {:DOWN, ^monitor, :process, ^pid, reason} ->
          %{"crash" => inspect(reason)}
      end

    write(Map.put(answer, "case", given["case"]))
    serve()
  end

  defp answer(given) do
    {results, state} = Enum.map_reduce(given["steps"], %{@empty | connect: given["connect"]}, &step/2)
    close(state)
    %{"steps" => results}
  rescue
    error in Skip -> %{"skip" => error.message}
    error -> %{"crash" => Exception.format(:error, error, __STACKTRACE__)}
  end

  defp write(message), do: IO.binwrite(:stdio, [JSON.encode(message), ?\n])

  # What a user would close: the links end the rest.
  defp close(state) do
    for {_name, background} <- state.background, do: Process.exit(background.pid, :kill)
    for {_name, {_hosted, host}} <- state.hosted, Process.alive?(host), do: Bridge.Tools.stop(host)
    for {_name, connection} <- state.connections, Process.alive?(connection), do: GenServer.stop(connection)
  end

  # -- steps

  defp step(step, state) do
    started = now()
    {result, state} = patiently(step, state, started + (step["patience_ms"] || 0))
    {Map.put(result, "elapsed_ms", now() - started), %{state | index: state.index + 1}}
  end

  defp patiently(step, state, until) do
    case make(step, state) do
      {%{"error" => %{"code" => "UNAVAILABLE"}}, state} = found ->
        if now() < until, do: receive(after: (@pause_ms -> patiently(step, state, until))), else: found

      found ->
        found
    end
  end

  defp make(%{"op" => "harness"} = step, state) do
    write(%{"harness" => step})

    case JSON.decode!(String.trim_trailing(IO.binread(:stdio, :line), "\n")) do
      %{"done" => true} -> {%{"value" => nil}, state}
      answer -> raise Crash, message: "the harness failed: #{inspect(answer["error"])}"
    end
  end

  defp make(%{"op" => "cancel", "name" => name}, state) do
    Process.exit(Map.fetch!(state.background, name).pid, :kill)
    {%{"value" => nil}, state}
  end

  defp make(%{"op" => "join", "name" => name}, state), do: state.background |> Map.fetch!(name) |> join(state)

  defp make(%{"op" => "connect"} = step, state) do
    Steps.check(step)
    {_pid, state} = open(step["name"], step["connect"], state)
    {%{"value" => nil}, state}
  end

  defp make(%{"op" => "close"} = step, state) do
    Steps.check(step)
    {connection, state} = connection(step, state)
    :ok = GenServer.stop(connection)
    {%{"value" => nil}, state}
  end

  defp make(step, state) do
    Steps.check(step)
    {connection, state} = connection(step, state)
    options = Steps.options(step, state.sessions)
    context = Map.merge(state, %{connection: connection, options: options})
    if step["background"], do: begin(step, context, state), else: here(step, context, state)
  end

  # In this process: what a step hears of its run comes back in its dictionary.
  defp here(step, context, state) do
    {result, kept, notes} = guarded(step, context, fn note -> Process.put(:notes, [note | Process.get(:notes, [])]) end)
    notes = notes ++ (Process.delete(:notes) || [])
    {result, keep(state, kept, run_of(notes))}
  end

  # A process of its own, as a user would have it: ending it cancels its call.
  defp begin(step, context, state) do
    me = self()
    reference = make_ref()

    {pid, monitor} =
      spawn_monitor(fn ->
        result = guarded(step, context, fn note -> send(me, {reference, :note, note}) end)
        send(me, {reference, :result, result})
      end)

    background = %{pid: pid, monitor: monitor, reference: reference, step: step, index: state.index}
    {%{"value" => nil}, put_in(state.background[step["background"]], background)}
  end

  defp join(%{reference: reference, monitor: monitor} = background, state) do
    receive do
      {:DOWN, ^monitor, :process, _pid, :normal} ->
        {result, kept, _} = receive(do: ({^reference, :result, result} -> result))
        {result, keep(%{state | index: background.index}, kept, run_of(notes(reference, [])))}

      {:DOWN, ^monitor, :process, _pid, :killed} ->
        notes = notes(reference, [])
        items = for {:item, item} <- Enum.reverse(notes), do: item
        {left(background.step, items), keep(%{state | index: background.index}, [], run_of(notes))}

      {:DOWN, ^monitor, :process, _pid, reason} ->
        raise Crash, message: "a step's process ended: #{inspect(reason)}"
    end
    |> then(fn {result, kept} -> {result, %{kept | index: state.index}} end)
  end

  defp notes(reference, found) do
    receive do
      {^reference, :note, note} -> notes(reference, [note | found])
    after
      0 -> found
    end
  end

  # Who has ended the process of a call has nobody who could tell how it went.
  defp left(%{"op" => op} = step, items) when op in ~w(stream stream_program resume_program) do
    with_receipt(step, %{"items" => items, "ended" => "cancelled"}, nil)
  end

  defp left(step, _items), do: with_receipt(step, %{"error" => Values.error(:cancelled)}, nil)

  defp guarded(step, context, heard) do
    {{result, kept}, receipt} =
      Bridge.with_receipt(fn ->
        try do
          Steps.run(step, context, heard)
        rescue
          error in ArgumentError -> {%{"error" => Values.error(error)}, []}
        end
      end)

    {with_receipt(step, result, receipt), kept, []}
  end

  defp with_receipt(%{"receipt" => true}, result, receipt), do: Map.put(result, "receipt", Values.receipt(receipt))
  defp with_receipt(_step, result, _receipt), do: result

  # -- what is kept

  defp keep(state, kept, run) do
    state = Enum.reduce(kept, state, fn {kind, name, value}, state -> put_in(state[kind][name], value) end)
    if run, do: put_in(state.runs[state.index], run), else: state
  end

  # The token and the last number of a run, of its notes, the newest first.
  defp run_of(notes) do
    token = Enum.find_value(notes, fn note -> match?({:token, _}, note) && elem(note, 1) end)
    last = Enum.find_value(notes, 0, fn note -> match?({:sequence, _}, note) && elem(note, 1) end)
    token && {token, last}
  end

  defp connection(step, state) do
    name = step["connection"] || "main"

    case state.connections do
      %{^name => connection} -> {connection, state}
      _ when name == "main" -> open("main", state.connect, state)
      _ -> raise Crash, message: "no connection #{inspect(name)}"
    end
  end

  defp open(name, connect, state) do
    {:ok, connection} = Bridge.Connection.start_link(Steps.connect(connect))
    {connection, put_in(state.connections[name], connection)}
  end

  defp now, do: System.monotonic_time(:millisecond)
end
