# What the client costs on top of the bare generated stub: `mix run bench/overhead.exs ADDRESS N`.
#
# Calls `add` of examples/demo_app.py N times through each, in turns of a few calls, and prints one JSON line with both
# medians: {"client_p50_ms": ..., "stub_p50_ms": ...}. The stub is that of the grpc package over its Gun adapter, and
# does what any program must do with it: make the request, set a deadline, take the result out of its JSON.

defmodule Overhead do
  alias Bridge.V1.{CallRequest, InvokeService, Payload}

  @turn 20
  @warm_up 300
  @timeout 10_000

  def main([address, number]) do
    calls = String.to_integer(number)
    {:ok, channel} = GRPC.Stub.connect(address, adapter: GRPC.Client.Adapters.Gun)
    {:ok, connection} = Bridge.Connection.start_link(name: nil, address: address, timeout: @timeout)
    :ok = Bridge.Connection.await(connection)

    client = fn -> {:ok, 3} = Bridge.call(connection, "add", %{"a" => 1, "b" => 2}) end
    stub = fn -> 3 = bare(channel) end

    for way <- [client, stub], _ <- 1..@warm_up, do: way.()
    turns = for _ <- 1..div(calls + @turn - 1, @turn), do: {times(client), times(stub)}
    {clients, stubs} = Enum.unzip(turns)
    IO.puts(Bridge.JSON.encode(%{client_p50_ms: median(clients), stub_p50_ms: median(stubs)}))
  end

  def main(_words) do
    IO.puts(:stderr, "usage: mix run bench/overhead.exs ADDRESS N, such as 127.0.0.1:50051 2000")
    System.halt(2)
  end

  defp bare(channel) do
    request = %CallRequest{function: "add", arguments: %Payload{body: {:json, Jason.encode!(%{"a" => 1, "b" => 2})}}}
    {:ok, reply} = InvokeService.Stub.call(:Call, channel, request, timeout: @timeout)
    {:json, result} = reply.result.body
    Jason.decode!(result)
  end

  defp times(way) do
    for _ <- 1..@turn do
      started = System.monotonic_time()
      way.()
      System.monotonic_time() - started
    end
  end

  defp median(turns) do
    sorted = turns |> Enum.concat() |> Enum.sort()
    nanoseconds = System.convert_time_unit(Enum.at(sorted, div(length(sorted), 2)), :native, :nanosecond)
    Float.round(nanoseconds / 1_000_000, 5)
  end
end

# The channel's own reports are not for the output.
Logger.configure(level: :warning)
Overhead.main(System.argv())
