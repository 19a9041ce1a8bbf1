defmodule Bridge.Connection.Calls do
  @moduledoc false
  # The calls of a connection that are open: by whom they were made, so that they are cancelled when their process dies,
  # and how they are cancelled without harm to the calls beside them: the stream is reset by a frame of our own, and Gun
  # forgets it when nothing of it can be on its way any more.

  @linger_ms 5_000
  @cancel 8
  @rst_stream 3

  defstruct open: %{}, ids: %{}, lingering: %{}

  @type t :: %__MODULE__{}

  @spec begun(t(), pid(), pid(), reference()) :: t()
  def begun(calls, caller, gun, stream), do: put_in(calls.open[stream], {Process.monitor(caller), gun})

  @doc "Takes note of a stream's id; it may be known before the call, and after its cancelling."
  @spec numbered(t(), reference(), pos_integer()) :: t()
  def numbered(calls, stream, id) do
    case calls.lingering do
      %{^stream => gun} -> reset(calls, gun, id)
      _ -> put_in(calls.ids[stream], id)
    end
  end

  @doc "A call has ended."
  @spec ended(t(), reference()) :: t()
  def ended(calls, stream) do
    {entry, open} = Map.pop(calls.open, stream)
    with {monitor, _gun} <- entry, do: Process.demonitor(monitor, [:flush])
    %{calls | open: open, ids: Map.delete(calls.ids, stream)}
  end

  @doc "A call is not wanted any more."
  @spec cancelled(t(), pid(), reference()) :: t()
  def cancelled(calls, gun, stream) do
    {id, ids} = Map.pop(calls.ids, stream)
    calls = ended(%{calls | ids: ids}, stream)
    Process.send_after(self(), {:forget, gun, stream}, @linger_ms)
    calls = put_in(calls.lingering[stream], gun)
    if id, do: reset(calls, gun, id), else: calls
  end

  @doc "A process has died: nobody waits for its calls."
  @spec abandoned(t(), reference()) :: t()
  def abandoned(calls, monitor) do
    dead = for {stream, {^monitor, gun}} <- calls.open, do: {stream, gun}
    Enum.reduce(dead, calls, fn {stream, gun}, calls -> cancelled(calls, gun, stream) end)
  end

  @doc "Nothing of a cancelled call can be on its way any more."
  @spec forget(t(), pid(), reference()) :: t()
  def forget(calls, gun, stream) do
    :gun.cancel(gun, stream)
    %{calls | lingering: Map.delete(calls.lingering, stream), ids: Map.delete(calls.ids, stream)}
  end

  # In a process of its own, since a socket that is full lets its writer wait.
  defp reset(calls, gun, id) do
    spawn(fn -> send_reset(gun, <<4::24, @rst_stream, 0, 0::1, id::31, @cancel::32>>) end)
    calls
  end

  defp send_reset(gun, frame) do
    %{socket: socket, transport: transport} = :gun.info(gun)
    if transport == :tls, do: :ssl.send(socket, frame), else: :gen_tcp.send(socket, frame)
  catch
    # The connection has ended, and the call with it.
    :exit, _reason -> :ok
  end

  @doc "The connection has ended, and what was open in it."
  @spec lost(t()) :: t()
  def lost(calls), do: %{calls | ids: %{}}
end
