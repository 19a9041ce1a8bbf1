defmodule Bridge.Connection.StreamIds do
  @moduledoc false
  # Tells a connection's owner the HTTP/2 ids of its streams, which Gun (2.4) has no function for. Gun numbers them in
  # the order in which it sends their headers: 1, 3, 5 and so on. All other events are passed over.
  #
  # The owner needs them to cancel a call. `gun:cancel/2` forgets the stream at once, and a response's headers or trailers
  # that were on their way then are a connection error to it, which ends every call of the connection.

  @behaviour :gun_event

  for {name, 2} <- :gun_event.behaviour_info(:callbacks), name != :request_headers do
    @impl true
    def unquote(name)(_event, state), do: state
  end

  @impl true
  def request_headers(%{stream_ref: stream}, {owner, id}) do
    send(owner, {:stream_id, stream, id})
    {owner, id + 2}
  end
end
