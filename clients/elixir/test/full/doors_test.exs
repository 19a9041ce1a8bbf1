defmodule Bridge.DoorsTest do
  # One server with TLS for the port, for clients with a certificate, and a unix socket beside it.
  use ExUnit.Case, async: true
  @moduletag :served
  @moduletag timeout: 120_000

  alias Bridge.{Connection, Error, Served}

  @key {:rsa, 2048, 65_537}

  setup_all do
    folder = Path.join(System.tmp_dir!(), "bridge-doors-#{System.unique_integer([:positive])}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    root = :public_key.pkix_test_root_cert(~c"Tests of the bridge", key: @key, digest: :sha256)
    made = :public_key.pkix_test_data(%{server_chain: chain(root), client_chain: chain(root)})
    server = write(folder, "server", made.server_config)
    client = write(folder, "client", made.client_config)
    socket = Path.join(folder, "b.sock")

    tls = [
      "--tls-certificate",
      server.certificate,
      "--tls-key",
      server.key,
      "--tls-client-ca",
      server.ca,
      "--unix",
      socket
    ]

    {Bridge.Server, options} = Served.own(args: tls)
    start_supervised!({Bridge.Server, options})
    {:ok, server: options[:name], client: client, socket: socket}
  end

  # The host's name is what clients check.
  defp chain(root) do
    names = [{:dNSName, ~c"localhost"}, {:iPAddress, <<127, 0, 0, 1>>}]
    alternative = {:Extension, {2, 5, 29, 17}, false, names}
    %{root: root, intermediates: [], peer: [key: @key, digest: :sha256, extensions: [alternative]]}
  end

  defp write(folder, name, config) do
    {kind, key} = config[:key]
    path = fn part -> Path.join(folder, "#{name}-#{part}.pem") end
    File.write!(path.("cert"), :public_key.pem_encode([{:Certificate, config[:cert], :not_encrypted}]))
    File.write!(path.("key"), :public_key.pem_encode([{kind, key, :not_encrypted}]))

    File.write!(
      path.("ca"),
      :public_key.pem_encode(for der <- config[:cacerts], do: {:Certificate, der, :not_encrypted})
    )

    %{certificate: path.("cert"), key: path.("key"), ca: path.("ca")}
  end

  defp connect(options) do
    name = Served.unique(:connection)
    start_supervised!({Connection, [name: name] ++ options}, id: name)
    name
  end

  defp use_of(connection) do
    assert Bridge.call!(connection, "add", a: 1, b: 2) == 3
    {:ok, %{gun: gun}} = Connection.lookup(connection)
    for _ <- 1..100, do: assert(connection |> Bridge.stream!("count", to: 3) |> Enum.take(2) == [1, 2])
    assert {:ok, %{gun: ^gun}} = Connection.lookup(connection), "a cancelled call has broken the connection"
    assert byte_size(Bridge.call!(connection, "repeat", text: "x", times: 3_000_000)) == 3_000_000
  end

  test "TLS with certificates on both sides", %{server: server, client: client} do
    use_of(connect(server: server, tls: [ca: client.ca, certificate: client.certificate, key: client.key]))
  end

  test "a unix socket", %{socket: socket} do
    use_of(connect(address: "unix:#{socket}"))
  end

  test "who is not let in is told why", %{server: server, client: client} do
    for {tls, words} <- [
          {[certificate: client.certificate, key: client.key, ca: client.certificate], "TLS"},
          {[certificate: client.certificate, key: client.key, ca: client.ca, server_name: "elsewhere"], "TLS"},
          {[ca: "/no/such/file"], "/no/such/file"}
        ] do
      connection = connect(server: server, tls: tls)

      assert {:error, %Error{code: :unavailable, reason: "CANNOT_CONNECT"} = error} =
               Bridge.call(connection, "add", a: 1, b: 2)

      assert error.message =~ words, error.message
    end

    for options <- [[tls: [ca: client.ca]], []] do
      connection = connect([server: server] ++ options)
      assert {:error, %Error{code: :unavailable}} = Bridge.call(connection, "add", [a: 1, b: 2], timeout: 3_000)
    end
  end
end
