defmodule Bridge.Retry do
  @moduledoc false
  # Whether a call that failed is made again, and after which pause. What was never sent may always be sent again; what
  # may have run is repeated only where the caller has said that it may run twice and the server that it may help.

  alias Bridge.Error

  @first_pause_ms 100
  @longest_pause_ms 5_000

  @type policy :: %{retries: non_neg_integer(), repeatable?: boolean()}

  @doc "`attempt` counts the calls that were made, `remaining` is what is left of the call's time in milliseconds."
  @spec decide(Error.t(), policy(), pos_integer(), timeout()) :: {:retry, non_neg_integer()} | :give_up
  def decide(%Error{} = error, %{retries: retries} = policy, attempt, remaining) do
    pause = error.retry_after_ms || min(@longest_pause_ms, @first_pause_ms * Integer.pow(2, min(attempt - 1, 20)))

    if attempt <= retries and may_repeat?(error, policy) and fits?(pause, remaining) do
      {:retry, pause}
    else
      :give_up
    end
  end

  defp may_repeat?(error, policy), do: Error.never_sent?(error) or (policy.repeatable? and error.retryable?)

  defp fits?(_pause, :infinity), do: true
  defp fits?(pause, remaining), do: pause < remaining
end
