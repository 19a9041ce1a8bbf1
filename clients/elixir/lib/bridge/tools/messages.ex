defmodule Bridge.Tools.Messages do
  @moduledoc false
  # What a host of tools says to the server and hears from it: messages to records and back. Pure.

  alias Bridge.{Deadline, Hosting, Tool, V1}

  @policies %{observe: :TOOL_ERROR_POLICY_OBSERVE, abort: :TOOL_ERROR_POLICY_ABORT}
  @visibilities %{run: :TOOL_VISIBILITY_RUN, session: :TOOL_VISIBILITY_SESSION, tenant: :TOOL_VISIBILITY_TENANT}

  @doc "The messages that a stream begins with."
  @spec opening(Hosting.t(), atom()) :: [iodata()]
  def opening(hosting, visibility) do
    case Hosting.opening(hosting) do
      {:register, tools} ->
        [register(%V1.RegisterTools{tools: Enum.map(tools, &tool/1), visibility: @visibilities[visibility]})]

      {:resume, token, working_on, answers} ->
        register = %V1.RegisterTools{token: token, working_on: working_on, visibility: @visibilities[visibility]}
        [register(register) | answers]
    end
  end

  defp register(message), do: encode({:register, message})

  defp tool(%Tool{} = tool) do
    %V1.HostedTool{
      name: tool.name,
      description: tool.description,
      arguments_schema: if(tool.schema, do: Bridge.JSON.encode(tool.schema), else: ""),
      on_error: @policies[tool.on_error],
      timeout_ms: tool.timeout || 0,
      max_concurrent: tool.max_concurrent,
      idempotent: tool.idempotent
    }
  end

  @doc "A call that the server asks for."
  @spec call(struct()) :: Tool.Call.t()
  def call(%V1.HostedCall{} = asked) do
    %Tool.Call{
      id: asked.id,
      tool: asked.tool,
      arguments: asked.arguments,
      deadline: if(asked.timeout_ms > 0, do: Deadline.from_timeout(asked.timeout_ms)),
      traceparent: asked.traceparent,
      request_id: asked.request_id,
      session_id: asked.session_id,
      resent: asked.resent
    }
  end

  @doc "The answer to a call."
  @spec answer(non_neg_integer(), tuple()) :: iodata()
  def answer(id, {:result, value}), do: encode({:result, %V1.HostedResult{id: id, value: value}})

  def answer(id, {:error, type, message}) do
    encode({:error, %V1.HostedError{id: id, message: if(message == "", do: type, else: message), type: type}})
  end

  @spec goodbye() :: iodata()
  def goodbye, do: encode({:goodbye, %V1.HostGoodbye{}})

  defp encode(message), do: Protobuf.encode_to_iodata(%V1.HostRequest{message: message})
end
