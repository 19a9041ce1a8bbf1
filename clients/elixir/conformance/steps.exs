defmodule Conformance.Steps do
  @moduledoc false
  # What each `op` of the protocol does with the client. A step gets a context: what the case has opened so far, with the
  # options of the call; it gives a result and what is to be kept. Runs in the case's process, or in one of its own.

  alias Bridge.Event
  alias Conformance.{Crash, Hosted, Skip, Values}

  @common ~w(op connection receipt digest patience_ms background)
  @options ~w(timeout_ms metadata request_id idempotency_key session budget retries)
  @fields %{
    "connect" => ~w(name connect),
    "close" => [],
    "call" => ~w(function arguments),
    "stream" => ~w(function arguments take),
    "open_session" => ~w(name mode ttl_ms id ordered),
    "session_info" => ~w(name),
    "close_session" => ~w(name),
    "run_program" => ~w(program inputs tools server_tools),
    "stream_program" => ~w(program inputs tools server_tools take all_events resumable disconnect),
    "resume_program" => ~w(from after take),
    "cancel_run" => ~w(from),
    "generate" => ~w(prompt model max_tokens),
    "embed" => ~w(texts model),
    "score" => ~w(metric prediction references),
    "health" => ~w(service),
    "describe" => ~w(function),
    "list_functions" => ~w(prefix),
    "list_pools" => [],
    "host_tools" => ~w(name tools visibility),
    "tool_calls" => ~w(name wait_for within_ms),
    "unhost_tools" => ~w(name)
  }

  @doc "Refuses what is not understood."
  def check(%{"op" => op} = step) do
    known = @fields[op] || raise Skip, message: "the operation #{op}"

    case Map.keys(step) -- (known ++ @options ++ @common) do
      [] -> :ok
      unknown -> raise Crash, message: "#{op} has fields that this runner does not know: #{Enum.join(unknown, ", ")}"
    end
  end

  @doc "The options of the client's connection for `connect` of the protocol."
  def connect(connect) do
    case Map.keys(connect) -- ~w(address key tls max_message_bytes) do
      [] -> :ok
      unknown -> raise Skip, message: "connect with #{Enum.join(unknown, ", ")}"
    end

    tls = connect["tls"] && for {name, path} <- connect["tls"], do: {String.to_existing_atom(name), path}

    [name: nil, address: connect["address"], key: connect["key"], tls: tls]
    |> Keyword.merge(given(connect, max_message_bytes: "max_message_bytes"))
    |> Enum.reject(fn {name, value} -> name != :name and is_nil(value) end)
  end

  @doc "The options of a call; bytes come as such, so that they can be told from text."
  def options(step, sessions) do
    given(step,
      timeout: "timeout_ms",
      metadata: "metadata",
      request_id: "request_id",
      idempotency_key: "idempotency_key",
      retries: "retries"
    ) ++ session(step, sessions) ++ budget(step) ++ [bytes: :tagged]
  end

  defp session(%{"session" => name}, sessions), do: [session: Map.fetch!(sessions, name)]
  defp session(_step, _sessions), do: []

  defp budget(%{"budget" => budget}), do: [budget: for({name, n} <- budget, do: {String.to_existing_atom(name), n})]
  defp budget(_step), do: []

  defp given(step, names), do: for({name, field} <- names, Map.has_key?(step, field), do: {name, step[field]})

  @doc "The result of a step, and what is to be kept of it as `{kind, name, value}`. `heard` gets each item of a stream."
  def run(%{"op" => "call"} = step, context, _heard) do
    value(Bridge.call(context.connection, step["function"], arguments(step), context.options), fn value ->
      if step["digest"], do: Values.digest(value), else: Values.from_client(value)
    end)
  end

  def run(%{"op" => "stream"} = step, context, heard) do
    stream = Bridge.stream(context.connection, step["function"], arguments(step), context.options)
    {read(stream, step["take"], &Values.from_client/1, heard), []}
  end

  def run(%{"op" => "open_session"} = step, context, _heard) do
    own = given(step, id: "id", ttl: "ttl_ms", ordered: "ordered")
    own = if step["mode"], do: [{:mode, String.to_existing_atom(step["mode"])} | own], else: own

    with {:ok, session} <- Bridge.open_session(context.connection, own ++ plain(context)),
         {:ok, info} <- Bridge.session_info(session, Keyword.take(context.options, [:metadata, :timeout])) do
      {%{"value" => Values.session(info)}, [{:sessions, step["name"], session}]}
    else
      {:error, error} -> {%{"error" => Values.error(error)}, []}
    end
  end

  def run(%{"op" => "session_info"} = step, context, _heard) do
    value(Bridge.session_info(Map.fetch!(context.sessions, step["name"]), plain(context)), &Values.session/1)
  end

  def run(%{"op" => "close_session"} = step, context, _heard) do
    case Bridge.close_session(Map.fetch!(context.sessions, step["name"]), plain(context)) do
      :ok -> {%{"value" => nil}, []}
      {:error, error} -> {%{"error" => Values.error(error)}, []}
    end
  end

  def run(%{"op" => "run_program"} = step, context, _heard) do
    options = context.options ++ tools(step, context)
    value(Bridge.program(context.connection, step["program"], inputs(step), options), &Values.from_client/1)
  end

  def run(%{"op" => "stream_program"} = step, context, heard) do
    options = context.options ++ tools(step, context) ++ given(step, all_events: "all_events", resumable: "resumable")
    stream = Bridge.stream_program(context.connection, step["program"], inputs(step), options)
    {read(stream, step["take"], &event/1, heard), []}
  end

  def run(%{"op" => "resume_program"} = step, context, heard) do
    {token, last} = Map.fetch!(context.runs, step["from"])
    stream = Bridge.resume_program(context.connection, token, [{:after, step["after"] || last} | context.options])
    heard.({:token, token})
    {read(stream, step["take"], &event/1, heard), []}
  end

  def run(%{"op" => "cancel_run"} = step, context, _heard) do
    {token, _last} = Map.fetch!(context.runs, step["from"])
    value(Bridge.cancel_program(context.connection, token, plain(context)), & &1)
  end

  def run(%{"op" => "generate"} = step, context, _heard) do
    options = plain(context) ++ given(step, model: "model", max_tokens: "max_tokens")

    value(Bridge.generate(context.connection, step["prompt"], options), fn found ->
      %{"text" => found.text, "model" => found.model, "finish_reason" => to_string(found.finish_reason)}
    end)
  end

  def run(%{"op" => "embed"} = step, context, _heard) do
    options = plain(context) ++ given(step, model: "model")

    value(Bridge.embed(context.connection, step["texts"], options), fn found ->
      %{"dimensions" => found.dimensions, "vectors" => Values.from_client(found.vectors)}
    end)
  end

  def run(%{"op" => "score"} = step, context, _heard) do
    scored = Bridge.score(context.connection, step["metric"], step["prediction"], step["references"], plain(context))
    value(scored, &Values.from_client(&1.value))
  end

  def run(%{"op" => "health"} = step, context, _heard) do
    value(Bridge.health(context.connection, step["service"], plain(context)), &String.upcase(to_string(&1)))
  end

  def run(%{"op" => "list_functions"} = step, context, _heard) do
    options = [{:prefix, step["prefix"]} | plain(context)]
    value(Bridge.functions(context.connection, options), fn found -> Enum.map(found, & &1.name) end)
  end

  def run(%{"op" => "list_pools"}, context, _heard) do
    value(Bridge.pools(context.connection, plain(context)), fn found ->
      for pool <- found, do: %{"name" => pool.name, "state" => to_string(pool.state)}
    end)
  end

  def run(%{"op" => "describe"} = step, context, _heard) do
    value(Bridge.describe(context.connection, step["function"], plain(context)), &Values.function/1)
  end

  def run(%{"op" => "host_tools"} = step, context, _heard) do
    {:ok, hosted} = Hosted.start_link()
    tools = Enum.map(step["tools"], &Hosted.tool(hosted, &1))
    visibility = String.to_existing_atom(step["visibility"] || "run")
    own = [name: nil, connection: context.connection, tools: tools, visibility: visibility]
    {:ok, host} = Bridge.Tools.start_link(own ++ Keyword.take(context.options, [:metadata, :session]))

    case Bridge.Tools.await(host) do
      {:ok, _registration} -> {%{"value" => nil}, [{:hosted, step["name"], {hosted, host}}]}
      {:error, error} -> {%{"error" => Values.error(error)}, [{:hosted, step["name"], {hosted, host}}]}
    end
  end

  def run(%{"op" => "tool_calls"} = step, context, _heard) do
    {hosted, _host} = Map.fetch!(context.hosted, step["name"])
    {%{"value" => Hosted.calls(hosted, step["wait_for"], step["within_ms"] || 10_000)}, []}
  end

  def run(%{"op" => "unhost_tools"} = step, context, _heard) do
    {_hosted, host} = Map.fetch!(context.hosted, step["name"])
    :ok = Bridge.Tools.stop(host)
    {%{"value" => nil}, []}
  end

  defp arguments(step), do: Values.to_client(step["arguments"] || %{})
  defp inputs(step), do: Values.to_client(step["inputs"] || %{})

  # Options of calls whose results are no values of functions.
  defp plain(context), do: Keyword.delete(context.options, :bytes)

  defp tools(step, context) do
    hosts = for name <- step["tools"] || [], do: context.hosted |> Map.fetch!(name) |> elem(1)

    case hosts ++ (step["server_tools"] || []) do
      [] -> []
      tools -> [tools: tools]
    end
  end

  defp event(%Event.Status{resume_token: token} = event) when token != "", do: {Values.event(event), {:token, token}}
  defp event(event), do: {Values.event(event), {:sequence, event.sequence}}

  defp value({:ok, value}, read), do: {%{"value" => read.(value)}, []}
  defp value({:error, error}, _read), do: {%{"error" => Values.error(error)}, []}

  # The items of a stream, and how it has ended.
  defp read(stream, take, read, heard) do
    {items, ended} =
      Enum.reduce_while(stream, {[], "complete"}, fn
        {:ok, item}, {items, _ended} ->
          items = [keep(read.(item), heard) | items]
          if length(items) == take, do: {:halt, {items, "cancelled"}}, else: {:cont, {items, "complete"}}

        {:error, error}, {items, _ended} ->
          {:halt, {items, error}}
      end)

    case ended do
      %Bridge.Error{} = error -> %{"items" => Enum.reverse(items), "error" => Values.error(error)}
      how -> %{"items" => Enum.reverse(items), "ended" => how}
    end
  end

  defp keep({item, note}, heard) do
    heard.(note)
    heard.({:sequence, item["sequence"]})
    heard.({:item, item})
    item
  end

  defp keep(item, heard) do
    heard.({:item, item})
    item
  end
end
