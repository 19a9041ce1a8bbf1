defmodule Bridge.Receipts do
  @moduledoc false
  # Hands the receipt in a call's trailers to whoever asked for it: the call's option, or `Bridge.with_receipt/1`, which
  # leaves a list in the process that makes the calls. Where nobody asked, nothing is read.

  alias Bridge.{CallOptions, Convert, Failures}

  @collector :"$bridge_receipts"

  @spec collect((... -> value)) :: {value, [Bridge.Receipt.t()]} when value: var
  def collect(function) do
    outer = Process.put(@collector, [])

    try do
      value = function.()
      {value, Enum.reverse(Process.get(@collector, []))}
    after
      if outer, do: Process.put(@collector, outer), else: Process.delete(@collector)
    end
  end

  @spec hand_out(%{String.t() => String.t()}, CallOptions.t()) :: :ok
  def hand_out(trailers, options) do
    collected = Process.get(@collector)

    if collected || options.on_receipt do
      with packed when is_binary(packed) <- trailers["bridge-receipt-bin"],
           {:ok, data} <- Failures.decode64(packed),
           {:ok, receipt} <- read(data) do
        if collected, do: Process.put(@collector, [receipt | collected])
        if options.on_receipt, do: options.on_receipt.(receipt)
      end
    end

    :ok
  end

  # A receipt that can not be read must not turn a good call into a failure.
  defp read(data) do
    {:ok, data |> Bridge.V1.Receipt.decode() |> Convert.receipt()}
  rescue
    Protobuf.DecodeError -> :error
  end
end
