defmodule Bridge.CallsTest do
  use ExUnit.Case, async: true
  @moduletag :served

  alias Bridge.{Error, Receipt, Served, Tensor}

  setup do
    name = Served.unique(:connection)
    start_supervised!({Bridge.Connection, name: name, address: Served.address()})
    {:ok, connection: name}
  end

  test "a call, and its variant that raises", %{connection: connection} do
    assert Bridge.call(connection, "add", a: 1, b: 2) == {:ok, 3}
    assert Bridge.call!(connection, "add", %{"a" => 1, "b" => 2}) == 3
    error = assert_raise Error, fn -> Bridge.call!(connection, "boom", message: "no") end
    assert {error.code, error.reason, error.metadata["type"]} == {:unknown, "USER_EXCEPTION", "ValueError"}
    assert Exception.message(error) =~ "ValueError: no"
  end

  test "values go there and back", %{connection: connection} do
    for value <- [
          nil,
          true,
          9_223_372_036_854_775_807,
          -9_223_372_036_854_775_808,
          1.5,
          :nan,
          :infinity,
          :neg_infinity,
          "grüße 😀",
          [1, [2, %{"x" => nil}]],
          %{"a" => 1, "b" => %{"c" => []}}
        ] do
      assert Bridge.call!(connection, "echo", value: value) == value
    end

    assert Bridge.call!(connection, "echo", value: ~D[2026-11-21]) == "2026-11-21"
    assert Bridge.call!(connection, "half", x: :infinity) == :infinity
  end

  test "bytes and tensors", %{connection: connection} do
    assert Bridge.call!(connection, "flip", data: Bridge.bytes(<<1, 2, 255>>)) == <<255, 2, 1>>
    assert %Bridge.Bytes{data: "ba"} = Bridge.call!(connection, "flip", [data: Bridge.bytes("ab")], bytes: :tagged)
    array = Tensor.new([[1.5, :nan], [3.0, -1.0]], "FP64")
    assert %Tensor{dtype: "FP64", shape: [2, 2]} = doubled = Bridge.call!(connection, "double", array: array)
    assert Tensor.to_list(doubled) == [[3.0, :nan], [6.0, -2.0]]
  end

  test "a large request and a large result", %{connection: connection} do
    text = String.duplicate("grüße ", 200_000)
    assert Bridge.call!(connection, "echo", value: text) == text
    assert byte_size(Bridge.call!(connection, "repeat", text: "0123456789", times: 1_000_000)) == 10_000_000
  end

  test "violations say which argument does not fit", %{connection: connection} do
    assert {:error, %Error{code: :invalid_argument, reason: "SCHEMA_MISMATCH"} = error} =
             Bridge.call(connection, "add", a: "x", b: 2)

    assert [%{field: "a", description: description}] = error.violations
    assert description =~ "integer"
    refute error.retryable?

    assert {:error, %Error{code: :not_found, metadata: %{"did_you_mean" => "add"}}} =
             Bridge.call(connection, "ad", a: 1, b: 2)
  end

  test "the server holds the timeout exactly, and says where the time went", %{connection: connection} do
    {taken, result} = Served.timed(fn -> Bridge.call(connection, "slow", [seconds: 20.0], timeout: 1_500) end)

    assert {:error, %Error{code: :deadline_exceeded, reason: "IN_WORKER"}} = result
    assert taken >= 1_500
  end

  test "a server that does not answer is not waited for" do
    {:ok, listener} = :gen_tcp.listen(0, [:binary, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(listener)
    name = Served.unique(:connection)
    start_supervised!({Bridge.Connection, name: name, address: "127.0.0.1:#{port}", grace: 0}, id: name)
    assert {:error, %Error{code: :deadline_exceeded, reason: ""} = error} = Bridge.call(name, "add", %{}, timeout: 200)
    assert error.message =~ "200 ms"
  end

  test "a call whose process dies is cancelled on the server", %{connection: connection} do
    path = Path.join(System.tmp_dir!(), "bridge-#{System.unique_integer([:positive])}")
    on_exit(fn -> File.rm(path) end)
    {:ok, caller} = Task.start(fn -> Bridge.call(connection, "slow", seconds: 30.0, path: path) end)
    Served.await_file(path, "begun")
    Process.exit(caller, :kill)
    Served.await_file(path, "ended")
  end

  test "options reach the server, a receipt comes back, for failures too", %{connection: connection} do
    me = self()

    {{:ok, 3}, receipt} =
      Bridge.with_receipt(fn ->
        Bridge.call(connection, "add", [a: 1, b: 2],
          request_id: "order-77",
          on_receipt: &send(me, &1),
          budget: [calls: 5]
        )
      end)

    assert %Receipt{request_id: "order-77", function: "add", route: :pooled, pool: "general", budget: %{calls_left: 4}} =
             receipt

    assert_received ^receipt
    assert Receipt.transfer_us(receipt) >= 0
    assert {Receipt.tokens(receipt), Receipt.cost_usd(receipt)} == {0, nil}

    {{:error, error}, receipt} = Bridge.with_receipt(fn -> Bridge.call(connection, "boom", message: "x") end)
    assert receipt.request_id == error.request_id

    {_, receipts} =
      Bridge.with_receipts(fn ->
        Bridge.call(connection, "add", a: 1, b: 2)
        Enum.to_list(Bridge.stream(connection, "count", to: 3))
      end)

    assert Enum.map(receipts, & &1.function) == ["add", "count"]

    assert {:error, %Error{code: :resource_exhausted, reason: "BUDGET_EXCEEDED"}} =
             Bridge.call(connection, "add", [a: 1, b: 2], budget: [calls: 0])

    assert {:error, %Error{reason: "BAD_METADATA"}} =
             Bridge.call(connection, "add", [a: 1, b: 2], metadata: %{"x-priority" => "soon"})
  end

  test "what is wrong is said before anything is sent", %{connection: connection} do
    assert_raise ArgumentError, ~r/timeout/, fn -> Bridge.call(connection, "add", %{}, timeout: "1s") end
    assert_raise ArgumentError, ~r/:timout/, fn -> Bridge.call(connection, "add", %{}, timout: 1) end
    assert_raise ArgumentError, ~r/by name/, fn -> Bridge.call(connection, "add", [1, 2]) end
  end

  test "the catalogue and health", %{connection: connection} do
    {:ok, functions} = Bridge.functions(connection)
    assert "add" in Enum.map(functions, & &1.name)
    assert [%{name: "half"}, %{name: "half_way"}] = Bridge.functions!(connection, prefix: "half")
    add = Bridge.describe!(connection, "add")
    assert {add.kind, add.doc, add.arguments_schema["required"]} == {:function, "Add two numbers.", ["a", "b"]}
    assert is_integer(Bridge.call!(connection, add.name, add.example))
    assert Bridge.health!(connection) == :serving
    assert Bridge.health!(connection, "bridge.v1.ModelService") == :serving
    assert {:error, %Error{code: :not_found}} = Bridge.health(connection, "nothing")
  end

  test "sessions", %{connection: connection} do
    {:ok, session} = Bridge.open_session(connection, mode: :strict, ttl: 60_000, ordered: true)
    assert Bridge.call!(session, "add", a: 1, b: 2) == 3
    assert {:ok, info} = Bridge.session_info(session)
    assert {info.id, info.mode, info.ttl_ms, info.calls, info.ordered} == {session.id, :strict, 60_000, 1, true}
    assert DateTime.diff(DateTime.utc_now(), info.opened_at) in 0..60
    assert Bridge.close_session(session) == :ok
    assert {:error, %Error{reason: "UNKNOWN_SESSION"}} = Bridge.session_info(session)

    assert {"mine", 3} =
             Bridge.session(connection, [id: "mine"], fn session ->
               {session.id, Bridge.call!(session, "add", a: 1, b: 2)}
             end)

    assert {:error, %Error{reason: "UNKNOWN_SESSION"}} = Bridge.session_info(Bridge.Session.of(connection, "mine"))
    assert_raise ArgumentError, fn -> Bridge.open_session(connection, mode: :firm) end
  end

  test "embeddings and metrics", %{connection: connection} do
    assert {:ok, embeddings} = Bridge.embed(connection, ["a cat", "a kitten"])
    assert [vector, _] = embeddings.vectors
    assert length(vector) == embeddings.dimensions
    assert {:ok, [[same, _]]} = Bridge.similarity(connection, "a cat", ["a cat", "a car"])
    assert_in_delta same, 1.0, 1.0e-5
    assert {:ok, score} = Bridge.score(connection, "bleu", "the cat sat on the mat", "the cat sat on the mat")
    assert_in_delta score.value, 100.0, 1.0e-6
    assert score.signature =~ "bleu" or score.parameters != %{}
    assert {:ok, batch} = Bridge.score_batch(connection, "exact_match", ["Bern", "Rome"], ["Bern", ["Roma", "Rome"]])
    assert {length(batch.scores), batch.aggregate.value} == {2, 1.0}
    assert_raise ArgumentError, fn -> Bridge.score_batch(connection, "exact_match", ["a"], []) end
    assert {:error, %Error{reason: "UNKNOWN_METRIC"}} = Bridge.score(connection, "blue", "a", "b")
  end

  test "language models", %{connection: connection} do
    assert {:ok, answer} = Bridge.generate(connection, "Say hello", temperature: 0)
    assert {answer.finish_reason, answer.usage.calls} == {:stop, 1}

    turns = [
      %{role: :user, content: "Say hello"},
      %{role: :assistant, content: answer.text},
      [role: "user", content: "Again"]
    ]

    assert Bridge.generate!(connection, turns).text != ""
    events = connection |> Bridge.stream_generate!("Say hello") |> Enum.to_list()
    assert %Bridge.Generation{text: text} = List.last(events)
    assert events |> Enum.drop(-1) |> Enum.map_join(& &1.text) == text

    schema = %{type: "object", properties: %{name: %{type: "string"}}, required: ["name"]}
    assert %{"name" => name} = Bridge.extract!(connection, schema, "Ada is 36 years old")
    assert is_binary(name)
    assert_raise ArgumentError, ~r/role/, fn -> Bridge.generate(connection, [%{role: :robot}]) end
  end

  test "telemetry tells of each call", %{connection: connection} do
    me = self()
    id = inspect(connection)
    events = for kind <- [:call, :stream], point <- [:start, :stop, :exception], do: [:bridge, kind, point]

    :telemetry.attach_many(
      id,
      events,
      &__MODULE__.forward/4,
      {me, connection}
    )

    on_exit(fn -> :telemetry.detach(id) end)

    Bridge.call(connection, "add", [a: 1, b: 2], request_id: "r1")
    assert_receive {[:bridge, :call, :start], %{system_time: _}, %{name: "add", request_id: "r1"}}

    assert_receive {[:bridge, :call, :stop], %{duration: duration},
                    %{code: :ok, method: "/bridge.v1.InvokeService/Call"}}

    assert duration > 0
    Bridge.call(connection, "boom", message: "x")
    assert_receive {[:bridge, :call, :stop], _, %{code: :unknown, reason: "USER_EXCEPTION", error: %Error{}}}
    connection |> Bridge.stream!("count", to: 100_000) |> Enum.take(2)
    assert_receive {[:bridge, :stream, :stop], %{items: items}, %{code: :cancelled, name: "count"}}
    assert items >= 2
    Stream.run(Bridge.stream!(connection, "count", to: 2))
    assert_receive {[:bridge, :stream, :stop], %{items: 2}, %{code: :ok}}

    assert_raise RuntimeError, fn ->
      Bridge.call(connection, "add", [a: 1, b: 2], on_receipt: fn _ -> raise "mine" end)
    end

    assert_receive {[:bridge, :call, :exception], _, %{kind: :error, reason: %RuntimeError{}}}
  end

  test "generated stubs run over the same connection", %{connection: connection} do
    alias Bridge.V1.InvokeService.Stub
    channel = Bridge.Connection.channel(connection)

    assert {:ok, %{function: %{name: "add"}}} =
             Stub.describe_function(channel, %Bridge.V1.DescribeFunctionRequest{function: "add"})

    assert {:error, %GRPC.RPCError{status: 5, details: [_ | _]}} =
             Stub.describe_function(channel, %Bridge.V1.DescribeFunctionRequest{function: "ad"})

    slow = %Bridge.V1.CallRequest{function: "slow", arguments: %Bridge.V1.Payload{body: {:json, ~s({"seconds": 30})}}}
    {taken, result} = Served.timed(fn -> Stub.call(:Call, channel, slow, timeout: 1_500) end)
    assert {:error, %GRPC.RPCError{status: 4}} = result
    assert taken >= 1_500

    count = %Bridge.V1.StreamCallRequest{function: "count", arguments: %Bridge.V1.Payload{body: {:json, ~s({"to": 3})}}}
    assert {:ok, items} = Stub.stream_call(channel, count)
    assert Enum.map(items, fn {:ok, reply} -> reply.item.body end) == [json: "1", json: "2", json: "3"]
  end

  def forward(event, measurements, metadata, {test, connection}) do
    if metadata.connection == connection, do: send(test, {event, measurements, metadata})
  end
end
