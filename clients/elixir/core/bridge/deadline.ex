defmodule Bridge.Deadline do
  @moduledoc false
  # A deadline is a moment on the monotonic clock in milliseconds, or :infinity.
  #
  # Three clocks hold a call: the server's, by `x-timeout-ms`, exactly, which knows whether the call waited or worked
  # and says so; gRPC's own, `grpc-timeout`, and the wait of the caller, both a grace later, for a server that does not
  # answer. gRPC's header has at most eight digits: what needs more is asked for in the next larger whole unit.

  @type t :: integer() | :infinity

  @digits 99_999_999
  @units [{"m", 1}, {"S", 1_000}, {"M", 60_000}, {"H", 3_600_000}]

  @spec from_timeout(timeout(), integer()) :: t()
  def from_timeout(timeout, now \\ now())
  def from_timeout(:infinity, _now), do: :infinity
  def from_timeout(timeout, now), do: now + timeout

  @doc "Milliseconds until then, never less than 0."
  @spec remaining(t(), integer()) :: timeout()
  def remaining(deadline, now \\ now())
  def remaining(:infinity, _now), do: :infinity
  def remaining(deadline, now), do: max(0, deadline - now)

  @spec later(t(), non_neg_integer()) :: t()
  def later(:infinity, _by), do: :infinity
  def later(deadline, by), do: deadline + by

  @doc "The value of `grpc-timeout`, never shorter than asked; nil where there is no limit."
  @spec header(timeout()) :: String.t() | nil
  def header(:infinity), do: nil

  def header(ms) do
    {unit, size} = Enum.find(@units, List.last(@units), fn {_unit, size} -> div(ms + size - 1, size) <= @digits end)
    "#{min(@digits, div(ms + size - 1, size))}#{unit}"
  end

  @spec now() :: integer()
  def now, do: System.monotonic_time(:millisecond)
end
