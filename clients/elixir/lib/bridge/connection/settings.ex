defmodule Bridge.Connection.Settings do
  @moduledoc false
  # The options of a connection, checked.

  alias Bridge.CallOptions

  @enforce_keys [:address, :target, :defaults]
  defstruct [
    :address,
    :target,
    :server,
    :defaults,
    :name,
    :key,
    :tls,
    backoff_min: 100,
    backoff_max: 5_000,
    connect_timeout: 5_000,
    keepalive: 20_000,
    grace: 250,
    max_message_bytes: 256 * 1024 * 1024
  ]

  @type t :: %__MODULE__{}

  @own [:address, :server, :name, :key, :tls, :backoff, :connect_timeout, :keepalive, :grace, :max_message_bytes]
  @tls [:ca, :certificate, :key, :server_name]
  @least_keepalive 10_000

  @spec new(keyword()) :: t()
  def new(options) do
    {own, defaults} = CallOptions.split(options, @own)
    _checked = CallOptions.new(defaults)
    {address, target} = place(own[:address], own[:server])
    backoff = Keyword.merge([min: 100, max: 5_000], own[:backoff] || [])
    _checked = Bridge.Backoff.new(backoff[:min], backoff[:max])

    %__MODULE__{
      address: address,
      target: target,
      server: own[:server],
      defaults: defaults,
      name: Keyword.get(own, :name, Bridge.Connection),
      key: key(own[:key]),
      tls: tls(own[:tls]),
      backoff_min: backoff[:min],
      backoff_max: backoff[:max],
      connect_timeout: positive(own, :connect_timeout, 5_000),
      keepalive: keepalive(own[:keepalive]),
      grace: grace(Keyword.get(own, :grace, 250)),
      max_message_bytes: positive(own, :max_message_bytes, 256 * 1024 * 1024)
    }
  end

  defp place(nil, nil),
    do: raise(ArgumentError, ~s(expected address: "HOST:PORT" or "unix:/path", or server: NAME, got none))

  defp place(nil, server), do: {inspect(server), nil}
  defp place(address, nil), do: {address, target(address)}
  defp place(_address, _server), do: raise(ArgumentError, "expected either address: or server:, got both")

  @doc "The settings with the address that the server beside has now."
  @spec located(t()) :: {:ok, t()} | {:error, String.t()}
  def located(%__MODULE__{server: nil} = settings), do: {:ok, settings}

  def located(settings) do
    case Bridge.Server.address(settings.server) do
      {:ok, address} -> {:ok, %{settings | address: address, target: target(address)}}
      {:error, :down} -> {:error, "the server #{inspect(settings.server)} is not ready"}
    end
  end

  @spec target(String.t()) :: {:tcp, charlist(), :inet.port_number()} | {:unix, String.t()}
  def target("unix:" <> path), do: {:unix, String.replace_prefix(path, "//", "")}

  def target(address) when is_binary(address) do
    with [_, host, port] <- Regex.run(~r/\A\[?(.+?)\]?:(\d{1,5})\z/, address),
         number when number < 65_536 <- String.to_integer(port) do
      {:tcp, to_charlist(host), number}
    else
      _ -> raise ArgumentError, ~s(expected an address of "HOST:PORT" or "unix:/path", got #{inspect(address)})
    end
  end

  def target(other),
    do: raise(ArgumentError, ~s(expected an address of "HOST:PORT" or "unix:/path", got #{inspect(other)}))

  defp key(key) when is_nil(key) or is_binary(key), do: key
  defp key(_other), do: raise(ArgumentError, ~s(expected a key as text, "env:NAME" or "file:PATH", got something else))

  defp tls(off) when off in [nil, false], do: nil
  defp tls(true), do: []

  defp tls(options) when is_list(options) do
    case Keyword.keys(options) -- @tls do
      [] -> options
      [other | _] -> raise ArgumentError, "expected tls options of #{inspect(@tls)}, got #{inspect(other)}"
    end
  end

  defp tls(other), do: raise(ArgumentError, "expected tls: true or a keyword list, got #{inspect(other)}")

  defp positive(options, name, default) do
    case Keyword.get(options, name, default) do
      value when is_integer(value) and value > 0 -> value
      other -> raise ArgumentError, "expected #{name} to be more than 0, got #{inspect(other)}"
    end
  end

  defp keepalive(nil), do: 20_000
  defp keepalive(:infinity), do: :infinity
  defp keepalive(ms) when is_integer(ms) and ms >= @least_keepalive, do: ms

  defp keepalive(other) do
    raise ArgumentError,
          "expected keepalive of at least #{@least_keepalive} ms, which servers take, or :infinity, got #{inspect(other)}"
  end

  defp grace(ms) when is_integer(ms) and ms >= 0, do: ms
  defp grace(other), do: raise(ArgumentError, "expected grace to be milliseconds from 0, got #{inspect(other)}")

  defimpl Inspect do
    def inspect(settings, _options), do: "#Bridge.Connection.Settings<#{settings.address}>"
  end
end
