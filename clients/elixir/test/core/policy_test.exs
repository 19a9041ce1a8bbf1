defmodule Bridge.PolicyTest do
  @moduledoc "Deadlines, pauses and repetitions: arithmetic, on given clocks."
  use ExUnit.Case, async: true

  alias Bridge.{Backoff, Deadline, Error, Retry}

  test "gRPC is asked for no less than the timeout, exactly where its eight digits allow" do
    assert Deadline.header(1) == "1m"
    assert Deadline.header(1_500) == "1500m"
    assert Deadline.header(90_000) == "90000m"
    assert Deadline.header(99_999_999) == "99999999m"
    assert Deadline.header(100_000_001) == "100001S"
    assert Deadline.header(99_999_999_001) == "1666667M"
    assert Deadline.header(:infinity) == nil
  end

  test "a deadline is a moment" do
    assert Deadline.from_timeout(1_500, 10) == 1_510
    assert Deadline.remaining(1_510, 11) == 1_499
    assert Deadline.remaining(1_510, 2_000) == 0
    assert Deadline.remaining(Deadline.from_timeout(:infinity, 10), 11) == :infinity
    assert Deadline.later(10, 250) == 260
  end

  test "pauses double up to the limit, less a share by chance" do
    {pauses, _} = Enum.map_reduce(1..8, Backoff.new(100, 5_000), fn _, backoff -> Backoff.next(backoff, 0.0) end)
    assert pauses == [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]
    {pause, backoff} = Backoff.next(Backoff.new(100, 5_000), 1.0)
    assert pause == 80
    assert {100, _} = backoff |> Backoff.reset() |> Backoff.next(0.0)
    assert_raise ArgumentError, fn -> Backoff.new(100, 50) end
  end

  @lost %Error{code: :unavailable, reason: "CONNECTION_LOST", retryable?: true}
  @unsent %Error{code: :unavailable, reason: "CANNOT_CONNECT", retryable?: true}
  @full %Error{code: :resource_exhausted, reason: "QUEUE_FULL", retryable?: true, retry_after_ms: 300}
  @wrong %Error{code: :invalid_argument, reason: "SCHEMA_MISMATCH"}

  test "a call is repeated only where it was asked for, may run twice, and there is time" do
    once = %{retries: 0, repeatable?: true}
    twice = %{retries: 2, repeatable?: true}
    careful = %{retries: 2, repeatable?: false}

    assert Retry.decide(@full, once, 1, :infinity) == :give_up
    assert Retry.decide(@full, twice, 1, :infinity) == {:retry, 300}
    assert Retry.decide(@full, twice, 2, 301) == {:retry, 300}
    assert Retry.decide(@full, twice, 2, 300) == :give_up
    assert Retry.decide(@full, twice, 3, :infinity) == :give_up
    assert Retry.decide(@lost, twice, 2, :infinity) == {:retry, 200}
    assert Retry.decide(@wrong, twice, 1, :infinity) == :give_up
    assert Retry.decide(@lost, careful, 1, :infinity) == :give_up
    assert Retry.decide(@unsent, careful, 1, :infinity) == {:retry, 100}
  end
end
