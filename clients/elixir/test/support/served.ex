defmodule Bridge.Served do
  @moduledoc """
  A bridge for the tests that need one: `test/support/app.py`, served once for all of them. The command is that of
  BRIDGE_ELIXIR_SERVER; where it names none these tests are excluded, which ExUnit says. (A `bridge` on the path may be
  another program: iproute2 has one.)
  """

  @server Bridge.TestServer
  @command "BRIDGE_ELIXIR_SERVER"

  @doc "Starts the server, and returns what ExUnit is to exclude."
  def start do
    case command() do
      nil ->
        IO.puts(
          "BRIDGE_ELIXIR_SERVER names no command `bridge` of polyglot-bridge: tests against a server are excluded"
        )

        [:served]

      command ->
        {:ok, _} = Bridge.Server.start_link([name: @server] ++ options(command))
        []
    end
  end

  defp command, do: System.get_env(@command)

  @doc "The address of the server."
  def address do
    {:ok, address} = Bridge.Server.address(@server)
    address
  end

  @doc "A server of the test's own, which it may kill."
  def own(options \\ []) do
    {Bridge.Server, Keyword.merge([name: unique(:bridge_server)] ++ options(command(), "light.toml"), options)}
  end

  # Variables that begin with BRIDGE_ are the server's settings.
  defp options(command, config \\ "bridge.toml") do
    [
      app: Path.expand("app.py", __DIR__),
      config: Path.expand(config, __DIR__),
      command: [command],
      output: :silent,
      env: %{@command => nil}
    ]
  end

  @doc "What a function returns, and how many milliseconds it took."
  def timed(function) do
    {taken, result} = :timer.tc(function)
    {div(taken, 1000), result}
  end

  @doc "A name for a process of one test."
  def unique(kind), do: :"#{kind}_#{System.unique_integer([:positive])}"

  @doc "Waits until what runs on the server has written a text to a file."
  def await_file(path, text, tries \\ 400) do
    case File.read(path) do
      {:ok, ^text} -> :ok
      _ when tries > 0 -> receive(after: (10 -> await_file(path, text, tries - 1)))
      other -> raise "expected #{path} to have #{inspect(text)}, got #{inspect(other)}"
    end
  end
end
