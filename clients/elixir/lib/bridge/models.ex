defmodule Bridge.Models do
  @moduledoc false
  # Language models. `Bridge` documents them.

  alias Bridge.{Caller, CallOptions, Convert, Event, V1}

  @generating [:model, :temperature, :top_p, :max_tokens, :stop, :seed, :cache]
  @tooling [:tools, :tool_choice, :parallel_tool_calls]

  @roles %{
    "system" => :ROLE_SYSTEM,
    "developer" => :ROLE_SYSTEM,
    "user" => :ROLE_USER,
    "assistant" => :ROLE_ASSISTANT,
    "tool" => :ROLE_TOOL
  }

  @modes %{auto: :TOOL_MODE_AUTO, none: :TOOL_MODE_NONE, required: :TOOL_MODE_REQUIRED}

  def generate(connection, conversation, options) do
    {own, options} = CallOptions.split(options, @generating ++ @tooling)
    request = struct!(V1.GenerateRequest, fields(conversation, own))
    read = &Convert.generation/1
    Caller.unary(connection, Caller.operation("ModelService/Generate", request, V1.GenerateResponse, read), options)
  end

  def stream_generate(connection, conversation, options) do
    {own, options} = CallOptions.split(options, @generating ++ @tooling)
    request = struct!(V1.StreamGenerateRequest, fields(conversation, own))
    read = fn reply -> events(reply.event) end
    operation = Caller.operation("ModelService/StreamGenerate", request, V1.StreamGenerateResponse, read)
    Caller.stream(connection, operation, options)
  end

  def extract(connection, schema, conversation, options) when is_map(schema) do
    {own, options} = CallOptions.split(options, [:max_retries | @generating])

    fields = %{
      model: own[:model] || "",
      messages: messages(conversation),
      schema: Bridge.JSON.encode(schema),
      options: generation_options(own),
      max_retries: own[:max_retries],
      cache: own[:cache]
    }

    read = fn reply -> Convert.json(reply.json) end
    operation = Caller.operation("ModelService/Extract", struct!(V1.ExtractRequest, fields), V1.ExtractResponse, read)
    Caller.unary(connection, operation, options)
  end

  defp fields(conversation, own) do
    %{
      model: own[:model] || "",
      messages: messages(conversation),
      options: generation_options(own),
      tools: Enum.map(own[:tools] || [], &tool/1),
      tool_choice: choice(own[:tool_choice]),
      parallel_tool_calls: own[:parallel_tool_calls],
      cache: own[:cache]
    }
  end

  defp generation_options(own) do
    %V1.GenerationOptions{
      temperature: own[:temperature] && own[:temperature] / 1,
      top_p: own[:top_p] && own[:top_p] / 1,
      max_tokens: own[:max_tokens],
      stop: List.wrap(own[:stop]),
      seed: own[:seed]
    }
  end

  defp messages(text) when is_binary(text), do: [%V1.Message{role: :ROLE_USER, content: text}]
  defp messages(turns) when is_list(turns), do: Enum.map(turns, &message/1)

  defp messages(other) do
    raise ArgumentError, "expected a text or a list of turns, got #{inspect(other, limit: 5)}"
  end

  defp message(turn) do
    turn = named(turn)
    role = to_string(turn["role"])

    %V1.Message{
      role:
        @roles[role] ||
          raise(ArgumentError, "expected a role of #{Enum.join(Map.keys(@roles), ", ")}, got #{inspect(turn["role"])}"),
      content: turn["content"] || "",
      tool_calls: for(call <- turn["tool_calls"] || [], do: tool_call(named(call))),
      tool_call_id: turn["tool_call_id"] || ""
    }
  end

  defp tool_call(call), do: %V1.ToolCall{id: call["id"] || "", name: call["name"], arguments: call["arguments"] || ""}

  defp tool(tool) do
    tool = named(tool)

    %V1.Tool{
      name: tool["name"] || raise(ArgumentError, "expected a tool with a :name, got #{inspect(tool, limit: 5)}"),
      description: tool["description"] || "",
      parameters_schema: Bridge.JSON.encode(tool["parameters"] || %{})
    }
  end

  defp choice(nil), do: nil
  defp choice(name) when is_binary(name), do: %V1.ToolChoice{choice: {:name, name}}

  defp choice(mode) do
    mode =
      @modes[mode] ||
        raise ArgumentError, "expected tool_choice to be :auto, :none, :required or a name, got #{inspect(mode)}"

    %V1.ToolChoice{choice: {:mode, mode}}
  end

  defp named(%_{} = struct), do: struct |> Map.from_struct() |> named()
  defp named(fields) when is_map(fields) or is_list(fields), do: Map.new(fields, fn {k, v} -> {to_string(k), v} end)

  defp events({:text_delta, text}), do: [%Event.TextDelta{text: text}]
  defp events({:final, final}), do: [Convert.generation(final)]

  defp events({:tool_call_delta, delta}) do
    [%Event.ToolCallDelta{index: delta.index, id: delta.id, name: delta.name, arguments: delta.arguments_delta}]
  end

  defp events(_other), do: []
end
