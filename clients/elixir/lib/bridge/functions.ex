defmodule Bridge.Functions do
  @moduledoc false
  # Calls of functions by name, the catalogue, and health. `Bridge` documents them.

  alias Bridge.{Caller, CallOptions, Convert, Parts, ProtoReader, V1}

  @page 1000
  @least_chunk 4096

  def call(connection, function, arguments, options) do
    {_own, options} = CallOptions.split(options, [])
    bytes = options[:bytes] || :binary
    request = %V1.CallRequest{function: function, arguments: Convert.payload(arguments)}
    read = fn reply -> Convert.value(reply.result, bytes) end
    Caller.unary(connection, Caller.operation("InvokeService/Call", request, V1.CallResponse, read, function), options)
  end

  def stream(connection, function, arguments, options) do
    {own, options} = CallOptions.split(options, [:chunk_bytes])
    bytes = options[:bytes] || :binary

    request = %V1.StreamCallRequest{
      function: function,
      arguments: Convert.payload(arguments),
      aggregate: true,
      chunk_bytes: chunk_bytes(own[:chunk_bytes])
    }

    operation = %{
      path: "/bridge.v1.InvokeService/StreamCall",
      request: Protobuf.encode_to_iodata(request),
      read: fn message, parts -> message |> V1.StreamCallResponse.decode() |> items(parts, bytes) end,
      name: function
    }

    Caller.stream(connection, Caller.stateful(operation, nil), options)
  end

  defp chunk_bytes(nil), do: 0
  defp chunk_bytes(size) when is_integer(size) and size >= @least_chunk, do: size

  defp chunk_bytes(other) do
    raise ArgumentError, "expected chunk_bytes of at least #{@least_chunk}, got #{inspect(other)}"
  end

  defp items(%{part: nil, items: [], item: item}, nil, bytes), do: {[Convert.value(item, bytes)], nil}
  defp items(%{part: nil, items: items}, nil, bytes), do: {Enum.map(items, &Convert.value(&1, bytes)), nil}
  defp items(%{part: nil}, _parts, _bytes), do: Convert.unexpected("expected the rest of an item, got another one")

  defp items(%{part: part}, parts, bytes) do
    case Parts.add(parts, part.offset, part.total, part.data) do
      {:ok, nil, parts} -> {[], parts}
      {:ok, item, nil} -> {[item |> V1.Payload.decode() |> Convert.value(bytes)], nil}
      {:error, message} -> Convert.unexpected(message)
    end
  end

  def functions(connection, options) do
    {own, options} = CallOptions.split(options, [:prefix])

    Caller.pages(connection, options, fn token ->
      request = %V1.ListFunctionsRequest{prefix: own[:prefix] || "", page_size: @page, page_token: token}
      read = fn reply -> {Enum.map(reply.functions, &Convert.function_info/1), reply.next_page_token} end
      Caller.operation("InvokeService/ListFunctions", request, V1.ListFunctionsResponse, read)
    end)
  end

  def describe(connection, function, options) do
    {_own, options} = CallOptions.split(options, [])
    request = %V1.DescribeFunctionRequest{function: function}
    read = fn reply -> Convert.function_info(reply.function) end
    operation = Caller.operation("InvokeService/DescribeFunction", request, V1.DescribeFunctionResponse, read, function)
    Caller.unary(connection, operation, options)
  end

  def explain(connection, function, arguments, options) do
    {_own, options} = CallOptions.split(options, [])
    request = %V1.ExplainRequest{function: function, arguments: Convert.payload(arguments)}

    read = fn reply ->
      ways = for way <- reply.alternatives, do: %{Convert.plain(way) | route: Convert.enum(way.route, "ROUTE_")}
      %{Convert.plain(reply) | placement: Convert.enum(reply.placement, "PLACEMENT_"), alternatives: ways}
    end

    operation = Caller.operation("InvokeService/Explain", request, V1.ExplainResponse, read, function)
    Caller.unary(connection, operation, options)
  end

  def pools(connection, options) do
    {_own, options} = CallOptions.split(options, [])

    read = fn reply ->
      for pool <- reply.pools do
        %{
          name: pool.name,
          state: Convert.enum(pool.state, "POOL_STATE_"),
          cause: pool.cause,
          size: pool.size,
          running: pool.running,
          queued: pool.queued,
          functions: pool.functions
        }
      end
    end

    operation = Caller.operation("PoolService/List", %V1.PoolServiceListRequest{}, V1.PoolServiceListResponse, read)
    Caller.unary(connection, operation, options)
  end

  # The standard health service has two messages of one field each, read here without their definition.
  def health(connection, service, options) do
    {_own, options} = CallOptions.split(options, [])

    operation = %{
      path: "/grpc.health.v1.Health/Check",
      request: ProtoReader.write(1, service),
      read: &status/1,
      name: service
    }

    Caller.unary(connection, operation, options)
  end

  defp status(message) do
    case ProtoReader.fields(message) do
      {:ok, fields} -> Enum.at([:unknown, :serving, :not_serving], ProtoReader.get(fields, 1, 0), :unknown)
      :error -> Convert.unexpected("expected a HealthCheckResponse, got other bytes")
    end
  end
end
