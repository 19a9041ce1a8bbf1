defmodule Bridge.Transport do
  @moduledoc false
  # One RPC over a connection, in the process that makes it: sends the request, waits no longer than the deadline, and
  # puts messages together. Gun's messages come through an alias, so that none can reach a process that no longer waits.

  alias Bridge.{Connection, Deadline, Failures, Frames}

  @flow 32

  defstruct [
    :info,
    :alias,
    :stream,
    :deadline,
    :facts,
    buffer: %Frames{},
    headers: %{},
    consumed: 0,
    status: :open
  ]

  @type t :: %__MODULE__{}
  @type trailers :: %{String.t() => String.t()}
  @type failure :: {:error, Bridge.Error.t(), trailers()}

  @doc "Sends a request. `headers` are the call's own; the deadline's headers are added here."
  @spec open(Connection.info(), [{String.t(), String.t()}], iodata(), Deadline.t(), Failures.facts()) :: t()
  def open(info, headers, body, deadline, facts) do
    monitor = :erlang.monitor(:process, info.gun, alias: :demonitor)
    all = timeout_header(deadline) ++ headers ++ info.headers
    stream = :gun.post(info.gun, facts.path, all, Frames.pack(body), %{reply_to: deliver(monitor), flow: @flow})
    Connection.track(info, stream)
    %__MODULE__{info: info, alias: monitor, stream: stream, deadline: deadline, facts: facts}
  end

  @doc "Opens a stream whose requests are sent one by one with `send_message/2`."
  @spec open_conversation(Connection.info(), [{String.t(), String.t()}], Deadline.t(), Failures.facts()) :: t()
  def open_conversation(info, headers, deadline, facts) do
    monitor = :erlang.monitor(:process, info.gun, alias: :demonitor)
    all = timeout_header(deadline) ++ headers ++ info.headers
    stream = :gun.headers(info.gun, "POST", facts.path, all, %{reply_to: deliver(monitor)})
    Connection.track(info, stream)
    %__MODULE__{info: info, alias: monitor, stream: stream, deadline: deadline, facts: facts}
  end

  @spec send_message(t(), iodata()) :: :ok
  def send_message(call, message), do: :gun.data(call.info.gun, call.stream, :nofin, Frames.pack(message))

  @spec end_requests(t()) :: :ok
  def end_requests(call), do: :gun.data(call.info.gun, call.stream, :fin, "")

  defp deliver(reference), do: fn message -> send(reference, {reference, message}) end

  defp timeout_header(deadline) do
    case Deadline.header(Deadline.remaining(deadline)) do
      nil -> []
      value -> [{"grpc-timeout", value}]
    end
  end

  @doc "The one message of a unary reply, with the trailers. The call has ended, whatever comes back."
  @spec reply(t()) :: {:ok, binary(), trailers()} | failure() | {:unsent, String.t()}
  def reply(call) do
    case next(call) do
      {:message, message, call} -> last(message, call)
      {:done, trailers, call} -> failed(call, Failures.unexpected(call.facts, "expected a reply, got none"), trailers)
      other -> other
    end
  end

  defp last(message, call) do
    case next(call) do
      {:done, trailers, _call} ->
        {:ok, message, trailers}

      {:message, _, call} ->
        failed(close(call), Failures.unexpected(call.facts, "expected one reply, got several"), %{})

      other ->
        other
    end
  end

  @doc """
  The next message of a stream, or its end. `{:unsent, cause}` where the server can not have seen the request. After
  anything but a message the call has ended.
  """
  @spec next(t()) ::
          {:message, binary(), t()} | {:done, trailers(), t()} | failure() | {:unsent, String.t()}
  def next(call) do
    case pop(call) do
      {:empty, call} -> receive_more(call)
      other -> other
    end
  end

  @doc "The next message of what has come, or `{:empty, call}`."
  @spec pop(t()) :: {:message, binary(), t()} | {:empty, t()} | failure()
  def pop(call) do
    case Frames.next(call.buffer, call.info.settings.max_message_bytes) do
      {:ok, message, rest} -> {:message, message, %{call | buffer: rest}}
      {:more, rest} -> {:empty, %{call | buffer: rest}}
      {:error, reason} -> refuse(call, reason)
    end
  end

  defp receive_more(%{alias: reference} = call) do
    receive do
      {^reference, message} -> go_on(absorb(message, call))
      {:DOWN, ^reference, :process, _gun, reason} -> broken(call, reason)
    after
      Deadline.remaining(call.deadline) ->
        close(call)
        {:error, Failures.late(call.facts), %{}}
    end
  end

  defp go_on({:cont, call}), do: next(call)
  defp go_on(ended), do: ended

  @doc "Takes a message of Gun's that came for the call: `{:cont, call}`, or as `next/1` where the call has ended."
  @spec absorb(tuple(), t()) :: {:cont, t()} | {:done, trailers(), t()} | failure() | {:unsent, String.t()}
  def absorb({:gun_data, _gun, _stream, :nofin, data}, call),
    do: {:cont, flow(%{call | buffer: Frames.add(call.buffer, data)})}

  def absorb({:gun_data, _gun, _stream, :fin, _data}, call) do
    failed(settle(call), Failures.unexpected(call.facts, "the reply ended without a status"), %{})
  end

  def absorb({:gun_response, _gun, _stream, :nofin, 200, headers}, call),
    do: {:cont, %{call | headers: Map.new(headers)}}

  def absorb({:gun_trailers, _gun, _stream, trailers}, call), do: finish(call, Map.new(trailers))

  def absorb({:gun_response, _gun, _stream, _fin, status, headers}, call) do
    headers = Map.new(headers)

    if is_map_key(headers, "grpc-status"),
      do: finish(call, headers),
      else: failed(close(call), of_http(status, call), %{})
  end

  def absorb({:gun_error, _gun, _stream, reason}, call), do: broken(call, reason)
  def absorb({:gun_error, _gun, reason}, call), do: broken(call, reason)
  def absorb(_information, call), do: {:cont, call}

  @doc "The end of a call whose connection's process has ended."
  @spec gone(t(), term()) :: failure() | {:unsent, String.t()}
  def gone(call, reason), do: broken(call, reason)

  defp flow(%{consumed: consumed} = call) when consumed + 1 < div(@flow, 2), do: %{call | consumed: consumed + 1}

  defp flow(call) do
    :gun.update_flow(call.info.gun, call.stream, call.consumed + 1)
    %{call | consumed: 0}
  end

  defp finish(call, trailers) do
    call = settle(call)

    case Failures.status(trailers) do
      :ok -> done(call, trailers)
      _ -> {:error, Failures.from_trailers(trailers, call.facts), trailers}
    end
  end

  defp done(call, trailers) do
    if Frames.empty?(call.buffer),
      do: {:done, trailers, call},
      else: failed(call, Failures.unexpected(call.facts, "the last message is cut off"), trailers)
  end

  defp failed(_call, error, trailers), do: {:error, error, trailers}

  defp of_http(status, call) do
    code =
      case status do
        401 -> :unauthenticated
        403 -> :permission_denied
        404 -> :unimplemented
        status when status in [429, 502, 503, 504] -> :unavailable
        _ -> :unknown
      end

    Failures.from_code(code, "expected gRPC, got HTTP status #{status}; is this a bridge?", call.facts)
  end

  @unsent [:closing, :refused_stream, :too_many_streams, :goaway]

  defp broken(call, reason) do
    settle(call)
    cause = Connection.Gun.cause(reason)
    if unsent?(reason), do: {:unsent, cause}, else: {:error, Failures.connection_lost(call.facts, cause), %{}}
  end

  defp unsent?(kind) when kind in @unsent, do: true
  defp unsent?({:stream_error, kind, _text}) when kind in @unsent, do: true
  defp unsent?({:goaway, _kind, _text}), do: true
  # Gun's process was gone before the request: it monitors as noproc.
  defp unsent?(:noproc), do: true
  defp unsent?(_reason), do: false

  defp refuse(call, {:too_large, size}) do
    close(call)
    limit = call.info.settings.max_message_bytes

    message =
      "a reply has #{size} bytes, and this client takes at most #{limit}; raise it with the connection's " <>
        "max_message_bytes, or stream with chunk_bytes: SIZE"

    error = Failures.too_large(call.facts, message, size, limit)
    {:error, error, %{}}
  end

  defp refuse(call, :compressed) do
    close(call)
    {:error, Failures.unexpected(call.facts, "expected a message as it is, got a compressed one"), %{}}
  end

  @doc "Ends the call: cancels it on the server where it has not ended."
  @spec close(t()) :: t()
  def close(%{status: :closed} = call), do: call

  def close(call) do
    Connection.cancel(call.info, call.stream)
    leave(call)
  end

  @spec settle(t()) :: t()
  def settle(%{status: :closed} = call), do: call

  def settle(call) do
    Connection.untrack(call.info, call.stream)
    leave(call)
  end

  defp leave(call) do
    Process.demonitor(call.alias, [:flush])
    flush(call.alias)
    %{call | status: :closed}
  end

  defp flush(reference) do
    receive do
      {^reference, _message} -> flush(reference)
    after
      0 -> :ok
    end
  end
end
