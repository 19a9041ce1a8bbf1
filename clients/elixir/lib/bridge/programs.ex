defmodule Bridge.Programs do
  @moduledoc false
  # DSPy programs: run, streamed, taken up again. `Bridge` documents them.

  alias Bridge.{Caller, CallOptions, Convert, Event, V1}

  @page 1000
  @wishes [:model, :adapter, :temperature, :max_tokens, :cache, :version, :tools]
  @adapters %{
    chat: :PROMPT_ADAPTER_CHAT,
    json: :PROMPT_ADAPTER_JSON,
    xml: :PROMPT_ADAPTER_XML,
    two_step: :PROMPT_ADAPTER_TWO_STEP
  }

  def run(connection, program, inputs, options) do
    {own, options} = CallOptions.split(options, @wishes)
    bytes = options[:bytes] || :binary

    with {:ok, fields} <- wishes(program, inputs, own) do
      request = struct!(V1.RunRequest, fields)
      read = fn reply -> Convert.value(reply.outputs, bytes) end
      Caller.unary(connection, Caller.operation("ProgramService/Run", request, V1.RunResponse, read, program), options)
    end
  end

  def stream(connection, program, inputs, options) do
    {own, options} = CallOptions.split(options, [:all_events, :resumable | @wishes])
    bytes = options[:bytes] || :binary

    case wishes(program, inputs, own) do
      {:ok, fields} ->
        more = %{all_events: own[:all_events] || false, resumable: own[:resumable] || false}
        request = struct!(V1.StreamRunRequest, Map.merge(fields, more))
        read = fn reply -> events(reply, bytes) end
        operation = Caller.operation("ProgramService/StreamRun", request, V1.StreamRunResponse, read, program)
        Caller.stream(connection, operation, options)

      {:error, error} ->
        [{:error, error}]
    end
  end

  def resume(connection, token, options) do
    {own, options} = CallOptions.split(options, [:after])
    bytes = options[:bytes] || :binary
    request = %V1.ResumeRunRequest{token: token, after_sequence: own[:after] || 0}
    read = fn reply -> events(reply.event, bytes) end
    operation = Caller.operation("ProgramService/ResumeRun", request, V1.ResumeRunResponse, read)
    Caller.stream(connection, operation, options)
  end

  def cancel(connection, token, options) do
    {_own, options} = CallOptions.split(options, [])
    request = %V1.CancelRunRequest{token: token}
    read = fn reply -> reply.cancelled end
    Caller.unary(connection, Caller.operation("ProgramService/CancelRun", request, V1.CancelRunResponse, read), options)
  end

  def list(connection, options) do
    {_own, options} = CallOptions.split(options, [])

    Caller.pages(connection, options, fn token ->
      request = %V1.ProgramServiceListRequest{page_size: @page, page_token: token}
      read = fn reply -> {Enum.map(reply.programs, &Convert.program_info/1), reply.next_page_token} end
      Caller.operation("ProgramService/List", request, V1.ProgramServiceListResponse, read)
    end)
  end

  def describe(connection, program, options) do
    {_own, options} = CallOptions.split(options, [])
    request = %V1.ProgramServiceDescribeRequest{program: program}
    read = fn reply -> Convert.program_info(reply.program) end
    operation = Caller.operation("ProgramService/Describe", request, V1.ProgramServiceDescribeResponse, read, program)
    Caller.unary(connection, operation, options)
  end

  defp wishes(program, inputs, own) do
    with {:ok, tools} <- tools(own[:tools]) do
      {:ok,
       Map.merge(tools, %{
         program: program,
         inputs: Convert.payload(inputs),
         model: own[:model] || "",
         adapter: adapter(own[:adapter]),
         temperature: own[:temperature] && own[:temperature] / 1,
         max_tokens: own[:max_tokens],
         cache: own[:cache],
         version: own[:version] || 0
       })}
    end
  end

  defp adapter(nil), do: :PROMPT_ADAPTER_UNSPECIFIED

  defp adapter(name) do
    @adapters[name] ||
      raise ArgumentError, "expected adapter to be one of #{inspect(Map.keys(@adapters))}, got #{inspect(name)}"
  end

  # Names as the server knows them, and hosts. Where hosts alone are given, the server knows which tools are theirs.
  defp tools(nil), do: {:ok, %{}}

  defp tools(given) do
    {names, hosts} = given |> List.wrap() |> Enum.split_with(&is_binary/1)

    with {:ok, hosts} <- hosted(hosts, []) do
      names = if names == [], do: [], else: names ++ Enum.flat_map(hosts, & &1.names)
      {:ok, %{tools: names, tool_registrations: Enum.map(hosts, & &1.registration)}}
    end
  end

  defp hosted([], found), do: {:ok, Enum.reverse(found)}
  defp hosted([host | rest], found), do: with({:ok, one} <- Bridge.Tools.hosted(host), do: hosted(rest, [one | found]))

  # An event that a newer server has added is passed over.
  defp events(%{event: nil}, _bytes), do: []
  defp events(%{event: {kind, event}} = reply, bytes), do: List.wrap(event(kind, event, reply, bytes))

  defp event(:field_delta, delta, reply, _bytes) do
    %Event.FieldDelta{
      sequence: reply.sequence,
      predictor: delta.predictor,
      field: delta.field,
      text: delta.text,
      last: delta.last
    }
  end

  defp event(:final, final, reply, bytes) do
    %Event.Final{sequence: reply.sequence, outputs: Convert.value(final.outputs, bytes)}
  end

  defp event(:status, status, reply, _bytes) do
    %Event.Status{
      sequence: reply.sequence,
      resume_token: reply.resume_token,
      step: Convert.enum(status.step, "RUN_STEP_"),
      predictor: status.predictor,
      model: status.model,
      seconds: status.seconds,
      error: status.error,
      message: status.message,
      omitted: status.omitted
    }
  end

  defp event(:reasoning_delta, thought, reply, _bytes) do
    %Event.Reasoning{sequence: reply.sequence, predictor: thought.predictor, text: thought.text}
  end

  defp event(:tool_call, call, reply, _bytes) do
    %Event.ToolCalled{
      sequence: reply.sequence,
      id: call.id,
      tool: call.tool,
      arguments: call.arguments,
      truncated: call.truncated
    }
  end

  defp event(:tool_result, result, reply, _bytes) do
    %Event.ToolReturned{
      sequence: reply.sequence,
      id: result.id,
      tool: result.tool,
      result: result.result,
      error: result.error,
      seconds: result.seconds,
      truncated: result.truncated
    }
  end

  defp event(:usage, usage, reply, _bytes) do
    %Event.Usage{sequence: reply.sequence, usage: Enum.map(usage.usage, &Convert.usage/1)}
  end

  defp event(_other, _event, _reply, _bytes), do: nil
end
