defmodule Bridge.Adapter do
  @moduledoc false
  # The connection as an adapter of the grpc package, for stubs that were generated elsewhere: see
  # `Bridge.Connection.channel/1`. A stream's messages come to the process that made the call.

  @behaviour GRPC.Client.Adapter

  alias Bridge.{Connection, Deadline, Transport}
  alias GRPC.Client.Stream, as: Call

  @impl true
  def connect(channel, _options), do: {:ok, channel}

  @impl true
  def disconnect(channel), do: {:ok, channel}

  @impl true
  def send_request(stream, message, options) do
    put(stream, options, fn info, headers, deadline, facts ->
      Transport.open(info, headers, message, deadline, facts)
    end)
  end

  @impl true
  def send_headers(stream, options) do
    put(stream, options, &Transport.open_conversation/4)
  end

  defp put(stream, options, open) do
    timeout = options[:timeout] || :infinity
    deadline = Deadline.from_timeout(timeout)

    opened =
      with {:ok, info} <- Connection.checkout(stream.channel.adapter_payload.connection, deadline, false, "") do
        facts = %{path: stream.path, address: info.settings.address, request_id: "", timeout: timeout}
        open.(info, headers(timeout, options[:metadata] || %{}), Deadline.later(deadline, info.settings.grace), facts)
      end

    Call.put_payload(stream, :call, opened)
  end

  defp headers(timeout, metadata) do
    exact = if timeout == :infinity, do: [], else: [{"x-timeout-ms", to_string(timeout)}]
    exact ++ Enum.to_list(GRPC.Transport.HTTP2.encode_metadata(metadata))
  end

  @impl true
  def send_data(%{payload: %{call: %Transport{} = call}} = stream, message, options) do
    Transport.send_message(call, message)
    if options[:send_end_stream], do: Transport.end_requests(call)
    stream
  end

  def send_data(stream, _message, _options), do: stream

  @impl true
  def end_stream(%{payload: %{call: %Transport{} = call}} = stream) do
    Transport.end_requests(call)
    stream
  end

  def end_stream(stream), do: stream

  @impl true
  def cancel(%{payload: %{call: %Transport{} = call}}) do
    Transport.close(call)
    :ok
  end

  def cancel(_stream), do: :ok

  @impl true
  def receive_data(%{payload: %{call: {:error, error}}}, _options), do: {:error, rpc_error(error)}

  def receive_data(%{server_stream: true, payload: %{call: call}} = stream, options) do
    items =
      Elixir.Stream.resource(fn -> call end, &next_item(&1, stream, options), fn
        %Transport{} = call -> Transport.close(call)
        _ended -> :ok
      end)

    if options[:return_headers], do: {:ok, items, %{headers: %{}}}, else: {:ok, items}
  end

  def receive_data(%{payload: %{call: call}} = stream, options) do
    case Transport.reply(call) do
      {:ok, message, trailers} ->
        reply = stream.codec.decode(message, stream.response_mod)
        if options[:return_headers], do: {:ok, reply, %{headers: %{}, trailers: trailers}}, else: {:ok, reply}

      other ->
        {:error, failure(other)}
    end
  end

  defp next_item(:ended, _stream, _options), do: {:halt, :ended}

  defp next_item(call, stream, options) do
    case Transport.next(call) do
      {:message, message, call} -> {[{:ok, stream.codec.decode(message, stream.response_mod)}], call}
      {:done, trailers, _call} -> {if(options[:return_headers], do: [{:trailers, trailers}], else: []), :ended}
      other -> {[{:error, failure(other)}], :ended}
    end
  end

  defp failure({:error, error, trailers}), do: rpc_error(error, trailers["grpc-status-details-bin"])
  defp failure({:unsent, cause}), do: GRPC.RPCError.exception(:unavailable, cause)

  defp rpc_error(error, details \\ nil) do
    GRPC.RPCError.from_grpc_status_details_bin(%{
      status: Bridge.Failures.number(error.code),
      message: error.message,
      encoded_details_bin: details
    })
  end
end
