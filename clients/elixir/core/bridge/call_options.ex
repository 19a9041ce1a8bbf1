defmodule Bridge.CallOptions do
  @moduledoc false
  # What goes with a call: options as the caller gives them, checked, to metadata. Pure. `Bridge` documents the options.

  @enforce_keys [:timeout]
  defstruct [
    :timeout,
    :request_id,
    :idempotency_key,
    :session,
    :session_mode,
    :priority,
    :traceparent,
    :on_receipt,
    budget: [],
    metadata: %{},
    retries: 0,
    idempotent: false,
    wait_for_ready: false,
    bytes: :binary
  ]

  @type t :: %__MODULE__{}

  @default_timeout 60_000
  @most_usd 1.0e9
  @most 1_000_000_000_000_000

  @names [
    :timeout,
    :request_id,
    :idempotency_key,
    :session,
    :session_mode,
    :budget,
    :metadata,
    :priority,
    :traceparent,
    :retries,
    :idempotent,
    :wait_for_ready,
    :on_receipt,
    :bytes
  ]

  @doc "Splits the options of a call from those of the function at hand, and checks the names of the latter."
  @spec split(keyword(), [atom()]) :: {own :: keyword(), call :: keyword()}
  def split(options, own) when is_list(options) do
    case Enum.find(options, fn option -> not (is_tuple(option) and elem(option, 0) in (own ++ @names)) end) do
      nil -> Keyword.split(options, own)
      other -> raise ArgumentError, "expected options of #{list(own ++ @names)}, got #{inspect(other)}"
    end
  end

  def split(options, _own), do: raise(ArgumentError, "expected options as a keyword list, got #{inspect(options)}")

  @doc "The options, checked. `defaults` are the connection's."
  @spec new(keyword(), keyword()) :: t()
  def new(options, defaults \\ []) do
    given = Keyword.merge(Keyword.put_new(defaults, :timeout, @default_timeout), options)
    metadata = Map.merge(metadata(defaults[:metadata] || %{}), metadata(options[:metadata] || %{}))

    Enum.each(given, &check/1)
    made = struct!(__MODULE__, Keyword.put(given, :metadata, metadata))
    %{made | session: session_id(made.session), budget: made.budget || []}
  end

  defp session_id(%{id: id}), do: id
  defp session_id(id), do: id

  defp check({:timeout, value}) when value == :infinity or (is_integer(value) and value > 0), do: :ok
  defp check({:timeout, value}), do: refuse(:timeout, "milliseconds of more than 0, or :infinity", value)
  defp check({:retries, value}) when is_integer(value) and value >= 0, do: :ok
  defp check({:retries, value}), do: refuse(:retries, "a number of repetitions from 0", value)
  defp check({name, value}) when name in [:idempotent, :wait_for_ready] and is_boolean(value), do: :ok
  defp check({name, value}) when name in [:idempotent, :wait_for_ready], do: refuse(name, "true or false", value)
  defp check({:bytes, value}) when value in [:binary, :tagged], do: :ok
  defp check({:bytes, value}), do: refuse(:bytes, ":binary or :tagged", value)
  defp check({:priority, value}) when value in [nil, :low, :normal, :high], do: :ok
  defp check({:priority, value}), do: refuse(:priority, ":low, :normal or :high", value)
  defp check({:session_mode, value}) when value in [nil, :hint, :strict], do: :ok
  defp check({:session_mode, value}), do: refuse(:session_mode, ":hint or :strict", value)
  defp check({:on_receipt, value}) when is_nil(value) or is_function(value, 1), do: :ok
  defp check({:on_receipt, value}), do: refuse(:on_receipt, "a function of one argument", value)
  defp check({:session, %{connection: _, id: id}}), do: check_text(:session, id)
  defp check({:session, value}), do: check_text(:session, value)
  defp check({:budget, budget}) when is_list(budget), do: Enum.each(budget, &check_budget/1)
  defp check({:budget, nil}), do: :ok
  defp check({:budget, value}), do: refuse(:budget, "[usd: dollars, tokens: number, calls: number]", value)
  defp check({name, value}) when name in [:request_id, :idempotency_key, :traceparent], do: check_text(name, value)
  defp check({:metadata, _}), do: :ok

  defp check_budget({:usd, usd}) when is_number(usd) and usd >= 0 and usd < @most_usd, do: :ok
  defp check_budget({name, n}) when name in [:tokens, :calls] and is_integer(n) and n >= 0 and n < @most, do: :ok

  defp check_budget(other) do
    refuse(:budget, "usd: dollars from 0, tokens: or calls: whole numbers from 0", other)
  end

  defp check_text(_name, nil), do: :ok

  defp check_text(name, value) do
    unless is_binary(value) and value =~ ~r/\A[\x21-\x7E]([\x20-\x7E]*[\x21-\x7E])?\z/ do
      refuse(name, "printable ASCII text without blanks at its ends", value)
    end
  end

  defp metadata(given) when is_map(given) or is_list(given) do
    Map.new(given, fn {key, value} -> {check_key(key), check_value(to_string(key), value)} end)
  end

  defp metadata(given), do: refuse(:metadata, "a map of texts", given)

  defp check_key(key) do
    key = to_string(key)

    unless key =~ ~r/\A[a-z0-9_.-]+\z/,
      do: refuse(:metadata, "a key of lower-case letters, digits, '-', '_' and '.'", key)

    key
  end

  defp check_value(key, value) do
    cond do
      not is_binary(value) ->
        refuse(:metadata, "#{if binary?(key), do: "bytes", else: "text"} for #{inspect(key)}", value)

      binary?(key) or value =~ ~r/\A[\x20-\x7E]*\z/ ->
        value

      true ->
        refuse(:metadata, "printable ASCII text for #{inspect(key)}; bytes need a key that ends in -bin", value)
    end
  end

  defp refuse(name, expected, got) do
    raise ArgumentError, "expected #{name} to be #{expected}, got #{inspect(got, limit: 5, printable_limit: 60)}"
  end

  defp list(names), do: Enum.map_join(names, ", ", &inspect/1)

  @doc "The metadata of one call, beside the connection's own (`authorization`)."
  @spec headers(t(), String.t()) :: [{String.t(), String.t()}]
  def headers(%__MODULE__{} = options, request_id) do
    [{"x-request-id", request_id}]
    |> put("x-timeout-ms", options.timeout != :infinity && to_string(options.timeout))
    |> put("x-idempotency-key", options.idempotency_key)
    |> put("x-session-id", options.session)
    |> put("x-session-mode", options.session_mode && to_string(options.session_mode))
    |> put("x-priority", options.priority && to_string(options.priority))
    |> put("traceparent", options.traceparent)
    |> put_budget(options.budget)
    |> put_all(options.metadata)
  end

  defp put(headers, _key, none) when none in [nil, false], do: headers
  defp put(headers, key, value), do: [{key, value} | headers]

  defp put_budget(headers, []), do: headers

  defp put_budget(headers, budget) do
    headers
    |> put("x-budget-usd", budget[:usd] && :erlang.float_to_binary(budget[:usd] / 1, decimals: 12))
    |> put("x-budget-tokens", budget[:tokens] && to_string(budget[:tokens]))
    |> put("x-budget-calls", budget[:calls] && to_string(budget[:calls]))
  end

  defp put_all(headers, metadata) when map_size(metadata) == 0, do: headers
  defp put_all(headers, metadata), do: Enum.reduce(metadata, headers, &[encode(&1) | &2])

  defp encode({key, value}), do: if(binary?(key), do: {key, Base.encode64(value, padding: false)}, else: {key, value})

  defp binary?(key), do: String.ends_with?(key, "-bin")
end
