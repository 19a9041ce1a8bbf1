defmodule Bridge.Connection.Gun do
  @moduledoc false
  # How a connection is opened with Gun, and what it says where that fails. One attempt per connection: when to try
  # again is the business of Bridge.Connection.

  alias Bridge.Connection.Settings

  @doc "Begins to connect; the caller becomes the owner and is told. Returns the headers that all its calls have."
  @spec open(Settings.t()) :: {:ok, pid(), [{String.t(), String.t()}]} | {:error, String.t()}
  def open(settings) do
    with {:ok, headers} <- headers(settings),
         {:ok, options} <- options(settings),
         {:ok, gun} <- start(settings.target, options) do
      {:ok, gun, headers}
    else
      {:error, cause} when is_binary(cause) -> {:error, cause}
      {:error, reason} -> {:error, cause(reason)}
    end
  end

  @spec close(pid()) :: :ok
  def close(gun) do
    _ = :gun.shutdown(gun)
    :ok
  catch
    _, _ -> :ok
  end

  defp start({:tcp, host, port}, options), do: :gun.open(host_of(host), port, options)
  defp start({:unix, path}, options), do: :gun.open_unix(to_charlist(path), options)

  defp host_of(host) do
    case :inet.parse_address(host) do
      {:ok, address} -> address
      {:error, _} -> host
    end
  end

  defp headers(settings) do
    base = [{"te", "trailers"}, {"content-type", "application/grpc"}, {"user-agent", "bridge-elixir/0.1.0"}]

    with {:ok, key} <- secret(settings.key) do
      {:ok, if(key, do: [{"authorization", "Bearer " <> key} | base], else: base)}
    end
  end

  defp secret("env:" <> name) do
    case System.fetch_env(name) do
      {:ok, key} -> {:ok, key}
      :error -> {:error, "the environment variable #{name}, which is to hold the key, is not set"}
    end
  end

  defp secret("file:" <> path) do
    case File.read(path) do
      {:ok, key} ->
        {:ok, String.trim(key)}

      {:error, reason} ->
        {:error, "the file #{path}, which is to hold the key, can not be read (#{:file.format_error(reason)})"}
    end
  end

  defp secret(key), do: {:ok, key}

  defp options(settings) do
    http2 =
      case settings.keepalive do
        :infinity -> %{keepalive: :infinity}
        ms -> %{keepalive: ms, keepalive_tolerance: 1}
      end

    base = %{
      protocols: [:http2],
      retry: 0,
      event_handler: {Bridge.Connection.StreamIds, {self(), 1}},
      connect_timeout: settings.connect_timeout,
      domain_lookup_timeout: settings.connect_timeout,
      tls_handshake_timeout: settings.connect_timeout,
      http2_opts: http2
    }

    case settings.tls do
      nil ->
        {:ok, Map.merge(base, %{transport: :tcp, tcp_opts: tcp(settings.target)})}

      tls ->
        with {:ok, options} <- tls(tls, settings.target),
             do: {:ok, Map.merge(base, %{transport: :tls, tls_opts: options})}
    end
  end

  defp tcp({:unix, _}), do: []
  defp tcp(_), do: [nodelay: true]

  defp tls(options, target) do
    with {:ok, authorities} <- authorities(options[:ca]) do
      files =
        for {name, as} <- [certificate: :certfile, key: :keyfile], path = options[name], do: {as, to_charlist(path)}

      {:ok,
       authorities ++
         files ++
         server_name(options[:server_name], target) ++
         [
           verify: :verify_peer,
           depth: 10,
           versions: [:"tlsv1.3", :"tlsv1.2"],
           customize_hostname_check: [match_fun: :public_key.pkix_verify_hostname_match_fun(:https)]
         ]}
    end
  end

  defp authorities(nil) do
    {:ok, [cacerts: :public_key.cacerts_get()]}
  rescue
    _ -> {:error, "no certificate authorities of the system are known; name yours with tls: [ca: PATH]"}
  end

  defp authorities(path) do
    if File.regular?(path),
      do: {:ok, [cacertfile: to_charlist(path)]},
      else: {:error, "there is no file #{path} (tls: [ca: PATH])"}
  end

  defp server_name(nil, {:unix, _}), do: [server_name_indication: ~c"localhost"]
  defp server_name(nil, _target), do: []
  defp server_name(name, _target), do: [server_name_indication: to_charlist(name)]

  @doc "Why there is no connection, in words."
  @spec cause(term()) :: String.t()
  def cause({:shutdown, reason}), do: cause(reason)
  def cause({:error, reason}), do: cause(reason)
  def cause({:closed, reason}), do: cause(reason)
  def cause({:down, reason}), do: cause(reason)
  def cause({:tls_alert, {_kind, text}}), do: "TLS: #{text |> to_string() |> String.replace(~r/\s+/, " ")}"
  def cause({:connection_error, _kind, text}), do: to_string(text)
  def cause({:stream_error, kind, text}), do: "#{kind}: #{text}"
  def cause({:goaway, kind, text}), do: "#{kind}: #{text}"
  def cause({:badstate, text}), do: to_string(text)
  def cause({kind, text}) when is_atom(kind) and (is_atom(text) or is_list(text)), do: "#{kind}: #{text}"
  def cause(:closed), do: "the connection was closed"
  def cause(:normal), do: "the connection was closed"

  def cause(reason) when is_atom(reason) do
    case :inet.format_error(reason) do
      ~c"unknown POSIX error" ++ _ -> to_string(reason)
      text -> to_string(text)
    end
  end

  def cause(reason), do: inspect(reason, limit: 10, printable_limit: 200)
end
