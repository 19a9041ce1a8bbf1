defmodule Bridge.FailuresTest do
  use ExUnit.Case, async: true

  alias Bridge.{Error, Failures, ProtoReader}

  @facts %{path: "/bridge.v1.InvokeService/Call", address: "127.0.0.1:1", request_id: "mine", timeout: 1500}

  defp any(kind, fields) do
    ProtoReader.write(1, "type.googleapis.com/google.rpc.#{kind}") <> ProtoReader.write(2, fields)
  end

  defp status(code, message, details) do
    packed = for detail <- details, into: "", do: ProtoReader.write(3, detail)
    <<8, code>> <> ProtoReader.write(2, message) <> packed
  end

  defp trailers(code, details) do
    %{
      "grpc-status" => "#{code}",
      "grpc-message" => "short",
      "grpc-status-details-bin" => Base.encode64(details, padding: false)
    }
  end

  test "every detail of a status is read" do
    entry = ProtoReader.write(1, "limit") <> ProtoReader.write(2, "64")
    info = ProtoReader.write(1, "QUEUE_FULL") <> ProtoReader.write(2, "bridge") <> ProtoReader.write(3, entry)
    violation = ProtoReader.write(1, "items[2].name") <> ProtoReader.write(2, "expected text")
    # 1 s and 250.000001 ms
    retry = ProtoReader.write(1, <<8, 1, 16, 0x81, 0xE5, 0x9A, 0x77>>)

    packed =
      status(8, "the queue is full", [
        any("ErrorInfo", info),
        any("BadRequest", ProtoReader.write(1, violation)),
        any("RetryInfo", retry),
        any("RequestInfo", ProtoReader.write(1, "theirs")),
        any("DebugInfo", ProtoReader.write(1, "line 1") <> ProtoReader.write(1, "line 2")),
        any("Unheard", "")
      ])

    error = Failures.from_trailers(trailers(8, packed), @facts)
    assert %Error{code: :resource_exhausted, reason: "QUEUE_FULL", message: "the queue is full"} = error
    assert error.violations == [%{field: "items[2].name", description: "expected text"}]
    assert error.metadata == %{"limit" => "64"}
    assert error.retry_after_ms == 1251
    assert error.retryable?
    assert error.request_id == "theirs"
    assert error.traceback == "line 1\nline 2"

    assert Exception.message(error) =~
             "resource_exhausted QUEUE_FULL: the queue is full\n  items[2].name: expected text"
  end

  test "padded and unpadded details are read, broken ones leave the status" do
    packed = status(5, "there is none", [any("ErrorInfo", ProtoReader.write(1, "UNKNOWN_FUNCTION"))])
    padded = %{"grpc-status" => "5", "grpc-status-details-bin" => Base.encode64(packed)}
    assert %Error{code: :not_found, reason: "UNKNOWN_FUNCTION"} = Failures.from_trailers(padded, @facts)

    for broken <- ["!!!", Base.encode64(<<0xFF, 0xFF>>)] do
      trailers = %{"grpc-status" => "5", "grpc-message" => "n%C3%B6%21", "grpc-status-details-bin" => broken}
      error = Failures.from_trailers(trailers, @facts)
      assert {error.code, error.message, error.request_id} == {:not_found, "nö!", "mine"}
    end
  end

  test "a crash of an idempotent function is retryable without a time to wait" do
    entry = ProtoReader.write(1, "retryable") <> ProtoReader.write(2, "true")
    info = ProtoReader.write(1, "WORKER_CRASHED") <> ProtoReader.write(3, entry)
    error = Failures.from_status(status(14, "gone", [any("ErrorInfo", info)]), @facts)
    assert {error.retryable?, error.retry_after_ms} == {true, nil}
  end

  test "all status codes have a name and come back" do
    for number <- 0..16, do: assert(number |> Failures.code() |> Failures.number() == number)
    assert Failures.code(99) == :unknown
    assert Failures.status(%{}) == :unknown
    assert Failures.status(%{"grpc-status" => "0"}) == :ok
  end

  test "percent-encoding is undone, and what is broken stays" do
    assert Failures.percent_decode("a%20b%zz%") == "a b%zz%"
    assert Failures.percent_decode("%E2%82%AC") == "€"
  end

  test "errors of the client say what to do" do
    assert Failures.late(@facts).message =~ "1500 ms"
    error = Failures.cannot_connect("127.0.0.1:1", "connection refused", "id")
    assert Error.never_sent?(error) and error.message =~ "bridge serve"
    refute Error.never_sent?(Failures.connection_lost(@facts, "closed"))
  end
end
