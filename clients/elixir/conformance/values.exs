defmodule Conformance.Skip do
  @moduledoc false
  # The client can not do what the case asks for.
  defexception [:message]
end

defmodule Conformance.Crash do
  @moduledoc false
  # The case, or the harness, is not what the protocol says.
  defexception [:message]
end

defmodule Conformance.Values do
  @moduledoc false
  # Values and records of the client to those of the protocol, and back. clients/conformance/README.md has the protocol.

  alias Bridge.{Event, Tensor}
  alias Conformance.Crash

  @largest 9_007_199_254_740_991
  @floats %{"NaN" => :nan, "Infinity" => :infinity, "-Infinity" => :neg_infinity}

  @events %{
    Event.FieldDelta => "field_delta",
    Event.Status => "status",
    Event.Reasoning => "reasoning_delta",
    Event.ToolCalled => "tool_call",
    Event.ToolReturned => "tool_result",
    Event.Usage => "usage",
    Event.Final => "final"
  }

  @doc "A value of a case as the client takes it."
  def to_client(values) when is_list(values), do: Enum.map(values, &to_client/1)
  def to_client(%{"$int" => text} = value) when map_size(value) == 1, do: String.to_integer(text)
  def to_client(%{"$float" => name} = value) when map_size(value) == 1, do: Map.fetch!(@floats, name)
  def to_client(%{"$bytes" => data} = value) when map_size(value) == 1, do: Bridge.bytes(Base.decode64!(data))

  def to_client(%{"$tensor" => %{"dtype" => dtype, "shape" => shape, "data" => data}} = value)
      when map_size(value) == 1 do
    %Tensor{dtype: dtype, shape: shape, data: Base.decode64!(data)}
  end

  def to_client(%{"$fill" => %{"text" => text, "count" => count}}), do: String.duplicate(text, count)
  def to_client(%{"$fill" => %{"byte" => byte, "count" => count}}), do: Bridge.bytes(:binary.copy(<<byte>>, count))
  def to_client(%{} = value), do: Map.new(value, fn {key, item} -> {key, to_client(item)} end)
  def to_client(value), do: value

  @doc "What the client gave, as a value of a result."
  def from_client(value) when is_integer(value) and abs(value) > @largest, do: %{"$int" => to_string(value)}
  def from_client(:nan), do: %{"$float" => "NaN"}
  def from_client(:infinity), do: %{"$float" => "Infinity"}
  def from_client(:neg_infinity), do: %{"$float" => "-Infinity"}
  def from_client(value) when is_nil(value) or is_boolean(value) or is_number(value) or is_binary(value), do: value
  def from_client(values) when is_list(values), do: Enum.map(values, &from_client/1)
  def from_client(%Bridge.Bytes{data: data}), do: %{"$bytes" => Base.encode64(data)}

  def from_client(%Tensor{} = tensor) do
    %{"$tensor" => %{"dtype" => tensor.dtype, "shape" => tensor.shape, "data" => Base.encode64(tensor.data)}}
  end

  def from_client(%{} = value) when not is_struct(value) do
    Map.new(value, fn {key, item} -> {key, from_client(item)} end)
  end

  def from_client(other), do: raise(Crash, "the client gave #{inspect(other, limit: 5)}")

  @doc "What a step with `digest` reports of a text or of bytes."
  def digest(%Bridge.Bytes{data: data}), do: digest(data)

  def digest(data) when is_binary(data) do
    %{"length" => byte_size(data), "sha256" => Base.encode16(:crypto.hash(:sha256, data), case: :lower)}
  end

  # What this client calls failures of the transport, which have no ErrorInfo and so no reason in the protocol.
  @transport ~w(CANNOT_CONNECT CONNECTION_LOST)

  @doc "E of the protocol; what the client refuses to send is an invalid argument."
  def error(%Bridge.Error{} = error) do
    %{
      "code" => error.code |> to_string() |> String.upcase(),
      "reason" => if(error.reason in @transport, do: "", else: error.reason),
      "message" => error.message,
      "violations" => Enum.map(error.violations, &%{"field" => &1.field, "description" => &1.description}),
      "metadata" => error.metadata,
      "retry_after_ms" => error.retry_after_ms,
      "request_id" => error.request_id
    }
  end

  def error(%ArgumentError{message: message}), do: error(%Bridge.Error{code: :invalid_argument, message: message})
  def error(:cancelled), do: error(%Bridge.Error{code: :cancelled, message: "the process of the call was ended"})

  @doc "R of the protocol."
  def receipt(nil), do: nil

  def receipt(%Bridge.Receipt{} = receipt) do
    counts = ~w(session_epoch bytes_in bytes_out total_us worker_us queue_us)a
    names = ~w(request_id function reason pool worker)a ++ counts
    Map.merge(texts(receipt, names), %{"route" => to_string(receipt.route), "usage" => usage(receipt.usage)})
  end

  defp usage(uses), do: Enum.map(uses, &texts(&1, [:model, :calls, :input_tokens, :output_tokens]))

  @doc "S of the protocol."
  def session(%Bridge.SessionInfo{} = info) do
    Map.put(texts(info, [:id, :epoch, :calls, :ttl_ms]), "mode", to_string(info.mode))
  end

  @doc "P of the protocol."
  def event(%module{} = event) do
    event |> Map.from_struct() |> Map.delete(:resume_token) |> Map.new(&part/1) |> Map.put("type", @events[module])
  end

  defp part({:usage, uses}), do: {"usage", usage(uses)}
  defp part({:step, step}), do: {"step", to_string(step)}
  defp part({name, value}), do: {to_string(name), from_client(value)}

  @doc "What `describe` gives."
  def function(%Bridge.FunctionInfo{} = info) do
    texts(info, [:name, :doc, :pool, :streaming, :arguments_schema, :result_schema])
  end

  defp texts(record, names), do: Map.new(names, &{to_string(&1), Map.fetch!(record, &1)})
end
