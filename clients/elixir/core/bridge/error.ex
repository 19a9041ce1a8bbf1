defmodule Bridge.Error do
  @moduledoc """
  Why a call failed. Decide by `reason` where there is one, else by `code`: messages may change.

    * `code` - the gRPC status, such as `:invalid_argument`
    * `reason` - the bridge's, such as `"SCHEMA_MISMATCH"`; empty where the failure is the transport's.
      `"CANNOT_CONNECT"` (nothing was sent) and `"CONNECTION_LOST"` (the call may or may not have run) are this client's
    * `violations` - what does not fit, one per mistake: `%{field: "items[2].name", description: "..."}`
    * `metadata` - facts by name, both texts
    * `retry_after_ms` - how long to wait before another try, where the server says so
    * `retryable?` - whether the server says that another try may help, or nothing was sent
    * `request_id` - to find the call in the server's log
    * `traceback` - the Python traceback, where the server is told to send it
  """

  @type code ::
          :cancelled
          | :unknown
          | :invalid_argument
          | :deadline_exceeded
          | :not_found
          | :already_exists
          | :permission_denied
          | :resource_exhausted
          | :failed_precondition
          | :aborted
          | :out_of_range
          | :unimplemented
          | :internal
          | :unavailable
          | :data_loss
          | :unauthenticated

  @type violation :: %{field: String.t(), description: String.t()}

  @type t :: %__MODULE__{
          code: code(),
          reason: String.t(),
          message: String.t(),
          violations: [violation()],
          metadata: %{String.t() => String.t()},
          retry_after_ms: non_neg_integer() | nil,
          retryable?: boolean(),
          request_id: String.t(),
          traceback: String.t()
        }

  defexception code: :unknown,
               reason: "",
               message: "",
               violations: [],
               metadata: %{},
               retry_after_ms: nil,
               retryable?: false,
               request_id: "",
               traceback: ""

  @doc "What went wrong, with code, reason and violations, for people."
  @impl true
  def message(%__MODULE__{} = error) do
    name = if error.reason == "", do: to_string(error.code), else: "#{error.code} #{error.reason}"
    violations = for violation <- error.violations, do: "\n  #{violation.field}: #{violation.description}"
    IO.iodata_to_binary([name, ": ", error.message, violations])
  end

  @doc "Whether the request was never sent, so that trying again can do no harm."
  @spec never_sent?(t()) :: boolean()
  def never_sent?(%__MODULE__{reason: reason}), do: reason == "CANNOT_CONNECT"
end
