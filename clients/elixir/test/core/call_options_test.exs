defmodule Bridge.CallOptionsTest do
  use ExUnit.Case, async: true

  alias Bridge.{CallOptions, Session}

  defp headers(options, defaults \\ []),
    do: options |> CallOptions.new(defaults) |> CallOptions.headers("id") |> Enum.sort()

  test "options become metadata" do
    assert headers(timeout: :infinity) == [{"x-request-id", "id"}]
    assert {"x-timeout-ms", "60000"} in headers([])

    assert headers(
             timeout: 1_500,
             idempotency_key: "k",
             session: Session.of(:connection, "s"),
             session_mode: :strict,
             priority: :high,
             traceparent: "00-abc-def-01",
             budget: [usd: 0.05, tokens: 10, calls: 2],
             metadata: %{"x-tenant" => "acme", "trace-bin" => <<255, 0>>}
           ) == [
             {"trace-bin", "/wA"},
             {"traceparent", "00-abc-def-01"},
             {"x-budget-calls", "2"},
             {"x-budget-tokens", "10"},
             {"x-budget-usd", "0.050000000000"},
             {"x-idempotency-key", "k"},
             {"x-priority", "high"},
             {"x-request-id", "id"},
             {"x-session-id", "s"},
             {"x-session-mode", "strict"},
             {"x-tenant", "acme"},
             {"x-timeout-ms", "1500"}
           ]
  end

  test "a connection's options hold where the call has none; metadata adds up" do
    defaults = [timeout: 5, session: "s", metadata: %{"a" => "1", "b" => "2"}]

    assert headers([metadata: %{b: "3"}, timeout: 7], defaults) == [
             {"a", "1"},
             {"b", "3"},
             {"x-request-id", "id"},
             {"x-session-id", "s"},
             {"x-timeout-ms", "7"}
           ]
  end

  test "what does not fit is said with what would" do
    for {options, words} <- [
          {[timeout: 0], "milliseconds of more than 0"},
          {[timeout: 1.5], "milliseconds"},
          {[retries: -1], "retries"},
          {[session: ""], "session"},
          {[session: "a\n"], "printable ASCII"},
          {[request_id: " x"], "printable ASCII"},
          {[budget: [usd: -1]], "usd"},
          {[budget: [euro: 1]], "budget"},
          {[metadata: %{"Upper" => "x"}], "lower-case"},
          {[metadata: %{"x" => "ü"}], "-bin"},
          {[metadata: %{"x" => 1}], "text"},
          {[priority: :urgent], ":low, :normal or :high"},
          {[on_receipt: 1], "function"},
          {[bytes: :text], ":tagged"}
        ] do
      error = assert_raise ArgumentError, fn -> CallOptions.new(options) end
      assert error.message =~ words, "#{inspect(options)}: #{error.message}"
    end
  end

  test "unknown options are named with the known ones" do
    assert CallOptions.split([timeout: 1, model: "m"], [:model]) == {[model: "m"], [timeout: 1]}
    error = assert_raise ArgumentError, fn -> CallOptions.split([timout: 1], [:model]) end
    assert error.message =~ "expected options of :model, :timeout"
    assert error.message =~ "got {:timout, 1}"
    assert_raise ArgumentError, fn -> CallOptions.split([:timeout], []) end
    assert_raise ArgumentError, fn -> CallOptions.split(%{}, []) end
  end
end
