defmodule Bridge.Variables do
  @moduledoc false
  # Variables of sessions. `Bridge` documents them.

  alias Bridge.{Caller, CallOptions, Convert, Session, V1}

  @typedoc "A variable at one moment."
  @type variable :: %{name: String.t(), type: atom(), value: term(), version: non_neg_integer()}

  @form :PAYLOAD_FORM_MSGPACK

  def get(%Session{} = session, name, options) do
    {_own, options} = CallOptions.split(options, [])
    request = %V1.GetVariableRequest{session_id: session.id, name: name, form: @form}
    read = fn reply -> variable(reply.variable, options[:bytes] || :binary) end
    unary(session, "GetVariable", request, V1.GetVariableResponse, read, name, options)
  end

  def list(%Session{} = session, options) do
    {_own, options} = CallOptions.split(options, [])
    request = %V1.ListVariablesRequest{session_id: session.id, form: @form}
    read = fn reply -> Enum.map(reply.variables, &variable(&1, options[:bytes] || :binary)) end
    unary(session, "ListVariables", request, V1.ListVariablesResponse, read, session.id, options)
  end

  def set(%Session{} = session, name, value, options) do
    {own, options} = CallOptions.split(options, [:expected_version, :replace_type])

    request = %V1.SetVariableRequest{
      session_id: session.id,
      name: name,
      value: Convert.payload_of(value),
      expected_version: own[:expected_version],
      replace_type: own[:replace_type] || false
    }

    unary(session, "SetVariable", request, V1.SetVariableResponse, & &1.version, name, options)
  end

  def delete(%Session{} = session, name, options) do
    {own, options} = CallOptions.split(options, [:expected_version])
    request = %V1.DeleteVariableRequest{session_id: session.id, name: name, expected_version: own[:expected_version]}
    unary(session, "DeleteVariable", request, V1.DeleteVariableResponse, & &1.version, name, options)
  end

  def watch(%Session{} = session, options) do
    {_own, options} = CallOptions.split(options, [])
    request = %V1.SessionServiceWatchRequest{id: session.id, form: @form}
    read = fn reply -> event(reply.event, options[:bytes] || :binary) end
    operation = Caller.operation("SessionService/Watch", request, V1.SessionServiceWatchResponse, read, session.id)
    Caller.stream(session.connection, operation, options)
  end

  defp unary(session, method, request, reply, read, name, options) do
    operation = Caller.operation("SessionService/#{method}", request, reply, read, name)
    Caller.unary(session.connection, operation, options)
  end

  defp variable(message, bytes) do
    %{
      name: message.name,
      type: Convert.enum(message.type, "VARIABLE_TYPE_"),
      value: Convert.value(message.value, bytes),
      version: message.version
    }
  end

  defp event({:snapshot, snapshot}, bytes) do
    [{:snapshot, Enum.map(snapshot.variables, &variable(&1, bytes)), snapshot.version}]
  end

  defp event({:change, %{deleted: true} = change}, _bytes), do: [{:deleted, change.variable.name, change.version}]
  defp event({:change, change}, bytes), do: [{:change, variable(change.variable, bytes), change.version}]
  defp event({:end, ended}, _bytes), do: [{:ended, ended.reason}]
  # An event that a newer server has added is passed over.
  defp event(_other, _bytes), do: []
end
