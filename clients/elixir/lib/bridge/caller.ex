defmodule Bridge.Caller do
  @moduledoc false
  # Makes calls: options to headers, a connection, the attempts, telemetry, receipts. What a call says and what its
  # reply means is the business of the modules of each service.

  alias Bridge.{CallOptions, Connection, Deadline, Error, Failures, Receipts, Retry, Session, Transport}

  @typedoc "An RPC: its path, its request as bytes, how a reply is read, and what it is about, for telemetry."
  @type operation :: %{path: String.t(), request: iodata(), read: (binary() -> term()), name: String.t()}

  @doc "An operation of the bridge's own services; `method` is such as `InvokeService/Call`."
  @spec operation(String.t(), struct(), module(), (struct() -> term()), String.t()) :: operation()
  def operation(method, request, reply, read, name \\ "") do
    %{
      path: "/bridge.v1." <> method,
      request: Protobuf.encode_to_iodata(request),
      read: fn message -> read.(reply.decode(message)) end,
      name: name
    }
  end

  @doc "Makes a call and waits for its reply."
  @spec unary(Bridge.connection(), operation(), keyword()) :: {:ok, term()} | {:error, Error.t()}
  def unary(connection, operation, options) do
    call = prepare(connection, operation, options)
    :telemetry.span([:bridge, :call], call.metadata, fn -> traced(attempt(call, 1), call) end)
  end

  defp traced({:ok, _value} = result, call), do: {result, Map.put(call.metadata, :code, :ok)}

  defp traced({:error, error} = result, call) do
    {result, Map.merge(call.metadata, %{code: error.code, reason: error.reason, error: error})}
  end

  defp attempt(call, number) do
    case once(call) do
      {:ok, value} -> {:ok, value}
      {:error, error} -> again(error, call, number)
    end
  end

  defp again(error, %{options: options} = call, number) do
    repeatable? = options.idempotent or options.idempotency_key != nil
    policy = %{retries: options.retries, repeatable?: repeatable?}

    case Retry.decide(error, policy, number, Deadline.remaining(call.deadline)) do
      {:retry, pause} ->
        Process.sleep(pause)
        attempt(with_time_left(call), number + 1)

      :give_up ->
        {:error, error}
    end
  end

  # A further try has what is left of the time, not all of it again.
  defp with_time_left(%{deadline: :infinity} = call), do: call
  defp with_time_left(call), do: put_in(call.options.timeout, max(1, Deadline.remaining(call.deadline)))

  defp once(call, moved? \\ false) do
    with {:ok, info} <- checkout(call), :ok <- fits(call, info) do
      case info |> send_request(call) |> Transport.reply() do
        {:ok, message, trailers} ->
          Receipts.hand_out(trailers, call.options)
          read(call, message)

        {:error, error, trailers} ->
          Receipts.hand_out(trailers, call.options)
          {:error, error}

        {:unsent, cause} ->
          unsent(call, info, cause, moved?)
      end
    end
  end

  # The connection was going away: the request goes over a new one, once, as the server has not seen it.
  defp unsent(call, info, _cause, false) do
    Connection.stale(info)
    once(call, true)
  end

  defp unsent(call, info, cause, true),
    do: {:error, Failures.cannot_connect(info.settings.address, cause, call.facts.request_id)}

  defp read(call, message) do
    {:ok, call.operation.read.(message)}
  rescue
    Protobuf.DecodeError -> {:error, Failures.unexpected(call.facts, "the reply is no such message; is this a bridge?")}
  catch
    {:unexpected, message} -> {:error, Failures.unexpected(call.facts, message)}
  end

  @doc "All items of a list that comes in pages; `page` makes the operation for a page's token."
  @spec pages(Bridge.connection(), keyword(), (String.t() -> operation())) :: {:ok, [term()]} | {:error, Error.t()}
  def pages(connection, options, page, token \\ "", found \\ []) do
    case unary(connection, page.(token), options) do
      {:ok, {items, ""}} -> {:ok, Enum.concat(Enum.reverse(found, [items]))}
      {:ok, {items, token}} -> pages(connection, options, page, token, [items | found])
      {:error, error} -> {:error, error}
    end
  end

  @doc "A lazy stream of a call's results, `operation.read` giving a list of them per message."
  @spec stream(Bridge.connection(), operation(), keyword()) :: Enumerable.t()
  def stream(connection, operation, options) do
    Stream.resource(fn -> start_stream(connection, operation, options) end, &next_results/1, &stop_stream/1)
  end

  @doc "As `stream/3`, with a state that `read` gets and returns: `read.(message, state) -> {results, state}`."
  def stateful(operation, state), do: Map.put(operation, :state, {state})

  defp start_stream(connection, operation, options) do
    call = prepare(connection, operation, options)
    started = System.monotonic_time()
    measurements = %{monotonic_time: started, system_time: System.system_time()}
    :telemetry.execute([:bridge, :stream, :start], measurements, call.metadata)
    base = Map.merge(call, %{started: started, items: 0, outcome: :cancelled, memory: Map.get(operation, :state)})
    Map.put(base, :transport, begin(base, false))
  end

  defp begin(call, moved?) do
    with {:ok, info} <- checkout(call), :ok <- fits(call, info) do
      transport = send_request(info, call)

      case Transport.next(transport) do
        {:unsent, _cause} when not moved? ->
          Connection.stale(info)
          begin(call, true)

        {:unsent, cause} ->
          {:error, Failures.cannot_connect(info.settings.address, cause, call.facts.request_id)}

        first ->
          {:first, first}
      end
    end
  end

  defp next_results(%{outcome: outcome} = call) when outcome != :cancelled, do: {:halt, call}
  defp next_results(%{transport: {:error, error}} = call), do: fail(call, error)
  defp next_results(%{transport: {:first, first}} = call), do: results(first, call)
  defp next_results(%{transport: transport} = call), do: results(Transport.next(transport), call)

  defp results({:message, message, transport}, call) do
    call = %{call | transport: transport}

    case read_results(call, message) do
      {:ok, results, call} -> {Enum.map(results, &{:ok, &1}), %{call | items: call.items + length(results)}}
      {:error, error} -> fail(call, error)
    end
  end

  defp results({:done, trailers, transport}, call) do
    Receipts.hand_out(trailers, call.options)
    {:halt, %{call | transport: transport, outcome: :ok}}
  end

  defp results({:error, error, trailers}, call) do
    Receipts.hand_out(trailers, call.options)
    fail(call, error)
  end

  defp results({:unsent, cause}, call), do: fail(call, Failures.connection_lost(call.facts, cause))

  defp fail(call, error), do: {[{:error, error}], %{call | outcome: {:error, error}}}

  defp read_results(call, message) do
    case call.memory do
      nil ->
        with {:ok, results} <- read(call, message), do: {:ok, results, call}

      {state} ->
        read = call.operation.read

        with {:ok, {results, state}} <- read(put_in(call.operation.read, &read.(&1, state)), message) do
          {:ok, results, %{call | memory: {state}}}
        end
    end
  end

  defp stop_stream(call) do
    with %Transport{} = transport <- transport_of(call), do: Transport.close(transport)
    measurements = %{duration: System.monotonic_time() - call.started, items: call.items}

    metadata =
      case call.outcome do
        {:error, error} -> Map.merge(call.metadata, %{code: error.code, reason: error.reason, error: error})
        outcome -> Map.put(call.metadata, :code, outcome)
      end

    :telemetry.execute([:bridge, :stream, :stop], measurements, metadata)
  end

  defp transport_of(%{transport: {:first, {:message, _message, transport}}}), do: transport
  defp transport_of(%{transport: %Transport{} = transport}), do: transport
  defp transport_of(_call), do: nil

  # -- what both have in common

  defp checkout(call) do
    Connection.checkout(call.connection, call.deadline, call.options.wait_for_ready, call.facts.request_id)
  end

  defp fits(call, info) do
    limit = info.settings.max_message_bytes
    size = IO.iodata_length(call.operation.request)

    if size <= limit do
      :ok
    else
      message =
        "the request has #{size} bytes, and this client sends at most #{limit}; raise it with the connection's max_message_bytes"

      {:error, Failures.too_large(call.facts, message, size, limit)}
    end
  end

  defp send_request(info, call) do
    headers = CallOptions.headers(call.options, call.facts.request_id)
    deadline = Deadline.later(call.deadline, info.settings.grace)
    # The address of a server beside is known when it is there.
    facts = %{call.facts | address: info.settings.address}
    Transport.open(info, headers, call.operation.request, deadline, facts)
  end

  @doc "A call that is about to be made: its options checked, its time running."
  @spec prepare(Bridge.connection(), operation() | %{path: String.t(), name: String.t()}, keyword()) :: map()
  def prepare(connection, operation, options) do
    {connection, options} = unwrap(connection, options)
    {address, defaults} = defaults(connection)
    options = CallOptions.new(options, defaults)
    request_id = options.request_id || new_id()
    facts = %{path: operation.path, address: address, request_id: request_id, timeout: options.timeout}

    %{
      connection: connection,
      operation: operation,
      options: options,
      deadline: Deadline.from_timeout(options.timeout),
      facts: facts,
      metadata: %{
        connection: connection,
        method: operation.path,
        name: operation.name,
        request_id: request_id,
        session: options.session
      }
    }
  end

  defp unwrap(%Session{} = session, options) do
    options = Keyword.put_new(options, :session, session.id)
    {session.connection, if(session.mode, do: Keyword.put_new(options, :session_mode, session.mode), else: options)}
  end

  defp unwrap(connection, options), do: {connection, options}

  defp defaults(connection) do
    case Connection.lookup(connection) do
      {:ok, info} -> {info.settings.address, info.settings.defaults}
      :error -> {inspect(connection), []}
    end
  end

  defp new_id, do: Base.encode16(:crypto.strong_rand_bytes(16), case: :lower)
end
