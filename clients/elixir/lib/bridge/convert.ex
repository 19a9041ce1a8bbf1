defmodule Bridge.Convert do
  @moduledoc false
  # The bridge's messages to the client's records. Pure. What a server sends that can not be read is thrown as
  # `{:unexpected, message}`, which Bridge.Caller turns into an error.

  alias Bridge.{Tensor, V1, Value}

  @spec unexpected(String.t()) :: no_return()
  def unexpected(message), do: throw({:unexpected, message})

  @doc "Arguments, or inputs, as a payload."
  @spec payload(Bridge.arguments()) :: struct()
  def payload(arguments) do
    {packed, tensors} = Value.encode_arguments(arguments)
    %V1.Payload{body: {:msgpack, packed}, tensors: for({name, tensor} <- tensors, do: tensor_message(name, tensor))}
  end

  @doc "One value as a payload, without tensors beside it."
  @spec payload_of(term()) :: struct()
  def payload_of(value) do
    case Value.encode(value) do
      {packed, []} ->
        %V1.Payload{body: {:msgpack, packed}}

      _ ->
        raise ArgumentError,
              "expected a variable's value without tensors, got one with; send Bridge.Tensor.to_list/1 of it"
    end
  end

  defp tensor_message(name, %Tensor{} = tensor) do
    with {:error, message} <- Tensor.check(tensor), do: raise(ArgumentError, message)
    %V1.Tensor{name: name, dtype: tensor.dtype, shape: tensor.shape, data: tensor.data}
  end

  @doc "The value of a payload."
  @spec value(struct() | nil, :binary | :tagged) :: term()
  def value(nil, _bytes), do: nil

  def value(%V1.Payload{tensors: [], blobs: []} = payload, bytes), do: ok(Value.decode(payload.body, %{}, %{}, bytes))

  def value(%V1.Payload{} = payload, bytes) do
    tensors = Map.new(payload.tensors, &{&1.name, tensor(&1)})
    blobs = Map.new(payload.blobs, &{&1.name, &1.data})
    ok(Value.decode(payload.body, tensors, blobs, bytes))
  end

  defp ok({:ok, value}), do: value
  defp ok({:error, message}), do: unexpected(message)

  defp tensor(message) do
    tensor = %Tensor{dtype: message.dtype, shape: message.shape, data: message.data}
    with {:error, text} <- Tensor.check(tensor), do: unexpected("the reply's tensor #{inspect(message.name)}: #{text}")
    tensor
  end

  @doc "`:POOL_STATE_READY` as `:ready`; a number that a newer server has added as `:unknown_7`."
  @spec enum(atom() | integer(), String.t()) :: atom()
  def enum(value, prefix) when is_atom(value) do
    value |> Atom.to_string() |> String.replace_prefix(prefix, "") |> String.downcase() |> String.to_atom()
  end

  def enum(number, _prefix) when number in 0..999, do: String.to_atom("unknown_#{number}")
  def enum(_number, _prefix), do: :unknown

  @doc "A JSON value that the server sent as text; an empty text is an empty object."
  @spec json(String.t()) :: term()
  def json(""), do: %{}

  def json(text) do
    case Bridge.JSON.decode(text) do
      {:ok, value} -> value
      {:error, message} -> unexpected("expected JSON: #{message}")
    end
  end

  def usage(nil), do: nil
  def usage(%V1.ModelUsage{} = message), do: copy(message, %Bridge.ModelUsage{})

  def function_info(%V1.FunctionInfo{} = message) do
    %{
      copy(message, %Bridge.FunctionInfo{})
      | kind: enum(message.kind, "FUNCTION_KIND_"),
        placement: enum(message.placement, "PLACEMENT_"),
        arguments_schema: json(message.arguments_schema),
        result_schema: json(message.result_schema),
        example: json(message.example)
    }
  end

  def program_info(%V1.ProgramInfo{} = message) do
    %{
      copy(message, %Bridge.ProgramInfo{})
      | inputs_schema: json(message.inputs_schema),
        outputs_schema: json(message.outputs_schema),
        example: json(message.example)
    }
  end

  def generation(%V1.GenerateResponse{} = message) do
    %Bridge.Generation{
      text: message.text,
      finish_reason: enum(message.finish_reason, "FINISH_REASON_"),
      model: message.model,
      usage: usage(message.usage),
      tool_calls: Enum.map(message.tool_calls, &Map.take(&1, [:id, :name, :arguments]))
    }
  end

  def session_info(%V1.Session{} = message) do
    %{
      copy(message, %Bridge.SessionInfo{})
      | mode: enum(message.mode, "SESSION_MODE_"),
        opened_at: moment(message.opened_at),
        ttl_ms: milliseconds(message.ttl)
    }
  end

  defp moment(nil), do: nil
  defp moment(stamp), do: DateTime.from_unix!(stamp.seconds * 1_000_000 + div(stamp.nanos, 1000), :microsecond)

  defp milliseconds(nil), do: 0
  defp milliseconds(duration), do: duration.seconds * 1000 + div(duration.nanos, 1_000_000)

  @doc "Milliseconds as the message that says them."
  @spec duration(non_neg_integer() | nil) :: struct() | nil
  def duration(nil), do: nil
  def duration(ms), do: %Google.Protobuf.Duration{seconds: div(ms, 1000), nanos: rem(ms, 1000) * 1_000_000}

  def receipt(%V1.Receipt{} = message) do
    %{
      copy(message, %Bridge.Receipt{})
      | route: enum(message.route, "ROUTE_"),
        usage: Enum.map(message.usage, &usage/1),
        nested: nested(message.nested),
        budget: plain(message.budget),
        tools: Enum.map(message.tools, &plain/1),
        answers: Enum.map(message.answers, &plain/1)
    }
  end

  defp nested(nil), do: nil

  defp nested(message) do
    %{plain(message) | usage: Enum.map(message.usage, &usage/1)}
  end

  @doc "A message as a map, those in it too."
  @spec plain(term()) :: term()
  def plain(%_{} = message) do
    for {name, value} <- Map.from_struct(message), name != :__unknown_fields__, into: %{}, do: {name, plain(value)}
  end

  def plain(list) when is_list(list), do: Enum.map(list, &plain/1)
  def plain(value), do: value

  # The fields of the same names.
  defp copy(message, record),
    do: struct!(record, message |> Map.from_struct() |> Map.take(Map.keys(record) -- [:__struct__]))
end
