defmodule Bridge.Failures do
  @moduledoc false
  # Turns a failed RPC into the error that the caller sees: from `grpc-status-details-bin` (google.rpc.Status with
  # ErrorInfo, BadRequest, RetryInfo, RequestInfo, DebugInfo) where it came, else from the status alone, else from what
  # became of the connection. Pure; never raises: details that can not be read are ignored.

  alias Bridge.{Error, ProtoReader}

  @codes [
    :ok,
    :cancelled,
    :unknown,
    :invalid_argument,
    :deadline_exceeded,
    :not_found,
    :already_exists,
    :permission_denied,
    :resource_exhausted,
    :failed_precondition,
    :aborted,
    :out_of_range,
    :unimplemented,
    :internal,
    :unavailable,
    :data_loss,
    :unauthenticated
  ]

  @type facts :: %{path: String.t(), address: String.t(), request_id: String.t(), timeout: timeout()}

  @doc "The status of a number, `:unknown` for one that is none."
  @spec code(integer()) :: :ok | Error.code()
  def code(number) when number in 0..16, do: Enum.at(@codes, number)
  def code(_number), do: :unknown

  @doc "The number of a status."
  @spec number(atom()) :: 0..16
  def number(code), do: Enum.find_index(@codes, &(&1 == code)) || 2

  @doc "The error for trailers, a map, whose `grpc-status` is not 0."
  @spec from_trailers(%{String.t() => String.t()}, facts()) :: Error.t()
  def from_trailers(trailers, facts) do
    code = status(trailers)

    details =
      with packed when is_binary(packed) <- trailers["grpc-status-details-bin"],
           {:ok, data} <- decode64(packed),
           do: data

    read = if is_binary(details), do: from_status(details, facts)

    case read do
      %Error{} = error -> error
      nil -> from_code(code, percent_decode(trailers["grpc-message"] || ""), facts)
    end
  end

  @doc "The code that trailers have, `:unknown` where they have none."
  @spec status(%{String.t() => String.t()}) :: :ok | Error.code()
  def status(trailers) do
    case Integer.parse(trailers["grpc-status"] || "") do
      {number, ""} -> code(number)
      _ -> :unknown
    end
  end

  @doc "The error for a serialized google.rpc.Status; nil where it is none."
  @spec from_status(binary(), facts()) :: Error.t() | nil
  def from_status(packed, facts) do
    with {:ok, status} <- ProtoReader.fields(packed) do
      details =
        for packed <- ProtoReader.all(status, 3), {kind, fields} <- detail(packed), into: %{}, do: {kind, fields}

      base = %Error{
        code: status |> ProtoReader.get(1, 2) |> code(),
        message: ProtoReader.get(status, 2, ""),
        request_id: facts.request_id
      }

      base |> with_info(details["ErrorInfo"]) |> with_request(details["RequestInfo"]) |> with_rest(details)
    else
      :error -> nil
    end
  end

  defp detail(packed) do
    with true <- is_binary(packed),
         {:ok, any} <- ProtoReader.fields(packed),
         "type.googleapis.com/google.rpc." <> kind <- ProtoReader.get(any, 1, ""),
         {:ok, fields} <- ProtoReader.fields(ProtoReader.get(any, 2, "")) do
      [{kind, fields}]
    else
      _ -> []
    end
  end

  defp with_info(error, nil), do: error

  defp with_info(error, info) do
    metadata =
      for packed <- ProtoReader.all(info, 3), {:ok, entry} <- [ProtoReader.fields(packed)], into: %{} do
        {ProtoReader.get(entry, 1, ""), ProtoReader.get(entry, 2, "")}
      end

    %{error | reason: ProtoReader.get(info, 1, ""), metadata: metadata}
  end

  defp with_request(error, nil), do: error
  defp with_request(error, info), do: %{error | request_id: ProtoReader.get(info, 1, error.request_id)}

  defp with_rest(error, details) do
    retry_after_ms = retry_after_ms(details["RetryInfo"])

    %{
      error
      | violations: violations(details["BadRequest"]),
        retry_after_ms: retry_after_ms,
        retryable?: retry_after_ms != nil or error.metadata["retryable"] == "true",
        traceback: traceback(details["DebugInfo"])
    }
  end

  defp violations(nil), do: []

  defp violations(request) do
    for packed <- ProtoReader.all(request, 1), {:ok, fields} <- [ProtoReader.fields(packed)] do
      %{field: ProtoReader.get(fields, 1, ""), description: ProtoReader.get(fields, 2, "")}
    end
  end

  defp retry_after_ms(nil), do: nil

  defp retry_after_ms(info) do
    with delay when is_binary(delay) <- ProtoReader.get(info, 1, nil), {:ok, fields} <- ProtoReader.fields(delay) do
      seconds = fields |> ProtoReader.get(1, 0) |> ProtoReader.signed()
      nanos = fields |> ProtoReader.get(2, 0) |> ProtoReader.signed()
      max(0, seconds * 1000 + div(nanos + 999_999, 1_000_000))
    else
      _ -> nil
    end
  end

  defp traceback(nil), do: ""

  defp traceback(info) do
    case ProtoReader.get(info, 2, "") do
      "" -> info |> ProtoReader.all(1) |> Enum.join("\n")
      detail -> detail
    end
  end

  @doc "The error for a status that came without details."
  @spec from_code(Error.code() | :ok, String.t(), facts()) :: Error.t()
  def from_code(:deadline_exceeded, _text, facts), do: late(facts)

  def from_code(code, text, facts) do
    text = if text == "", do: "#{facts.path} failed with #{code}", else: text
    code = if code == :ok, do: :unknown, else: code
    %Error{code: code, message: text, request_id: facts.request_id, retryable?: code == :unavailable}
  end

  @doc "The error for a call that had no answer in its time."
  @spec late(facts()) :: Error.t()
  def late(facts) do
    limit = if facts.timeout == :infinity, do: "the server's limit", else: "#{facts.timeout} ms"
    message = "#{facts.path}: no reply within #{limit}; raise it with timeout: MILLISECONDS"
    %Error{code: :deadline_exceeded, message: message, request_id: facts.request_id}
  end

  @doc "The error where there is no connection: nothing was sent."
  @spec cannot_connect(String.t(), String.t(), String.t()) :: Error.t()
  def cannot_connect(address, cause, request_id) do
    message =
      "no bridge answers at #{address} (#{cause}). Start one with `bridge serve app.py --address #{address}` or " <>
        "`bridge demo`, or correct the address"

    %Error{code: :unavailable, reason: "CANNOT_CONNECT", message: message, request_id: request_id, retryable?: true}
  end

  @doc "The error where the connection broke during a call."
  @spec connection_lost(facts(), String.t()) :: Error.t()
  def connection_lost(facts, cause) do
    message =
      "the connection to #{facts.address} broke during #{facts.path} (#{cause}). The call may or may not have run"

    %Error{
      code: :unavailable,
      reason: "CONNECTION_LOST",
      message: message,
      request_id: facts.request_id,
      retryable?: true
    }
  end

  @doc "The error for a reply that can not be understood."
  @spec unexpected(facts(), String.t()) :: Error.t()
  def unexpected(facts, message) do
    %Error{
      code: :internal,
      reason: "UNEXPECTED_REPLY",
      message: "#{facts.path}: #{message}",
      request_id: facts.request_id
    }
  end

  @doc "The error for a message that this client does not send, or take."
  @spec too_large(facts(), String.t(), non_neg_integer(), pos_integer()) :: Error.t()
  def too_large(facts, message, size, limit) do
    %Error{
      code: :resource_exhausted,
      reason: "MESSAGE_TOO_LARGE",
      message: "#{facts.path}: #{message}",
      metadata: %{"size_bytes" => "#{size}", "limit_bytes" => "#{limit}"},
      request_id: facts.request_id
    }
  end

  @doc "gRPC's percent-encoding, undone; what is not encoded well stays as it is."
  @spec percent_decode(String.t()) :: String.t()
  def percent_decode(text), do: percent_decode(text, [])

  defp percent_decode(<<?%, high, low, rest::binary>>, done) do
    case Base.decode16(<<high, low>>, case: :mixed) do
      {:ok, byte} -> percent_decode(rest, [byte | done])
      :error -> percent_decode(<<high, low, rest::binary>>, ["%" | done])
    end
  end

  defp percent_decode(<<c, rest::binary>>, done), do: percent_decode(rest, [c | done])

  defp percent_decode("", done) do
    text = done |> Enum.reverse() |> IO.iodata_to_binary()
    if String.valid?(text), do: text, else: inspect(text)
  end

  @doc "Binary metadata as gRPC sends it: base64 with or without padding."
  @spec decode64(String.t()) :: {:ok, binary()} | :error
  def decode64(text), do: text |> String.trim_trailing("=") |> Base.decode64(padding: false)
end
