defmodule Bridge.Sessions do
  @moduledoc false
  # Sessions: opened, asked about, closed. `Bridge` documents them.

  alias Bridge.{Caller, CallOptions, Convert, Error, Session, V1}

  @modes %{nil => :SESSION_MODE_UNSPECIFIED, hint: :SESSION_MODE_HINT, strict: :SESSION_MODE_STRICT}

  def open(connection, options) do
    {own, options} = CallOptions.split(options, [:id, :mode, :ttl, :ordered])
    mode = own[:mode]

    unless is_map_key(@modes, mode),
      do: raise(ArgumentError, "expected mode to be :hint or :strict, got #{inspect(mode)}")

    request = %V1.OpenRequest{
      id: own[:id] || "",
      mode: @modes[mode],
      ttl: Convert.duration(own[:ttl]),
      ordered: own[:ordered] || false
    }

    read = fn reply -> %Session{connection: process(connection), id: reply.session.id, mode: mode} end
    Caller.unary(connection, Caller.operation("SessionService/Open", request, V1.OpenResponse, read), options)
  end

  defp process(%Session{connection: connection}), do: connection
  defp process(connection), do: connection

  def close(%Session{} = session, options) do
    {_own, options} = CallOptions.split(options, [])
    request = %V1.CloseRequest{id: session.id}
    operation = Caller.operation("SessionService/Close", request, V1.CloseResponse, fn _ -> :ok end, session.id)
    with {:ok, :ok} <- Caller.unary(session.connection, operation, options), do: :ok
  end

  def info(%Session{} = session, options) do
    {_own, options} = CallOptions.split(options, [])
    request = %V1.SessionServiceGetRequest{id: session.id}
    read = fn reply -> Convert.session_info(reply.session) end
    operation = Caller.operation("SessionService/Get", request, V1.SessionServiceGetResponse, read, session.id)
    Caller.unary(session.connection, operation, options)
  end

  def with_session(connection, options, function) when is_function(function, 1) do
    case open(connection, options) do
      {:ok, session} ->
        try do
          function.(session)
        after
          # It may have ended by its ttl, or with the server: what went on inside matters more.
          _ = close(session, Keyword.take(options, [:timeout, :metadata]))
        end

      {:error, %Error{} = error} ->
        raise error
    end
  end
end
