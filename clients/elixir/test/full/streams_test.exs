defmodule Bridge.StreamsTest do
  use ExUnit.Case, async: true
  @moduletag :served

  alias Bridge.{Error, Event, Served}

  setup do
    name = Served.unique(:connection)
    start_supervised!({Bridge.Connection, name: name, address: Served.address()})
    path = Path.join(System.tmp_dir!(), "bridge-stream-#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm(path) end)
    {:ok, connection: name, path: path}
  end

  test "items come as they are, and tagged", %{connection: connection} do
    assert Enum.to_list(Bridge.stream!(connection, "count", to: 3)) == [1, 2, 3]
    assert Enum.to_list(Bridge.stream(connection, "count", to: 2)) == [ok: 1, ok: 2]
    assert Enum.to_list(Bridge.stream(connection, "add", a: 1, b: 2)) == [ok: 3]
    assert connection |> Bridge.stream!("count", to: 50_000) |> Enum.sum() == 1_250_025_000
  end

  test "nothing is sent before the stream is read, and each reading is a call", %{connection: connection} do
    stream = Bridge.stream(connection, "nothing of this name")
    assert [error: %Error{code: :not_found}] = Enum.to_list(stream)
    assert [error: %Error{code: :not_found}] = Enum.to_list(stream)
    assert_raise Error, ~r/UNKNOWN_FUNCTION/, fn -> Stream.run(Bridge.stream!(connection, "nothing")) end
  end

  test "a stream that fails half-way has its items, then the error", %{connection: connection} do
    assert [{:ok, 0}, {:ok, 1}, {:error, %Error{reason: "USER_EXCEPTION"}}] =
             Enum.to_list(Bridge.stream(connection, "half_way", number: 2))
  end

  test "leaving early ends the Python that runs", %{connection: connection, path: path} do
    assert connection |> Bridge.stream!("drip", path: path, number: 1_000) |> Enum.take(2) == [0, 1]
    Served.await_file(path, "ended")
    assert Process.info(self(), :message_queue_len) == {:message_queue_len, 0}
  end

  test "so does a reader that raises, and one that dies", %{connection: connection, path: path} do
    assert_raise RuntimeError, fn ->
      connection |> Bridge.stream!("drip", path: path, number: 1_000) |> Enum.each(fn _ -> raise "enough" end)
    end

    Served.await_file(path, "ended")
    File.rm!(path)
    me = self()

    {:ok, reader} =
      Task.start(fn ->
        connection |> Bridge.stream!("drip", path: path, number: 1_000) |> Enum.each(&send(me, {:item, &1}))
      end)

    assert_receive {:item, 1}
    Process.exit(reader, :kill)
    Served.await_file(path, "ended")
  end

  test "the timeout holds for the whole stream", %{connection: connection, path: path} do
    results = connection |> Bridge.stream("drip", [path: path, number: 1_000], timeout: 300) |> Enum.to_list()
    assert {:error, %Error{code: :deadline_exceeded}} = List.last(results)
    assert length(results) > 1
    Served.await_file(path, "ended")
  end

  test "a slow reader holds the server back, and gets everything", %{connection: connection} do
    text = String.duplicate("x", 100_000)
    stream = Bridge.stream!(connection, "count", to: 3_000) |> Stream.map(&{&1, text})
    assert stream |> Enum.map(&elem(&1, 0)) |> length() == 3_000
  end

  test "two streams in one process, in step", %{connection: connection} do
    left = Bridge.stream!(connection, "count", to: 5)
    right = Bridge.stream!(connection, "count", to: 5, start: 3)
    assert left |> Stream.zip(right) |> Enum.to_list() == [{1, 3}, {2, 4}, {3, 5}]
  end

  test "large items come in parts", %{connection: connection} do
    assert [text] =
             connection
             |> Bridge.stream!("repeat", [text: "0123456789", times: 100_000], chunk_bytes: 65_536)
             |> Enum.to_list()

    assert text == String.duplicate("0123456789", 100_000)
    assert_raise ArgumentError, fn -> Bridge.stream(connection, "repeat", %{}, chunk_bytes: 10) end
  end

  test "a program's fields grow, then come whole", %{connection: connection} do
    events = connection |> Bridge.stream_program!("answer", question: "Who?") |> Enum.to_list()
    assert %Event.Final{outputs: %{"answer" => answer}} = List.last(events)
    grown = for %Event.FieldDelta{field: "answer", text: text} <- events, into: "", do: text
    assert grown == answer

    assert Bridge.program!(connection, "answer", [question: "Who?"], temperature: 0.5, adapter: :json)
           |> Map.has_key?("answer")

    assert {:ok, %{name: "answer", signature: "question: str -> answer: str"}} =
             Bridge.describe_program(connection, "answer")

    assert "agent" in Enum.map(elem(Bridge.programs(connection), 1), & &1.name)
    assert_raise ArgumentError, ~r/adapter/, fn -> Bridge.program(connection, "answer", %{}, adapter: :yaml) end
    assert {:error, %Error{reason: "UNKNOWN_PROGRAM"}} = Bridge.program(connection, "anser", question: "?")
  end

  test "every kind of event, and a run that is taken up again", %{connection: connection} do
    events =
      connection
      |> Bridge.stream_program!("answer", [question: "Who?"], all_events: true, resumable: true)
      |> Enum.to_list()

    assert [%Event.Status{resume_token: token} = first | _] = events
    assert token != ""
    refute inspect(first) =~ token
    assert Enum.any?(events, &match?(%Event.Status{step: :model_started}, &1))
    assert Enum.any?(events, &match?(%Event.Usage{usage: [%Bridge.ModelUsage{calls: 1}]}, &1))
    assert Enum.map(events, & &1.sequence) == Enum.to_list(1..length(events))

    assert connection |> Bridge.resume_program!(token) |> Enum.to_list() == events
    after_two = connection |> Bridge.resume_program!(token, after: 2) |> Enum.to_list()
    assert after_two == Enum.drop(events, 2)
    assert Bridge.cancel_program(connection, token) == {:ok, false}
    assert [error: %Error{reason: "RESUME_EXPIRED"}] = Enum.to_list(Bridge.resume_program(connection, "unheard"))
  end
end
