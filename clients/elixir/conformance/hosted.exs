defmodule Conformance.Hosted do
  @moduledoc false
  # Tools of a `host_tools` step, and what they have seen. It keeps the calls in the order in which they began; a call
  # was cancelled where the process that ran it has been told to exit.

  use GenServer

  alias Bridge.Tool
  alias Conformance.{Crash, Skip}

  @wait_ms 30_000

  def start_link, do: GenServer.start_link(__MODULE__, nil)

  @doc "A tool of the protocol as the client has it."
  def tool(hosted, spec) do
    behaviour = spec["behaviour"]
    unless behaviour in ~w(echo add fail abort wait), do: raise(Skip, message: "the behaviour #{behaviour} of tools")

    function = fn arguments, call ->
      GenServer.call(hosted, {:begun, self(), told(arguments, call)})
      behave(behaviour, arguments)
    end

    Tool.new(spec["name"],
      function: function,
      description: spec["doc"] || "",
      schema: spec["schema"],
      on_error: if(behaviour == "abort", do: :abort, else: :observe),
      timeout: spec["timeout_ms"],
      idempotent: spec["idempotent"] || false
    )
  end

  defp behave("echo", arguments), do: arguments
  defp behave("add", %{"a" => a, "b" => b}), do: a + b
  defp behave("fail", _arguments), do: {:error, "this tool fails"}
  defp behave("abort", _arguments), do: {:error, "this tool aborts"}

  # Its process is told to exit when the call is cancelled.
  defp behave("wait", _arguments), do: receive(after: (@wait_ms -> "waited"))

  defp told(arguments, call) do
    %{
      "tool" => call.tool,
      "arguments" => Conformance.Values.from_client(arguments),
      "remaining_ms" => remaining(Tool.Call.remaining(call)),
      "request_id" => call.request_id,
      "session_id" => call.session_id,
      "traceparent" => call.traceparent
    }
  end

  defp remaining(:infinity), do: nil
  defp remaining(ms), do: ms

  @doc "T of the protocol: when what is waited for has come, or the time is over."
  def calls(hosted, wait_for, within_ms) do
    unless wait_for in [nil, "call", "cancel"], do: raise(Crash, message: "wait_for #{inspect(wait_for)}")
    GenServer.call(hosted, {:calls, wait_for, within_ms}, within_ms + 5_000)
  end

  @impl true
  def init(_), do: {:ok, %{calls: [], waiting: []}}

  @impl true
  def handle_call({:begun, pid, told}, _from, state) do
    call = %{told: Map.put(told, "cancelled", false), monitor: Process.monitor(pid)}
    {:reply, :ok, reply(%{state | calls: state.calls ++ [call]})}
  end

  def handle_call({:calls, wait_for, within_ms}, from, state) do
    Process.send_after(self(), {:over, from}, within_ms)
    {:noreply, reply(%{state | waiting: [{from, wait_for} | state.waiting]})}
  end

  @impl true
  def handle_info({:DOWN, monitor, :process, _pid, reason}, state) do
    cancelled = match?({:shutdown, _}, reason) or reason == :killed

    calls =
      for call <- state.calls do
        if call.monitor == monitor, do: put_in(call.told["cancelled"], cancelled), else: call
      end

    {:noreply, reply(%{state | calls: calls})}
  end

  def handle_info({:over, from}, state) do
    {over, waiting} = Enum.split_with(state.waiting, fn {found, _} -> found == from end)
    for {from, _} <- over, do: GenServer.reply(from, all(state))
    {:noreply, %{state | waiting: waiting}}
  end

  defp reply(state) do
    {come, waiting} = Enum.split_with(state.waiting, fn {_from, wait_for} -> come?(wait_for, state.calls) end)
    for {from, _} <- come, do: GenServer.reply(from, all(state))
    %{state | waiting: waiting}
  end

  defp come?(nil, _calls), do: true
  defp come?("call", calls), do: calls != []
  defp come?("cancel", calls), do: Enum.any?(calls, & &1.told["cancelled"])

  defp all(state), do: Enum.map(state.calls, & &1.told)
end
